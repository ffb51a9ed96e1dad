import Foundation
import Glibc
import STOMP
import Synchronization

/// Commands that work on messages side by side, each on a thread of its own. `bell` can be read from when one of them has
/// ended, or when brokerctl is interrupted.
final class Crew: Sendable {
    /// What became of one message.
    struct Result: Sendable {
        let message: Frame
        let ending: ShellCommand.Ending
        let output: [UInt8]
    }

    private struct State {
        var results: [Result] = []
        var inHand = 0
        /// Of the commands that run now.
        var running: [UInt64: Watchdog] = [:]
        var lastNumber: UInt64 = 0
        var interruptions = 0
    }

    private let command: ShellCommand
    private let state = Mutex(State())
    let bell: Int32
    private let rope: Int32

    /// Errors: `failed` if the system has no descriptors.
    init(_ command: ShellCommand) throws(CtlFailure) {
        self.command = command
        // Whoever started us may have it ignored; then nobody is told how a command ended.
        signal(SIGCHLD, SIG_DFL)
        guard let pipe = PipeEnds.making.withLock({ _ in PipeEnds() }) else {
            throw CtlFailure(.failed, "No pipe can be made: \(systemError(errno))")
        }
        pipe.reading.neverBlock()
        pipe.writing.neverBlock()
        (bell, rope) = (pipe.reading.taken(), pipe.writing.taken())
    }

    deinit {
        close(bell)
        close(rope)
    }

    /// Those that have begun and were not collected yet.
    var inHand: Int { state.withLock { $0.inHand } }
    var isInterrupted: Bool { state.withLock { $0.interruptions > 0 } }

    func begin(_ message: Frame) {
        let number = state.withLock { state in
            state.inHand += 1
            state.lastNumber += 1
            return state.lastNumber
        }
        Thread.detachNewThread { self.work(on: message, number) }
    }

    private func work(on message: Frame, _ number: UInt64) {
        let (ending, output) = command.run(input: message.body, environment: Self.environment(message)) { watchdog in
            let isTooLate = state.withLock { state in
                state.running[number] = watchdog
                return state.interruptions > 1
            }
            if isTooLate { watchdog.bite(because: .interruption) }
        }
        state.withLock { state in
            state.running[number] = nil
            state.results.append(Result(message: message, ending: ending, output: output))
        }
        ring()
    }

    /// Those that have ended since the last time. Empties the bell.
    func collect() -> [Result] {
        var room = [UInt8](repeating: 0, count: 256)
        while read(bell, &room, room.count) > 0 {}
        return state.withLock { state in
            defer { state.results = [] }
            state.inHand -= state.results.count
            return state.results
        }
    }

    /// The first time: nothing more is to be begun. From the second time on what runs is ended.
    func interrupt() {
        let running = state.withLock { state in
            state.interruptions += 1
            return state.interruptions > 1 ? Array(state.running.values) : []
        }
        for watchdog in running { watchdog.bite(because: .interruption) }
        ring()
    }

    /// Ends what runs, and returns when nothing does.
    func disband() {
        interrupt()
        interrupt()
        while inHand > 0 {
            var entry = pollfd(fd: bell, events: Int16(POLLIN), revents: 0)
            _ = poll(&entry, 1, -1)
            _ = collect()
        }
    }

    private func ring() {
        var byte: UInt8 = 1
        // Full means that it rings already.
        _ = write(rope, &byte, 1)
    }

    /// What a command may want to know of its message.
    private static func environment(_ message: Frame) -> [(name: String, value: String)] {
        [
            ("BROKERCTL_DESTINATION", message["destination"] ?? ""),
            ("BROKERCTL_MESSAGE_ID", message["message-id"] ?? ""),
            ("BROKERCTL_CORRELATION_ID", message["correlation-id"] ?? ""),
            ("TRACEPARENT", message["traceparent"] ?? ""),
        ]
    }
}
