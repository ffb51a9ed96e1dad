import Base

/// What a destination header names. A name is opaque UTF-8; only its prefix and, in topics, the
/// dots between words mean something.
enum DestinationKind {
    case queue, topic, reply
    /// A durable subscription, by its own name.
    case durable
}

/// A destination header, understood.
struct Destination {
    var kind: DestinationKind
    /// The canonical name with its prefix: `/queue/NAME`, `/topic/NAME`, `/dsub/NAME` or
    /// `/reply-queue/TOKEN`. A queue may be named without prefix.
    var name: [UInt8]

    static let longestName = 255
    static let queuePrefix = Array("/queue/".utf8)
    static let topicPrefix = Array("/topic/".utf8)
    static let durablePrefix = Array("/dsub/".utf8)
    private static let replyPrefix = Array("/reply-queue/".utf8)

    init(_ bytes: Bytes) throws(Refusal) {
        func named(_ prefix: [UInt8]) -> Bool { bytes.starts(with: prefix) }
        if bytes.isEmpty || bytes.count > Self.longestName + Self.replyPrefix.count {
            throw Refusal(.badDestination, "a destination has 1 to \(Self.longestName) bytes after its prefix")
        }
        for byte in bytes where byte < 0x20 || byte == 0x7F {
            throw Refusal(.badDestination, "a destination must not contain control characters (byte \(byte))")
        }
        if named(Self.queuePrefix) {
            kind = .queue
            name = Array(bytes)
        } else if named(Self.topicPrefix) {
            kind = .topic
            name = Array(bytes)
        } else if named(Self.replyPrefix) {
            kind = .reply
            name = Array(bytes)
        } else if named(Self.durablePrefix) {
            kind = .durable
            name = Array(bytes)
        } else if bytes[0] == UInt8(ascii: "/") {
            throw Refusal(
                .unsupportedDestination,
                "destinations start with /queue/, /topic/, /dsub/ or /temp-queue/; a name without a slash in front is a queue"
            )
        } else {
            kind = .queue
            name = Self.queuePrefix + bytes
        }
        let prefix =
            switch kind {
            case .queue, .topic: Self.queuePrefix.count
            case .durable: Self.durablePrefix.count
            case .reply: Self.replyPrefix.count
            }
        if name.count == prefix || name.count - prefix > Self.longestName {
            throw Refusal(.badDestination, "a destination has 1 to \(Self.longestName) bytes after its prefix")
        }
    }
}

/// The words of a topic name and the patterns over them: `.` separates words, `*` is one word,
/// `**`, `>` or `#` at the end is the rest, be it nothing.
struct TopicPattern: Equatable, Sendable {
    private static let dot = UInt8(ascii: ".")
    private let words: [ArraySlice<UInt8>]
    private let endsInRest: Bool
    let hasWildcard: Bool

    /// `prefix` bytes in front are no words.
    init(_ name: [UInt8], prefix: Int = Self.prefix) throws(Refusal) {
        var words = Self.split(name, prefix: prefix)
        let rests = words.indices.filter { Self.isRest(words[$0]) }
        if let first = rests.first, first != words.count - 1 {
            throw Refusal(.badDestination, "the wildcard for the rest (**, > or #) must be the last word of a topic")
        }
        endsInRest = !rests.isEmpty
        hasWildcard = endsInRest || words.contains { Self.isOne($0) }
        if endsInRest { words.removeLast() }
        self.words = words
    }

    /// One pass over both: linear in the number of words.
    func matches(_ topic: [ArraySlice<UInt8>]) -> Bool {
        if endsInRest ? topic.count < words.count : topic.count != words.count { return false }
        for index in words.indices where !Self.isOne(words[index]) && words[index] != topic[index] { return false }
        return true
    }

    static let prefix = "/topic/".utf8.count

    /// The words behind `/topic/`, or behind another prefix of so many bytes.
    static func split(_ name: [UInt8], prefix: Int = Self.prefix) -> [ArraySlice<UInt8>] {
        name.dropFirst(prefix).split(separator: dot, omittingEmptySubsequences: false)
    }

    static func isOne(_ word: ArraySlice<UInt8>) -> Bool { word.elementsEqual("*".utf8) }
    static func isRest(_ word: ArraySlice<UInt8>) -> Bool {
        word.elementsEqual("**".utf8) || word.elementsEqual(">".utf8) || word.elementsEqual("#".utf8)
    }
}
