extension Client {
    /// Sends a value, with `message-type`, `schema-version` and `content-type` as its type says. See the other `send` for
    /// everything else.
    ///
    ///     try await client.send(OrderPlaced(number: 7), to: "/topic/shop.order-placed")
    ///
    /// Throws `BodyError.notEncodable` if the value has no form as bytes, and `ClientError`.
    nonisolated(nonsending) public func send<Body: MessageBody>(
        _ body: Body, to destination: String, headers: Headers = [:], persistent: Bool = true,
        confirmation: Confirmation = .receipt, timeout: Duration? = nil
    ) async throws {
        let (bytes, headers) = try TypedHeaders.encode(body, headers)
        try await send(
            bytes, to: destination, headers: headers, persistent: persistent, confirmation: confirmation,
            timeout: timeout)
    }
}

extension Transaction {
    /// Sends a value as a part of the transaction. See `Client.send`.
    nonisolated(nonsending) public func send<Body: MessageBody>(
        _ body: Body, to destination: String, headers: Headers = [:], persistent: Bool = true,
        timeout: Duration? = nil
    ) async throws {
        let (bytes, headers) = try TypedHeaders.encode(body, headers)
        try await send(bytes, to: destination, headers: headers, persistent: persistent, timeout: timeout)
    }
}

extension Message {
    /// `message-type`: what it is.
    public var messageType: String? { headers[TypedHeaders.type] }
    /// `schema-version`; nil if there is none, or it is not MAJOR.MINOR.PATCH.
    public var schemaVersion: SchemaVersion? { headers[TypedHeaders.version].flatMap { SchemaVersion($0) } }

    /// The body as a value of this type, if the headers say that it is one, in a version that the type understands.
    ///
    /// Messages of programs that know nothing of these headers are read with the initialiser of the type itself:
    /// `OrderPlaced(messageBody: message.body, version: SchemaVersion(1))`.
    public func decode<Body: MessageBody>(_ type: Body.Type = Body.self) throws(BodyError) -> Body {
        let identity = try TypedHeaders.identity(of: self)
        guard identity.type == Body.messageType else { throw .typeUnknown(identity.type) }
        return try TypedHeaders.decode(self, as: type, version: identity.version)
    }
}
