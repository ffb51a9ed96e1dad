import Base

/// Pages that selectors look through.
extension Core {
    /// Asks for a page, if no other selector has asked for the same one: an answer is for all.
    mutating func wantPage(from: UInt64, of lane: Int, view at: Int, into effects: inout Effects) {
        let view = queues[lane].rare.views[at]
        guard view.reading == nil, !view.isUnreadable else { return }
        if let empty = view.empty, empty.from == from, empty.durable == durableThrough { return }
        for other in queues[lane].rare.views.indices where queues[lane].rare.views[other].reading == from { return }
        queues[lane].rare.views[at].reading = from
        queues[lane].rare.views[at].askedAt = durableThrough
        effects.pages.append(
            PageWanted(
                queue: queues[lane].id, from: from, maxCount: limits.pageCount, maxBytes: limits.pageBytes,
                epoch: queues[lane].generation, purpose: .view))
    }

    /// The next page may come while what was found in the last is worked on.
    mutating func readAhead(_ lane: Int, view at: Int, into effects: inout Effects) {
        guard queues[lane].coldCount > 0, hasRoom(lane, view: at) else { return }
        let cursor = queues[lane].rare.views[at].cursor
        guard cursor >= queues[lane].coldFrom, cursor < queues[lane].next else { return }
        wantPage(from: cursor, of: lane, view: at, into: &effects)
    }

    /// A view holds half a page and one more at most.
    private func hasRoom(_ lane: Int, view at: Int) -> Bool {
        queues[lane].rare.views[at].matched.count <= limits.pageCount / 2
            && queues[lane].rare.views[at].matchedBytes <= limits.pageBytes / 2
    }

    /// A page that a view wanted has come.
    mutating func viewed(_ lane: Int, from: UInt64, _ page: LanePage, into effects: inout Effects) {
        let index = Int(queues[lane].parent)
        for at in queues[lane].rare.views.indices {
            let isAsker = queues[lane].rare.views[at].reading == from
            if isAsker { queues[lane].rare.views[at].reading = nil }
            if isAsker || hasRoom(lane, view: at) {
                look(
                    through: page, from: from, of: lane, view: at, queues[index].rare.selectors[at].selector,
                    into: &effects)
            }
            if isAsker { note(page, from: from, of: lane, view: at, into: &effects) }
        }
        bury(lane, into: &effects)
        dispatch(lane, into: &effects)
    }

    private mutating func note(
        _ page: LanePage, from: UInt64, of lane: Int, view at: Int, into effects: inout Effects
    ) {
        if let failure = page.failure {
            queues[lane].rare.views[at].isUnreadable = true
            return fail(lane, failure, into: &effects)
        }
        queues[lane].rare.failure = nil
        guard page.resumeAt <= from, queues[lane].rare.views[at].askedAt == durableThrough else { return }
        queues[lane].rare.views[at].empty = (from, durableThrough)
        if queues[lane].awaitedBatch <= durableThrough, queues[lane].isAvailable(from) {
            queues[lane].rare.views[at].isUnreadable = true
            missing(from, in: lane, into: &effects)
        }
    }

    private mutating func look(
        through page: LanePage, from: UInt64, of lane: Int, view at: Int, _ selector: Selector,
        into effects: inout Effects
    ) {
        let before = queues[lane].rare.views[at].cursor
        let isNext = from <= before && before < page.resumeAt
        var aside: [UInt64] = []
        var position = 0
        while let again = queues[lane].rare.views[at].again.lowest,
            again < (isNext ? page.resumeAt : min(before, page.resumeAt))
        {
            queues[lane].rare.views[at].again.popLowest()
            if again < from {
                aside.append(again)
                continue
            }
            // What lies behind the cursor comes below.
            if again >= before { continue }
            while position < page.messages.count, page.messages[position].sequence < again { position += 1 }
            if position < page.messages.count, page.messages[position].sequence == again {
                consider(page.messages[position], of: lane, view: at, selector, into: &effects)
            } else if queues[lane].returned.contains(again) {
                missing(again, in: lane, into: &effects)
            }
        }
        for sequence in aside { queues[lane].rare.views[at].again.insert(sequence) }
        guard isNext else { return }
        for message in page.messages where message.sequence >= before {
            consider(message, of: lane, view: at, selector, into: &effects)
        }
        queues[lane].rare.views[at].cursor = page.resumeAt
    }

    /// Looks at one message of a page.
    private mutating func consider(
        _ message: PageMessage, of lane: Int, view at: Int, _ selector: Selector, into effects: inout Effects
    ) {
        let sequence = message.sequence
        guard queues[lane].isAvailable(sequence) else { return }
        if sequence >= queues[lane].coldFrom, let attempt = queues[lane].attempts[sequence],
            setAside(message, attempt, in: lane)
        {
            _ = queues[lane].takeOut(sequence)
            return
        }
        if message.flags & MessageFlags.stamped != 0, isExpired(message.content) {
            let count = queues[lane].takeOut(sequence)
            return expire(
                message.content, headerBytes: message.headerBytes, sequence: sequence, count: count, in: lane,
                into: &effects)
        }
        let head = UnsafeBufferPointer(rebasing: message.content.bytes.prefix(Int(message.headerBytes)))
        guard selector.matches(head) else { return }
        queues[lane].rare.views[at].keep(
            Returned(
                sequence: sequence, bytes: message.content.count, count: 0, headerBytes: message.headerBytes,
                content: keepMatch(message.content), flags: message.flags))
    }

    /// A copy, so that one match does not keep the memory of a whole page.
    private mutating func keepMatch(_ content: Slice) -> Slice {
        content.count <= Chunk.standardCapacity / 4 ? matches.append(content.bytes) : content
    }

    /// Memory is short: what was found can be found again.
    mutating func letMatchesGo() {
        for lane in queues.indices where !queues[lane].rare.views.isEmpty {
            for at in queues[lane].rare.views.indices {
                while let message = queues[lane].rare.views[at].popMatched() {
                    queues[lane].rare.views[at].again.insert(message.sequence)
                }
            }
        }
        matches.drop()
    }
}
