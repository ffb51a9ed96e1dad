import FoundationEssentials

/// The interface as an OpenAPI 3.1 document, made from the route table and the values' own types.
/// docs/openapi.json is this text; a test holds them equal.
public enum OpenAPI {
    /// Errors: `failed`, when a value has a property that JSON has no word for.
    public static func document() throws(AdminError) -> [UInt8] {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return [UInt8](try encoder.encode(JSONTree.object(try object()))) + [0x0A]
        } catch {
            throw AdminError(.failed, "The OpenAPI document could not be made: \(error)")
        }
    }

    private static func object() throws -> [String: JSONTree] {
        var paths: [String: [String: JSONTree]] = [:]
        for route in Route.all {
            paths[route.pattern, default: [:]][route.method.lowercased()] = .object(operation(route))
        }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "brokerd admin", "version": "1",
                "description":
                    "Look after a brokerd. Served on a Unix socket and, if asked for, on a loopback address.",
            ],
            "paths": .object(paths.mapValues { .object($0) }),
            "components": ["schemas": .object(try schemas())],
        ]
    }

    private static func operation(_ route: Route) -> [String: JSONTree] {
        var responses: [String: JSONTree] = [:]
        for status in route.statuses { responses[String(status)] = .object(response(route.response, "The answer.")) }
        for (status, codes) in Dictionary(grouping: route.errors + [.refused, .failed], by: \.status) {
            let words = codes.map { "`\($0.rawValue)`" }.joined(separator: " or ")
            responses[String(status)] = .object(response(API.Failure.self, "The error \(words)."))
        }
        responses["default"] = .object(response(API.Failure.self, "An error."))
        var operation: [String: JSONTree] = ["summary": .text(route.summary), "responses": .object(responses)]
        if !route.parameters.isEmpty {
            operation["parameters"] = .list(route.parameters.map { .object(parameter($0)) })
        }
        if let body = route.body {
            operation["requestBody"] = ["required": .flag(!route.bodyIsOptional), "content": .object(content(body))]
        }
        return operation
    }

    private static func response(_ type: (any APISchema.Type)?, _ description: String) -> [String: JSONTree] {
        ["description": .text(description), "content": .object(content(type))]
    }

    private static func content(_ type: (any APISchema.Type)?) -> [String: JSONTree] {
        let schema: [String: JSONTree] = type.map { reference($0.schemaName) } ?? ["type": "object"]
        return ["application/json": ["schema": .object(schema)]]
    }

    private static func parameter(_ parameter: RouteParameter) -> [String: JSONTree] {
        var schema: [String: JSONTree]
        switch parameter.kind {
        case .text: schema = ["type": "string"]
        case .boolean: schema = ["type": "boolean"]
        case .integer(let range):
            schema = ["type": "integer", "minimum": .number(range.lowerBound)]
            if range.upperBound < .max { schema["maximum"] = .number(range.upperBound) }
        }
        switch (parameter.standard, parameter.kind) {
        case (let standard?, .integer): schema["default"] = UInt64(standard).map { .number($0) }
        case (let standard?, .boolean): schema["default"] = .flag(standard == "true")
        case (let standard?, .text): schema["default"] = .text(standard)
        case (nil, _): break
        }
        return [
            "name": .text(parameter.name), "in": .text(parameter.place.rawValue),
            "required": .flag(parameter.place == .path), "description": .text(parameter.summary),
            "schema": .object(schema),
        ]
    }

    private static func schemas() throws -> [String: JSONTree] {
        var probe = SchemaProbe()
        try probe.add(API.Failure.self)
        for route in Route.all {
            if let body = route.body { try probe.add(body) }
            if let response = route.response { try probe.add(response) }
        }
        return probe.schemas.mapValues { type, properties in
            var described: [String: JSONTree] = [:]
            for property in properties {
                var schema = schema(property.kind)
                schema["description"] = type.notes[property.name].map { .text($0) }
                described[property.name] = .object(schema)
            }
            return [
                "type": "object", "description": .text(type.summary), "properties": .object(described),
                "required": .list(properties.filter { !$0.isOptional }.map(\.name).sorted().map { .text($0) }),
            ]
        }
    }

    private static func schema(_ kind: SchemaProbe.Kind) -> [String: JSONTree] {
        switch kind {
        case .text: ["type": "string"]
        case .integer: ["type": "integer"]
        case .number: ["type": "number"]
        case .boolean: ["type": "boolean"]
        case .object(let name): reference(name)
        case .list(let element): ["type": "array", "items": .object(schema(element))]
        }
    }

    private static func reference(_ name: String) -> [String: JSONTree] {
        ["$ref": .text("#/components/schemas/\(name)")]
    }
}
