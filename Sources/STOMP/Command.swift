/// The first word of a frame.
public enum Command: UInt8, Sendable, CaseIterable {
    case connect, stomp, send, subscribe, unsubscribe, ack, nack, begin, commit, abort, disconnect
    case connected, message, receipt, error

    /// As it stands on the wire; case matters.
    public var text: StaticString {
        switch self {
        case .connect: "CONNECT"
        case .stomp: "STOMP"
        case .send: "SEND"
        case .subscribe: "SUBSCRIBE"
        case .unsubscribe: "UNSUBSCRIBE"
        case .ack: "ACK"
        case .nack: "NACK"
        case .begin: "BEGIN"
        case .commit: "COMMIT"
        case .abort: "ABORT"
        case .disconnect: "DISCONNECT"
        case .connected: "CONNECTED"
        case .message: "MESSAGE"
        case .receipt: "RECEIPT"
        case .error: "ERROR"
        }
    }

    /// Only servers write these.
    public var isFromServer: Bool { rawValue >= Command.connected.rawValue }

    /// In 1.1 and 1.2 no other frame may have a body.
    public var mayHaveBody: Bool { self == .send || self == .message || self == .error }

    /// Headers of these are never escaped, in no version: they are read before the version is agreed on, and
    /// the specification keeps them as they were in 1.0.
    public var isLiteral: Bool { self == .connect || self == .stomp || self == .connected }

    /// The command of these bytes, nil if there is none.
    init?(_ word: UnsafeBufferPointer<UInt8>) {
        switch word.count {
        case 3 where word.equals("ACK"): self = .ack
        case 4 where word.equals("SEND"): self = .send
        case 4 where word.equals("NACK"): self = .nack
        case 5 where word.equals("BEGIN"): self = .begin
        case 5 where word.equals("ABORT"): self = .abort
        case 5 where word.equals("STOMP"): self = .stomp
        case 5 where word.equals("ERROR"): self = .error
        case 6 where word.equals("COMMIT"): self = .commit
        case 7 where word.equals("MESSAGE"): self = .message
        case 7 where word.equals("RECEIPT"): self = .receipt
        case 7 where word.equals("CONNECT"): self = .connect
        case 9 where word.equals("SUBSCRIBE"): self = .subscribe
        case 9 where word.equals("CONNECTED"): self = .connected
        case 10 where word.equals("DISCONNECT"): self = .disconnect
        case 11 where word.equals("UNSUBSCRIBE"): self = .unsubscribe
        default: return nil
        }
    }
}
