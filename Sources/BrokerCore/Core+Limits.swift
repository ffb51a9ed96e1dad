import Base

/// How much a queue may hold.
extension Core {
    /// Messages and bytes of a queue over all its lanes.
    func size(of index: Int) -> (messages: UInt64, bytes: UInt64) {
        if queues[index].isPlain { return (queues[index].messages, queues[index].bytes) }
        var size = (messages: UInt64(0), bytes: UInt64(0))
        for lane in allLanes(of: index) {
            size.messages &+= queues[lane].messages
            size.bytes &+= queues[lane].bytes
        }
        return size
    }

    /// Makes space for a message if there is none, has its sender wait, or refuses it.
    @inline(__always)
    mutating func makeSpace(
        for bytes: Int, in index: Int, of session: Int32, into effects: inout Effects
    ) throws(Refusal) {
        if queues[index].settings.value.lengthMost == 0, queues[index].settings.value.bytesMost == 0 { return }
        guard isOver(adding: 1, UInt64(bytes), in: index) else { return }
        switch queues[index].settings.value.overflow {
        case .dropHead:
            dropHead(of: index, for: UInt64(bytes), into: &effects)
            // What is delayed, waits or is with consumers cannot be dropped.
            if isOver(adding: 1, UInt64(bytes), in: index), !hasColdMessages(index) { try refuse(in: index) }
        case .reject: try refuse(in: index)
        case .block:
            if !hold(session, at: Int32(index), seconds: queues[index].settings.value.blockSeconds, into: &effects) {
                try refuse(in: index)
            }
        }
    }

    private func hasColdMessages(_ index: Int) -> Bool {
        (queues[index].isPlain ? [Int32(index)] : queues[index].rare.lanes).contains { queues[Int($0)].coldCount > 0 }
    }

    /// The same for what a transaction brings to a queue. Nobody is held for COMMIT; what is to be dropped is
    /// dropped after it.
    func checkSpace(for messages: UInt64, _ bytes: UInt64, in index: Int) throws(Refusal) {
        guard queues[index].settings.value.overflow != .dropHead, isOver(adding: messages, bytes, in: index) else {
            return
        }
        throw refusal(in: index)
    }

    func isOver(adding messages: UInt64, _ bytes: UInt64, in index: Int) -> Bool {
        let settings = queues[index].settings.value
        if settings.lengthMost == 0, settings.bytesMost == 0 { return false }
        let size = size(of: index)
        return settings.lengthMost > 0 && size.messages + messages > settings.lengthMost
            || settings.bytesMost > 0 && size.bytes + bytes > settings.bytesMost
    }

    private mutating func refuse(in index: Int) throws(Refusal) {
        queues[index].rare.counts.rejected += 1
        throw refusal(in: index)
    }

    private func refusal(in index: Int) -> Refusal {
        let settings = queues[index].settings.value
        return Refusal(
            .queueFull,
            "the queue holds its limit (length_most \(settings.lengthMost), bytes_most \(settings.bytesMost); 0 is none); "
                + "consume from it, or change the limit by a policy")
    }

    /// The oldest of the lowest rank go, as far as they can be reached without reading; what is on disk goes
    /// with the next message.
    private mutating func dropHead(of index: Int, for bytes: UInt64, into effects: inout Effects) {
        for lane in queues[index].isPlain ? [index] : queues[index].rare.lanes.reversed().map({ Int($0) }) {
            while isOver(adding: 1, bytes, in: index) {
                if !dropFirst(of: lane, into: &effects) { break }
            }
        }
    }

    private mutating func dropFirst(of lane: Int, into effects: inout Effects) -> Bool {
        let (sequence, count): (UInt64, UInt32)
        if let back = queues[lane].returned.popLowest() {
            (sequence, count) = (back.sequence, back.bytes)
        } else if let entry = queues[lane].popWindow() {
            (sequence, count) = (entry.sequence, entry.content.count)
        } else {
            if queues[lane].coldCount > 0 { want(from: queues[lane].coldFrom, of: lane, into: &effects) }
            return false
        }
        makeRoom(for: 0, into: &effects)
        queues[lane].bytes &-= UInt64(count)
        queues[Int(queues[lane].parent)].rare.counts.dropped += 1
        settle(queues[lane].id, sequence, bytes: count)
        return true
    }

    /// What came in a transaction, or had to be read first, as after a restart: the oldest beyond the limit go now. A lane that is
    /// read on is waited for, so that no higher rank pays for it.
    mutating func trim(_ index: Int, into effects: inout Effects) {
        guard queues[index].settings.value.overflow == .dropHead else { return }
        for lane in queues[index].isPlain ? [index] : queues[index].rare.lanes.reversed().map({ Int($0) }) {
            while isOver(adding: 0, 0, in: index) {
                if dropFirst(of: lane, into: &effects) { continue }
                if queues[lane].coldCount > 0 { return }
                break
            }
        }
    }
}
