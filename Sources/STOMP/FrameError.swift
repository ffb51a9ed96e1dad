/// What can be wrong with the bytes of a frame. Every one of them is fatal for the connection: behind it,
/// nobody knows where the next frame begins. Offsets count from the first byte of the frame.
public enum FrameError: Error, Equatable, Sendable {
    /// The connection begins with an HTTP request: a browser or a probe at the wrong port.
    case httpRequest
    /// The connection begins with a TLS handshake, and this port does not speak TLS.
    case tlsClientHello

    case commandTooLong(limit: Int)
    case headerLineTooLong(limit: Int)
    case tooManyHeaders(limit: Int)
    case headTooLong(limit: Int)
    case bodyTooLong(limit: Int)

    /// The word, cut and made printable.
    case unknownCommand(String)
    case lineWithoutColon(offset: Int)
    case emptyHeaderName(offset: Int)
    /// A NUL in front of the blank line.
    case nulInHead(offset: Int)
    /// A NUL between two frames.
    case strayNUL
    case loneCarriageReturn(offset: Int)
    case undefinedEscape(offset: Int)
    case unfinishedEscape(offset: Int)
    case invalidUTF8(offset: Int)
    /// `content-length` is not a plain decimal number.
    case invalidContentLength(offset: Int)
    /// A second `content-length` says something else.
    case conflictingContentLength(offset: Int)
    /// `content-length` bytes of body are not followed by NUL.
    case missingNUL(offset: Int)
    case bodyNotAllowed(Command)

    /// The peer does not speak STOMP at all, so that an ERROR frame would be lost on it.
    public var isNotSTOMP: Bool { self == .httpRequest || self == .tlsClientHello }

    /// For the `message` header of the ERROR frame: short, and without anything that would need escaping.
    public var message: String {
        switch self {
        case .httpRequest: "not STOMP: this looks like HTTP"
        case .tlsClientHello: "not STOMP: this looks like TLS"
        case .commandTooLong: "command too long"
        case .headerLineTooLong: "header too long"
        case .tooManyHeaders: "too many headers"
        case .headTooLong: "headers too long"
        case .bodyTooLong: "body too long"
        case .unknownCommand: "unknown command"
        case .lineWithoutColon, .emptyHeaderName, .loneCarriageReturn, .invalidUTF8: "malformed header"
        case .undefinedEscape, .unfinishedEscape: "malformed escape"
        case .nulInHead, .strayNUL, .missingNUL: "malformed frame"
        case .invalidContentLength, .conflictingContentLength: "invalid content-length"
        case .bodyNotAllowed: "body not allowed"
        }
    }

    /// For the body of the ERROR frame: which rule or limit, and where.
    public var detail: String {
        switch self {
        case .httpRequest: "The connection begins with an HTTP request. This port speaks STOMP."
        case .tlsClientHello: "The connection begins with a TLS handshake. This port speaks STOMP without TLS."
        case .commandTooLong(let limit): "The command has more than \(limit) bytes."
        case .headerLineTooLong(let limit): "A header line has more than \(limit) bytes."
        case .tooManyHeaders(let limit): "The frame has more than \(limit) headers."
        case .headTooLong(let limit): "Command and headers have more than \(limit) bytes."
        case .bodyTooLong(let limit): "The body has more than \(limit) bytes."
        case .unknownCommand(let word): "\"\(word)\" is not a command here. Commands are in upper case."
        case .lineWithoutColon(let offset): "The header line at byte \(offset) of the frame has no colon."
        case .emptyHeaderName(let offset): "The header line at byte \(offset) of the frame has no name."
        case .nulInHead(let offset): "There is a NUL at byte \(offset) of the frame, before the blank line."
        case .strayNUL: "There is a NUL between two frames; only ends of line may stand there."
        case .loneCarriageReturn(let offset): "The CR at byte \(offset) of the frame is not followed by LF."
        case .undefinedEscape(let offset): "The escape at byte \(offset) of the frame is not one of this version."
        case .unfinishedEscape(let offset): "The backslash at byte \(offset) of the frame ends its header line."
        case .invalidUTF8(let offset): "The header at byte \(offset) of the frame is not UTF-8."
        case .invalidContentLength(let offset):
            "The content-length at byte \(offset) of the frame is not a plain decimal number."
        case .conflictingContentLength(let offset):
            "The content-length at byte \(offset) of the frame contradicts an earlier one."
        case .missingNUL(let offset):
            "The body should end at byte \(offset) of the frame by its content-length, but no NUL is there."
        case .bodyNotAllowed(let command): "\(command.text) frames must not have a body."
        }
    }
}
