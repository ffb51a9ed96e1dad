import CSystem
import Dispatch
import Glibc

/// The signals that mean something to a daemon, as events on a queue of its own.
///
/// A handler of a few C lines writes the number into a pipe, and a source reads it: Dispatch's own
/// signal sources only work where the thread that makes them is the one the system delivers to
/// (docs/decisions/003-signals-through-a-pipe.md). Make one of these in a process.
public final class Signals {
    public enum Event: Sendable, Equatable {
        /// SIGTERM or SIGINT.
        case stop
        /// SIGHUP.
        case reload
    }

    private static let numbers = [SIGTERM, SIGINT, SIGHUP]

    private let source: any DispatchSourceRead
    private let handled: [Int32]

    /// From now on the signals are handled; `handler` is called on the queue of the signals, in the
    /// order in which they come. Keep the object as long as signals are wanted. nil, with `errno`,
    /// if the system refuses.
    ///
    /// `leavingIgnored`: those that are ignored stay so, as programs at a terminal do: `nohup` and shells that run something
    /// in the background ask for it. SIGTERM is always handled.
    public init?(leavingIgnored: Bool = false, handler: @escaping @Sendable (Event) -> Void) {
        handled = Self.numbers.filter { !leavingIgnored || $0 == SIGTERM || csystem_signal_is_ignored($0) == 0 }
        var pipe: Int32 = -1
        for number in handled {
            pipe = csystem_signal_to_pipe(number)
            if pipe < 0 { return nil }
        }
        source = DispatchSource.makeReadSource(fileDescriptor: pipe, queue: DispatchQueue(label: "signals"))
        source.setEventHandler {
            var numbers = [UInt8](repeating: 0, count: 64)
            let count = read(pipe, &numbers, numbers.count)
            for number in numbers.prefix(max(0, count)) { handler(Int32(number) == SIGHUP ? .reload : .stop) }
        }
        source.activate()
    }

    /// Nobody listens any more: the signals end the process again.
    deinit {
        for number in handled { signal(number, SIG_DFL) }
        source.cancel()
    }

    /// Signals that say what a failed call says too, and end the process when nobody asked:
    /// SIGPIPE (a closed socket) and SIGXFSZ (a file at the limit of its size).
    public static func ignoreThoseThatErrorsTell() {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
    }
}
