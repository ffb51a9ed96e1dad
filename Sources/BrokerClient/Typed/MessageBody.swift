/// A value that is the body of a message: how it is called, in which version, and how its bytes are written and read.
///
/// `JSONBody` (product `BrokerClientJSON`) does it for `Codable` types. For what Protobuf or Avro generates, a few lines:
///
///     extension Shop_Refund: MessageBody {
///         public static var messageType: String { "shop.refund" }
///         public static var schemaVersion: SchemaVersion { SchemaVersion(1, 2) }
///         public static var contentType: String { "application/x-protobuf" }
///         public func messageBody() throws -> [UInt8] { try serializedBytes() }
///         public init(messageBody: [UInt8], version: SchemaVersion) throws {
///             try self.init(serializedBytes: messageBody)
///         }
///     }
public protocol MessageBody: Sendable {
    /// Sent as `message-type`: one name for one kind of message, in all programs and versions. By convention the part of
    /// the system that it belongs to, a dot, and what it is: `shop.order-placed`.
    static var messageType: String { get }
    /// Sent as `schema-version`: that of what `messageBody` writes.
    static var schemaVersion: SchemaVersion { get }
    /// Sent as `content-type`.
    static var contentType: String { get }
    /// Major versions that the initialiser can read. By default that of `schemaVersion` alone.
    static var understoodMajors: Set<UInt32> { get }
    /// Content types that the initialiser can read, without parameters such as `charset`. By default `contentType` alone.
    static var understoodContentTypes: [String] { get }

    /// The bytes of the body.
    func messageBody() throws -> [UInt8]

    /// From the bytes of a body whose `schema-version` has one of `understoodMajors`. What a newer minor version has added
    /// is to be passed over.
    init(messageBody: [UInt8], version: SchemaVersion) throws
}

extension MessageBody {
    /// The major version of `schemaVersion`.
    public static var understoodMajors: Set<UInt32> { [schemaVersion.major] }
    /// The one that it is sent with.
    public static var understoodContentTypes: [String] { [contentType] }
}

/// Why a body cannot be written, or a message not be read as what was asked for.
public enum BodyError: Error, Equatable, Sendable {
    /// The message does not say what it is: it has no `message-type`, `schema-version` or `content-type`.
    case headerMissing(String)
    /// `schema-version` is not MAJOR.MINOR.PATCH.
    case headerMalformed(name: String, value: String)
    /// Nobody here knows this `message-type`.
    case typeUnknown(String)
    /// The type is known, its major version is not.
    case majorUnknown(type: String, version: SchemaVersion, understood: [UInt32])
    /// The bytes are in a form that the type does not read.
    case contentTypeUnknown(String, understood: [String])
    /// The bytes are not what the headers say.
    case malformed(type: String, reason: String)
    /// The value to be sent has no form as bytes. Nothing was sent.
    case notEncodable(type: String, reason: String)
}

extension BodyError: CustomStringConvertible {
    /// One sentence for a log; it is also what `rejected-because` says of a dead letter.
    public var description: String {
        switch self {
        case .headerMissing(let name): "the header \(name) is missing"
        case .headerMalformed(let name, let value): "the header \(name) is \"\(value)\""
        case .typeUnknown(let type): "unknown message-type \(type)"
        case .majorUnknown(let type, let version, let understood):
            "\(type) has version \(version); understood: "
                + understood.map { "\($0).x" }.joined(separator: ", ")
        case .contentTypeUnknown(let type, let understood):
            "content-type \(type); understood: " + understood.joined(separator: ", ")
        case .malformed(let type, let reason): "the body is no \(type): \(reason)"
        case .notEncodable(let type, let reason): "\(type) cannot be encoded: \(reason)"
        }
    }
}
