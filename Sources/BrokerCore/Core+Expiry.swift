import Base

/// Messages whose time is over. They are taken out when they come to the front, so that no search is needed:
/// by delivery where somebody consumes, by the clock where nobody does.
extension Core {
    /// Takes out the first message of the window if its time is over. It is stamped.
    mutating func expireFirst(of lane: Int, into effects: inout Effects) -> Bool {
        let entry = queues[lane].window[0]
        guard isExpired(entry.content) else { return false }
        _ = queues[lane].popWindow()
        expire(
            entry.content, headerBytes: entry.headerBytes, sequence: entry.sequence, count: entry.count, in: lane,
            into: &effects)
        return true
    }

    mutating func expireReturned(of lane: Int, into effects: inout Effects) -> Bool {
        guard let first = queues[lane].returned.all.first, first.flags & MessageFlags.stamped != 0,
            let content = first.content, isExpired(content)
        else { return false }
        queues[lane].returned.popLowest()
        expire(
            content, headerBytes: first.headerBytes, sequence: first.sequence, count: first.count, in: lane,
            into: &effects)
        return true
    }

    func isExpired(_ content: Slice) -> Bool {
        let end = StoredHead.stamps(of: content.bytes).expires
        return end > 0 && end <= now.wall
    }

    /// The end of a message that is taken out already.
    mutating func expire(
        _ content: Slice, headerBytes: UInt32, sequence: UInt64, count: UInt32, in lane: Int,
        into effects: inout Effects
    ) {
        let index = Int(queues[lane].parent)
        queues[index].rare.counts.expired += 1
        totals.expired += 1
        guard queues[lane].isStored else {
            queues[lane].bytes &-= UInt64(content.count)
            return
        }
        if queues[index].settings.value.expired == .deadLetter, !isDeadLetterQueue(index) {
            let dead = DeadMessage(sequence: sequence, bytes: content.count, count: count, reason: .expired, by: [])
            if moveToDeadLetters(content.bytes, headerBytes: headerBytes, dead, from: lane, into: &effects) { return }
            queues[lane].rare.dead.append(dead)
            return
        }
        makeRoom(for: 0, into: &effects)
        queues[lane].bytes &-= UInt64(content.count)
        settle(queues[lane].id, sequence, bytes: content.count)
    }

    // MARK: By the clock

    /// Reads of idle lanes that one look at all queues may ask for.
    private static let peeksMost = 200
    /// Milliseconds after which the front of a lane that cannot expire now is looked at again.
    private static let peekAgain: UInt64 = 60_000

    /// Looks at the front of a queue that nobody consumes from, and tries again what could not be moved.
    mutating func expireIdle(_ lane: Int, into effects: inout Effects) {
        bury(lane, into: &effects)
        guard queues[lane].mayExpire, queues[lane].isServed, !hasPlainConsumers(Int(queues[lane].parent)) else {
            return
        }
        expireWindow(of: lane, into: &effects)
        if sweep.peeks < Self.peeksMost, queues[lane].window.isEmpty, queues[lane].coldCount > 0,
            queues[lane].peekAt <= now.wall, !queues[lane].isPeeking
        {
            peek(lane, into: &effects)
            sweep.peeks += 1
        }
    }

    private mutating func expireWindow(of lane: Int, into effects: inout Effects) {
        while !queues[lane].window.isEmpty, queues[lane].window[0].batch <= durableThrough,
            queues[lane].window[0].flags & MessageFlags.stamped != 0, expireFirst(of: lane, into: &effects)
        {
            continue
        }
    }

    private mutating func peek(_ lane: Int, into effects: inout Effects) {
        queues[lane].isPeeking = true
        effects.pages.append(
            PageWanted(
                queue: queues[lane].id, from: queues[lane].coldFrom, maxCount: 256, maxBytes: 64 << 10,
                epoch: queues[lane].generation, purpose: .peek))
    }

    /// What `peek` asked for: the front goes as far as it is over, or was dead before a restart.
    mutating func peeked(
        _ lane: Int, _ messages: [PageMessage], from: UInt64, resumeAt: UInt64, into effects: inout Effects
    ) {
        queues[lane].isPeeking = false
        queues[lane].peekAt = now.wall &+ Self.peekAgain
        guard queues[lane].window.isEmpty, queues[lane].coldFrom == from, queues[lane].coldCount > 0 else { return }
        for message in messages where !queues[lane].rare.taken.contains(message.sequence) {
            if let attempt = queues[lane].attempts[message.sequence], setAside(message, attempt, in: lane) {
                queues[lane].attempts[message.sequence] = nil
                takeCold(message, of: lane)
                continue
            }
            let end =
                message.flags & MessageFlags.stamped == 0
                ? 0 : StoredHead.stamps(of: message.content.bytes).expires
            guard end > 0, end <= now.wall else {
                if end > 0 { queues[lane].peekAt = min(end, queues[lane].peekAt) }
                return bury(lane, into: &effects)
            }
            let count = queues[lane].attempts.removeValue(forKey: message.sequence)?.count ?? 0
            takeCold(message, of: lane)
            expire(
                message.content, headerBytes: message.headerBytes, sequence: message.sequence, count: count, in: lane,
                into: &effects)
        }
        queues[lane].peekAt = now.wall
        bury(lane, into: &effects)
    }

    private mutating func takeCold(_ message: PageMessage, of lane: Int) {
        queues[lane].coldCount -= min(1, queues[lane].coldCount)
        queues[lane].coldFrom = message.sequence + 1
    }
}
