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
        if case .ended = record.phase {} else if canTransmit { transmit(.unsubscribe(id)) }
        endSubscription(id, nil)
        subscriptions[id] = nil
    }

    mutating func endSubscriptions(_ error: ClientError?) {
        for id in subscriptions.keys.sorted() { endSubscription(id, error) }
    }

    mutating func endSubscription(_ id: SubscriptionID, _ error: ClientError?) {
        guard var record = subscriptions[id] else { return }
        if case .ended = record.phase { return }
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
        guard let delivery = subscriptions[id]?.buffer.popFirst() else { return nil }
        handOver(delivery)
        roomFor(id)
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

    private mutating func handOver(_ delivery: Delivery) {
        subscriptions[delivery.subscription]?.handedOver(delivery)
        if subscriptions[delivery.subscription]?.acknowledgement == .automatic {
            transmit(.settle(delivery, .acknowledge, version: version))
        }
    }

    /// A message came. False: its buffer is full and it was not taken.
    mutating func deliver(_ frame: Frame) -> Bool {
        guard let id = subscription(of: frame), case .active? = subscriptions[id]?.phase else {
            return isStillRequested(frame)
        }
        return deliver(frame, to: id)
    }

    /// Messages may come before the RECEIPT of their SUBSCRIBE from brokers that do not mind the order.
    private mutating func isStillRequested(_ frame: Frame) -> Bool {
        guard let id = subscription(of: frame), case .requested? = subscriptions[id]?.phase else { return true }
        return deliver(frame, to: id)
    }

    private mutating func deliver(_ frame: Frame, to id: SubscriptionID) -> Bool {
        while let consumer = subscriptions[id]?.consumers.popFirst() {
            guard requests[consumer] != nil else { continue }
            let delivery = delivery(frame, id)
            handOver(delivery)
            succeed(consumer, .message(delivery))
            return true
        }
        guard let record = subscriptions[id], record.buffer.count < record.prefetch else {
            overrun = id
            heart.isDeaf = true
            return false
        }
        subscriptions[id]?.buffer.append(delivery(frame, id))
        return true
    }

    private mutating func delivery(_ frame: Frame, _ id: SubscriptionID) -> Delivery {
        lastSerial += 1
        let messageID = frame["message-id"] ?? ""
        let acknowledgementID = version == .v12 ? frame["ack"] ?? messageID : messageID
        return Delivery(
            link: link, subscription: id, serial: lastSerial, acknowledgementID: acknowledgementID, frame: frame)
    }

    /// 1.0 does not promise the `subscription` header: then the destination must do.
    private func subscription(of frame: Frame) -> SubscriptionID? {
        if let text = frame["subscription"] { return UInt64(text).map { SubscriptionID(number: $0) } }
        let destination = frame["destination"]
        return subscriptions.filter { $0.value.destination == destination }.keys.min()
    }

    /// If reading stopped because of this one, it can go on.
    private mutating func roomFor(_ id: SubscriptionID) {
        guard overrun == id else { return }
        overrun = nil
        heart.isDeaf = false
        heart.heard(at: now)
        wakeBy(heart.next)
        if hasLink { add(.resumeReading(link)) }
    }

    // MARK: Settling

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
        guard var record = subscriptions[delivery.subscription], case .active = record.phase else {
            throw .subscriptionEnded
        }
        guard let undo = record.settle(serial: delivery.serial) else { throw .alreadySettled }
        subscriptions[delivery.subscription] = record

        var frame = Frame.settle(delivery, verdict, version: version)
        if let transaction {
            frame.add("transaction", String(transaction.number))
            transactions[transaction]?.settled.append((delivery.subscription, undo))
        }
        if let request {
            requests[request] = Request(.settle, deadline: deadline)
            wakeBy(deadline)
            frame = frame.with(receipt: request)
        }
        transmit(frame)
    }
}
