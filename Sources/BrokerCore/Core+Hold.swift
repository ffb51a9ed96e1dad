import Base

/// A sender is not to be read from until `until`, or goes on.
public struct Hold: Sendable, Equatable {
    public var address: SessionAddress
    /// Nil: what it waited for is there.
    public var until: Instant?
}

/// A wait of one session.
struct SenderHold: Sendable {
    let place: Int32
    let until: Instant
}

/// Who waits for room at one place.
struct FullPlace: Sendable {
    /// Of the queue; 0 for the disk.
    let generation: UInt32
    var senders: [SessionID] = []
}

/// Senders that wait for room: in a queue (`overflow: block`) or on the disk. What they have sent before they
/// heard of it is taken; then they are not read from, until there is room or the wait was long enough. Who sends
/// after that is refused.
extension Core {
    /// Stands where a queue's index would.
    static let diskPlace: Int32 = -1

    /// While the disk is short a message is taken only from a sender that has not waited yet, and only as long as
    /// all such messages together fit into what is kept free.
    @inline(__always)
    mutating func checkDisk(for bytes: Int, of session: Int32, into effects: inout Effects) throws(Refusal) {
        if diskShort == nil { return }
        try holdForDisk(bytes, session, into: &effects)
    }

    private mutating func holdForDisk(_ bytes: Int, _ session: Int32, into effects: inout Effects) throws(Refusal) {
        guard let diskShort else { return }
        guard takenWhileShort + bytes <= limits.diskShortBytes,
            hold(session, at: Self.diskPlace, seconds: limits.holdSeconds, into: &effects)
        else { throw Refusal(.diskShort, diskShort) }
        takenWhileShort += bytes
    }

    /// Has a sender wait. False if it did already, for long enough; or if nobody sends, as when a message that waited
    /// for its time is published.
    mutating func hold(_ session: Int32, at place: Int32, seconds: UInt64, into effects: inout Effects) -> Bool {
        if session < 0 { return false }
        let at = Int(session)
        let generation = place < 0 ? 0 : queues[Int(place)].generation
        // Who waited for the queue that was here before need not any more.
        if let full = full[place], full.generation != generation { release(place, into: &effects) }
        if let known = sessions[at].holds.first(where: { $0.place == place }) { return known.until > now.monotonic }
        if seconds == 0 { return false }
        let until = now.monotonic.adding(milliseconds: seconds * 1000)
        sessions[at].holds.append(SenderHold(place: place, until: until))
        full[place, default: FullPlace(generation: generation)].senders.append(
            SessionID(index: session, generation: sessions[at].generation))
        effects.holds.append(Hold(address: sessions[at].address, until: until))
        return true
    }

    /// Lets those go on whose place has room again. Called wherever messages may have left.
    mutating func resumeSenders(into effects: inout Effects) {
        let free = full.filter { hasRoom($0.key, $0.value) }.keys
        for place in free.sorted() { release(place, into: &effects) }
    }

    private func hasRoom(_ place: Int32, _ full: FullPlace) -> Bool {
        if place < 0 { return diskShort == nil }
        let index = Int(place)
        return queues[index].generation != full.generation || queues[index].settings.value.overflow != .block
            || !isOver(adding: 1, 1, in: index)
    }

    private mutating func release(_ place: Int32, into effects: inout Effects) {
        guard let released = full.removeValue(forKey: place) else { return }
        for id in released.senders where isOpen(id) {
            let at = Int(id.index)
            sessions[at].holds.removeAll { $0.place == place }
            // One whose other wait is over is read from already.
            if sessions[at].holds.contains(where: { $0.until > now.monotonic }) { continue }
            effects.holds.append(Hold(address: sessions[at].address, until: nil))
        }
    }

    /// The session is gone.
    mutating func forgetHolds(of id: SessionID) {
        for hold in sessions[Int(id.index)].holds {
            full[hold.place]?.senders.removeAll { $0 == id }
            if full[hold.place]?.senders.isEmpty == true { full[hold.place] = nil }
        }
    }

    /// Storage takes no new messages, and why; nil: it does again.
    public mutating func setDisk(short sentence: String?, into effects: inout Effects) {
        diskShort = sentence
        seal(into: &effects)
    }
}
