import Base
import STOMP

/// A SEND that wants replies.
struct Ask: Sendable {
    /// As it is sent, but for `ttl`.
    var frame: Frame
    /// Replies after which it is answered.
    var atMost = 1
    /// Those whose replies are awaited, by `replied-by`: answered when all have spoken. Empty: nobody in particular.
    var expected: Set<String> = []
    /// Answered with what came, be it nothing, instead of an error.
    var isGathering = false
    /// Written to the present connection: it counts among those in flight.
    var isInFlight = false
}

/// What the conversation knows of all its asks together.
struct AskBook {
    /// Asks that were not written yet. Some may be gone by now.
    var waiting = Deque<RequestID>()
    var inFlight = 0
    /// Of those that gather, or expect more than one reply.
    var collected: [RequestID: [Delivery]] = [:]
    /// The connection that has the reply channel.
    var channelLink: LinkNumber?
    var lateReplies: UInt64 = 0
    var unknownReplies: UInt64 = 0
}

extension SubscriptionID {
    /// The reply channel. No caller brings this number.
    static let replies = SubscriptionID(number: 0)
}

/// Requests and their replies: one reply channel for all, made anew on each connection, and `correlation-id` to tell
/// replies apart. The channel dies with its connection, and so do the requests that were written to it.
extension Conversation {
    static let replyChannel = "/temp-queue/replies"
    /// A year, in milliseconds: who waits longer waits for ever, and brokers have limits for numbers.
    static let longestLife: UInt64 = 31_536_000_000

    mutating func ask(_ ask: Ask, as id: RequestID, deadline: Instant, at now: Instant) {
        self.now = now
        var ask = ask
        ask.frame = ask.frame.with(receipt: id)
        ask.frame.add("reply-to", Self.replyChannel)
        ask.frame.add("correlation-id", correlationID(id))
        requests[id] = Request(.ask(ask), deadline: deadline)
        if let finalError { return fail(id, finalError) }
        if settings.failsWhenBusy, asksUnderWay >= settings.requestsInFlight {
            return fail(id, .tooManyRequests(limit: settings.requestsInFlight))
        }
        wakeBy(deadline)
        asks.waiting.append(id)
        admitAsks()
    }

    /// Written or waiting, this one not counted.
    private var asksUnderWay: Int {
        var count = asks.inFlight
        for index in 0..<asks.waiting.count where requests[asks.waiting[index]] != nil { count += 1 }
        return count
    }

    /// Begins with what is different for every client in the world: a reply that strays finds nobody.
    private func correlationID(_ id: RequestID) -> String { "\(settings.identity)-\(id.number)" }

    // MARK: Out

    /// Lets those out that wait, in order, as far as the limit allows.
    mutating func admitAsks() {
        while case .ready = phase, !isCongested, asks.inFlight < settings.requestsInFlight,
            let id = asks.waiting.popFirst()
        {
            guard let request = requests[id], case .ask(var ask) = request.purpose else { continue }
            makeReplyChannel()
            ask.isInFlight = true
            requests[id]?.purpose = .ask(ask)
            asks.inFlight += 1
            var frame = ask.frame
            if let deadline = request.deadline {
                // A length of time and no date: the clocks of both sides need not agree.
                frame.add("ttl", String(min(max(1, deadline.milliseconds(since: now)), Self.longestLife)))
            }
            transmit(frame)
        }
    }

    private mutating func makeReplyChannel() {
        guard asks.channelLink != link else { return }
        asks.channelLink = link
        let frame = Frame(
            .subscribe,
            ["destination": Self.replyChannel, "id": String(SubscriptionID.replies.number), "ack": "auto"])
        transmit(frame.with(receipt: ownRequest(.replyChannel)))
    }

    // MARK: In

    /// A message on the reply channel. Nothing of it is kept if nobody waits for it.
    mutating func receivedReply(_ message: MessageFrame) {
        guard let id = asker(of: message) else { return }
        guard let request = requests[id], case .ask(let ask) = request.purpose, ask.isInFlight else {
            asks.lateReplies += 1
            return tell(.strayReply(isLate: true))
        }
        asks.collected[id, default: []].append(delivery(message, .replies))
        let replies = asks.collected[id] ?? []
        let isComplete = replies.count >= ask.atMost || ask.hasHeardAll(in: replies)
        if isComplete { succeed(id, .replies(replies, .complete)) }
        admitAsks()
    }

    private mutating func asker(of message: MessageFrame) -> RequestID? {
        let prefix = settings.identity + "-"
        guard let correlation = message["correlation-id"], correlation.hasPrefix(prefix),
            let number = UInt64(correlation.dropFirst(prefix.count))
        else {
            asks.unknownReplies += 1
            tell(.strayReply(isLate: false))
            return nil
        }
        return RequestID(number: number)
    }

    // MARK: The end

    /// Nobody will answer this one on this connection any more.
    mutating func loseAsk(_ id: RequestID, _ ask: Ask) {
        guard ask.isInFlight else { return }
        if ask.isGathering {
            succeed(id, .replies(asks.collected[id] ?? [], .connectionLost(lastLoss)))
        } else {
            fail(id, .outcomeUnknown)
        }
    }

    mutating func abandonAsk(_ id: RequestID, _ ask: Ask, _ error: ClientError) {
        if ask.isGathering, ask.isInFlight, error == .timedOut {
            succeed(id, .replies(asks.collected[id] ?? [], .timedOut))
        } else {
            fail(id, error)
        }
        sweepWaitingAsks()
        admitAsks()
    }

    /// The broker gives this connection no reply channel: no request on it can be answered.
    mutating func refuseReplyChannel(_ error: BrokerError) {
        for (id, request) in requests.sorted(by: { $0.key < $1.key }) {
            if case .ask(let ask) = request.purpose, ask.isInFlight { fail(id, .refused(error)) }
        }
    }

    /// Called for every ask, however it ends.
    mutating func forgetAsk(_ id: RequestID, _ ask: Ask) {
        if ask.isInFlight { asks.inFlight -= 1 }
        asks.collected[id] = nil
    }

    /// Cancelled ones leave their numbers behind; when most are such, they are swept out.
    private mutating func sweepWaitingAsks() {
        guard asks.waiting.count > 64, asks.waiting.count > 2 * requests.count else { return }
        var kept = Deque<RequestID>()
        while let id = asks.waiting.popFirst() {
            if requests[id] != nil { kept.append(id) }
        }
        asks.waiting = kept
    }
}

extension Ask {
    fileprivate func hasHeardAll(in replies: [Delivery]) -> Bool {
        !expected.isEmpty && expected.isSubset(of: replies.compactMap { $0.frame["replied-by"] })
    }
}
