/// A message that is to be sent: with others by one call, or on by a handler.
public struct Outgoing: Sendable {
    /// The bytes of the body.
    public var body: [UInt8]
    /// Where it is sent to: `/queue/NAME` or `/topic/NAME`.
    public var destination: String
    /// Go with the message. `destination`, `content-length` and others that the library writes itself are not to be among
    /// them, so those of another message cannot be taken over as they are.
    public var headers: Headers
    /// Whether the broker is to keep it on disk.
    public var persistent = true

    /// A message of bytes. It has no `content-type` unless `headers` give one.
    public init(_ body: [UInt8], to destination: String, headers: Headers = [:]) {
        self.body = body
        self.destination = destination
        self.headers = headers
    }

    /// As `text/plain;charset=utf-8` unless `headers` say otherwise.
    public init(_ text: String, to destination: String, headers: Headers = [:]) {
        self.init(Array(text.utf8), to: destination, headers: headers.asText)
    }

    /// Throws if it cannot be sent.
    func check() throws(ClientError) { try Client.check(destination, headers.traced) }
}
