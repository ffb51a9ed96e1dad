import Base
import BrokerCore
import STOMP
import Sessions

/// One connection, seen from the broker: its session, what has arrived and what waits to leave.
///
///     client.write -> toBroker ~~ in any pieces ~~> inbox -> session
///     client <~~~~ in any pieces ~~~~ outbox <- session
final class SimulatedLink {
    let id: UInt64
    let loop: Int
    var session: Session
    var coreID: SessionID?
    /// Sent by the client and still under way.
    var toBroker: [UInt8] = []
    /// Arrived and not used by the session yet.
    var inbox: [UInt8] = []
    /// Written by the session; the client reads from its front.
    var outbox = Buffer()
    /// Bytes delivered that the core does not know to have left.
    var unreported = 0
    var received: UInt64 = 0
    var lastReceived: Instant
    var lastSent: Instant
    /// The core wants it to wait.
    var heldUntil: Instant?
    var waitsForDisk = false
    /// The client has shut down its side, behind the last byte of `toBroker`.
    var clientIsDone = false
    /// The broker has seen that.
    var peerIsDone = false
    /// Nothing more is read; what is in `outbox` still leaves.
    var isFinished = false
    /// Cut off: nothing moves any more.
    var isCut = false

    init(id: UInt64, loop: Int, settings: SessionSettings, now: Instant) {
        self.id = id
        self.loop = loop
        session = Session(settings: settings, token: "token\(id)", now: now)
        lastReceived = now
        lastSent = now
    }

    var mayRead: Bool { !isCut && !isFinished && !session.isEnding }

    /// Both sides have nothing more to say.
    var isOver: Bool { isCut || isFinished && outbox.isEmpty }
}
