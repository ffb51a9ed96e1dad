import STOMP

/// What a service answers instead of a result. Its handler throws it, and the asker gets it in
/// `ClientError.requestFailed`.
///
///     do {
///         let reply = try await client.request("unicycle", to: "/queue/prices")
///         print(reply.text)
///     } catch {
///         guard case .requestFailed(let failure) = error, failure.code == "unknown-article" else { throw error }
///         print("nobody sells it:", failure.detail)
///     }
///
/// On the wire it is a reply with the header `error-code` and the text as its body.
public struct RequestFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// A stable word for programs, such as `out-of-stock`. Those of the library are below.
    public var code: String
    /// A sentence for people.
    public var detail: String
    /// With the asker: all headers of the reply. Those that a handler sets go with the reply.
    public var headers: Headers

    /// What a handler throws: the code for programs that ask, the detail for people who read what they print.
    public init(code: String, detail: String = "", headers: Headers = [:]) {
        self.code = code
        self.detail = detail
        self.headers = headers
    }

    /// The handler threw something else. What it was stays with the service: it may not be meant for strangers.
    public static let internalError = "internal-error"

    /// `code`, and `detail` behind it, for a log.
    public var description: String { detail.isEmpty ? code : "\(code): \(detail)" }
}

extension RequestFailure {
    static let codeHeader = "error-code"

    /// Nil if this reply is none.
    init?(_ reply: MessageFrame) {
        guard let code = reply[Self.codeHeader] else { return nil }
        self.init(code: code, detail: reply.text, headers: reply.headers)
    }
}
