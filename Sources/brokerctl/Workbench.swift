import Base
import STOMP

/// Takes messages and has them worked on: at once, or by a crew several at a time.
struct Workbench {
    let connection: StompConnection
    let crew: Crew?
    let concurrency: Int
    /// So many messages, and no more.
    let wanted: UInt64
    /// Stops when no message comes for so long and nothing is in hand. nil: never.
    let idleSeconds: UInt64?

    /// Returns how many messages were taken. `work` has them when there is no crew, `ended` when the crew is done with one.
    /// When it throws, no command runs any more.
    func run(
        work: (Frame) throws(CtlFailure) -> Void, ended: (Crew.Result) throws(CtlFailure) -> Void
    ) throws(CtlFailure) -> UInt64 {
        do throws(CtlFailure) {
            return try takeAll(work, ended)
        } catch {
            // The broker gives their messages to others.
            crew?.disband()
            throw error
        }
    }

    private func takeAll(
        _ work: (Frame) throws(CtlFailure) -> Void, _ ended: (Crew.Result) throws(CtlFailure) -> Void
    ) throws(CtlFailure) -> UInt64 {
        var taken: UInt64 = 0
        while true {
            let inHand = crew?.inHand ?? 0
            let isOver = taken >= wanted || crew?.isInterrupted == true
            if isOver, inHand == 0 { return taken }
            let event = try connection.next(
                orWhen: crew?.bell ?? -1, reads: !isOver && inHand < concurrency,
                until: inHand == 0 ? idleDeadline : Instant(nanoseconds: .max))
            switch event {
            case .frame(let frame) where frame.command == .message:
                taken += 1
                if let crew { crew.begin(frame) } else { try work(frame) }
            case .frame: continue
            case .bell:
                for result in crew?.collect() ?? [] {
                    if case .notStarted = result.ending {
                        // Not the fault of the message, which is left with the broker.
                        throw CtlFailure(.failed, result.ending.complaint ?? "")
                    }
                    try ended(result)
                }
            case .time: return taken
            }
        }
    }

    private var idleDeadline: Instant {
        idleSeconds.map { Instant.now.adding(milliseconds: $0 * 1000) } ?? Instant(nanoseconds: .max)
    }
}
