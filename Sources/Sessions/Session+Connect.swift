import Base
import BrokerCore
import STOMP

/// CONNECT and what it settles.
extension Session {
    mutating func connect(_ frame: Frame) throws(SessionError) {
        let accepted = header(.acceptVersion, frame)
        guard let version = Version.negotiate(acceptVersion: accepted) else {
            let theirs = accepted.map { Self.printable($0) } ?? ""
            throw SessionError(
                .unsupportedVersion,
                "this broker speaks 1.0, 1.1 and 1.2; the client accepts \(theirs)"
            )
        }
        try checkHost(frame, version: version)
        var offered = HeartBeat.none
        if version != .v10, let value = header(.heartBeat, frame) {
            guard let parsed = HeartBeat(parsing: value) else {
                throw SessionError(
                    .badHeartBeat,
                    "heart-beat is two whole numbers of milliseconds with a comma between, as in 10000,10000")
            }
            offered = parsed
        }
        self.version = version
        parser.version = version
        parser.limits = settings.limits
        takesUsual = Self.allowsUsual(settings.limits, version)
        clientID = header(.clientID, frame).map { Array($0) } ?? []
        login = header(.login, frame).map { Self.printable($0) } ?? ""
        let ours = HeartBeat(
            sends: max(settings.heartBeat, settings.heartBeatMinimum),
            wants: max(settings.heartBeat, settings.heartBeatMinimum))
        let answer = settings.heartBeat == 0 ? HeartBeat.none : answering(offered, with: ours)
        heartBeats = answer.intervals(with: offered)
        state = .connected
        staged.append("CONNECTED\nversion:")
        staged.append(version.text)
        staged.append("\nsession:")
        staged.append(utf8: token)
        staged.append("\nserver:")
        staged.append(utf8: settings.server)
        if version != .v10 {
            staged.append("\nheart-beat:")
            staged.append(decimal: answer.sends)
            staged.append(",")
            staged.append(decimal: answer.wants)
        }
        staged.append("\nmax-body-bytes:")
        staged.append(decimal: UInt64(settings.limits.bodyBytes))
        staged.append("\nmax-head-bytes:")
        staged.append(decimal: UInt64(settings.limits.headerBytes))
        staged.append("\n\n\0\n")
    }

    /// We can be as quick as the client wishes, down to our minimum, and ask no more often than it offers.
    private func answering(_ peer: HeartBeat, with ours: HeartBeat) -> HeartBeat {
        func agree(_ wish: UInt64) -> UInt64 {
            wish == 0 ? ours.sends : max(settings.heartBeatMinimum, min(wish, ours.sends))
        }
        return HeartBeat(sends: agree(peer.wants), wants: agree(peer.sends))
    }

    private func checkHost(_ frame: Frame, version: Version) throws(SessionError) {
        guard let host = header(.host, frame) else {
            if settings.strictHost, version != .v10 {
                throw SessionError(
                    .hostMissing,
                    "STOMP 1.1 and 1.2 ask for a host header; this broker insists on it (stomp.strict_host)")
            }
            return
        }
        if settings.hosts.isEmpty { return }
        if !settings.hosts.contains(where: { host.elementsEqual($0.utf8) }) {
            throw SessionError(.unknownHost, "there is no virtual host \"\(Self.printable(host))\" here")
        }
    }
}
