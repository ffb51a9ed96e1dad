/// The tables of docs/admin-api.md, made from the route table and the values' own types.
enum AdminGuide {
    /// Stands in the guide before and behind what is made.
    static let mark = "<!-- made from the route table -->"

    static func tables() throws -> String {
        var text = "\n| request | what it does | parameters | answer | errors |\n|---|---|---|---|---|\n"
        for route in Route.all { text += row(route) }
        text += "\n### Values\n"
        for (name, schema) in try schemas().sorted(by: { $0.key < $1.key }) {
            text += "\n**\(name)** \(schema.type.summary)\n\n| property | type | what it is |\n|---|---|---|\n"
            for property in schema.properties {
                let note = schema.type.notes[property.name] ?? ""
                text +=
                    "| `\(property.name)` | \(word(property.kind))"
                    + "\(property.isOptional ? ", may be absent" : "") | \(note) |\n"
            }
        }
        return text + "\n"
    }

    private static func row(_ route: Route) -> String {
        let parameters = route.parameters.filter { $0.place == .query }.map { parameter in
            "`\(parameter.name)`: \(parameter.summary)" + (parameter.standard.map { " (\($0))" } ?? "")
        }
        let body = route.body.map { ["body: \($0.schemaName)\(route.bodyIsOptional ? ", may be absent" : "")"] } ?? []
        let statuses = route.statuses.map(String.init).joined(separator: ", ")
        let errors = route.errors.map { "\($0.status) `\($0.rawValue)`" }
        let answer = route.response.map { "\(statuses) \($0.schemaName)" } ?? "\(statuses) JSON"
        return
            "| `\(route.method) \(route.pattern)` | \(route.summary) | \((body + parameters).joined(separator: "; ")) "
            + "| \(answer) | \(errors.joined(separator: ", ")) |\n"
    }

    private static func schemas() throws -> [String: (type: any APISchema.Type, properties: [SchemaProbe.Property])] {
        var probe = SchemaProbe()
        try probe.add(API.Failure.self)
        for route in Route.all {
            if let body = route.body { try probe.add(body) }
            if let response = route.response { try probe.add(response) }
        }
        return probe.schemas
    }

    private static func word(_ kind: SchemaProbe.Kind) -> String {
        switch kind {
        case .text: "string"
        case .integer: "integer"
        case .number: "number"
        case .boolean: "boolean"
        case .object(let name): name
        case .list(let element): "list of \(word(element))"
        }
    }
}
