import DaemonKit

/// Rows asked for at once by verbs that list everything.
let largestPage = String(ListQuery.limits.upperBound)

/// Verbs about queues.
enum QueueVerbs {
    static func path(_ name: String, _ rest: String = "") -> String {
        "/v1/queues/\(percentEncoded(name))\(rest)"
    }

    @Sendable static func list(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let client = try AdminClient(call, console)
        var all = API.QueueList()
        repeat {
            let page = try client.ask(
                API.QueueList.self, "GET", "/v1/queues",
                query: [("limit", largestPage), ("name", call.value("--name")), ("after", all.next)])
            all.queues += page.queues
            (all.total, all.next) = (page.total, page.next)
        } while all.next != nil
        if call.wantsJSON { return try console.printJSON(try encoded(all)) }
        var table = Table([
            .left("NAME"), .right("MESSAGES"), .right("READY"), .right("UNACKED"), .right("DELAYED"), .right("SIZE"),
            .right("OLDEST"), .right("CONSUMERS"), .right("IN/S"), .right("OUT/S"), .right("DEAD"), .left("KIND"),
        ])
        for queue in all.queues {
            table.add([
                queue.name, "\(queue.messages)", "\(queue.ready)", "\(queue.unacked)",
                "\(queue.delayed + queue.waiting)", humanBytes(queue.bytes), age(queue), "\(queue.consumers)",
                humanRate(queue.inPerSecond), humanRate(queue.outPerSecond), "\(queue.deadLetteredTotal)",
                state(of: queue),
            ])
        }
        try console.print(table.text)
    }

    /// Of its oldest ready message.
    private static func age(_ queue: API.Queue) -> String {
        queue.oldestAgeMs.map { $0 < 1000 ? "\($0) ms" : humanDuration(seconds: $0 / 1000) } ?? "-"
    }

    /// `durable`, `durable, sending paused`
    static func state(of queue: API.Queue) -> String {
        let kind = queue.durable ? "durable" : "temporary"
        switch (queue.deliveryPaused, queue.sendingPaused) {
        case (true, true): return "\(kind), paused"
        case (true, false): return "\(kind), delivery paused"
        case (false, true): return "\(kind), sending paused"
        case (false, false): return kind
        }
    }

    @Sendable static func show(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let queue = try AdminClient(call, console).ask(API.Queue.self, "GET", path(call.argument(0)))
        if call.wantsJSON { return try console.printJSON(try encoded(queue)) }
        var facts = Facts()
        facts.add("Queue", queue.name)
        facts.add("Kind", state(of: queue))
        if let id = queue.storageID { facts.add("Files", "queues/\(id)") }
        facts.add("Messages", "\(queue.messages), \(humanBytes(queue.bytes))")
        facts.add("Ready", "\(queue.ready)")
        facts.add("Unacknowledged", "\(queue.unacked)")
        facts.add("Delayed", "\(queue.delayed)")
        facts.add("Waiting", "\(queue.waiting) for their next delivery")
        facts.add("Oldest", age(queue))
        facts.add("Consumers", "\(queue.consumers)")
        facts.add("Taken", "\(queue.inTotal), \(humanRate(queue.inPerSecond))/s")
        facts.add(
            "Delivered",
            "\(queue.outTotal), \(humanRate(queue.outPerSecond))/s, \(queue.redeliveredTotal) redelivered")
        facts.add("Expired", "\(queue.expiredTotal)")
        facts.add("Dead-lettered", "\(queue.deadLetteredTotal)")
        facts.add("Duplicates", "\(queue.duplicatesTotal)")
        facts.add("Over the limit", "\(queue.rejectedTotal) rejected, \(queue.droppedTotal) dropped")
        facts.add("Lanes", "\(queue.lanes)")
        facts.add("Memory", humanBytes(queue.memoryBytes))
        try console.print(facts.text)
    }

    @Sendable static func create(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        var request = API.QueueRequest()
        let settings = try PolicyVerbs.settings(call)
        if !settings.isEmpty { request.settings = settings }
        let creation = try AdminClient(call, console).ask(
            API.QueueCreation.self, "PUT", path(call.argument(0)), body: settings.isEmpty ? [] : try encoded(request))
        if call.wantsJSON { return try console.printJSON(try encoded(creation)) }
        let name = harmless(creation.queue.name)
        try console.print(creation.created ? "\(name) is there now." : "\(name) was there already; its settings stay.")
    }

    @Sendable static func delete(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let force = call.isGiven("--force") ? "true" : nil
        let count = try AdminClient(call, console).ask(
            API.MessageCount.self, "DELETE", path(call.argument(0)), query: [("force", force)])
        if call.wantsJSON { return try console.printJSON(try encoded(count)) }
        try console.print("\(harmless(call.argument(0))) is gone, with \(counted(count.messages, "message")).")
    }
}
