/// The values that the admin interface answers with. Their JSON is the public interface: names are
/// the properties in snake_case, sizes and times carry their unit, a property that is nil is absent.
/// Properties may be added; none changes its meaning or goes away within `/v1/`.
public enum API {}

/// A value with a schema in docs/openapi.json.
public protocol APISchema: Codable, Equatable, Sendable {
    /// One line about the value.
    static var summary: String { get }
    /// A phrase for every property, by its JSON name. A test holds it complete.
    static var notes: [String: String] { get }
    init()
}

extension APISchema {
    /// `Queue` for `API.Queue`.
    public static var schemaName: String { String(describing: Self.self) }
}
