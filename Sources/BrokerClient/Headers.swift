import Glibc
import STOMP

/// Headers of a message, in the order they are written. Of several with one name the first counts
/// (STOMP 1.2, Repeated Header Entries). Names are case-sensitive. Values are as they are meant: escaping
/// is the library's business.
///
///     var headers: Headers = ["priority-hint": "3"]
///     headers["reply-to"] = "/temp-queue/answers"
public struct Headers: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// The codec's own form, so that a frame takes it over without a copy.
    var fields: [Frame.Header]

    public init() { fields = [] }

    public init(_ pairs: [(name: String, value: String)]) {
        fields = pairs.map { Frame.Header($0.name, $0.value) }
    }

    public init(dictionaryLiteral elements: (String, String)...) {
        fields = elements.map { Frame.Header($0.0, $0.1) }
    }

    init(fields: [Frame.Header]) { self.fields = fields }

    /// The first value of `name`. Setting leaves exactly one of that name; nil removes them all.
    public subscript(name: String) -> String? {
        get { fields.first { $0.name == name }?.value }
        set {
            let first = fields.firstIndex { $0.name == name } ?? fields.count
            fields.removeAll { $0.name == name }
            if let newValue { fields.insert(Frame.Header(name, newValue), at: first) }
        }
    }

    /// Adds one at the end, whether or not there is one of that name.
    public mutating func add(_ name: String, _ value: String) {
        fields.append(Frame.Header(name, value))
    }
}

extension Headers: RandomAccessCollection {
    public var startIndex: Int { fields.startIndex }
    public var endIndex: Int { fields.endIndex }
    public subscript(position: Int) -> (name: String, value: String) {
        (fields[position].name, fields[position].value)
    }
}

extension Headers {
    /// Throws if one of them cannot be sent, or is one that the library writes itself.
    func check(reserved: [String]) throws(ClientError) {
        for field in fields {
            if field.name.isEmpty { throw .invalidHeader(name: "", reason: "the name is empty") }
            if reserved.contains(field.name) {
                throw .invalidHeader(name: field.name, reason: "the library writes this one itself")
            }
            try Self.check(field.name, field.value)
        }
    }

    /// A NUL ends a frame and no version can escape it.
    static func check(_ name: String, _ value: String) throws(ClientError) {
        if hasNUL(name) || hasNUL(value) { throw .invalidHeader(name: name, reason: "it contains NUL") }
    }

    private static func hasNUL(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in bytes.baseAddress.map { memchr($0, 0, bytes.count) != nil } ?? false }
    }

    /// CONNECT is never escaped, so a line break in it would begin another header.
    static func checkLiteral(_ name: String, _ value: String) throws(ClientError) {
        try check(name, value)
        if value.utf8.contains(where: { $0 == 10 || $0 == 13 }) {
            throw .invalidHeader(name: name, reason: "it contains a line break")
        }
    }
}
