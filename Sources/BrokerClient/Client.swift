import STOMP

/// A connection to a STOMP broker that heals itself.
///
///     let client = try await Client.connect(to: ["127.0.0.1:61613"])
///     try await client.send("hello", to: "/queue/orders")
///     try await client.close()
///
/// When the connection is lost it is made again, as `ClientOptions.reconnect` says; subscriptions are restored
/// first, then the sends that were not confirmed go out again. Every call waits without blocking a thread and
/// ends early, with `ClientError.cancelled`, when its task is cancelled.
///
/// The last reference to a client and its subscriptions closes the connection without waiting for anything.
public final class Client: Sendable {
    let engine: Engine

    private init(_ engine: Engine) { self.engine = engine }

    deinit { engine.apply { $0.leave(at: $1) } }

    /// Connects to the first of the addresses that works, tried once each in this order; later, when a connection
    /// is lost, in turn. Written "host:port", "[::1]:port" or "unix:/path". Returns when logged in.
    ///
    /// Throws the error of the last address: `connectFailed`, `connectTimedOut`, `credentialsFailed`, `loginRefused` or
    /// `versionRefused`; and `invalidAddress` or `invalidHeader` (a login with a line break) before anything is tried.
    nonisolated(nonsending) public static func connect(
        to addresses: [String], _ options: ClientOptions = ClientOptions()
    ) async throws(ClientError) -> Client {
        try await connect(Engine(addresses, options))
    }

    /// By way of this carrier instead of sockets.
    package nonisolated(nonsending) static func connect(
        through carrier: any Carrier, _ options: ClientOptions
    ) async throws(ClientError) -> Client {
        try await connect(Engine(through: carrier, ["in-process"], options))
    }

    private nonisolated(nonsending) static func connect(_ engine: Engine) async throws(ClientError) -> Client {
        try await engine.connect()
        return Client(engine)
    }

    /// What the connection does at the moment. Only to show it: calls wait for a connection by themselves.
    public var state: ConnectionState { engine.state }

    /// The circuit breaker of a destination, to look at its state or to run other calls through it. nil if the options
    /// want none.
    ///
    ///     if client.circuitBreaker(for: "/queue/prices")?.state == .open { print("no prices for now") }
    public func circuitBreaker(for destination: String) -> CircuitBreaker? {
        engine.circuits.breaker(for: destination)
    }

    /// What the connection does, from now on and beginning with the present state; ends after `closed`. Each call
    /// gives a stream of its own. One that is not read keeps the newest 64 states.
    ///
    ///     for await state in client.states {
    ///         if case .disconnected(let reason, let pause) = state { print("\(reason); again in \(pause)") }
    ///     }
    public var states: AsyncStream<ConnectionState> { engine.states() }

    /// The time by which deadlines count; programs wait by it, too.
    public var clock: ClientClock { engine.clock }

    // MARK: Sending

    /// Sends text, as `text/plain;charset=utf-8` unless `headers` say otherwise. See the other `send`.
    nonisolated(nonsending) public func send(
        _ text: String, to destination: String, headers: Headers = [:], persistent: Bool = true,
        confirmation: Confirmation = .receipt, timeout: Duration? = nil, retry: RetryPolicy = .never
    ) async throws(ClientError) {
        try await send(
            Array(text.utf8), to: destination, headers: headers.asText, persistent: persistent,
            confirmation: confirmation, timeout: timeout, retry: retry)
    }

    /// Sends a message and, with the default confirmation, returns when the broker has it safely.
    ///
    /// At least once: while it is unconfirmed it is sent again after every reconnect, with the same `dedup-id`
    /// header, by which a broker that knows it drops the second copy. (Bring your own `dedup-id` to make a whole
    /// operation repeatable.) Waits for room when too much is unconfirmed (`ClientOptions`), and for a connection
    /// when there is none, within `timeout`.
    ///
    /// `retry` is for what the broker refuses for now (a full or paused queue, a full disk): it is tried again, with the
    /// same `dedup-id`, all within `timeout`. Throws `circuitOpen` if the options want circuit breakers and the one of
    /// this destination is open.
    ///
    /// Throws `refused` when the broker said no to this message, which is not tried again, and `invalidHeader` and
    /// `closed` when nothing was sent. After `timedOut`, `cancelled` and `outcomeUnknown` nobody knows whether the broker
    /// has it.
    ///
    ///     try await client.send([0x89, 0x50], to: "/queue/pictures", headers: ["content-type": "image/png"])
    nonisolated(nonsending) public func send(
        _ body: [UInt8], to destination: String, headers: Headers = [:], persistent: Bool = true,
        confirmation: Confirmation = .receipt, timeout: Duration? = nil, retry: RetryPolicy = .never
    ) async throws(ClientError) {
        if retry.attempts <= 1, engine.options.circuitBreaker == nil, !engine.options.observer.seesCalls {
            let frame = try Self.frame(body, destination, headers, persistent)
            return try await engine.send(frame, confirmation, deadline: engine.deadline(timeout))
        }
        var headers = headers
        if retry.attempts > 1, headers["dedup-id"] == nil { headers["dedup-id"] = engine.newDedupID() }
        let (engine, deadline) = (engine, engine.deadline(timeout))
        try await engine.observed(.send, ClientSpan(.send, destination)) { () throws(ClientError) in
            let frame = try Self.frame(body, destination, headers, persistent)
            try await engine.retrying(retry, deadline, if: \.isTransientRefusal) { _ throws(ClientError) in
                try await engine.circuits.run(destination) { () throws(ClientError) in
                    try await engine.send(frame, confirmation, deadline: deadline)
                }
            }
        } outcome: { _ in
            confirmation == .receipt ? "confirmed" : "sent"
        }
    }

    // MARK: Receiving

    /// Subscribes, and returns when the broker has confirmed it. `prefetch` is how many messages the broker may
    /// send ahead of their acknowledgement; the client's buffer never holds more. `headers` go into SUBSCRIBE,
    /// for example a `selector`.
    ///
    /// The subscription lasts until it is cancelled, over any number of reconnects.
    ///
    ///     let orders = try await client.subscribe(to: "/queue/orders", prefetch: 20, headers: ["selector": "total > 1000"])
    ///     while let order = try await orders.next() {
    ///         try await handle(order)
    ///         try await order.acknowledge()
    ///     }
    ///
    /// Throws `refused` when the broker does not want it, `timedOut` and `cancelled` when it has not said so in time, and
    /// `invalidHeader` and `closed` when it was not asked.
    nonisolated(nonsending) public func subscribe(
        to destination: String, acknowledgement: Acknowledgement = .individual, prefetch: Int = 100,
        headers: Headers = [:], timeout: Duration? = nil
    ) async throws(ClientError) -> Subscription {
        try Headers.check("destination", destination)
        try headers.check(reserved: ["destination", "id", "ack", "receipt", "prefetch-count"])
        let id = SubscriptionID(number: engine.nextNumber())
        let prefetch = max(1, prefetch)
        let record = SubscriptionRecord(
            frame: .subscribe(
                id, to: destination, acknowledgement: acknowledgement, prefetch: prefetch, headers: headers),
            destination: destination, acknowledgement: acknowledgement, prefetch: prefetch)
        let deadline = engine.deadline(timeout)
        _ = try await engine.call { $0.subscribe(id, record, as: $1, deadline: deadline, at: $2) }
        return Subscription(id, to: destination, of: self)
    }

    // MARK: Transactions

    /// Runs `body` and commits what it did with the transaction, all or nothing. Returns when the broker has
    /// confirmed the COMMIT. When `body` throws, nothing of it happens and the error is passed on.
    ///
    /// A transaction lives on one connection. If that is lost before COMMIT was sent, `connectionLost` is thrown
    /// and nothing happened; after it, `outcomeUnknown`. `timeout` is for BEGIN and COMMIT each.
    ///
    ///     try await client.transaction { transaction in
    ///         try transaction.acknowledge(order)
    ///         try await transaction.send("paid", to: "/queue/invoices")
    ///     }
    nonisolated(nonsending) public func transaction<Value>(
        timeout: Duration? = nil, _ body: (Transaction) async throws -> Value
    ) async throws -> Value {
        try await engine.transaction(timeout: timeout, body)
    }

    // MARK: Closing

    /// Says DISCONNECT and waits for its receipt, so that everything sent before has arrived; at most for
    /// `timeout`. Calling it again does no harm.
    ///
    /// Throws `timedOut`, `connectionLost` or `cancelled` when the broker has not confirmed it: the client is closed all the
    /// same, but sends without confirmation may be lost.
    nonisolated(nonsending) public func close(timeout: Duration = .seconds(5)) async throws(ClientError) {
        _ = try await engine.call { $0.close(as: $1, within: timeout.wholeMilliseconds, at: $2) }
    }
}

extension Client {
    private static let reservedOfSend = ["destination", "receipt", "transaction", "content-length", "persistent"]

    static func frame(
        _ body: [UInt8], _ destination: String, _ headers: Headers, _ persistent: Bool
    ) throws(ClientError) -> Frame {
        let headers = headers.traced
        try check(destination, headers)
        return .send(body, to: destination, headers: headers, persistent: persistent)
    }

    static func check(_ destination: String, _ headers: Headers) throws(ClientError) {
        try Headers.check("destination", destination)
        try headers.check(reserved: reservedOfSend)
    }
}

extension Headers {
    /// With a `content-type` for text, if there is none.
    var asText: Headers {
        if self["content-type"] != nil { return self }
        var headers = self
        headers.add("content-type", "text/plain;charset=utf-8")
        return headers
    }
}
