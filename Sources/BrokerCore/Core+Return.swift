import Base

/// What becomes of a message that was delivered and not acknowledged.
extension Core {
    /// Back to its place, at once or after a wait; or dead.
    mutating func comeBack(
        _ delivery: Subscription.InFlight, _ content: Slice?, _ ending: Ending, from consumer: Int,
        into effects: inout Effects
    ) {
        let lane = Int(delivery.lane)
        let index = Int(queues[lane].parent)
        var attempt = Attempt(count: delivery.count)
        if let reason = deathReason(of: delivery.count, ending, in: index) {
            guard queues[lane].isStored else {
                queues[lane].bytes &-= UInt64(delivery.bytes)
                queues[index].rare.counts.dropped += 1
                return
            }
            attempt.verdict = reason == .rejected ? .deadLetter : .redeliver
            note(attempt, of: delivery.sequence, in: lane)
            queues[lane].rare.dead.append(
                DeadMessage(
                    sequence: delivery.sequence, bytes: delivery.bytes, count: delivery.count, reason: reason,
                    by: name(of: consumer, ending)))
            bury(lane, into: &effects)
            return
        }
        let wait = wait(after: delivery, ending, in: index)
        if wait > 0 { attempt.notBefore = now.wall &+ wait }
        let back = Returned(
            sequence: delivery.sequence, bytes: delivery.bytes, count: delivery.count,
            headerBytes: delivery.headerBytes, content: content, flags: delivery.flags)
        if queues[lane].isStored { note(attempt, of: delivery.sequence, in: lane) }
        takeBack(back, notBefore: attempt.notBefore, in: lane)
    }

    private mutating func note(_ attempt: Attempt, of sequence: UInt64, in lane: Int) {
        records.append(
            Record(
                kind: .attempt, flags: attempt.verdict.rawValue, queue: queues[lane].id, sequence: sequence,
                count: attempt.count, bytes: attempt.notBefore))
    }

    private mutating func takeBack(_ message: Returned, notBefore: UInt64, in lane: Int) {
        if notBefore > now.wall {
            queues[lane].rare.waiting.insert(message, due: notBefore)
            arm(lane, at: notBefore)
        } else {
            queues[lane].takeBack(message)
        }
    }

    /// Why a message does not come back; nil if it does.
    private func deathReason(of count: UInt32, _ ending: Ending, in index: Int) -> DeadLetterReason? {
        // What is dead already has nowhere else to go.
        if isDeadLetterQueue(index) { return nil }
        if case .settled(.deadLetter) = ending { return .rejected }
        return isSpent(count, in: index) ? .deliveryLimit : nil
    }

    /// Whether a message has been delivered as often as its queue allows.
    func isSpent(_ count: UInt32, in index: Int) -> Bool {
        let limit = queues[index].settings.value.deliveryLimit
        return limit > 0 && count >= limit && !isDeadLetterQueue(index)
    }

    /// Milliseconds that a message waits for its next delivery. Who was cut off gets it back at once: that
    /// was not the message's doing.
    private func wait(after delivery: Subscription.InFlight, _ ending: Ending, in index: Int) -> UInt64 {
        switch ending {
        case .settled(.requeueAfter(let milliseconds)): UInt64(milliseconds)
        case .settled: queues[index].settings.value.redeliveryWait(after: delivery.count, of: delivery.sequence)
        case .lost: 0
        }
    }

    private func name(of consumer: Int, _ ending: Ending) -> [UInt8] {
        let session = sessions[Int(subscriptions[consumer].session.index)]
        let connection = Array("connection \(session.address.connection)".utf8)
        return session.login.isEmpty ? connection : session.login + Array(" ".utf8) + connection
    }

    // MARK: Dead letters

    private static let deadLetterSuffix = Array(".dlq".utf8)

    func isDeadLetterQueue(_ index: Int) -> Bool {
        queues[index].name.suffix(Self.deadLetterSuffix.count).elementsEqual(Self.deadLetterSuffix)
    }

    /// Where dead messages of a queue go; nil: nowhere.
    func deadLetterName(of index: Int) -> [UInt8]? {
        if let name = queues[index].settings.value.deadLetterQueue { return name.isEmpty ? nil : name }
        let name = queues[index].name
        if name.starts(with: Destination.queuePrefix) { return Self.deadLetterName(from: name) }
        // Of a durable subscription: "/dsub/NAME" has "/queue/dsub.NAME.dlq".
        let plain = name.dropFirst().map { $0 == UInt8(ascii: "/") ? UInt8(ascii: ".") : $0 }
        return Self.deadLetterName(from: Destination.queuePrefix + plain)
    }

    /// `NAME.dlq`; of a name that would get too long, its beginning and a hash of all of it.
    private static func deadLetterName(from name: [UInt8]) -> [UInt8] {
        let most = Destination.queuePrefix.count + Destination.longestName
        if name.count + deadLetterSuffix.count <= most { return name + deadLetterSuffix }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in name { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let end = Array("~\(String(hash, radix: 16))".utf8) + deadLetterSuffix
        var start = name.prefix(most - end.count)
        // No character is cut.
        while let last = start.last, name[start.endIndex] & 0xC0 == 0x80, last & 0x80 != 0 { start.removeLast() }
        return start + end
    }

    /// Has the dead messages of a lane read, so that they can be moved.
    mutating func bury(_ lane: Int, into effects: inout Effects) {
        guard !queues[lane].rare.dead.isEmpty, !queues[lane].isBurying else { return }
        if !isSorted(queues[lane].rare.dead) { queues[lane].rare.dead.sort { $0.sequence < $1.sequence } }
        queues[lane].isBurying = true
        effects.pages.append(
            PageWanted(
                queue: queues[lane].id, from: queues[lane].rare.dead[0].sequence, maxCount: limits.pageCount,
                maxBytes: limits.pageBytes, epoch: queues[lane].generation, purpose: .bury))
    }

    private func isSorted(_ dead: [DeadMessage]) -> Bool {
        for index in dead.indices.dropFirst() where dead[index].sequence < dead[index - 1].sequence { return false }
        return true
    }

    /// What was asked for by `bury`. Messages that cannot be moved now stay, and are tried again by the clock.
    mutating func buried(
        _ lane: Int, _ messages: [PageMessage], from: UInt64, resumeAt: UInt64, into effects: inout Effects
    ) {
        queues[lane].isBurying = false
        let dead = queues[lane].rare.dead.sorted { $0.sequence < $1.sequence }
        var left: [DeadMessage] = []
        var at = 0
        var isStuck = resumeAt <= from
        for body in dead {
            while at < messages.count, messages[at].sequence < body.sequence { at += 1 }
            // One that died after the page was asked for may lie before it.
            guard !isStuck, (from..<resumeAt).contains(body.sequence) else {
                left.append(body)
                continue
            }
            guard at < messages.count, messages[at].sequence == body.sequence else { continue }
            if !moveToDeadLetters(
                messages[at].content.bytes, headerBytes: messages[at].headerBytes, body, from: lane, into: &effects)
            {
                left.append(body)
                isStuck = true
            }
        }
        queues[lane].rare.dead = left
        if !isStuck { bury(lane, into: &effects) }
    }

    /// One message leaves its lane and enters the dead-letter queue, in one batch. False, and nothing is done,
    /// if there can be no such queue now.
    mutating func moveToDeadLetters(
        _ content: Bytes, headerBytes: UInt32, _ dead: DeadMessage, from lane: Int, into effects: inout Effects
    ) -> Bool {
        let index = Int(queues[lane].parent)
        guard let name = deadLetterName(of: index), name != queues[index].name else {
            makeRoom(for: 0, into: &effects)
            forget(dead, in: lane)
            return true
        }
        let target: Int
        do throws(Refusal) { target = try queue(named: name, into: &effects) } catch {
            effects.reports.append(.deadLettersStuck(name: queues[index].name, reason: error.detail))
            return false
        }
        let (moved, movedHead) = StoredHead.rewritten(
            content, headerBytes: headerBytes, adding: deadLetterLines(dead, from: lane, to: name),
            dropping: Self.deadLetterHeaders)
        guard moved.count <= Batch.payloadLimit else {
            forget(dead, in: lane)
            return true
        }
        makeRoom(for: moved.count, records: 2, into: &effects)
        let (slice, offset) = moved.withUnsafeBufferPointer { keep($0) }
        append(
            slice, count: slice.count, offset: offset, headerBytes: movedHead, flags: MessageFlags.durable, to: target)
        forget(dead, in: lane)
        return true
    }

    private mutating func forget(_ dead: DeadMessage, in lane: Int) {
        queues[lane].bytes &-= UInt64(dead.bytes)
        queues[Int(queues[lane].parent)].rare.counts.deadLettered += 1
        totals.deadLettered += 1
        settle(queues[lane].id, dead.sequence, bytes: dead.bytes)
    }

    /// Headers of a dead letter that are written anew when it moves, and taken off when it goes back.
    static let deadLetterHeaders: [StaticString] = [
        "destination", "deliver-at", "expires", "dead-letter-reason", "original-destination", "original-message-id",
        "delivery-count", "dead-letter-time", "refused-by",
    ]

    private func deadLetterLines(_ dead: DeadMessage, from lane: Int, to name: [UInt8]) -> [UInt8] {
        let index = Int(queues[lane].parent)
        // One buffer for all of them: a million messages may die together.
        var lines: [UInt8] = []
        lines.reserveCapacity(288 + name.count + queues[index].name.count + storeTag.utf8.count + dead.by.count)
        StoredHead.append("destination", name, to: &lines)
        StoredHead.append("dead-letter-reason", dead.reason.rawValue.utf8, to: &lines)
        StoredHead.append("original-destination", queues[index].name, to: &lines)
        StoredHead.append("original-message-id", to: &lines) { lines in
            lines.append(contentsOf: storeTag.utf8)
            lines.append(UInt8(ascii: "-"))
            StoredHead.append(UInt64(queues[lane].id.rawValue), to: &lines)
            lines.append(UInt8(ascii: "-"))
            StoredHead.append(dead.sequence, to: &lines)
        }
        StoredHead.append("delivery-count", to: &lines) { StoredHead.append(UInt64(dead.count), to: &$0) }
        StoredHead.append("dead-letter-time", to: &lines) { StoredHead.append(now.wall, to: &$0) }
        if !dead.by.isEmpty { StoredHead.append("refused-by", dead.by, to: &lines) }
        return lines
    }
}

extension QueueSettings {
    /// Milliseconds before delivery number `count + 1` (exponential back-off; the chance part is drawn from the
    /// message's number, so that it is the same wherever it is worked out).
    func redeliveryWait(after count: UInt32, of sequence: UInt64) -> UInt64 {
        if redeliveryDelay == 0 { return 0 }
        var wait = redeliveryDelay
        for _ in 1..<max(2, min(count, 64)) where count > 1 && wait < redeliveryDelayMost {
            let (longer, overflow) = wait.multipliedReportingOverflow(by: redeliveryMultiplierPercent)
            wait = overflow ? redeliveryDelayMost : max(1, longer / 100)
        }
        wait = min(wait, redeliveryDelayMost)
        let spread = wait / 100 * min(redeliveryJitterPercent, 100)
        if spread == 0 { return wait }
        var bits = (sequence &+ UInt64(count)) &* 0x9E37_79B9_7F4A_7C15
        bits ^= bits >> 32
        return wait - spread / 2 + bits % spread
    }
}
