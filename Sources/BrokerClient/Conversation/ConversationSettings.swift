import STOMP

/// What a conversation must know from the start.
struct ConversationSettings: Sendable {
    /// As they are to be shown; only their number and text matter here.
    var addresses: [String]
    /// Begins every `dedup-id`; different for every client in the world.
    var identity: String
    var seed: UInt64 = 0
    var login: String?
    var host: String?
    var heartBeat = HeartBeat.none
    var connectTimeoutMilliseconds: UInt64 = 10_000
    var reconnect = ReconnectPolicy.exponential()
    var unconfirmedMessages = 10_000
    var unconfirmedBytes = 8 << 20
    var requestsInFlight = 1_000
    /// Above that a request fails instead of waiting.
    var failsWhenBusy = false
}

extension ConversationSettings {
    init(_ addresses: [String], _ options: ClientOptions) {
        let random = (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max))
        self.init(
            addresses: addresses,
            identity: String(random.0, radix: 36) + String(random.1, radix: 36),
            seed: .random(in: .min ... .max),
            login: options.login,
            host: options.host,
            heartBeat: HeartBeat(
                sends: options.heartBeat.sends.wholeMilliseconds,
                wants: options.heartBeat.wants.wholeMilliseconds),
            connectTimeoutMilliseconds: options.connectTimeout.wholeMilliseconds,
            reconnect: options.reconnect,
            unconfirmedMessages: max(1, options.unconfirmedMessages),
            unconfirmedBytes: max(1, options.unconfirmedBytes),
            requestsInFlight: max(1, options.requestsInFlight),
            failsWhenBusy: options.whenRequestsAreMany == .fail)
    }
}
