import DaemonKit

/// Verbs about durable subscriptions to topics.
enum DurableVerbs {
    private static func path(_ call: Invocation) -> String {
        "/v1/durable-subscriptions/\(percentEncoded(call.argument(0)))"
    }

    static func list(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let client = try AdminClient(call, console)
        var all = API.DurableSubscriptionList()
        repeat {
            let page = try client.ask(
                API.DurableSubscriptionList.self, "GET", "/v1/durable-subscriptions",
                query: [("limit", largestPage), ("name", call.value("--destination")), ("after", all.next)])
            all.durableSubscriptions += page.durableSubscriptions
            (all.total, all.next) = (page.total, page.next)
        } while all.next != nil
        if call.wantsJSON { return try console.printJSON(try encoded(all)) }
        var table = Table([
            .left("DESTINATION"), .left("TOPIC"), .left("SELECTOR"), .left("CLIENT"), .right("CONSUMERS"),
            .right("MESSAGES"), .right("SIZE"), .left("STATE"),
        ])
        for row in all.durableSubscriptions {
            table.add([
                row.destination, row.topic, row.selector ?? "-", row.clientID ?? "-", "\(row.consumers)",
                "\(row.messages)", humanBytes(row.bytes), row.orphan ? "orphan" : "in use",
            ])
        }
        try console.print(table.text)
    }

    @Sendable static func show(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let row = try AdminClient(call, console).ask(API.DurableSubscription.self, "GET", path(call))
        if call.wantsJSON { return try console.printJSON(try encoded(row)) }
        var facts = Facts()
        facts.add("Durable subscription", row.name)
        facts.add("Destination", row.destination)
        facts.add("Topic", row.topic)
        facts.add("Selector", row.selector ?? "none, every message")
        facts.add("Client", row.clientID ?? "none, all who name it share it")
        facts.add("Consumers", row.orphan ? "0, an orphan" : "\(row.consumers)")
        facts.add("Messages", "\(row.messages), \(humanBytes(row.bytes))")
        if let time = row.lastUsedUnixSeconds { facts.add("Last used", "\(time), in seconds since 1970") }
        try console.print(facts.text)
    }

    @Sendable static func delete(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let count = try AdminClient(call, console).ask(
            API.MessageCount.self, "DELETE", path(call),
            query: [("force", call.isGiven("--force") ? "true" : nil)])
        if call.wantsJSON { return try console.printJSON(try encoded(count)) }
        try console.print("\(harmless(call.argument(0))) is gone, with \(counted(count.messages, "message")).")
    }
}
