/// What the core wants remembered about one queue beside its messages. Storage keeps it as bytes.
///
/// Lines of a word, a space and a value in which `%`, control characters and nothing else are written
/// `%XX`. Unknown words are kept out: a note is written anew whenever something in it changes.
public struct QueueNote: Equatable, Sendable {
    /// A topic subscription whose messages this queue holds.
    public struct Binding: Equatable, Sendable {
        /// Canonical topic name or pattern.
        public var topic: [UInt8]
        public var selector: [UInt8] = []
        /// The client that may use it; empty: whoever names it.
        public var clientID: [UInt8] = []
        public var name: [UInt8]
        public init(topic: [UInt8], name: [UInt8]) {
            self.topic = topic
            self.name = name
        }
    }

    /// Settings given when the queue was made; they go before policies. Setting name to value.
    public var settings: [String: String] = [:]
    public var isDeliveryPaused = false
    public var isSendingPaused = false
    public var binding: Binding?
    /// When it was last used, in seconds since 1970; 0: not kept.
    public var lastUsed: UInt64 = 0

    public init() {}

    public var isEmpty: Bool { self == QueueNote() }

    public func encoded() -> [UInt8] {
        var out: [UInt8] = []
        func line(_ word: String, _ value: some Sequence<UInt8>) {
            out += Array(word.utf8)
            out.append(UInt8(ascii: " "))
            for byte in value {
                if byte < 0x20 || byte == 0x7F || byte == UInt8(ascii: "%") {
                    out.append(UInt8(ascii: "%"))
                    out.append(Self.digits[Int(byte >> 4)])
                    out.append(Self.digits[Int(byte & 15)])
                } else {
                    out.append(byte)
                }
            }
            out.append(0x0A)
        }
        for (name, value) in settings.sorted(by: { $0.key < $1.key }) { line("set", "\(name) \(value)".utf8) }
        if isDeliveryPaused { line("paused", "delivery".utf8) }
        if isSendingPaused { line("paused", "sending".utf8) }
        if let binding {
            line("topic", binding.topic)
            line("name", binding.name)
            if !binding.selector.isEmpty { line("selector", binding.selector) }
            if !binding.clientID.isEmpty { line("client", binding.clientID) }
        }
        if lastUsed > 0 { line("used", String(lastUsed).utf8) }
        return out
    }

    public init(decoding bytes: [UInt8]) {
        var topic: [UInt8]?
        var subscription = Binding(topic: [], name: [])
        for line in bytes.split(separator: 0x0A) {
            let parts = line.split(separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            let value = Self.plain(parts[1])
            switch String(decoding: parts[0], as: UTF8.self) {
            case "set":
                let words = value.split(separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
                if words.count == 2 {
                    settings[String(decoding: words[0], as: UTF8.self)] = String(decoding: words[1], as: UTF8.self)
                }
            case "paused":
                if value.elementsEqual("delivery".utf8) { isDeliveryPaused = true }
                if value.elementsEqual("sending".utf8) { isSendingPaused = true }
            case "topic": topic = value
            case "name": subscription.name = value
            case "selector": subscription.selector = value
            case "client": subscription.clientID = value
            case "used": lastUsed = UInt64(String(decoding: value, as: UTF8.self)) ?? 0
            default: continue
            }
        }
        if let topic {
            subscription.topic = topic
            binding = subscription
        }
    }

    private static let digits = Array("0123456789ABCDEF".utf8)

    private static func plain(_ text: ArraySlice<UInt8>) -> [UInt8] {
        var out: [UInt8] = []
        var rest = text[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            else {
                out.append(byte)
                continue
            }
            out.append(value)
            rest.removeFirst(2)
        }
        return out
    }
}
