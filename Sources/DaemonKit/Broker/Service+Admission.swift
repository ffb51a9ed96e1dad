import Net
import Sessions
import Synchronization

/// Clients that are not let in.
extension Service {
    /// A crowd of clients must not take the files that storage needs for those who are in already.
    static func connectionLimits(_ configuration: Configuration) -> (most: Int, perAddress: Int?) {
        let limits = configuration.limits
        return (
            ProcessRules.connectionsMax(limits.connections, openFilesMax: ProcessRules.openFilesMax),
            limits.connectionsPerAddress == 0 ? nil : limits.connectionsPerAddress
        )
    }

    /// What somebody who is turned away is told. The log gets a line for each power of two of them, so that a
    /// flood of clients is not a flood of lines.
    func turnAway(_ peer: PeerAddress, _ reason: Admission.Refusal) -> [UInt8] {
        let sentence =
            switch reason {
            case .connections(let most): "the broker takes \(most) connections at the same time (limits.connections)"
            case .address(let most):
                "\(most) connections at the same time are taken from one address (limits.connections_per_address)"
            }
        let count = turnedAway.add(1, ordering: .relaxed).newValue
        if count & (count - 1) == 0 {
            log.warning(
                "a client was turned away",
                ["peer": .describing(peer), "reason": .text(sentence), "total": .number(count)])
        }
        return SessionError(.tooManyConnections, sentence).frame
    }
}
