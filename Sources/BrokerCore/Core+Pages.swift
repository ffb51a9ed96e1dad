import Base

/// Messages that storage has read back.
extension Core {
    /// A page that was wanted has come.
    public mutating func page(
        _ wanted: PageWanted, messages: [PageMessage], resumeAt: UInt64, failure: String?, into effects: inout Effects
    ) {
        if case .browse(let subscription) = wanted.purpose {
            let page = LanePage(messages: messages, resumeAt: resumeAt, failure: failure)
            browsed(subscription, wanted, page, into: &effects)
            return
        }
        guard let found = queueByID[wanted.queue] else { return }
        let index = Int(found)
        if wanted.purpose == .retained {
            guard queues[index].generation == wanted.epoch else { return }
            retainedRead(index, messages, failure: failure, into: &effects)
            return seal(into: &effects)
        }
        if wanted.purpose == .bury {
            guard queues[index].generation == wanted.epoch else { return }
            if let failure { fail(index, failure, into: &effects) }
            buried(index, messages, from: wanted.from, resumeAt: resumeAt, into: &effects)
            return seal(into: &effects)
        }
        if wanted.purpose == .peek {
            guard queues[index].generation == wanted.epoch else { return }
            peeked(index, messages, from: wanted.from, resumeAt: resumeAt, into: &effects)
            return seal(into: &effects)
        }
        if wanted.purpose == .view {
            guard queues[index].generation == wanted.epoch else { return }
            viewed(
                index, from: wanted.from, LanePage(messages: messages, resumeAt: resumeAt, failure: failure),
                into: &effects)
            return seal(into: &effects)
        }
        guard queues[index].pageOutstanding, queues[index].pageEpoch == wanted.epoch else { return }
        queues[index].pageOutstanding = false
        queues[index].lastPageWasEmpty = resumeAt <= wanted.from
        if let failure { fail(index, failure, into: &effects) } else { queues[index].rare.failure = nil }
        // What could be read before the failure is as good as any.
        queues[index].returned.attach(messages, below: resumeAt)
        extendWindow(messages, from: wanted.from, resumeAt: resumeAt, of: index, into: &effects)
        if failure != nil {
            // The queue stands still at the message that cannot be read.
        } else if resumeAt <= wanted.from {
            nothingYet(from: wanted.from, of: index, into: &effects)
        } else if !queues[index].returned.isEmpty, !queues[index].returned.lowestIsInMemory,
            (wanted.from..<resumeAt).contains(queues[index].returned.lowestSequence)
        {
            missing(queues[index].returned.lowestSequence, in: index, into: &effects)
        }
        trim(Int(queues[index].parent), into: &effects)
        proceed(index, into: &effects)
        seal(into: &effects)
    }

    /// Asks for the next page when half of the last is used up, so that one is read while the other is handed out.
    @inline(__always)
    mutating func readAhead(of lane: Int, into effects: inout Effects) {
        if queues[lane].coldCount == 0 || queues[lane].pageOutstanding { return }
        if queues[lane].windowBytes > limits.pageBytes / 2 { return }
        // What was not durable then is asked for again when more is.
        if queues[lane].lastPageWasEmpty, queues[lane].pageAskedAt == durableThrough { return }
        want(from: queues[lane].coldFrom, of: lane, into: &effects)
    }

    private mutating func extendWindow(
        _ messages: [PageMessage], from: UInt64, resumeAt: UInt64, of index: Int, into effects: inout Effects
    ) {
        guard queues[index].coldCount > 0, from <= queues[index].coldFrom, resumeAt > queues[index].coldFrom else {
            return
        }
        for message in messages where message.sequence >= queues[index].coldFrom {
            if !queues[index].rare.taken.isEmpty, queues[index].rare.taken.contains(message.sequence) { continue }
            queues[index].coldCount -= min(1, queues[index].coldCount)
            var count: UInt32 = 0
            if !queues[index].attempts.isEmpty,
                let attempt = queues[index].attempts.removeValue(forKey: message.sequence)
            {
                if setAside(message, attempt, in: index) {
                    // The window may be let go of and read again.
                    queues[index].rare.taken.insert(message.sequence)
                    continue
                }
                count = attempt.count
            }
            queues[index].window.append(
                QueueState.Entry(
                    sequence: message.sequence, batch: 0, content: message.content, headerBytes: message.headerBytes,
                    count: count, flags: message.flags))
            queues[index].windowBytes += Int(message.content.count)
        }
        queues[index].coldFrom = resumeAt
        queues[index].forgetTaken()
        bury(index, into: &effects)
    }

    /// A message that had come back before a restart may be dead, or wait for its time.
    mutating func setAside(_ message: PageMessage, _ attempt: Attempt, in lane: Int) -> Bool {
        let index = Int(queues[lane].parent)
        if attempt.verdict == .deadLetter || isSpent(attempt.count, in: index), !isDeadLetterQueue(index) {
            let reason = attempt.verdict == .deadLetter ? DeadLetterReason.rejected : .deliveryLimit
            queues[lane].rare.dead.append(
                DeadMessage(
                    sequence: message.sequence, bytes: message.content.count, count: attempt.count, reason: reason,
                    by: []))
            return true
        }
        guard attempt.notBefore > now.wall else { return false }
        let back = Returned(
            sequence: message.sequence, bytes: message.content.count, count: attempt.count,
            headerBytes: message.headerBytes, content: nil, flags: message.flags)
        queues[lane].rare.waiting.insert(back, due: attempt.notBefore)
        arm(lane, at: attempt.notBefore)
        return true
    }

    /// A page was empty: what is missing became durable while the page was read, or something before it
    /// came back, so the queue asks again; or is not durable yet, so the queue waits. The batch that it
    /// awaits is in `awaiting` since `store`.
    private mutating func nothingYet(from: UInt64, of index: Int, into effects: inout Effects) {
        guard queues[index].pageAskedAt == durableThrough,
            case .page(from) = queues[index].head(durable: durableThrough)
        else { return }
        if queues[index].awaitedBatch > durableThrough {
            queues[index].waitsForDurable = true
        } else {
            missing(from, in: index, into: &effects)
        }
    }

    /// Storage does not have what it was given: the queue stands still rather than skip a message.
    mutating func missing(_ sequence: UInt64, in index: Int, into effects: inout Effects) {
        fail(index, "storage does not give back message \(sequence)", into: &effects)
    }

    mutating func fail(_ index: Int, _ reason: String, into effects: inout Effects) {
        if queues[index].rare.failure != reason {
            effects.reports.append(.queueUnreadable(name: queues[Int(queues[index].parent)].name, reason: reason))
        }
        queues[index].rare.failure = reason
    }
}

/// A message read back from storage.
public struct PageMessage: Sendable {
    public var sequence: UInt64
    public var headerBytes: UInt32
    public var content: Slice
    public var flags: UInt8
    public init(sequence: UInt64, headerBytes: UInt32, content: Slice, flags: UInt8 = MessageFlags.durable) {
        self.sequence = sequence
        self.headerBytes = headerBytes
        self.content = content
        self.flags = flags
    }
}
