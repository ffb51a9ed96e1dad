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
    static var jsonDecoder: JSONDecoder { get }
}

extension JSONBody {
    public static var contentType: String { "application/json" }
    public static var jsonEncoder: JSONEncoder { UsualJSON.encoder }
    public static var jsonDecoder: JSONDecoder { UsualJSON.decoder }

    public func messageBody() throws -> [UInt8] { Array(try Self.jsonEncoder.encode(self)) }

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
