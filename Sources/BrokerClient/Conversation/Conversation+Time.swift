import Base

extension Conversation {
    /// Time has passed. Deadlines of calls are kept in no order: this looks at all of them, but only when the
    /// earliest one set since the last look is due.
    mutating func tick(at now: Instant) {
        self.now = now
        forgetWake()
        if let due, due <= now { phaseTimedOut() }
        expireRequests()
        beat()
        wakeBy(due)
        for request in requests.values { wakeBy(request.deadline) }
        wakeBy(heart.next)
    }

    /// The caller's task was cancelled, or does not want to wait any longer.
    mutating func cancel(_ id: RequestID, at now: Instant) {
        self.now = now
        abandon(id, .cancelled)
    }

    private mutating func phaseTimedOut() {
        due = nil
        switch phase {
        case .dialing, .loggingIn, .restoring:
            broke(.connectTimedOut(address: settings.addresses[address]))
        case .resting: dial()
        case .closing: hangUpAndEnd(nil, closersGet: .timedOut)
        case .idle, .ready, .closed: break
        }
    }

    private mutating func expireRequests() {
        let late = requests.filter { $0.value.deadline.map { $0 <= now } ?? false }
        for id in late.keys.sorted() { abandon(id, .timedOut) }
    }

    private mutating func beat() {
        if heart.isSilent(at: now) {
            broke(.connectionLost(.silence(milliseconds: heart.tolerance ?? 0)))
        } else if heart.mustSpeak(at: now) {
            heart.spoke(at: now)
            add(.heartBeat)
        }
    }

    /// Nobody waits for this one any more; what was said cannot be unsaid.
    private mutating func abandon(_ id: RequestID, _ error: ClientError) {
        guard let request = requests[id] else { return }
        switch request.purpose {
        case .connect:
            fail(id, error)
            hangUpAndEnd(error)
        case .subscribe(let subscription):
            fail(id, error)
            forget(subscription)
            restored(id)
        case .close:
            closers.removeAll { $0 == id }
            fail(id, error)
        case .commit(let transaction):
            transactions[transaction] = nil
            fail(id, error)
        case .send, .batch, .post, .begin, .sendInTransaction:
            fail(id, error)
            sweepWaiting()
            admit()
        case .next(let subscription):
            fail(id, error)
            forgetConsumer(id, of: subscription)
        case .ask(let ask):
            abandonAsk(id, ask, error)
        case .unsubscribe, .settle, .restore, .replyChannel:
            fail(id, error)
        }
    }

    private mutating func forgetConsumer(_ id: RequestID, of subscription: SubscriptionID) {
        guard let consumers = subscriptions[subscription]?.consumers else { return }
        var kept = Deque<RequestID>()
        for index in 0..<consumers.count where consumers[index] != id { kept.append(consumers[index]) }
        subscriptions[subscription]?.consumers = kept
    }

    /// Cancelled sends leave their numbers behind; when most are such, they are swept out.
    private mutating func sweepWaiting() {
        guard waiting.count > 64, waiting.count > 2 * requests.count else { return }
        var kept = Deque<RequestID>()
        while let id = waiting.popFirst() {
            if requests[id] != nil { kept.append(id) }
        }
        waiting = kept
    }
}
