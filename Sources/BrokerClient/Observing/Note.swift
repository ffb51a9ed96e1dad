import STOMP

/// What a conversation has to tell besides what it does.
enum Note: Sendable, Equatable {
    /// So many unconfirmed sends went out again on a new connection.
    case resent(Int)
    /// A send that was under way during several ERRORs is taken for their cause.
    case givenUp(destination: String, BrokerError)
    /// The broker refused to restore this subscription.
    case notRestored(destination: String, BrokerError)
    /// A reply for nobody: its asker has given up, or never asked.
    case strayReply(isLate: Bool)
}

extension ClientObserver {
    /// Wants to hear what a conversation has to tell.
    var hearsNotes: Bool { measure != nil || log != nil }
    /// Wants to know of each call.
    var seesCalls: Bool { measure != nil || span != nil }

    func told(_ note: Note) {
        switch note {
        case .resent(let count):
            measure(.resend, .count(count))
            log(.info, "unconfirmed sends went out again", [("count", "\(count)")])
        case .givenUp(let destination, let error):
            log(
                .error, "a send is given up as the likely cause of errors",
                [("destination", destination), ("reason", "\(error)")])
        case .notRestored(let destination, let error):
            log(
                .error, "the broker refuses to restore a subscription",
                [("destination", destination), ("reason", "\(error)")])
        case .strayReply(let isLate):
            measure(.strayReply, of: nil, isLate ? "late" : "unknown")
            log(.debug, isLate ? "a reply came too late" : "a reply came that nobody asked for")
        }
    }

    func told(_ state: ConnectionState) {
        switch state {
        case .connecting(let address):
            log(.debug, "connecting", [("address", address)])
        case .connected(let version, let server):
            measure(.connection, of: nil, "connected")
            log(.info, "connected", [("version", version), ("server", server ?? "unknown")])
        case .disconnected(let reason, let pause):
            measure(.connection, of: nil, reason.word)
            log(.warning, "not connected", [("reason", "\(reason)"), ("retry_in", "\(pause)")])
        case .closed(nil):
            log(.info, "closed")
        case .closed(let reason?):
            measure(.connection, of: nil, reason.word)
            log(.error, "not connected, and not tried again", [("reason", "\(reason)")])
        }
    }

    func told(_ state: CircuitState, of name: String) {
        measure(.circuit, of: name, state.word)
        log(state == .open ? .warning : .info, "a circuit breaker is \(state.word)", [("destination", name)])
    }
}

extension CircuitState {
    var word: String {
        switch self {
        case .closed: "closed"
        case .open: "open"
        case .halfOpen: "half-open"
        }
    }
}
