import Base

/// Finds STOMP frames in a stream of bytes.
///
/// The parser does no I/O and keeps no bytes. It answers one question, "where does the next frame lie?", in
/// offsets into bytes that the caller owns. After `.incomplete`, call it again with the same bytes and more
/// behind them; no byte is searched twice. After `.heartBeat` or `.frame`, drop `consumed` bytes first.
///
///     between --> command --> head --> body --> frame
///        ^                                        |
///        `----------------------------------------'        any of them --> failed, for good
///
/// What it finds depends on the bytes alone and never on how they were cut. A fault in the head is thrown when
/// the head is complete (or can no longer be), so that an ERROR can name the receipt of the frame it is about.
public struct FrameParser: Sendable {
    /// Which side reads.
    public enum Role: Sendable {
        /// Reads what clients send.
        case server
        /// Reads what servers send.
        case client
    }

    public enum Step: Sendable, Equatable { case incomplete, heartBeat, frame }

    enum Phase { case between, command, head, countedBody, scannedBody, found, failed }

    public let role: Role
    public var limits: FrameLimits { didSet { bounds = limits.withinReason } }
    /// What CONNECT and CONNECTED have settled; nil until then. Set it before the next frame is read.
    public var version: Version?
    /// The frame last found, valid until the next call. After an error: what was read of it.
    public internal(set) var layout = FrameLayout()
    /// Bytes used up by the last step: 1 (for CRLF 2) for `.heartBeat`, `layout.end` for `.frame`, else 0.
    public internal(set) var consumed = 0

    var bounds: FrameLimits
    var phase = Phase.between
    /// No frame has been read from this peer yet.
    var isFirst = true
    /// Nothing in this frame is escaped.
    var isLiteral = true
    /// In a frame whose version is only known at the end of its head: some header line is not ASCII.
    var hasHigh = false
    /// A byte of body would be a fault in this frame.
    var isBodyForbidden = false
    /// The line being read; the command's is the first.
    var line = Line(start: 0)
    var bodyStart = 0
    /// Where the search for the NUL goes on, or where it must be.
    var bodyPosition = 0
    /// The first fault of the head, and the parser's last word once it has failed.
    var fault: FrameError?

    public init(role: Role, limits: FrameLimits) {
        self.role = role
        self.limits = limits
        self.bounds = limits.withinReason
    }

    /// Nothing of the next frame has been read.
    public var isBetweenFrames: Bool { phase == .between || phase == .found }

    /// Reads on. `bytes` starts at the first byte that has not been consumed. After an error every further
    /// call throws it again.
    public mutating func next(in bytes: Span<UInt8>) throws(FrameError) -> Step {
        try bytes.withUnsafeBufferPointer { (bytes) throws(FrameError) in try next(in: bytes) }
    }

    /// The same for bytes that the caller keeps alive during the call.
    public mutating func next(in bytes: UnsafeBufferPointer<UInt8>) throws(FrameError) -> Step {
        consumed = 0
        do throws(FrameError) {
            return try step(bytes)
        } catch {
            phase = .failed
            note(error)
            throw fault ?? error
        }
    }

    private mutating func step(_ bytes: UnsafeBufferPointer<UInt8>) throws(FrameError) -> Step {
        if phase == .found {
            // At once, and not when the next frame begins: an error in between must not name this one's receipt.
            layout.startOver()
            phase = .between
        }
        if phase == .between, try !readBetween(bytes) { return consumed > 0 ? .heartBeat : .incomplete }
        if phase == .command, try !readCommand(bytes) { return .incomplete }
        if phase == .head, try !readHead(bytes) { return .incomplete }
        if let fault { throw fault }
        let hasBody = phase == .countedBody ? try readCountedBody(bytes) : try readScannedBody(bytes)
        return hasBody ? .frame : .incomplete
    }

    /// Keeps the first fault: the later ones may only follow from it.
    mutating func note(_ error: FrameError) {
        if fault == nil { fault = error }
    }

    // MARK: Between frames

    /// True if a frame begins here.
    private mutating func readBetween(_ bytes: UnsafeBufferPointer<UInt8>) throws(FrameError) -> Bool {
        guard let first = bytes.first else { return false }
        switch first {
        case .lineFeed:
            consumed = 1
            return false
        case .carriageReturn:
            // CRLF is taken in every version: nothing else can begin so, and a client that wrote CONNECT with
            // CRLF may write one behind it after 1.1 is agreed on.
            if bytes.count < 2 { return false }
            guard bytes[1] == .lineFeed else { throw .loneCarriageReturn(offset: 0) }
            consumed = 2
            return false
        case 0:
            throw .strayNUL
        case 0x16 where isFirst && role == .server:
            throw .tlsClientHello
        default:
            line = Line(start: 0)
            hasHigh = false
            phase = .command
            return true
        }
    }

    // MARK: Command

    /// True if its line was complete.
    private mutating func readCommand(_ bytes: UnsafeBufferPointer<UInt8>) throws(FrameError) -> Bool {
        let cap = min(bounds.commandBytes, bounds.headerBytes) &+ 1
        let end = min(bytes.count, cap)
        var at = line.position
        while at < end {
            switch bytes[at] {
            case .lineFeed:
                try finishCommand(bytes, wordEnd: at, next: at &+ 1)
                return true
            case .carriageReturn where version != .v11:
                if at &+ 1 == bytes.count {
                    line.position = at
                    return false
                }
                if bytes[at &+ 1] == .lineFeed {
                    try finishCommand(bytes, wordEnd: at, next: at &+ 2)
                    return true
                }
                if version == .v12 { note(.loneCarriageReturn(offset: at)) }
            case 0:
                throw .nulInHead(offset: at)
            default:
                break
            }
            at &+= 1
        }
        line.position = at
        if at < cap { return false }
        throw isHTTP(bytes) ? .httpRequest : .commandTooLong(limit: cap &- 1)
    }

    private mutating func finishCommand(
        _ bytes: UnsafeBufferPointer<UInt8>, wordEnd: Int, next: Int
    ) throws(FrameError) {
        let word = UnsafeBufferPointer(rebasing: bytes[..<wordEnd])
        if let command = Command(word), command.isFromServer == (role == .client) {
            layout.command = command
            isLiteral = command.isLiteral || (version ?? .v10) == .v10
        } else if isHTTP(word) {
            throw .httpRequest
        } else {
            note(.unknownCommand(printable(word)))
            isLiteral = true
        }
        layout.headersStart = next
        line = Line(start: next)
        phase = .head
    }

    /// Whether the first bytes of a connection are those of an HTTP request.
    private func isHTTP(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard isFirst, role == .server else { return false }
        return bytes.starts(with: "GET ") || bytes.starts(with: "POST ") || bytes.starts(with: "HEAD ")
            || bytes.starts(with: "PUT ") || bytes.starts(with: "OPTIONS ") || bytes.starts(with: "DELETE ")
            || bytes.starts(with: "PATCH ") || bytes.starts(with: "TRACE ") || bytes.starts(with: "CONNECT ")
            || bytes.starts(with: "PRI ")
    }

    /// The first 32 bytes for a human; what is not printable ASCII is spelled out.
    private func printable(_ word: UnsafeBufferPointer<UInt8>) -> String {
        var text = ""
        for byte in word.prefix(32) {
            switch byte {
            case .carriageReturn: text += "\\r"
            case 0x20..<0x7F: text.unicodeScalars.append(Unicode.Scalar(byte))
            default: text += "?"
            }
        }
        return text
    }
}
