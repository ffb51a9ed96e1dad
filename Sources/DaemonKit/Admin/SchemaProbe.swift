/// Finds the properties of a value by letting it decode itself from nothing: the decoder writes down
/// what is asked of it. So the schema in the OpenAPI document cannot differ from the code.
struct SchemaProbe {
    indirect enum Kind: Equatable {
        case text, integer, number, boolean
        case object(String)
        case list(Kind)
    }

    struct Property: Equatable {
        var name: String
        var kind: Kind
        var isOptional: Bool
    }

    /// Properties by schema name, of the given type and all types inside it.
    private(set) var schemas: [String: (type: any APISchema.Type, properties: [Property])] = [:]

    /// Errors: what the type's `init(from:)` throws when it asks for something that no schema has.
    mutating func add(_ type: any APISchema.Type) throws {
        guard schemas[type.schemaName] == nil else { return }
        let record = Record()
        _ = try type.init(from: ProbeDecoder(record: record))
        schemas[type.schemaName] = (type, record.properties)
        for inner in record.inner { try add(inner) }
    }

    fileprivate final class Record {
        var properties: [Property] = []
        var inner: [any APISchema.Type] = []
        var optional: Set<String> = []
    }
}

private protocol ListOfSchemas {
    static var element: Any.Type { get }
    init()
}

extension Array: ListOfSchemas {
    static var element: Any.Type { Element.self }
}

private struct ProbeError: Error {
    var type: Any.Type
}

private struct ProbeDecoder: Decoder {
    let record: SchemaProbe.Record
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        KeyedDecodingContainer(ProbeContainer<Key>(record: record))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { throw ProbeError(type: Never.self) }
    func singleValueContainer() throws -> any SingleValueDecodingContainer { throw ProbeError(type: Never.self) }
}

private struct ProbeContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let record: SchemaProbe.Record
    var codingPath: [any CodingKey] { [] }
    var allKeys: [Key] { [] }

    func contains(_ key: Key) -> Bool { true }

    /// Asked only for a property that may be absent, and before it is decoded.
    func decodeNil(forKey key: Key) throws -> Bool {
        record.optional.insert(key.stringValue)
        return false
    }

    /// Stands for the requirements of every type.
    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
        let (kind, value) = try kind(of: type)
        guard let value = value as? T else { throw ProbeError(type: type) }
        record.properties.append(
            SchemaProbe.Property(
                name: APICoding.snake(key.stringValue), kind: kind,
                isOptional: record.optional.contains(key.stringValue)))
        return value
    }

    private func kind(of type: Any.Type) throws -> (SchemaProbe.Kind, Any) {
        switch type {
        case is String.Type: return (.text, "")
        case is Bool.Type: return (.boolean, false)
        case is Double.Type: return (.number, 0.0)
        case let integer as any FixedWidthInteger.Type: return (.integer, integer.init(0 as Int))
        case let schema as any APISchema.Type:
            record.inner.append(schema)
            return (.object(schema.schemaName), schema.init())
        case let list as any ListOfSchemas.Type:
            return (.list(try kind(of: list.element).0), list.init())
        default: throw ProbeError(type: type)
        }
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> { throw ProbeError(type: Nested.self) }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        throw ProbeError(type: Key.self)
    }
    func superDecoder() throws -> any Decoder { throw ProbeError(type: Key.self) }
    func superDecoder(forKey key: Key) throws -> any Decoder { throw ProbeError(type: Key.self) }
}
