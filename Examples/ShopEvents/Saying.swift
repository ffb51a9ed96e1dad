import BrokerClient
import Glibc

/// Prints a line at once, also into a pipe.
public func say(_ line: String) {
    print(line)
    fflush(nil)
}

extension Client {
    /// Says what becomes of the connection, until the client is closed. Only for people: the client heals itself.
    public func sayStates() async {
        for await state in states {
            switch state {
            case .connecting: break
            case .connected: say("connected")
            case .disconnected(let reason, _): say("not connected: \(reason)")
            case .closed: say("closed")
            }
        }
    }
}
