import DaemonKit

/// Verbs about topics, connections and subscriptions.
enum ClientVerbs {
    @Sendable static func topics(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let client = try AdminClient(call, console)
        var all = API.TopicList()
        repeat {
            let page = try client.ask(
                API.TopicList.self, "GET", "/v1/topics",
                query: [("limit", largestPage), ("name", call.value("--name")), ("after", all.next)])
            all.topics += page.topics
            (all.total, all.next) = (page.total, page.next)
        } while all.next != nil
        if call.wantsJSON { return try console.printJSON(try encoded(all)) }
        var table = Table([
            .left("NAME"), .right("SUBSCRIBERS"), .right("DURABLE"), .right("IN"), .right("OUT"), .right("DROPPED"),
            .right("IN/S"),
            .right("OUT/S"),
        ])
        for topic in all.topics {
            table.add([
                topic.name, "\(topic.subscribers)", "\(topic.durableSubscribers)", "\(topic.inTotal)",
                "\(topic.outTotal)", "\(topic.droppedTotal)",
                humanRate(topic.inPerSecond), humanRate(topic.outPerSecond),
            ])
        }
        try console.print(table.text)
    }

    @Sendable static func connections(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let client = try AdminClient(call, console)
        var all = API.ConnectionList()
        repeat {
            let page = try client.ask(
                API.ConnectionList.self, "GET", "/v1/connections",
                query: [("limit", largestPage), ("name", call.value("--peer")), ("after", all.next)])
            all.connections += page.connections
            (all.total, all.next) = (page.total, page.next)
        } while all.next != nil
        if call.wantsJSON { return try console.printJSON(try encoded(all)) }
        var table = Table([
            .right("ID"), .left("PEER"), .left("STOMP"), .left("LOGIN"), .right("SUBSCRIPTIONS"), .right("IN"),
            .right("OUT"), .right("BYTES IN"), .right("BYTES OUT"), .right("UNACKED"), .right("OUTBOX"),
        ])
        for row in all.connections {
            table.add([
                "\(row.id)", row.peer, row.stompVersion ?? "-", row.login ?? "-", "\(row.subscriptions)",
                "\(row.inMessages)", "\(row.outMessages)", humanBytes(row.inBytes), humanBytes(row.outBytes),
                "\(row.unacked)", humanBytes(row.outboxBytes),
            ])
        }
        try console.print(table.text)
    }

    @Sendable static func close(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        guard let id = UInt64(call.argument(0)) else {
            throw call.usage("ID is a number, as `brokerctl connection list` shows it")
        }
        let connection = try AdminClient(call, console).ask(API.Connection.self, "DELETE", "/v1/connections/\(id)")
        if call.wantsJSON { return try console.printJSON(try encoded(connection)) }
        try console.print("Connection \(connection.id) of \(harmless(connection.peer)) is closed.")
    }

    @Sendable static func subscriptions(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        if call.isGiven("--durable") {
            guard !call.isGiven("--connection") else {
                throw call.usage("--durable and --connection do not go together: it is of no connection")
            }
            return try DurableVerbs.list(call, console)
        }
        let id = try call.number("--connection", in: 0...UInt64.max)
        let client = try AdminClient(call, console)
        var all = API.SubscriptionList()
        repeat {
            let page = try client.ask(
                API.SubscriptionList.self, "GET", "/v1/subscriptions",
                query: [
                    ("limit", largestPage), ("name", call.value("--destination")), ("after", all.next),
                    ("connection", id.map { String($0) }),
                ])
            all.subscriptions += page.subscriptions
            (all.total, all.next) = (page.total, page.next)
        } while all.next != nil
        if call.wantsJSON { return try console.printJSON(try encoded(all)) }
        var table = Table([
            .right("CONNECTION"), .left("ID"), .left("DESTINATION"), .left("ACK"), .right("PREFETCH"),
            .right("UNACKED"), .right("DELIVERED"), .right("REDELIVERED"), .right("DROPPED"), .left("WANTS"),
        ])
        for row in all.subscriptions {
            table.add([
                "\(row.connectionID)", row.id, row.destination, row.ack, row.prefetch == 0 ? "-" : "\(row.prefetch)",
                "\(row.unacked)", "\(row.deliveredTotal)", "\(row.redeliveredTotal)", "\(row.droppedTotal)",
                row.exclusive ? "exclusive" : row.selector ?? "-",
            ])
        }
        try console.print(table.text)
    }
}
