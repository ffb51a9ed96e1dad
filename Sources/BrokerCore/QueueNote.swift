/// What the core wants remembered about one queue beside its messages. Storage keeps it as bytes.
///
/// See `NoteLines`. Unknown words are kept out: a note is written anew whenever something in it changes.
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
        for (name, value) in settings.sorted(by: { $0.key < $1.key }) {
            NoteLines.append("set", "\(name) \(value)".utf8, to: &out)
        }
        if isDeliveryPaused { NoteLines.append("paused", "delivery".utf8, to: &out) }
        if isSendingPaused { NoteLines.append("paused", "sending".utf8, to: &out) }
        if let binding {
            NoteLines.append("topic", binding.topic, to: &out)
            NoteLines.append("name", binding.name, to: &out)
            if !binding.selector.isEmpty { NoteLines.append("selector", binding.selector, to: &out) }
            if !binding.clientID.isEmpty { NoteLines.append("client", binding.clientID, to: &out) }
        }
        if lastUsed > 0 { NoteLines.append("used", String(lastUsed).utf8, to: &out) }
        return out
    }

    public init(decoding bytes: [UInt8]) {
        var topic: [UInt8]?
        var subscription = Binding(topic: [], name: [])
        for (word, value) in NoteLines.read(bytes) {
            switch word {
            case "set":
                guard let (name, value) = NoteLines.setting(value) else { continue }
                settings[name] = value
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
}
