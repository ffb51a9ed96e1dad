import BrokerClient
import FoundationEssentials

/// A `Codable` value that is sent as JSON.
///
///     struct OrderPlaced: JSONBody {
///         static let messageType = "shop.order-placed"
///         static let schemaVersion = SchemaVersion(1, 2)
///         var number: Int
///         var note: String?          // since 1.2: older messages have none
///     }
///
/// Members that a newer minor version has added are passed over. What may be missing is an optional. Dates are texts as
/// in ISO 8601, by the second; data is in base 64; members are in the order of their names.
public protocol JSONBody: MessageBody, Codable {
    /// For another form of dates or names than the usual one.
    static var jsonEncoder: JSONEncoder { get }
    /// What reads it. It has to understand what `jsonEncoder` writes, and what older versions of it wrote.
    static var jsonDecoder: JSONDecoder { get }
}

extension JSONBody {
    /// `application/json`.
    public static var contentType: String { "application/json" }
    /// ISO 8601 dates, members in the order of their names, slashes as they are.
    public static var jsonEncoder: JSONEncoder { UsualJSON.encoder }
    /// ISO 8601 dates. Members that the type does not have are passed over.
    public static var jsonDecoder: JSONDecoder { UsualJSON.decoder }

    /// The value as JSON. Throws `EncodingError` for what JSON cannot say, infinite numbers for example.
    public func messageBody() throws -> [UInt8] { Array(try Self.jsonEncoder.encode(self)) }

    /// From JSON, the same way for every version. Throws `DecodingError` if a member is missing or is something else.
    public init(messageBody: [UInt8], version: SchemaVersion) throws {
        self = try Self.jsonDecoder.decode(Self.self, from: Data(messageBody))
    }
}

private enum UsualJSON {
    static let encoder = {
        let encoder = JSONEncoder()
        encoder.dateEncodingStrategy = .iso8601
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }()

    static let decoder = {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        return decoder
    }()
}
