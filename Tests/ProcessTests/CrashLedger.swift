/// What the clients of a crash test were promised, and whether it was kept.
///
/// A message is `producer:number`. Each producer sends to a queue of its own, with a receipt each;
/// a mover takes a message and puts it into `moved` in one transaction.
struct CrashLedger {
    struct Message: Hashable, CustomStringConvertible {
        var producer: String
        var number: Int

        init(_ producer: String, _ number: Int) {
            self.producer = producer
            self.number = number
        }

        /// nil if it is none of ours.
        init?(_ text: String) {
            let parts = text.split(separator: ":")
            guard parts.count == 2, let number = Int(parts[1]) else { return nil }
            self.init(String(parts[0]), number)
        }

        var description: String { "\(producer):\(number)" }
    }

    private(set) var sent: Set<Message> = []
    private(set) var confirmed: Set<Message> = []
    /// Taken out with a receipt.
    private(set) var acknowledged: Set<Message> = []
    /// An acknowledgement is on its way, or a move.
    private(set) var uncertain: Set<Message> = []
    private(set) var moved: Set<Message> = []

    mutating func sends(_ message: Message) { sent.insert(message) }
    mutating func confirms(_ message: Message) { confirmed.insert(message) }
    mutating func takes(_ message: Message) { uncertain.insert(message) }
    mutating func acknowledges(_ message: Message) { acknowledged.insert(message) }
    mutating func moves(_ message: Message) { moved.insert(message) }

    /// What is wrong with the queues as they are found: `source` is the bodies by producer, in the order
    /// of the queue, `target` those of the queue of the moved.
    func problems(source: [String: [String]], target: [String]) -> [String] {
        var problems: [String] = []
        var there: Set<Message> = []
        for (producer, bodies) in source {
            var last = -1
            for body in bodies {
                guard let message = Message(body), message.producer == producer, sent.contains(message) else {
                    problems.append("invented: \(body)")
                    continue
                }
                if !there.insert(message).inserted { problems.append("twice: \(message)") }
                if message.number <= last { problems.append("out of order: \(message) behind \(last)") }
                last = message.number
            }
        }
        var arrived: Set<Message> = []
        for body in target {
            guard let message = Message(body), sent.contains(message) else {
                problems.append("invented: \(body)")
                continue
            }
            if !arrived.insert(message).inserted { problems.append("moved twice: \(message)") }
            if there.contains(message) { problems.append("half a transaction: \(message) is in both queues") }
        }
        let gone = acknowledged.union(uncertain).union(moved)
        for message in confirmed where !there.contains(message) && !arrived.contains(message) && !gone.contains(message)
        {
            problems.append("lost: \(message)")
        }
        for message in acknowledged where there.contains(message) { problems.append("came back: \(message)") }
        for message in moved where !arrived.contains(message) {
            let place = there.contains(message) ? "only where it was" : "in no queue"
            problems.append("half a transaction: \(message) is \(place)")
        }
        return problems
    }

    /// What was open is decided by the first look, and must stay so.
    mutating func settle(source: [String: [String]], target: [String]) {
        let there = Set(source.values.joined().compactMap { Message($0) })
        let arrived = Set(target.compactMap { Message($0) })
        acknowledged.formUnion(uncertain.subtracting(there))
        uncertain = []
        moved.formUnion(arrived)
        sent = sent.filter { there.contains($0) || arrived.contains($0) || confirmed.contains($0) }
        // Found is as good as confirmed.
        confirmed.formUnion(there)
    }
}
