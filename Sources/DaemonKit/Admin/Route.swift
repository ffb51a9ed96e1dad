/// One line of the table from which the router, docs/admin-api.md and docs/openapi.json are made.
public struct Route: Sendable {
    public typealias Answer = @Sendable (RouteCall) async throws(AdminError) -> HTTPResponse

    public var method: String
    /// `/v1/queues/{name}`: a piece in braces takes any one piece of a path.
    public var pattern: String
    public var summary: String
    public var parameters: [RouteParameter]
    public var body: (any APISchema.Type)?
    public var bodyIsOptional: Bool
    /// Nil for an answer that is not one of ours (the OpenAPI document).
    public var response: (any APISchema.Type)?
    public var statuses: [Int]
    public var errors: [AdminError.Code]
    public var answer: Answer

    init(
        _ method: String, _ pattern: String, _ summary: String, _ parameters: [RouteParameter] = [],
        body: (any APISchema.Type)? = nil, bodyIsOptional: Bool = false, response: (any APISchema.Type)?,
        statuses: [Int] = [200],
        errors: [AdminError.Code] = [], _ answer: @escaping Answer
    ) {
        self.method = method
        self.pattern = pattern
        self.summary = summary
        self.parameters = parameters
        self.body = body
        self.bodyIsOptional = bodyIsOptional
        self.response = response
        self.statuses = statuses
        self.errors = errors
        self.answer = answer
    }

    /// The pieces of the path that stand in braces; nil when the path does not fit.
    func match(_ path: [String]) -> [String: String]? {
        let pieces = pattern.split(separator: "/")
        guard pieces.count == path.count else { return nil }
        var found: [String: String] = [:]
        for (piece, given) in zip(pieces, path) {
            if piece.hasPrefix("{") {
                guard !given.isEmpty else { return nil }
                found[String(piece.dropFirst().dropLast())] = given
            } else if piece != given {
                return nil
            }
        }
        return found
    }
}

public struct RouteParameter: Sendable {
    public enum Place: String, Sendable { case path, query }
    public enum Kind: Sendable, Equatable {
        case text
        case integer(ClosedRange<UInt64>)
        case boolean
    }

    public var name: String
    public var place: Place
    public var kind: Kind
    /// What an absent one means, as it would be written; nil when it then means nothing.
    public var standard: String?
    public var summary: String

    init(_ name: String, in place: Place = .query, _ kind: Kind, standard: String? = nil, _ summary: String) {
        self.name = name
        self.place = place
        self.kind = kind
        self.standard = standard
        self.summary = summary
    }

    /// Errors: `invalid`, with what is allowed.
    func check(_ value: String) throws(AdminError) {
        switch kind {
        case .text:
            break
        case .integer(let range):
            guard let number = UInt64(value), range.contains(number) else {
                let limit =
                    range.upperBound == .max
                    ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)"
                throw AdminError(.invalid, "`\(name)` must be a whole number, \(limit)")
            }
        case .boolean:
            guard value == "true" || value == "false" else {
                throw AdminError(.invalid, "`\(name)` must be true or false")
            }
        }
    }
}

/// A request that fits a route, with all its parameters checked against the table.
public struct RouteCall: Sendable {
    public let backend: any AdminBackend
    private let values: [String: String]
    public let body: [UInt8]

    /// Errors: `invalid` for a parameter that is unknown, given twice or not allowed.
    init(
        route: Route, backend: any AdminBackend, path: [String: String],
        query: [(name: String, value: String)], body: [UInt8]
    ) throws(AdminError) {
        var values = path
        for (name, value) in query {
            guard route.parameters.contains(where: { $0.place == .query && $0.name == name }) else {
                let known = route.parameters.filter { $0.place == .query }.map(\.name).joined(separator: ", ")
                throw AdminError(
                    .invalid,
                    "`\(name)` is not known here; \(known.isEmpty ? "there are no parameters" : "there are \(known)")")
            }
            guard values.updateValue(value, forKey: name) == nil else {
                throw AdminError(.invalid, "Give `\(name)` once")
            }
        }
        for parameter in route.parameters {
            if let value = values[parameter.name] {
                try parameter.check(value)
            } else if let standard = parameter.standard {
                values[parameter.name] = standard
            }
        }
        self.backend = backend
        self.values = values
        self.body = body
    }

    func text(_ name: String) -> String? { values[name] }

    /// 0 when the table gives neither a value nor a standard: then the route does not ask for it.
    func number(_ name: String) -> UInt64 { values[name].flatMap { UInt64($0) } ?? 0 }

    func flag(_ name: String) -> Bool { values[name] == "true" }

    /// A queue's name from the path; `/queue/orders` means `orders`.
    func queue(_ name: String = "name") -> String { RouteCall.queueName(values[name] ?? "") }

    static func queueName(_ text: String) -> String {
        text.hasPrefix("/queue/") ? String(text.dropFirst("/queue/".count)) : text
    }

    var list: ListQuery { ListQuery(after: text("after"), limit: Int(clamping: number("limit")), name: text("name")) }
}
