/// A JSON value of any shape, for documents that no type describes. Written with `JSONEncoder` of
/// FoundationEssentials: `JSONSerialization` would bring all of Foundation into the daemon.
indirect enum JSONTree: Encodable, ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral {
    case text(String)
    case number(UInt64)
    case flag(Bool)
    case list([JSONTree])
    case object([String: JSONTree])

    init(stringLiteral text: String) { self = .text(text) }

    init(dictionaryLiteral elements: (String, JSONTree)...) {
        self = .object(Dictionary(elements) { first, _ in first })
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .number(let number): try container.encode(number)
        case .flag(let flag): try container.encode(flag)
        case .list(let list): try container.encode(list)
        case .object(let object): try container.encode(object)
        }
    }
}

/// The keys of a JSON object, whatever its values are.
struct JSONKeys: Decodable {
    let names: [String]

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        names = try decoder.container(keyedBy: Name.self).allKeys.map(\.stringValue)
    }
}
