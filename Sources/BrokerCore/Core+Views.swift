import Base

/// Consumers of a queue with a selector: they take what they select from between the others.
///
/// A selector looks at each message of each lane once (`LaneView`): through the window, and behind it by
/// pages from storage, which is bounded by what `matched` may hold. What consumers without a selector leave in
/// front stays there, and is not looked at again. One question to the state of the lane, `isAvailable`, tells
/// whether what was found is still there, so views need not be told who takes what.
extension Core {
    func hasPlainConsumers(_ index: Int) -> Bool {
        queues[index].rare.selectors.reduce(0) { $0 + $1.consumers.count } < queues[index].consumers.count
    }

    // MARK: Consumers

    /// A subscription of the queue at `index` is to get what `selector` takes.
    mutating func look(with consumer: Int32, for selector: Selector, in index: Int) {
        subscriptions[Int(consumer)].isSelective = true
        // It stands in the turn of its selector for good.
        subscriptions[Int(consumer)].isInTurn = true
        if let at = queues[index].rare.selectors.firstIndex(where: { $0.selector == selector }) {
            queues[index].rare.selectors[at].consumers.append(consumer)
            return
        }
        queues[index].rare.selectors.append(SelectiveConsumers(selector: selector, consumers: [consumer]))
        for lane in servedLanes(of: index) {
            queues[lane].returned.isIndexed = true
            var view = LaneView()
            view.cursor = queues[lane].front
            for back in queues[lane].returned.all { view.again.insert(back.sequence) }
            queues[lane].rare.views.append(view)
        }
    }

    mutating func stopLooking(_ consumer: Int32, in index: Int) {
        guard let at = queues[index].rare.selectors.firstIndex(where: { $0.consumers.contains(consumer) }) else {
            return
        }
        queues[index].rare.selectors[at].consumers.removeAll { $0 == consumer }
        guard queues[index].rare.selectors[at].consumers.isEmpty else { return }
        queues[index].rare.selectors.remove(at: at)
        for lane in servedLanes(of: index) {
            queues[lane].rare.views.remove(at: at)
            if queues[lane].rare.views.isEmpty { queues[lane].returned.isIndexed = false }
        }
    }

    private func servedLanes(of index: Int) -> [Int] {
        queues[index].rare.lanes.isEmpty ? [index] : queues[index].rare.lanes.map { Int($0) }
    }

    // MARK: Delivery

    /// Those who take everything and those who select are first by turns: a message that both want goes to
    /// the one or the other, and neither waits for ever.
    mutating func serveAll(of index: Int, into effects: inout Effects) {
        let selectorsGoFirst = queues[index].rare.selectorsGoFirst
        queues[index].rare.selectorsGoFirst = !selectorsGoFirst
        if !selectorsGoFirst { serve(of: index, into: &effects) }
        let count = queues[index].rare.selectors.count
        queues[index].rare.turnOfSelectors = (queues[index].rare.turnOfSelectors + 1) % count
        let first = queues[index].rare.turnOfSelectors
        for offset in 0..<count { serve(of: index, view: (first + offset) % count, into: &effects) }
        if selectorsGoFirst { serve(of: index, into: &effects) }
    }

    /// Gives the consumers of one selector what they may have of one lane.
    mutating func serve(_ lane: Int, of index: Int, view: Int, into effects: inout Effects) -> Served {
        while true {
            guard let consumer = nextConsumer(lane, of: index, view: view) else {
                return queues[lane].isGroup || queues[lane].rare.waitingCount >= limits.waitingCount
                    ? .nothing : .noCredit
            }
            switch nextMatch(lane, of: index, view: view, into: &effects) {
            case .found(let found, let content):
                if queues[lane].isGroup { hold(lane, by: consumer) }
                passTurn(of: consumer, index, view)
                deliver(
                    content, headerBytes: found.headerBytes, flags: found.flags, sequence: found.sequence,
                    count: found.count &+ 1, from: lane, to: Int(consumer), into: &effects)
            case .reading: return .reading
            case .nothing: return .nothing
            }
        }
    }

    private mutating func nextConsumer(_ lane: Int, of index: Int, view: Int) -> Int32? {
        if queues[lane].rare.waitingCount >= limits.waitingCount || queues[index].rare.isDeliveryPaused { return nil }
        let consumers = queues[index].rare.selectors[view].consumers
        if queues[lane].isGroup {
            // As in `groupConsumer`: a group goes over when its consumer has nothing of it any more.
            if !queues[lane].rare.waiting.isEmpty || !queues[lane].rare.dead.isEmpty { return nil }
            let holder = queues[lane].holder
            if queues[lane].inFlight > 0 {
                return consumers.contains(holder) && mayDeliver(to: Int(holder)) ? holder : nil
            }
        }
        if let only = onlyConsumer(of: index) {
            return consumers.contains(only) && mayDeliver(to: Int(only)) ? only : nil
        }
        let first = queues[index].rare.selectors[view].turn
        for offset in 0..<consumers.count {
            let consumer = consumers[(first + offset) % consumers.count]
            if mayDeliver(to: Int(consumer)) { return consumer }
        }
        return nil
    }

    private mutating func passTurn(of consumer: Int32, _ index: Int, _ view: Int) {
        let consumers = queues[index].rare.selectors[view].consumers
        guard consumers.count > 1, let at = consumers.firstIndex(of: consumer) else { return }
        queues[index].rare.selectors[view].turn = (at + 1) % consumers.count
    }

    // MARK: The next one

    private enum Match {
        /// It is taken out of its lane; somebody must get it.
        case found(Returned, Slice)
        case reading
        case nothing
    }

    /// The lowest message of a lane that a selector takes.
    private mutating func nextMatch(
        _ lane: Int, of index: Int, view at: Int, into effects: inout Effects
    ) -> Match {
        let selector = queues[index].rare.selectors[at].selector
        while true {
            queues[lane].rare.views[at].cursor = max(queues[lane].rare.views[at].cursor, queues[lane].front)
            if let again = queues[lane].rare.views[at].again.lowest, again < queues[lane].rare.views[at].cursor,
                queues[lane].rare.views[at].matched.all.first.map({ again < $0.sequence }) ?? true
            {
                guard queues[lane].isAvailable(again) else {
                    queues[lane].rare.views[at].again.popLowest()
                    continue
                }
                guard let back = queues[lane].returned[again], let content = back.content else {
                    wantPage(from: again, of: lane, view: at, into: &effects)
                    return .reading
                }
                queues[lane].rare.views[at].again.popLowest()
                if let found = take(back, content, selector, from: lane, into: &effects) { return found }
                continue
            }
            if let message = queues[lane].rare.views[at].popMatched() {
                readAhead(lane, view: at, into: &effects)
                guard queues[lane].isAvailable(message.sequence), let content = message.content else { continue }
                if let found = take(message, content, nil, from: lane, into: &effects) { return found }
                continue
            }
            if queues[lane].rare.views[at].cursor < queues[lane].coldFrom {
                guard let found = nextInWindow(lane, view: at, selector, into: &effects) else { continue }
                return found
            }
            if queues[lane].coldCount > 0, queues[lane].rare.views[at].cursor < queues[lane].next {
                wantPage(from: queues[lane].rare.views[at].cursor, of: lane, view: at, into: &effects)
                return .reading
            }
            // All is looked at but for what others have taken and given back since.
            guard let again = queues[lane].rare.views[at].again.lowest else { return .nothing }
            queues[lane].rare.views[at].cursor = max(queues[lane].rare.views[at].cursor, again + 1)
        }
    }

    /// Takes out a message that is available, if `selector` (nil: it was asked) wants it. Nil if not, or if the
    /// time of the message is over.
    private mutating func take(
        _ message: Returned, _ content: Slice, _ selector: Selector?, from lane: Int, into effects: inout Effects
    ) -> Match? {
        if expireFromView(message, content, in: lane, into: &effects) { return nil }
        if let selector, !selects(selector, content, message.headerBytes) { return nil }
        var found = message
        found.count = queues[lane].takeOut(message.sequence)
        return .found(found, content)
    }

    private func selects(_ selector: Selector, _ content: Slice, _ headerBytes: UInt32) -> Bool {
        selector.matches(UnsafeBufferPointer(rebasing: content.bytes.prefix(Int(headerBytes))))
    }

    private mutating func expireFromView(
        _ message: Returned, _ content: Slice, in lane: Int, into effects: inout Effects
    ) -> Bool {
        guard message.flags & MessageFlags.stamped != 0, isExpired(content) else { return false }
        let count = queues[lane].takeOut(message.sequence)
        expire(
            content, headerBytes: message.headerBytes, sequence: message.sequence, count: count, in: lane,
            into: &effects)
        return true
    }

    /// Looks on through the window. Nil: the view has moved on and must look what comes next.
    private mutating func nextInWindow(
        _ lane: Int, view at: Int, _ selector: Selector, into effects: inout Effects
    ) -> Match? {
        let again = queues[lane].rare.views[at].again.lowest ?? .max
        var position = queues[lane].position(from: queues[lane].rare.views[at].cursor)
        while position < queues[lane].window.count {
            let entry = queues[lane].window[position]
            if entry.sequence > again {
                queues[lane].rare.views[at].cursor = entry.sequence
                return nil
            }
            if entry.batch > durableThrough {
                queues[lane].rare.views[at].cursor = entry.sequence
                return .nothing
            }
            position += 1
            if entry.isGap { continue }
            let isStamped = entry.flags & MessageFlags.stamped != 0
            guard isStamped || selects(selector, entry.content, entry.headerBytes) else { continue }
            queues[lane].rare.views[at].cursor = entry.sequence + 1
            let message = Returned(
                sequence: entry.sequence, bytes: entry.content.count, count: 0, headerBytes: entry.headerBytes,
                content: nil, flags: entry.flags)
            // After an end of life the positions are others.
            return take(message, entry.content, selector, from: lane, into: &effects)
        }
        queues[lane].rare.views[at].cursor = queues[lane].coldFrom
        return nil
    }
}
