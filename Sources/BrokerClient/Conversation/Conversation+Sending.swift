import Base
import STOMP

extension Conversation {
    /// SEND. Confirmed: answered by RECEIPT, sent again after a reconnect. Otherwise answered as soon as it
    /// is on its way. Waits while there is no connection, while too many are unconfirmed, and behind others
    /// that wait.
    mutating func send(
        _ frame: consuming Frame, _ confirmation: Confirmation, as id: RequestID, deadline: Instant, at now: Instant
    ) {
        self.now = now
        switch confirmation {
        case .none:
            wait(id, Request(.post(frame), deadline: deadline))
        case .receipt:
            let frame = frame.confirmable(as: id, settings.identity)
            sendConfirmed(frame, bytes: frame.weight, as: id, deadline: deadline, at: now)
        }
    }

    /// SEND with confirmation, of a frame that is `confirmable`, and its `weight`.
    mutating func sendConfirmed(
        _ frame: consuming Frame, bytes: Int, as id: RequestID, deadline: Instant, at now: Instant
    ) {
        self.now = now
        var request = Request(.send(frame, bytes: bytes), deadline: deadline)
        guard mayPass(bytes) else { return wait(id, request) }
        request.isUnconfirmed = true
        requests[id] = request
        wakeBy(deadline)
        isUnderWay(bytes)
        transmit(frame)
    }

    /// Nobody waits, and there is room.
    private func mayPass(_ bytes: Int) -> Bool {
        guard case .ready = phase else { return false }
        return !isCongested && waiting.isEmpty && hasRoom(for: bytes)
    }

    mutating func isUnderWay(_ bytes: Int) {
        unconfirmedMessages += 1
        unconfirmedBytes += bytes
    }

    // MARK: Transactions

    mutating func begin(_ transaction: TransactionID, as id: RequestID, deadline: Instant, at now: Instant) {
        self.now = now
        wait(id, Request(.begin(transaction), deadline: deadline))
    }

    /// SEND as a part of the transaction. Answered as soon as it is on its way: COMMIT confirms all of it.
    mutating func send(
        _ frame: Frame, in transaction: TransactionID, as id: RequestID, deadline: Instant, at now: Instant
    ) {
        self.now = now
        var frame = frame
        frame.add("transaction", String(transaction.number))
        wait(id, Request(.sendInTransaction(transaction, frame), deadline: deadline))
    }

    mutating func commit(_ transaction: TransactionID, as id: RequestID, deadline: Instant, at now: Instant) {
        self.now = now
        requests[id] = Request(.commit(transaction), deadline: deadline)
        wakeBy(deadline)
        do throws(ClientError) {
            try checkOpen(transaction)
        } catch {
            transactions[transaction] = nil
            return fail(id, error)
        }
        transactions[transaction]?.isCommitting = true
        transmit(.transaction(.commit, transaction).with(receipt: id))
    }

    /// Nothing of it happened; messages settled in it can be settled again.
    mutating func abort(_ transaction: TransactionID, at now: Instant) {
        self.now = now
        guard let record = transactions.removeValue(forKey: transaction), !record.isCommitting,
            record.link == link, canTransmit
        else { return }
        for (subscription, undo) in record.settled.reversed() { subscriptions[subscription]?.unsettle(undo) }
        transmit(.transaction(.abort, transaction))
    }

    func checkOpen(_ transaction: TransactionID) throws(ClientError) {
        if let finalError { throw finalError }
        guard let record = transactions[transaction], !record.isCommitting else { throw .transactionEnded }
        guard record.link == link, canTransmit else { throw .connectionLost(lastLoss) }
    }

    // MARK: Back-pressure

    mutating func wait(_ id: RequestID, _ request: Request) {
        requests[id] = request
        if let finalError { return fail(id, finalError) }
        wakeBy(request.deadline)
        waiting.append(id)
        admit()
    }

    /// Lets those out that wait, in order, as far as the limits allow.
    mutating func admit() {
        while case .ready = phase, !isCongested, let id = waiting.first {
            guard var request = requests[id] else {
                waiting.popFirst()
                continue
            }
            switch request.purpose {
            case .send(let frame, let bytes):
                guard hasRoom(for: bytes) else { return admitAsks() }
                request.isUnconfirmed = true
                requests[id] = request
                isUnderWay(bytes)
                transmit(frame)
            case .batch:
                guard admitBatch(id) else { return admitAsks() }
            case .post(let frame):
                transmit(frame)
                succeed(id)
            case .begin(let transaction):
                transactions[transaction] = TransactionRecord(link: link)
                transmit(.transaction(.begin, transaction))
                succeed(id)
            case .sendInTransaction(let transaction, let frame):
                sendNow(frame, in: transaction, as: id)
            case .connect, .subscribe, .restore, .unsubscribe, .settle, .commit, .ask, .replyChannel, .next, .close:
                assertionFailure("\(request.purpose) does not wait for room")
            }
            waiting.popFirst()
        }
        admitAsks()
    }

    private mutating func sendNow(_ frame: Frame, in transaction: TransactionID, as id: RequestID) {
        do throws(ClientError) {
            try checkOpen(transaction)
            transmit(frame)
            succeed(id)
        } catch {
            fail(id, error)
        }
    }

    /// One message that is larger than the limit may go when it is alone.
    func hasRoom(for bytes: Int) -> Bool {
        if unconfirmedMessages == 0 { return true }
        return unconfirmedMessages < settings.unconfirmedMessages
            && bytes <= settings.unconfirmedBytes - unconfirmedBytes
    }

    /// What an earlier connection did not confirm goes out again, in its old order.
    mutating func resend() {
        var count = 0
        var records = batches.records[...]
        for (id, request) in requests.sorted(by: { $0.key < $1.key }) {
            guard case .send(let frame, _) = request.purpose, request.isUnconfirmed else { continue }
            while let record = records.first, record.batch.id < id { count += resend(records.removeFirst()) }
            transmit(frame)
            count += 1
        }
        for record in records { count += resend(record) }
        if count > 0 { tell(.resent(count)) }
    }

    private mutating func resend(_ record: BatchRecord) -> Int {
        let ranges = record.unconfirmed
        for range in ranges { transmit(record.batch, range) }
        return ranges.reduce(0) { $0 + $1.count }
    }
}
