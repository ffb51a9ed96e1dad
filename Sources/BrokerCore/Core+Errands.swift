import Base

/// What operators do with single messages of a queue, wherever in it they are. The caller reads pages from
/// storage, lane by lane, and hands each over with what is to be done:
///
///     laneSummaries(of: "q") --> for each lane: read a page --> run(errand, on: page) --> (durable) --> next page
///
/// Messages that a consumer holds are left alone. What leaves one queue enters the other in the same batch.
extension Core {
    public enum Errand: Sendable {
        /// Thrown away.
        case purge
        /// To the end of this queue; made if there is none.
        case move(to: [UInt8])
        /// Dead letters, back to where they died: to the end of `original-destination`.
        case retry
    }

    /// A lane of a queue, and what must be known to read it.
    public struct LaneSummary: Sendable, Equatable {
        public enum Kind: Sendable, Equatable {
            case usual
            case priority(UInt8)
            /// Messages of groups.
            case group(UInt8)
            /// Messages that are not due yet.
            case delayed
        }

        public var id: QueueID
        public var kind: Kind
        /// Lower sequences are gone or with consumers.
        public var from: UInt64
        /// The sequence that its next message gets.
        public var next: UInt64
    }

    /// A page as storage has read it, with nothing left out, from `from` to before `resumeAt`.
    public struct ErrandPage: Sendable {
        public var lane: QueueID
        public var messages: [PageMessage]
        public var from: UInt64
        public var resumeAt: UInt64

        public init(lane: QueueID, messages: [PageMessage], from: UInt64, resumeAt: UInt64) {
            (self.lane, self.messages, self.from, self.resumeAt) = (lane, messages, from, resumeAt)
        }
    }

    public struct ErrandResult: Sendable, Equatable {
        public var done: UInt64 = 0
        /// Wanted, and cannot go where it should: without an `original-destination`, or too large with new headers.
        public var skipped: UInt64 = 0
        /// Where to read on.
        public var resumeAt: UInt64
    }

    /// The lanes of a stored queue in the order in which they were made, the queue itself first; nil if there is
    /// no such queue.
    public func laneSummaries(of name: [UInt8]) -> [LaneSummary]? {
        guard let canonical = canonicalQueue(name), let found = queueByName[canonical], queues[Int(found)].isStored
        else { return nil }
        return allLanes(of: Int(found)).compactMap { laneSummary($0) }.sorted { $0.id < $1.id }
    }

    private func laneSummary(_ lane: Int) -> LaneSummary? {
        let kind: LaneSummary.Kind
        switch queues[lane].lane {
        case .main: kind = .usual
        case .priority(let priority): kind = .priority(priority)
        case .group(let bucket): kind = .group(bucket)
        case .delayed: kind = .delayed
        case .retained: return nil
        }
        var from = queues[lane].front
        if !queues[lane].returned.isEmpty { from = min(from, queues[lane].returned.lowestSequence) }
        for waiting in queues[lane].rare.waiting.messages { from = min(from, waiting.message.sequence) }
        return LaneSummary(id: queues[lane].id, kind: kind, from: from, next: queues[lane].next)
    }

    /// Carries out an errand on those messages of a page that `selector` selects, at most on `most`.
    /// Errors: a target that cannot be, no room on the disk; then nothing is done.
    public mutating func run(
        _ errand: Errand, on page: ErrandPage, where selector: Selector?, most: UInt64, into effects: inout Effects
    ) throws(Refusal) -> ErrandResult {
        var result = ErrandResult(resumeAt: page.resumeAt)
        try check(errand)
        guard let found = queueByID[page.lane] else { return result }
        let lane = Int(found)
        if let selector, !page.messages.contains(where: { Self.selects(selector, $0) }) { return result }
        guard let place = try place(for: errand, from: Int(queues[lane].parent), into: &effects) else { return result }
        let there = Whereabouts(queues[lane], page)
        // As long as nothing is left behind, the lane just begins later.
        var isFront = page.from <= queues[lane].coldFrom
        var taken: Set<UInt64> = []
        for message in page.messages {
            guard result.done < most else {
                result.resumeAt = message.sequence
                isFront = false
                break
            }
            let isApart = there.isApart(message.sequence)
            let isCold = !isApart && message.sequence >= queues[lane].coldFrom
            if Self.selects(selector, message), isApart || isUntouched(message.sequence, in: lane, there) {
                do throws(Refusal) {
                    if try put(message, place, from: lane, into: &effects) {
                        if isApart { taken.insert(message.sequence) }
                        takeOut(message, of: lane, isApart: isApart, isFront: isFront)
                        result.done += 1
                        continue
                    }
                } catch {
                    if result.done == 0 { throw error }
                    result.resumeAt = message.sequence
                    isFront = false
                    break
                }
                result.skipped += 1
            }
            if isCold { isFront = false }
        }
        if !taken.isEmpty {
            queues[lane].rare.waiting.remove(taken)
            queues[lane].returned.remove(taken)
        }
        if isFront, page.resumeAt > queues[lane].coldFrom { queues[lane].coldFrom = page.resumeAt }
        queues[lane].dropGaps()
        queues[lane].pageOutstanding = false
        queues[lane].pageEpoch &+= 1
        proceed(lane, into: &effects)
        seal(into: &effects)
        return result
    }

    private static func selects(_ selector: Selector?, _ message: PageMessage) -> Bool {
        selects(selector, message.content.bytes, headerBytes: message.headerBytes)
    }

    /// The messages of a page that are not just in their lane's order.
    private struct Whereabouts {
        private var apart: Set<UInt64> = []
        /// They are on their way already.
        let dead: Set<UInt64>

        init(_ lane: QueueState, _ page: ErrandPage) {
            let range = page.from..<max(page.from, page.resumeAt)
            for back in lane.returned.all where range.contains(back.sequence) { apart.insert(back.sequence) }
            for waiting in lane.rare.waiting.messages where range.contains(waiting.message.sequence) {
                apart.insert(waiting.message.sequence)
            }
            dead = Set(lane.rare.dead.map(\.sequence))
        }

        /// Came back, or waits.
        func isApart(_ sequence: UInt64) -> Bool { apart.contains(sequence) }
    }

    private func isUntouched(_ sequence: UInt64, in lane: Int, _ there: Whereabouts) -> Bool {
        sequence >= queues[lane].front && sequence < queues[lane].next && !queues[lane].rare.taken.contains(sequence)
            && !there.dead.contains(sequence)
    }

    private mutating func takeOut(_ message: PageMessage, of lane: Int, isApart: Bool, isFront: Bool) {
        let sequence = message.sequence
        if !isApart, isFront, sequence >= queues[lane].coldFrom {
            queues[lane].coldCount -= min(1, queues[lane].coldCount)
            queues[lane].coldFrom = sequence + 1
        } else if !isApart {
            _ = queues[lane].takeOut(sequence)
        }
        queues[lane].attempts[sequence] = nil
        queues[lane].bytes &-= UInt64(message.content.count)
        settle(queues[lane].id, sequence, bytes: message.content.count)
    }

    // MARK: Where to

    private enum Place {
        case away
        case queue(Int)
        /// Where each message says.
        case origin
    }

    private func check(_ errand: Errand) throws(Refusal) {
        if case .purge = errand { return }
        if case .move(let target) = errand { _ = try storedName(target) }
        if let diskShort { throw Refusal(.diskShort, diskShort) }
    }

    /// Nil if messages would go where they are.
    private mutating func place(
        for errand: Errand, from index: Int, into effects: inout Effects
    ) throws(Refusal) -> Place? {
        switch errand {
        case .purge: return .away
        case .retry: return .origin
        case .move(let target):
            let target = try queue(named: try storedName(target), into: &effects)
            return target == index ? nil : .queue(target)
        }
    }

    /// Writes a message to where it goes. False, and nothing is done, if it can go nowhere.
    private mutating func put(
        _ message: PageMessage, _ place: Place, from lane: Int, into effects: inout Effects
    ) throws(Refusal) -> Bool {
        switch place {
        case .away:
            makeRoom(for: 0, into: &effects)
            return true
        case .queue(let target):
            let stamps =
                message.flags & MessageFlags.stamped == 0
                ? StoredHead.Stamps() : StoredHead.stamps(of: message.content.bytes)
            let due = stamps.deliverAt > now.wall ? stamps.deliverAt : 0
            return try write(
                message, to: target, name: queues[target].name, due: due, expires: stamps.expires,
                cutting: stamps.bytes, dropping: [], into: &effects)
        case .origin:
            guard let (target, name) = try origin(of: message, from: lane, into: &effects) else { return false }
            // A new life begins, as long as the queue allows.
            let life = queues[target].settings.value.timeToLive
            let (end, overflow) = now.wall.addingReportingOverflow(life)
            return try write(
                message, to: target, name: name, due: 0, expires: life == 0 || overflow ? 0 : end, cutting: 0,
                dropping: Self.deadLetterHeaders, into: &effects)
        }
    }

    /// The queue that a dead letter comes from, and the destination it was sent to.
    private mutating func origin(
        of message: PageMessage, from lane: Int, into effects: inout Effects
    ) throws(Refusal) -> (index: Int, name: [UInt8])? {
        let head = Bytes(rebasing: message.content.bytes.prefix(Int(message.headerBytes)))
        guard let name = StoredHead.value(of: ["original-destination"], in: head), name != queues[lane].name else {
            return nil
        }
        let destination = name.withUnsafeBufferPointer { try? Destination($0) }
        switch destination?.kind {
        case .queue?:
            let index = try queue(named: name, into: &effects)
            return index == Int(queues[lane].parent) ? nil : (index, name)
        case .durable?:
            guard let found = queueByName[name], let binding = queues[Int(found)].rare.note.binding else { return nil }
            let isPattern = (try? TopicPattern(binding.topic))?.hasWildcard ?? true
            return (Int(found), isPattern ? name : binding.topic)
        default: return nil
        }
    }

    private mutating func write(
        _ message: PageMessage, to index: Int, name: [UInt8], due: UInt64, expires: UInt64, cutting: Int,
        dropping: [StaticString], into effects: inout Effects
    ) throws(Refusal) -> Bool {
        let content = Bytes(rebasing: message.content.bytes.dropFirst(cutting))
        let headerBytes = message.headerBytes - UInt32(min(cutting, Int(message.headerBytes)))
        let head = Bytes(rebasing: content.prefix(Int(headerBytes)))
        let stamps = StoredHead.stamps(deliverAt: due, expires: expires)
        let isNamed = StoredHead.value(of: ["destination"], in: head) != nil
        let (moved, movedHead) = StoredHead.rewritten(
            content, headerBytes: headerBytes, adding: stamps + (isNamed ? StoredHead.line("destination", name) : []),
            dropping: dropping + ["destination"])
        guard moved.count <= Batch.payloadLimit else { return false }
        makeRoom(for: moved.count + Self.laneNameBytes, records: 4, into: &effects)
        let kind: Lane =
            due > 0
            ? .delayed(DelayBucket.holding(due: due, now: now.wall))
            : moved.withUnsafeBufferPointer { Self.laneKind(of: $0, movedHead) }
        let lane = try self.lane(kind, of: index, into: &effects)
        let (slice, offset) = moved.withUnsafeBufferPointer { keep($0) }
        let flags = message.flags & ~MessageFlags.stamped | (stamps.isEmpty ? 0 : MessageFlags.stamped)
        append(slice, count: slice.count, offset: offset, headerBytes: movedHead, flags: flags, to: lane)
        return true
    }
}
