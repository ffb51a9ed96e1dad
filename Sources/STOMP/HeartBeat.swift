/// What one side says about heart-beats: `heart-beat:<sends>,<wants>`.
public struct HeartBeat: Equatable, Sendable {
    /// Milliseconds between two signs of life that it can guarantee, 0 if it cannot send any.
    public var sends: UInt64
    /// Milliseconds between two signs of life that it would like to get, 0 if it does not want any.
    public var wants: UInt64

    public init(sends: UInt64, wants: UInt64) {
        self.sends = sends
        self.wants = wants
    }

    /// What is meant when there is no such header.
    public static let none = HeartBeat(sends: 0, wants: 0)

    /// The value of a `heart-beat` header: two decimal numbers with one comma between them and nothing else.
    /// Nil for everything else. A number beyond 64 bits is taken as the largest one, since a timer that never
    /// fires is what was asked for.
    public init?(parsing value: UnsafeBufferPointer<UInt8>) {
        guard let comma = value.firstIndex(of: .comma, from: 0),
            let sends = UnsafeBufferPointer(rebasing: value[..<comma]).strictDecimal(),
            let wants = UnsafeBufferPointer(rebasing: value[(comma + 1)...]).strictDecimal()
        else { return nil }
        self.init(sends: sends, wants: wants)
    }

    /// What the two sides have agreed on, seen from the one whose words these are; milliseconds, 0 for never.
    public struct Intervals: Equatable, Sendable {
        /// How often this side has to send something.
        public var outgoing: UInt64
        /// How often this side may expect to receive something.
        public var incoming: UInt64

        public init(outgoing: UInt64, incoming: UInt64) {
            self.outgoing = outgoing
            self.incoming = incoming
        }
    }

    /// The agreement with `peer`: in each direction the larger of the two numbers, nothing if either is 0.
    public func intervals(with peer: HeartBeat) -> Intervals {
        Intervals(
            outgoing: HeartBeat.interval(from: sends, to: peer.wants),
            incoming: HeartBeat.interval(from: peer.sends, to: wants))
    }

    /// One direction of it: the sender can every `sends`, the receiver wants every `wants`.
    public static func interval(from sends: UInt64, to wants: UInt64) -> UInt64 {
        sends == 0 || wants == 0 ? 0 : max(sends, wants)
    }
}
