import Glibc
import STOMP

/// Headers of a message, in the order they are written. Of several with one name the first counts
/// (STOMP 1.2, Repeated Header Entries). Names are case-sensitive. Values are as they are meant: escaping
/// is the library's business.
///
///     var headers: Headers = ["priority-hint": "3"]
///     headers["reply-to"] = "/temp-queue/answers"
public struct Headers: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    private enum Storage: Sendable {
        case fields([Frame.Header])
        case lines(HeaderLines)
    }

    private var storage: Storage

    /// The codec's own form, so that a frame takes it over without a copy.
    var fields: [Frame.Header] {
        get {
            switch storage {
            case .fields(let fields): fields
            case .lines(let lines): lines.fields
            }
        }
        _modify {
            var changed = fields
            // Nobody else holds them while they are changed, or they would be copied.
            storage = .fields([])
            defer { storage = .fields(changed) }
            yield &changed
        }
    }

    /// None.
    public init() { storage = .fields([]) }

    /// These, in this order. Several of one name may be among them; the first counts.
    public init(_ pairs: [(name: String, value: String)]) {
        storage = .fields(pairs.map { Frame.Header($0.name, $0.value) })
    }

    /// `["reply-to": "/queue/answers"]`, in the order in which they are written.
    public init(dictionaryLiteral elements: (String, String)...) {
        storage = .fields(elements.map { Frame.Header($0.0, $0.1) })
    }

    init(fields: [Frame.Header]) { storage = .fields(fields) }

    init(lines: HeaderLines) { storage = .lines(lines) }

    /// The first value of `name`. Setting leaves exactly one of that name; nil removes them all.
    public subscript(name: String) -> String? {
        get {
            switch storage {
            case .fields(let fields): fields.first { $0.name == name }?.value
            case .lines(let lines): lines[name]
            }
        }
        set { Self.set(name, newValue, in: &fields) }
    }

    private static func set(_ name: String, _ value: String?, in fields: inout [Frame.Header]) {
        let first = fields.firstIndex { $0.name == name } ?? fields.count
        fields.removeAll { $0.name == name }
        if let value { fields.insert(Frame.Header(name, value), at: first) }
    }

    /// Adds one at the end, whether or not there is one of that name.
    public mutating func add(_ name: String, _ value: String) {
        fields.append(Frame.Header(name, value))
    }

    /// The same names and values in the same order.
    public static func == (a: Headers, b: Headers) -> Bool { a.fields == b.fields }
}

extension Headers: RandomAccessCollection {
    /// 0, whether or not there are any.
    public var startIndex: Int { 0 }
    /// How many there are, those with the same name counted each.
    public var endIndex: Int {
        switch storage {
        case .fields(let fields): fields.count
        case .lines(let lines): lines.count
        }
    }
    /// One header by its place, from 0 to `endIndex` exclusive.
    public subscript(position: Int) -> (name: String, value: String) {
        (fields[position].name, fields[position].value)
    }

    /// All of them, from the first one.
    public func makeIterator() -> IndexingIterator<[(name: String, value: String)]> {
        fields.map { ($0.name, $0.value) }.makeIterator()
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
