import Base
import BrokerCore
import Storage

/// What operators see of single messages, and do to them: page by page, lane by lane.
extension BrokerBackend {
    /// Messages that one request looks at, at most, and how many and how large at a time.
    private static let lookedAt = 10_000
    private static let pageCount = 1000
    private static let pageBytes = 4 << 20

    private func read(_ request: PageRequest) async -> Page {
        await withCheckedContinuation { continuation in
            broker.storage.read(request) { continuation.resume(returning: $0) }
        }
    }

    private func lanes(of name: String) throws(AdminError) -> [Core.LaneSummary] {
        guard let lanes = broker.look({ $0.laneSummaries(of: Self.full(name)) }) else { throw missing(name) }
        return lanes
    }

    // MARK: Looking

    func browseQueue(named name: String, _ query: BrowseQuery) async throws(AdminError) -> API.MessageList {
        var list = API.MessageList()
        var left = Self.lookedAt
        var bytes = 0
        let lanes = try lanes(of: name)
        let start = Self.start(query.from, in: lanes)
        for lane in lanes where lane.id.rawValue >= start.lane {
            var from = lane.id.rawValue == start.lane ? start.sequence : 0
            while from < lane.next {
                let room = query.limit - list.messages.count
                guard room > 0, left > 0, bytes < BrowseQuery.answerBytes else {
                    list.next = QueuePlace(lane: lane.id.rawValue, sequence: from).description
                    return list
                }
                let page = await read(
                    PageRequest(
                        queue: lane.id, from: from, maxCount: query.selector == nil ? room : Self.pageCount,
                        maxBytes: BrowseQuery.answerBytes))
                if let failure = page.failure, page.messages.isEmpty { throw AdminError(.failed, failure) }
                if page.messages.isEmpty { break }
                left -= page.messages.count
                let fitting = page.messages.filter { Self.fits($0, query.selector) }
                let shown = fitting.prefix(room)
                bytes += shown.reduce(0) { $0 + min(Int($1.content.count), query.bodyBytes) }
                list.messages += texts(of: Array(shown), in: lane, bodyBytes: query.bodyBytes)
                from = shown.count < fitting.count ? fitting[shown.count].sequence : page.resumeAt
            }
        }
        return list
    }

    /// A place without a lane is one of the first.
    private static func start(_ place: QueuePlace?, in lanes: [Core.LaneSummary]) -> QueuePlace {
        var start = place ?? QueuePlace(lane: 0, sequence: 0)
        if start.lane == 0 { start.lane = lanes.first?.id.rawValue ?? 0 }
        return start
    }

    private static func fits(_ message: StoredMessage, _ selector: Selector?) -> Bool {
        guard let selector else { return true }
        return selector.matches(UnsafeBufferPointer(rebasing: message.content.bytes.prefix(Int(message.headerBytes))))
    }

    private func texts(of messages: [StoredMessage], in lane: Core.LaneSummary, bodyBytes: Int) -> [API.Message] {
        guard let first = messages.first?.sequence, let last = messages.last?.sequence else { return [] }
        let known = broker.look { $0.deliveries(in: lane.id, of: first...last) }
        return messages.map { stored in
            var message = StoredMessageText(stored).message(bodyBytes: bodyBytes)
            message.messageID = "\(broker.ids.storeTag)-\(lane.id.rawValue)-\(stored.sequence)"
            message.place = QueuePlace(lane: lane.id.rawValue, sequence: stored.sequence).description
            switch lane.kind {
            case .usual: message.lane = "usual"
            case .priority(let priority): message.lane = "priority \(priority)"
            case .group(let bucket): message.lane = "group \(bucket)"
            case .delayed: message.lane = "delayed"
            }
            message.deliveries = known.counts[stored.sequence] ?? 0
            message.unacked = known.held.contains(stored.sequence)
            if let due = known.due[stored.sequence] { message.notBeforeUnixMilliseconds = due }
            return message
        }
    }

    // MARK: Doing

    func purgeQueue(named name: String, _ choice: MessageChoice) async throws(AdminError) -> API.Purge {
        if choice == MessageChoice() {
            let count = await durably { core, effects in core.purgeQueue(named: Self.full(name), into: &effects) }
            guard let count else { throw missing(name) }
            return API.Purge(messages: count)
        }
        let walk = try await run(.purge, on: name, choice)
        return API.Purge(messages: walk.done, next: walk.next)
    }

    func moveMessages(
        from source: String, to target: String, _ choice: MessageChoice
    ) async throws(AdminError) -> API.Move {
        if source == target { throw AdminError(.invalid, "source and target are the same queue") }
        return try await moved(.move(to: Self.full(target)), from: source, choice)
    }

    func retryMessages(from source: String, _ choice: MessageChoice) async throws(AdminError) -> API.Move {
        try await moved(.retry, from: source, choice)
    }

    private func moved(
        _ errand: Core.Errand, from source: String, _ choice: MessageChoice
    ) async throws(AdminError) -> API.Move {
        let walk = try await run(errand, on: source, choice)
        let view = broker.look { $0.queueView(named: Self.full(source)) }
        let remaining = view.map { $0.messages - min($0.messages, $0.unacknowledged) } ?? 0
        return API.Move(moved: walk.done, skipped: walk.skipped, remaining: remaining, next: walk.next)
    }

    private struct Walk {
        var done: UInt64 = 0
        var skipped: UInt64 = 0
        var next: String?
    }

    /// Looks at a bounded number of messages; what comes meanwhile is left alone, or the end might never come.
    private func run(
        _ errand: Core.Errand, on name: String, _ choice: MessageChoice
    ) async throws(AdminError) -> Walk {
        let lanes = try lanes(of: name)
        let start = Self.start(choice.from, in: lanes)
        let lastLane = max(start.lane, start.lastLane ?? lanes.last?.id.rawValue ?? 0)
        var walk = Walk()
        var left = Self.lookedAt
        for lane in lanes where (start.lane...lastLane).contains(lane.id.rawValue) {
            let isBegun = lane.id.rawValue == start.lane
            let end = isBegun ? min(start.end ?? lane.next, lane.next) : lane.next
            var from = max(isBegun ? start.sequence : 0, lane.from)
            while from < end {
                guard left > 0, walk.done < choice.limit else {
                    walk.next =
                        QueuePlace(
                            lane: lane.id.rawValue, sequence: from, end: end, lastLane: lastLane
                        ).description
                    return walk
                }
                let page = await read(
                    PageRequest(
                        queue: lane.id, from: from, maxCount: min(Self.pageCount, left), maxBytes: Self.pageBytes))
                if let failure = page.failure, page.messages.isEmpty { throw AdminError(.failed, failure) }
                if page.messages.isEmpty { break }
                left -= page.messages.count
                let result = try await run(errand, on: page, choice, most: choice.limit - walk.done)
                walk.done += result.done
                walk.skipped += result.skipped
                from = result.resumeAt
            }
        }
        return walk
    }

    private func run(
        _ errand: Core.Errand, on page: Page, _ choice: MessageChoice, most: UInt64
    ) async throws(AdminError) -> Core.ErrandResult {
        let messages = page.messages.map {
            PageMessage(
                sequence: $0.sequence, headerBytes: $0.headerBytes, content: $0.content, flags: $0.flags)
        }
        let read = Core.ErrandPage(
            lane: page.request.queue, messages: messages, from: page.request.from, resumeAt: page.resumeAt)
        let result = await durably { core, effects -> Result<Core.ErrandResult, Refusal> in
            do throws(Refusal) {
                return .success(
                    try core.run(errand, on: read, where: choice.selector, most: most, into: &effects))
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let result): return result
        case .failure(let refusal):
            throw AdminError(refusal.kind == .tooManyQueues ? .limitReached : .invalid, refusal.detail)
        }
    }
}
