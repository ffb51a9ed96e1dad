import STOMP

/// The frames a client writes.
extension Frame {
    static func connect(_ settings: ConversationSettings, passcode: String?) -> Frame {
        var frame = Frame(.connect, ["accept-version": "1.0,1.1,1.2"])
        if let host = settings.host { frame.add("host", host) }
        if let login = settings.login { frame.add("login", login) }
        if let passcode { frame.add("passcode", passcode) }
        let offer = settings.heartBeat
        frame.add("heart-beat", "\(offer.sends),\(offer.wants)")
        return frame
    }

    static func send(
        _ body: [UInt8], to destination: String, headers: Headers, persistent: Bool
    ) -> Frame {
        var frame = Frame(.send, body: body)
        // Two more are added when it is sent.
        frame.headers.reserveCapacity(headers.fields.count + 5)
        frame.add("destination", destination)
        frame.add("persistent", persistent ? "true" : "false")
        frame.headers += headers.fields
        frame.add("content-length", String(body.count))
        return frame
    }

    static func subscribe(
        _ id: SubscriptionID, to destination: String, acknowledgement: Acknowledgement, prefetch: Int,
        headers: Headers
    ) -> Frame {
        var frame = Frame(
            .subscribe,
            [
                "destination": destination,
                "id": String(id.number),
                "ack": acknowledgement == .cumulative ? "client" : "client-individual",
                "prefetch-count": String(prefetch),
            ])
        frame.headers += headers.fields
        return frame
    }

    static func unsubscribe(_ id: SubscriptionID) -> Frame {
        Frame(.unsubscribe, ["id": String(id.number)])
    }

    static func transaction(_ command: Command, _ id: TransactionID) -> Frame {
        Frame(command, ["transaction": String(id.number)])
    }

    mutating func add(_ name: String, _ value: String) { headers.append(Header(name, value)) }

    consuming func with(receipt: RequestID) -> Frame {
        add("receipt", String(receipt.number))
        return self
    }

    /// With what a SEND needs to be confirmed, and known again when it is repeated.
    consuming func confirmable(as id: RequestID, _ identity: String) -> Frame {
        add("receipt", String(id.number))
        if self["dedup-id"] == nil { add("dedup-id", "\(identity)-\(id.number)") }
        return self
    }

    /// About how much memory it takes, in bytes.
    var weight: Int { headers.reduce(body.count + 64) { $0 + $1.name.utf8.count + $1.value.utf8.count + 2 } }
}

extension BrokerError {
    init(_ frame: Frame) {
        self.init(
            message: frame["message"] ?? "ERROR without a message", detail: frame.text,
            receiptID: frame["receipt-id"], headers: Headers(fields: frame.headers))
    }
}

/// What to do with a message.
enum Verdict: Equatable, Sendable {
    case acknowledge
    case reject(requeue: Bool)
}
