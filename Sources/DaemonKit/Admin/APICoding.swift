import FoundationEssentials

/// How the values of `API` are written as JSON and read again. Keys are sorted, so that the same
/// answer is the same text.
public enum APICoding {
    /// Errors: `failed`, for a number that JSON cannot say.
    public static func encode(_ value: some APISchema) throws(AdminError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .custom { path in Key(snake(path.last?.stringValue ?? "")) }
        do {
            return [UInt8](try encoder.encode(value))
        } catch {
            throw AdminError(.failed, "The answer could not be written as JSON: \(error)")
        }
    }

    /// Errors: `invalid`, naming the place.
    public static func decode<Value: APISchema>(_ type: Value.Type, from bytes: [UInt8]) throws(AdminError) -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .custom { path in Key(camel(path.last?.stringValue ?? "")) }
        do {
            return try decoder.decode(Value.self, from: Data(bytes))
        } catch let DecodingError.keyNotFound(key, _) {
            throw AdminError(.invalid, "The JSON lacks `\(snake(key.stringValue))`")
        } catch let DecodingError.typeMismatch(_, context) {
            throw AdminError(.invalid, "`\(place(context.codingPath))` is of the wrong type")
        } catch {
            throw AdminError(.invalid, "Send \(Value.schemaName) as a JSON object")
        }
    }

    /// The same, and a property that is not known is an error: a typo must not mean "default".
    public static func decodeStrictly<Value: APISchema>(
        _ type: Value.Type, from bytes: [UInt8]
    ) throws(AdminError) -> Value {
        let value = try decode(type, from: bytes)
        guard let keys = try? JSONDecoder().decode(JSONKeys.self, from: Data(bytes)) else {
            throw AdminError(.invalid, "Send \(Value.schemaName) as a JSON object")
        }
        if let unknown = keys.names.sorted().first(where: { Value.notes[$0] == nil }) {
            let known = Value.notes.keys.sorted().joined(separator: ", ")
            throw AdminError(.invalid, "`\(unknown)` is not known here; there are \(known)")
        }
        return value
    }

    private static func place(_ path: [any CodingKey]) -> String {
        path.map { snake($0.stringValue) }.joined(separator: ".")
    }

    /// `stored_bytes` for `storedBytes`, `storage_id` for `storageID`.
    static func snake(_ name: String) -> String {
        var text = ""
        var previousIsUpper = true
        for character in name {
            if character.isUppercase, !previousIsUpper { text.append("_") }
            text += character.lowercased()
            previousIsUpper = character.isUppercase
        }
        return text
    }

    /// The other way.
    static func camel(_ name: String) -> String {
        let words = name.split(separator: "_")
        guard let first = words.first else { return name }
        return words.dropFirst().reduce(String(first)) {
            $0 + ($1 == "id" ? "ID" : $1.prefix(1).uppercased() + $1.dropFirst())
        }
    }

    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}
