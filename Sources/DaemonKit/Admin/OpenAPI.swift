import Foundation

/// The interface as an OpenAPI 3.1 document, made from the route table and the values' own types.
/// docs/openapi.json is this text; a test holds them equal.
public enum OpenAPI {
    /// Errors: `failed`, when a value has a property that JSON has no word for.
    public static func document() throws(AdminError) -> [UInt8] {
        do {
            let json = try JSONSerialization.data(
                withJSONObject: try object(), options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
            return [UInt8](json) + [0x0A]
        } catch {
            throw AdminError(.failed, "The OpenAPI document could not be made: \(error)")
        }
    }

    private static func object() throws -> [String: Any] {
        var paths: [String: [String: Any]] = [:]
        for route in Route.all { paths[route.pattern, default: [:]][route.method.lowercased()] = operation(route) }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "brokerd admin", "version": "1",
                "description":
                    "Look after a brokerd. Served on a Unix socket and, if asked for, on a loopback address.",
            ],
            "paths": paths,
            "components": ["schemas": try schemas()],
        ]
    }

    private static func operation(_ route: Route) -> [String: Any] {
        var responses: [String: Any] = [:]
        for status in route.statuses { responses[String(status)] = response(route.response, "The answer.") }
        for (status, codes) in Dictionary(grouping: route.errors + [.refused, .failed], by: \.status) {
            let words = codes.map { "`\($0.rawValue)`" }.joined(separator: " or ")
            responses[String(status)] = response(API.Failure.self, "The error \(words).")
        }
        responses["default"] = response(API.Failure.self, "An error.")
        var operation: [String: Any] = ["summary": route.summary, "responses": responses]
        if !route.parameters.isEmpty { operation["parameters"] = route.parameters.map(parameter) }
        if let body = route.body {
            operation["requestBody"] = ["required": true, "content": content(body)]
        }
        return operation
    }

    private static func response(_ type: (any APISchema.Type)?, _ description: String) -> [String: Any] {
        ["description": description, "content": content(type)]
    }

    private static func content(_ type: (any APISchema.Type)?) -> [String: Any] {
        let schema: [String: Any] = type.map { reference($0.schemaName) } ?? ["type": "object"]
        return ["application/json": ["schema": schema]]
    }

    private static func parameter(_ parameter: RouteParameter) -> [String: Any] {
        var schema: [String: Any]
        switch parameter.kind {
        case .text: schema = ["type": "string"]
        case .boolean: schema = ["type": "boolean"]
        case .integer(let range):
            schema = ["type": "integer", "minimum": range.lowerBound]
            if range.upperBound < .max { schema["maximum"] = range.upperBound }
        }
        switch (parameter.standard, parameter.kind) {
        case (let standard?, .integer): schema["default"] = UInt64(standard)
        case (let standard?, .boolean): schema["default"] = standard == "true"
        case (let standard?, .text): schema["default"] = standard
        case (nil, _): break
        }
        return [
            "name": parameter.name, "in": parameter.place.rawValue, "required": parameter.place == .path,
            "description": parameter.summary, "schema": schema,
        ]
    }

    private static func schemas() throws -> [String: Any] {
        var probe = SchemaProbe()
        try probe.add(API.Failure.self)
        for route in Route.all {
            if let body = route.body { try probe.add(body) }
            if let response = route.response { try probe.add(response) }
        }
        return probe.schemas.mapValues { type, properties in
            var described: [String: Any] = [:]
            for property in properties {
                var schema = schema(property.kind)
                schema["description"] = type.notes[property.name]
                described[property.name] = schema
            }
            return [
                "type": "object", "description": type.summary, "properties": described,
                "required": properties.filter { !$0.isOptional }.map(\.name).sorted(),
            ] as [String: Any]
        }
    }

    private static func schema(_ kind: SchemaProbe.Kind) -> [String: Any] {
        switch kind {
        case .text: ["type": "string"]
        case .integer: ["type": "integer"]
        case .number: ["type": "number"]
        case .boolean: ["type": "boolean"]
        case .object(let name): reference(name)
        case .list(let element): ["type": "array", "items": schema(element)]
        }
    }

    private static func reference(_ name: String) -> [String: Any] { ["$ref": "#/components/schemas/\(name)"] }
}
