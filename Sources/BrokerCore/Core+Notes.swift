/// What is remembered of a queue beside its messages.
extension Core {
    /// Has storage remember what is to be remembered of a queue. The caller seals.
    mutating func writeNote(of index: Int, into effects: inout Effects) {
        let note = queues[index].note.encoded()
        makeRoom(for: note.count, into: &effects)
        guard !note.isEmpty else { return records.append(Record(kind: .note, queue: queues[index].id)) }
        let (_, offset) = note.withUnsafeBufferPointer { keep($0) }
        records.append(Record(kind: .note, queue: queues[index].id, bytes: UInt64(note.count), offset: offset))
    }
}
