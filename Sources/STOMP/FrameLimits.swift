/// How much of a peer's input may be read before it has to make sense. Each is checked while reading: no
/// more than the limit is ever waited for, and no memory is taken because a peer announces a length.
public struct FrameLimits: Sendable, Equatable {
    /// Bytes of the command, without its end of line.
    public var commandBytes: Int
    /// Bytes of one header line, without its end of line.
    public var headerLineBytes: Int
    /// Header lines in one frame, repeated ones too.
    public var headerCount: Int
    /// Bytes in front of the blank line: command, headers and their ends of line.
    public var headerBytes: Int
    /// Bytes of the body.
    public var bodyBytes: Int

    public init(
        commandBytes: Int = 32, headerLineBytes: Int = 16 << 10, headerCount: Int = 128,
        headerBytes: Int = 64 << 10, bodyBytes: Int = 16 << 20
    ) {
        self.commandBytes = commandBytes
        self.headerLineBytes = headerLineBytes
        self.headerCount = headerCount
        self.headerBytes = headerBytes
        self.bodyBytes = bodyBytes
    }

    /// For peers that have not shown who they are.
    public static let beforeLogin = FrameLimits(
        commandBytes: 32, headerLineBytes: 8 << 10, headerCount: 64, headerBytes: 16 << 10, bodyBytes: 1 << 10)

    /// The same with every number in a range that offsets (32 bits in the head) can be counted in.
    var withinReason: FrameLimits {
        FrameLimits(
            commandBytes: min(max(commandBytes, 0), 1 << 20),
            headerLineBytes: min(max(headerLineBytes, 0), 1 << 28),
            headerCount: min(max(headerCount, 0), Int(UInt16.max)),
            headerBytes: min(max(headerBytes, 0), 1 << 29),
            bodyBytes: min(max(bodyBytes, 0), 1 << 48))
    }
}
