import Base

/// Queues that operators have stopped for a while.
extension Core {
    /// Stops or resumes sending and delivering; nil leaves it as it is. While delivery is paused messages stay
    /// ready and what consumers hold stays theirs; while sending is paused SEND is refused. Both survive a
    /// restart. Returns false if there is no such stored queue.
    public mutating func pause(
        _ name: [UInt8], delivery: Bool?, sending: Bool?, into effects: inout Effects
    ) -> Bool {
        guard let index = storedQueue(named: name) else { return false }
        let old = queues[index].rare.note
        if let delivery { queues[index].rare.note.isDeliveryPaused = delivery }
        if let sending { queues[index].rare.note.isSendingPaused = sending }
        if queues[index].rare.note == old { return true }
        writeNote(of: index, into: &effects)
        if !queues[index].rare.note.isDeliveryPaused { dispatch(index, into: &effects) }
        seal(into: &effects)
        return true
    }

    @inline(__always)
    func checkSending(to index: Int) throws(Refusal) {
        if queues[index].rare.isSendingPaused { throw paused(index) }
    }

    private func paused(_ index: Int) -> Refusal {
        let name = String(decoding: queues[index].name, as: UTF8.self)
        return Refusal(.paused, "an operator has paused sending to \(name); send again later")
    }
}
