import Base
import STOMP

extension Conversation {
    /// SUBSCRIBE, answered by its RECEIPT. Restored after every reconnect until it is cancelled.
    mutating func subscribe(
        _ id: SubscriptionID, _ record: SubscriptionRecord, as request: RequestID, deadline: Instant,
        at now: Instant
    ) {
        self.now = now
        requests[request] = Request(.subscribe(id), deadline: deadline)
        if let finalError { return fail(request, finalError) }
        wakeBy(deadline)
        subscriptions[id] = record
        if canTransmit { transmit(record.frame.with(receipt: request)) }
    }

    /// UNSUBSCRIBE, answered by its RECEIPT. No message comes out of it from here on; those not acknowledged
    /// go back to their queue.
    mutating func cancel(
        _ id: SubscriptionID, as request: RequestID, deadline: Instant, at now: Instant
    ) {
        self.now = now
        requests[request] = Request(.unsubscribe(id), deadline: deadline)
        guard let record = subscriptions[id], case .active = record.phase, canTransmit else {
            endSubscription(id, nil)
            return succeed(request)
        }
        wakeBy(deadline)
        endSubscription(id, nil)
        transmit(.unsubscribe(id).with(receipt: request))
    }

    /// Nobody holds this subscription any more.
    mutating func forget(_ id: SubscriptionID, at now: Instant) {
        self.now = now
        forget(id)
    }

    mutating func forget(_ id: SubscriptionID) {
        guard let record = subscriptions[id] else { return }
        if record.isOpen, canTransmit { transmit(.unsubscribe(id)) }
        endSubscription(id, nil)
        subscriptions[id] = nil
    }

    mutating func endSubscriptions(_ error: ClientError?) {
        for id in subscriptions.keys.sorted() { endSubscription(id, error) }
    }

    mutating func endSubscription(_ id: SubscriptionID, _ error: ClientError?) {
        guard var record = subscriptions[id], record.isOpen else { return }
        record.phase = .ended(error)
        record.loseDeliveries()
        let consumers = record.consumers
        record.consumers.removeAll()
        subscriptions[id] = record
        for index in 0..<consumers.count {
            if let error { fail(consumers[index], error) } else { succeed(consumers[index], .end) }
        }
        roomFor(id)
    }

    // MARK: Consuming

    /// The next message, if there is one already.
    mutating func take(from id: SubscriptionID, at now: Instant) -> Delivery? {
        self.now = now
        guard let index = subscriptions.index(forKey: id), let delivery = pop(at: index) else { return nil }
        roomFor(id)
        return delivery
    }

    /// Those that there are already, this many at most.
    mutating func take(from id: SubscriptionID, atMost count: Int, at now: Instant) -> [Delivery] {
        self.now = now
        guard let index = subscriptions.index(forKey: id) else { return [] }
        var taken: [Delivery] = []
        taken.reserveCapacity(min(count, with(index) { $0.buffer.count }))
        while taken.count < count, let delivery = pop(at: index) { taken.append(delivery) }
        if !taken.isEmpty { roomFor(id) }
        return taken
    }

    private mutating func pop(at index: SubscriptionIndex) -> Delivery? {
        guard let delivery = with(index, { $0.buffer.popFirst() }) else { return nil }
        handOver(delivery, at: index)
        return delivery
    }

    /// Answered with the next message, or with the end of the subscription.
    mutating func next(from id: SubscriptionID, as request: RequestID, at now: Instant) {
        self.now = now
        requests[request] = Request(.next(id))
        if let delivery = take(from: id, at: now) { return succeed(request, .message(delivery)) }
        switch subscriptions[id]?.phase {
        case .requested, .active: subscriptions[id]?.consumers.append(request)
        case .ended(let error?): fail(request, error)
        case .ended(nil), nil: succeed(request, .end)
        }
    }

    private typealias SubscriptionIndex = [SubscriptionID: SubscriptionRecord].Index

    /// The record in its place: out of a dictionary it would come as a copy, even to be only looked at.
    private mutating func with<Value>(_ index: SubscriptionIndex, _ body: (inout SubscriptionRecord) -> Value) -> Value
    {
        body(&subscriptions.values[index])
    }

    private mutating func handOver(_ delivery: Delivery, at index: SubscriptionIndex) {
        let isAutomatic = with(index) { record in
            record.handedOver(delivery.serial)
            return record.acknowledgement == .automatic
        }
        guard isAutomatic else { return }
        transmit(Settlement(delivery: delivery, verdict: .acknowledge, transaction: nil, request: nil))
    }

    /// A message came. False: its buffer is full and it was not taken. It may come before the RECEIPT of its
    /// SUBSCRIBE, or after the subscription was cancelled; then the broker takes it back.
    mutating func deliver(_ message: MessageFrame) -> Bool {
        let named = message.subscription ?? subscription(of: message)
        if named == .replies {
            receivedReply(message)
            return true
        }
        guard let id = named, let index = subscriptions.index(forKey: id), with(index, { $0.isOpen }) else {
            return true
        }
        while let consumer = with(index, { $0.consumers.popFirst() }) {
            guard requests.index(forKey: consumer) != nil else { continue }
            let delivery = delivery(message, id)
            handOver(delivery, at: index)
            succeed(consumer, .message(delivery))
            return true
        }
        if with(index, { $0.isFull }) {
            overrun = id
            heart.isDeaf = true
            return false
        }
        let delivery = delivery(message, id)
        with(index) { $0.buffer.append(delivery) }
        return true
    }

    mutating func delivery(_ message: MessageFrame, _ id: SubscriptionID) -> Delivery {
        lastSerial += 1
        return Delivery(message, on: link, of: id, serial: lastSerial, at: now)
    }

    /// 1.0 does not promise the `subscription` header: then the destination must do.
    private func subscription(of message: MessageFrame) -> SubscriptionID? {
        if message["subscription"] != nil { return nil }
        let destination = message["destination"]
        if destination == Self.replyChannel { return .replies }
        return subscriptions.filter { $0.value.destination == destination }.keys.min()
    }

    /// If reading stopped because of this one, it can go on: when half of the buffer is free, since each time
    /// costs a look at all that is waiting.
    private mutating func roomFor(_ id: SubscriptionID) {
        guard overrun == id, subscriptions[id]?.isHalfEmpty != false else { return }
        overrun = nil
        heart.isDeaf = false
        heart.heard(at: now)
        wakeBy(heart.next)
        if hasLink { add(.resumeReading(link)) }
    }

    // MARK: Settling

    /// Its connection and its subscription are there.
    func holds(_ delivery: Delivery) -> Bool {
        delivery.link == link && canTransmit && subscriptions[delivery.subscription]?.isOpen == true
    }

    /// ACK or NACK. With a request it is answered by RECEIPT.
    mutating func settle(
        _ delivery: Delivery, _ verdict: Verdict, in transaction: TransactionID? = nil,
        as request: RequestID? = nil, deadline: Instant, at now: Instant
    ) throws(ClientError) {
        self.now = now
        if let finalError { throw finalError }
        if let transaction { try checkOpen(transaction) }
        guard delivery.link == link, canTransmit else { throw .connectionLost(lastLoss) }
        if verdict != .acknowledge, version == .v10 { throw .notSupported("STOMP 1.0 has no NACK") }
        if delivery.subscription == .replies { throw .alreadySettled }
        guard let index = subscriptions.index(forKey: delivery.subscription), with(index, { $0.isOpen }) else {
            throw .subscriptionEnded
        }
        guard let undo = with(index, { $0.settle(serial: delivery.serial) }) else { throw .alreadySettled }
        if let transaction {
            transactions[transaction]?.settled.append((delivery.subscription, undo))
        }
        if let request {
            requests[request] = Request(.settle, deadline: deadline)
            wakeBy(deadline)
        }
        transmit(Settlement(delivery: delivery, verdict: verdict, transaction: transaction, request: request))
    }

    /// ACKs in this order of all that can be settled; returns the first error. With a request the last of them asks for a RECEIPT,
    /// which answers it; if none can be settled, the error does.
    mutating func acknowledge(
        _ deliveries: [Delivery], as request: RequestID? = nil, deadline: Instant, at now: Instant
    ) -> ClientError? {
        self.now = now
        let last =
            request == nil
            ? nil
            : deliveries.lastIndex { holds($0) && subscriptions[$0.subscription]?.isUnsettled($0.serial) == true }
        var failure: ClientError?
        for (index, delivery) in deliveries.enumerated() {
            do throws(ClientError) {
                try settle(
                    delivery, .acknowledge, as: index == last ? request : nil, deadline: deadline, at: now)
            } catch {
                failure = failure ?? error
            }
        }
        if let request, requests[request] == nil {
            requests[request] = Request(.settle)
            fail(request, failure ?? .alreadySettled)
        }
        return failure
    }

    /// `settle` with its errors as the request's outcome.
    mutating func settleConfirmed(
        _ delivery: Delivery, _ verdict: Verdict, as request: RequestID, deadline: Instant, at now: Instant
    ) {
        do throws(ClientError) {
            try settle(delivery, verdict, as: request, deadline: deadline, at: now)
        } catch {
            requests[request] = Request(.settle)
            fail(request, error)
        }
    }
}
