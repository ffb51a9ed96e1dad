import Base
import Synchronization

/// Counts what becomes of the messages of one consumer, and tells the observer.
final class Tally: Sendable {
    /// What became of a message, in the end.
    enum Fate: String {
        case rejected
        case deadLettered = "dead-lettered"
        case lost, expired, unanswered
    }

    private let destination: String
    private let observer: ClientObserver
    private let counts = Mutex(ConsumerCounters())

    init(of destination: String, _ observer: ClientObserver) {
        self.destination = destination
        self.observer = observer
    }

    var counters: ConsumerCounters { counts.withLock { $0 } }

    func began() { observer.measure(.inHand, .change(1), of: destination) }
    func ended() { observer.measure(.inHand, .change(-1), of: destination) }

    func count(_ fate: Fate, _ message: Message) {
        counts.withLock { counts in
            switch fate {
            case .rejected: counts.rejected &+= 1
            case .deadLettered: counts.deadLettered &+= 1
            case .lost: counts.lost &+= 1
            case .expired: counts.expired &+= 1
            case .unanswered: counts.unanswered &+= 1
            }
        }
        observer.measure(.message, of: destination, fate.rawValue)
        observer.log(fate.level, fate.sentence, fields(message))
    }

    /// A handler has run for so long. nil: without an error.
    func ran(_ message: Message, _ duration: Duration, _ error: (any Error)?) {
        counts.withLock { counts in
            if error == nil { counts.handled &+= 1 } else { counts.failed &+= 1 }
        }
        observer.measure(.handler, .duration(duration), of: destination, error == nil ? "handled" : "failed")
        guard let error else { return }
        // That is how a service says no.
        let level: ClientLogEntry.Level = error is RequestFailure ? .debug : .warning
        observer.log(level, "a handler failed", fields(message) + [("reason", "\(error)")])
    }

    func refused(_ request: Message, _ error: BrokerError) {
        observer.log(.warning, "the broker refused a reply", fields(request) + [("reason", "\(error)")])
    }

    private func fields(_ message: Message) -> [(name: String, value: String)] {
        [("destination", destination), ("message_id", message.messageID)]
    }
}

extension Tally.Fate {
    fileprivate var level: ClientLogEntry.Level {
        switch self {
        case .rejected, .expired, .unanswered: .debug
        case .lost: .info
        case .deadLettered: .warning
        }
    }

    fileprivate var sentence: String {
        switch self {
        case .rejected: "a message is given back"
        case .deadLettered: "a message is given up"
        case .lost: "a message will come again, since it could not be settled"
        case .expired: "a request is dropped, since its asker has given up"
        case .unanswered: "a request cannot be answered"
        }
    }
}
