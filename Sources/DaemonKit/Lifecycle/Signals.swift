import Dispatch
import Glibc

/// The signals that mean something to a daemon, as events on a queue of its own.
///
/// This is the only place where signal sources are made (a handler formed in top-level code would
/// belong to the main actor and trap when it fires).
public final class Signals {
    public enum Event: Sendable, Equatable {
        /// SIGTERM or SIGINT.
        case stop
        /// SIGHUP.
        case reload
    }

    private static let meanings: [(signal: Int32, event: Event)] = [
        (SIGTERM, .stop), (SIGINT, .stop), (SIGHUP, .reload),
    ]

    private let queue = DispatchQueue(label: "signals")
    private let sources: [any DispatchSourceSignal]

    /// From now on the signals are handled; `handler` is called on the queue of the signals, in the
    /// order in which they come, several of one kind perhaps once. Keep the object as long as
    /// signals are wanted.
    public init(handler: @escaping @Sendable (Event) -> Void) {
        let queue = queue
        sources = Self.meanings.map { number, event in
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { handler(event) }
            source.activate()
            return source
        }
    }

    deinit {
        for source in sources { source.cancel() }
    }

    /// Signals that say what a failed call says too, and end the process when nobody asked:
    /// SIGPIPE (a closed socket) and SIGXFSZ (a file at the limit of its size).
    public static func ignoreThoseThatErrorsTell() {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
    }
}
