import Base
import STOMP

extension Conversation {
    /// A frame came that is no MESSAGE.
    mutating func received(_ frame: Frame, on link: LinkNumber, at now: Instant) {
        self.now = now
        guard link == self.link else { return }
        switch phase {
        case .loggingIn: receivedFirst(frame)
        case .restoring, .ready, .closing: receivedLater(frame)
        case .idle, .dialing, .resting, .closed: break
        }
    }

    /// MESSAGE. False: there is no room for it, so stop reading, and offer it again after `.resumeReading`. Only a
    /// broker that ignores `prefetch-count` gets us there.
    mutating func received(_ message: MessageFrame, on link: LinkNumber, at now: Instant) -> Bool {
        self.now = now
        guard link == self.link else { return true }
        switch phase {
        case .restoring, .ready, .closing: return deliver(message)
        case .loggingIn: broke(.connectionLost(.notSTOMP("MESSAGE before CONNECTED")))
        case .idle, .dialing, .resting, .closed: break
        }
        return true
    }

    /// RECEIPT, as one of many: call `admitAfterReceipts` behind the last one.
    mutating func received(receipt id: RequestID, on link: LinkNumber, at now: Instant) {
        self.now = now
        guard link == self.link else { return }
        switch phase {
        case .restoring, .ready, .closing: receivedReceipt(id)
        case .loggingIn: broke(.connectionLost(.notSTOMP("RECEIPT before CONNECTED")))
        case .idle, .dialing, .resting, .closed: break
        }
    }

    /// What they made room for goes out at once, and not one by one.
    mutating func admitAfterReceipts(at now: Instant) {
        self.now = now
        guard mayAdmit else { return }
        mayAdmit = false
        admit()
    }

    private mutating func receivedFirst(_ frame: Frame) {
        switch frame.command {
        case .connected:
            connected(frame)
        case .error where Version.common(with: frame["version"] ?? "1.0,1.1,1.2") == nil:
            broke(.versionRefused(offered: frame["version"] ?? ""))
        case .error:
            broke(.loginRefused(BrokerError(frame)))
        default:
            broke(.connectionLost(.notSTOMP("\(frame.command.text) before CONNECTED")))
        }
    }

    private mutating func connected(_ frame: Frame) {
        let offered = frame["version"] ?? "1.0"
        guard let version = Version(named: offered) else { return broke(.versionRefused(offered: offered)) }
        guard let theirs = HeartBeat(named: frame["heart-beat"] ?? "0,0") else {
            return broke(.connectionLost(.notSTOMP("malformed heart-beat header in CONNECTED")))
        }
        self.version = version
        server = frame["server"]
        heart = Heart(at: now)
        if version > .v10 {
            let agreed = settings.heartBeat.intervals(with: theirs)
            heart.agree(outgoing: agreed.outgoing, incoming: agreed.incoming)
            wakeBy(heart.next)
        }
        loggedIn()
    }

    private mutating func receivedLater(_ frame: Frame) {
        switch frame.command {
        case .receipt:
            if let number = frame["receipt-id"].flatMap({ UInt64($0) }) {
                receivedReceipt(RequestID(number: number))
                admitAfterReceipts(at: now)
            }
        case .error: receivedError(frame)
        default: broke(.connectionLost(.notSTOMP("unexpected \(frame.command.text)")))
        }
    }

    // MARK: RECEIPT

    /// Answers to calls that gave up are no surprise, and are passed over.
    private mutating func receivedReceipt(_ id: RequestID) {
        if case .closing(id) = phase { return hangUpAndEnd(nil) }
        if confirmInBatch(id.number) || confirmSend(id) {
            mayAdmit = true
            return
        }
        guard let request = requests[id] else { return }
        switch request.purpose {
        case .subscribe(let subscription):
            subscriptions[subscription]?.phase = .active
            succeed(id)
        case .restore, .replyChannel:
            requests[id] = nil
        case .commit(let transaction):
            transactions[transaction] = nil
            succeed(id)
        case .unsubscribe, .settle:
            succeed(id)
            admit()
        // A request is answered by its reply; the receipt is only there to be named by an ERROR.
        case .connect, .send, .batch, .post, .begin, .sendInTransaction, .ask, .next, .close:
            return
        }
        restored(id)
    }

    // MARK: ERROR

    private mutating func receivedError(_ frame: Frame) {
        let error = BrokerError(frame)
        let culprit = error.receiptID.flatMap { UInt64($0) }.map { RequestID(number: $0) }
        if let culprit, refusedInBatch(culprit.number, error) {
            // Its call knows.
        } else if let culprit, requests[culprit] != nil {
            refused(culprit, error)
        } else {
            suspectAll(error)
        }
        broke(.connectionLost(.error(error)))
    }

    /// The frame of this request caused the ERROR: it is not sent again.
    private mutating func refused(_ id: RequestID, _ error: BrokerError) {
        guard let request = requests[id] else { return }
        switch request.purpose {
        case .subscribe(let subscription):
            fail(id, .refused(error))
            endSubscription(subscription, nil)
            subscriptions[subscription] = nil
        case .restore(let subscription):
            requests[id] = nil
            if let record = subscriptions[subscription] { tell(.notRestored(destination: record.destination, error)) }
            endSubscription(subscription, .refused(error))
        case .commit(let transaction):
            transactions[transaction] = nil
            fail(id, .refused(error))
        case .send, .unsubscribe, .settle, .ask:
            fail(id, .refused(error))
        case .replyChannel:
            requests[id] = nil
            refuseReplyChannel(error)
        // The first message of the batch, which is confirmed or was never written.
        case .batch:
            suspectAll(error)
        case .connect, .post, .begin, .sendInTransaction, .next, .close:
            break
        }
    }

    /// The broker does not say which frame it was. See `suspicions`.
    private mutating func suspectAll(_ error: BrokerError) {
        for (id, request) in requests.sorted(by: { $0.key < $1.key }) where request.isUnconfirmed {
            guard case .send(let frame, _) = request.purpose else { continue }
            requests[id]?.suspicions += 1
            if request.suspicions + 1 < Self.suspicions { continue }
            tell(.givenUp(destination: frame["destination"] ?? "", error))
            fail(id, .refused(error))
        }
        suspectBatches(error)
    }
}

extension Version {
    init?(named text: String) {
        guard let version = Version.allCases.first(where: { $0.text.description == text }) else { return nil }
        self = version
    }

    static func common(with list: String) -> Version? {
        var list = list
        return list.withUTF8 { Version.negotiate(acceptVersion: $0) }
    }
}

extension HeartBeat {
    init?(named text: String) {
        var text = text
        guard let parsed = text.withUTF8({ HeartBeat(parsing: $0) }) else { return nil }
        self = parsed
    }
}
