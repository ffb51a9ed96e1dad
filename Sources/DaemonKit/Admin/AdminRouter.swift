/// From a request to its answer: who may ask, which route it is, what the backend says.
public struct AdminRouter: Sendable {
    /// Where a request came in; decides how far its sender is trusted to be no browser.
    public enum Door: Sendable {
        /// Reached only by who may open the socket's file.
        case unixSocket
        /// Reached by every program of the machine, so by every web page in its browsers too.
        case tcp
    }

    private let backend: any AdminBackend

    public init(backend: any AdminBackend) { self.backend = backend }

    /// Always an answer; an error is one too.
    public func answer(_ request: HTTPRequest, through door: Door) async -> HTTPResponse {
        do throws(AdminError) {
            try RequestGuard.check(request, through: door)
            return try await routed(request)
        } catch {
            return AdminRouter.failure(error)
        }
    }

    private func routed(_ request: HTTPRequest) async throws(AdminError) -> HTTPResponse {
        guard let target = HTTPTarget(request.target) else {
            throw AdminError(.invalid, "The path must be percent-encoded UTF-8")
        }
        // RFC 9110, 9.3.2: HEAD is GET without the body; whoever writes the answer leaves it out.
        let method = request.method == "HEAD" ? "GET" : request.method
        var allowed: [String] = []
        for route in Route.all {
            guard let path = route.match(target.path) else { continue }
            guard route.method == method else {
                allowed.append(route.method)
                continue
            }
            try AdminRouter.checkBody(request, route)
            let call = try RouteCall(
                route: route, backend: backend, path: path, query: target.query, body: request.body)
            return try await route.answer(call)
        }
        guard allowed.isEmpty else { return AdminRouter.methodNotAllowed(request.method, allowed) }
        throw AdminError(.noSuchRoute, "There is nothing at this path; GET /v1/openapi.json lists what there is")
    }

    private static func checkBody(_ request: HTTPRequest, _ route: Route) throws(AdminError) {
        if let body = route.body {
            guard !request.body.isEmpty || route.bodyIsOptional else {
                throw AdminError(.invalid, "Send \(body.schemaName) as a JSON object in the body")
            }
        } else if !request.body.isEmpty, request.body != Array("{}".utf8) {
            throw AdminError(.invalid, "This request has no body")
        }
    }

    private static func methodNotAllowed(_ method: String, _ allowed: [String]) -> HTTPResponse {
        let allowed = allowed.flatMap { $0 == "GET" ? ["GET", "HEAD"] : [$0] }.joined(separator: ", ")
        var response = failure(AdminError(.methodNotAllowed, "\(method) is not allowed here; use \(allowed)"))
        response.headers.append(HTTPHeader("Allow", allowed))
        return response
    }

    /// An error as an answer.
    public static func failure(_ error: AdminError) -> HTTPResponse { failure(error, status: error.code.status) }

    /// The answer to bytes that are no request.
    public static func failure(_ error: HTTPError) -> HTTPResponse {
        failure(AdminError(.invalid, error.message), status: error.status)
    }

    static func failure(_ error: AdminError, status: Int) -> HTTPResponse {
        let headers = [HTTPHeader("Content-Type", "application/json")]
        // Two strings can always be written as JSON; were it not so, the status still says what it is.
        let body = (try? APICoding.encode(API.Failure(error))) ?? Array("{}".utf8)
        return HTTPResponse(status, headers: headers, body: body)
    }
}

/// Keeps web pages out. A page can make its visitor's browser send requests to this machine, by
/// address or by a name of its own that points here; it can neither choose the Host header, nor
/// leave out Origin on what changes something, nor send JSON without asking first (and nobody answers).
enum RequestGuard {
    /// Errors: `refused`, `wrongContentType`.
    static func check(_ request: HTTPRequest, through door: AdminRouter.Door) throws(AdminError) {
        if !request.headers.values(of: "origin").isEmpty {
            throw AdminError(.refused, "Requests of web pages are refused: leave out the Origin header")
        }
        if door == .tcp {
            guard let host = request.headers.values(of: "host").first, isLocal(host) else {
                throw AdminError(.refused, "The Host header must be localhost, 127.0.0.1 or [::1], with the port")
            }
        }
        guard request.method != "GET", request.method != "HEAD" else { return }
        let types = request.headers.values(of: "content-type")
        let isJSON = types.allSatisfy { type in
            let essence = type.split(separator: ";", maxSplits: 1).first.map { trimmed([UInt8]($0.utf8)[...]) }
            return essence?.lowercased() == "application/json"
        }
        guard isJSON, types.count == 1 || types.isEmpty && request.body.isEmpty else {
            throw AdminError(.wrongContentType, "Send the body as Content-Type: application/json")
        }
    }

    /// The port may be any: a tunnel ends on another one, and a web page cannot gain by it.
    static func isLocal(_ host: String) -> Bool {
        let host = host.lowercased()
        for name in ["localhost", "127.0.0.1", "[::1]"] where host.hasPrefix(name) {
            let rest = host.dropFirst(name.count)
            if rest.isEmpty { return true }
            return rest.hasPrefix(":") && UInt16(rest.dropFirst()) != nil && !rest.hasPrefix(":+")
        }
        return false
    }
}
