import Net

/// Where the daemon may listen.
public enum ListenRule {
    /// Why the broker must not listen on `address`, as one sentence; nil if it may.
    ///
    /// There is no login yet, so whoever reaches the port owns the queues: only addresses of this
    /// machine are allowed (docs/decisions/004-loopback-only-without-login.md). When logins come,
    /// this function is the place that lets go.
    public static func mayListen(on address: SocketAddress) -> String? {
        if address.isLoopback { return nil }
        return "\(address) can be reached from other machines, and this version of the broker has no login; "
            + "listen on 127.0.0.1, [::1] or localhost, and let others in through a tunnel"
    }

    /// What is wrong with a place for clients, as the end of a sentence.
    static func refusal(ofClientAddress address: SocketAddress) -> String? {
        if case .unix = address.place { return "HOST:PORT is wanted" }
        return mayListen(on: address)
    }
}
