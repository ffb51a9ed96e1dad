import Base

/// Somebody looks at what a queue holds and takes nothing.
///
/// All that was there at SUBSCRIBE is shown in the order of delivery, lane by lane, by pages from storage: what
/// consumers hold too, and what waits for its next delivery, but not what is not due yet. No state of the queue
/// changes. A lane ends early where storage has not got the rest yet.
struct Browser: Sendable {
    let selector: Selector?
    let wantsEnd: Bool
    /// Lanes to come, the first of them under way, with the sequence that each ends before.
    var lanes: ArraySlice<(queue: QueueID, end: UInt64)>
    var cursor: UInt64 = 1
    /// Read and not shown yet.
    var page = Deque<PageMessage>()
    var isReading = false
    /// Of the subscription: an answer to an earlier one is thrown away.
    let epoch: UInt32
}

extension Core {
    /// A subscription that is no consumer. Its messages are settled by nobody.
    mutating func startBrowsing(
        _ index: Int32, _ extras: SubscribeExtras, _ selector: Selector?, in queue: Int, into effects: inout Effects
    ) {
        subscriptions[Int(index)].isBrowser = true
        // For good, since it takes none.
        subscriptions[Int(index)].isInTurn = true
        let lanes = queues[queue].rare.lanes.isEmpty ? [queue] : queues[queue].rare.lanes.map { Int($0) }
        browsers[index] = Browser(
            selector: selector, wantsEnd: extras.wantsBrowserEnd,
            lanes: lanes.map { (queue: queues[$0].id, end: queues[$0].next) }[...],
            epoch: UInt32(truncatingIfNeeded: subscriptions[Int(index)].number))
        browse(index, into: &effects)
    }

    /// Shows as much as the client has room for.
    mutating func browse(_ index: Int32, into effects: inout Effects) {
        guard var browser = browsers.removeValue(forKey: index) else { return }
        let session = Int(subscriptions[Int(index)].session.index)
        while true {
            guard sessions[session].unflushed < limits.unflushedBytes else {
                sessions[session].isHeldUp = true
                break
            }
            if let message = browser.page.popFirst() {
                show(message, of: browser.lanes.first?.queue, to: Int(index), into: &effects)
            } else if let lane = browser.lanes.first, browser.cursor < lane.end {
                if !browser.isReading {
                    browser.isReading = true
                    effects.pages.append(
                        PageWanted(
                            queue: lane.queue, from: browser.cursor, maxCount: limits.pageCount,
                            maxBytes: limits.pageBytes, epoch: browser.epoch, purpose: .browse(index)))
                }
                break
            } else if browser.lanes.popFirst() != nil {
                browser.cursor = 1
            } else {
                if browser.wantsEnd { showEnd(to: Int(index), into: &effects) }
                return
            }
        }
        browsers[index] = browser
    }

    /// A page that a browser wanted has come.
    mutating func browsed(_ index: Int32, _ wanted: PageWanted, _ page: LanePage, into effects: inout Effects) {
        guard var browser = browsers[index], browser.epoch == wanted.epoch, browser.isReading,
            let lane = browser.lanes.first
        else { return }
        browser.isReading = false
        for message in page.messages where message.sequence < lane.end {
            if message.flags & MessageFlags.stamped != 0, isExpired(message.content) { continue }
            let head = UnsafeBufferPointer(rebasing: message.content.bytes.prefix(Int(message.headerBytes)))
            if browser.selector?.matches(head) ?? true { browser.page.append(message) }
        }
        if let failure = page.failure {
            let name = queues[Int(subscriptions[Int(index)].queue)].name
            effects.reports.append(.queueUnreadable(name: name, reason: failure))
        }
        // Nothing more can be read: the rest is not on disk yet, or the lane is gone.
        let isOver = page.failure != nil || page.resumeAt <= wanted.from
        browser.cursor = isOver ? lane.end : page.resumeAt
        browsers[index] = browser
        browse(index, into: &effects)
    }

    /// A session has room again.
    mutating func resumeBrowsers(of subscriptions: [Int32], into effects: inout Effects) {
        for index in subscriptions where browsers[index] != nil { browse(index, into: &effects) }
    }

    private mutating func show(
        _ message: PageMessage, of queue: QueueID?, to index: Int, into effects: inout Effects
    ) {
        show(
            message.content, headerBytes: message.headerBytes, queue: queue?.rawValue ?? 0,
            sequence: message.sequence, to: index, into: &effects)
    }

    /// No message has the sequence 0.
    private mutating func showEnd(to index: Int, into effects: inout Effects) {
        let queue = Int(subscriptions[index].queue)
        var head = StoredHead.line("destination", queues[queue].name)
        head += StoredHead.line("browser", "end".utf8)
        head += StoredHead.line("content-length", "0".utf8)
        head.append(0x0A)
        let content = [0].withUnsafeBufferPointer { matches.append(head, $0) }
        show(
            content, headerBytes: UInt32(head.count), queue: queues[queue].id.rawValue, sequence: 0, to: index,
            into: &effects)
    }

    private mutating func show(
        _ content: Slice, headerBytes: UInt32, queue: UInt32, sequence: UInt64, to index: Int,
        into effects: inout Effects
    ) {
        let tag = subscriptions[index].nextTag
        subscriptions[index].nextTag = tag &+ 1
        subscriptions[index].firstTag = tag &+ 1
        subscriptions[index].deliveredTotal &+= 1
        let session = Int(subscriptions[index].session.index)
        sessions[session].unflushed &+= Int(content.count) &+ 128
        let address = sessions[session].address
        effects.hasDeliveries = true
        effects.deliveries[address.loop].append(
            Delivery(
                connection: address.connection, slot: subscriptions[index].slot, count: 1, tag: tag, queue: queue,
                headerBytes: headerBytes, sequence: sequence, content: content))
    }

    func isBrowsed(_ index: Int) -> Bool {
        subscriptions.contains { $0.isBrowser && !$0.isFree && Int($0.queue) == index }
    }
}
