import DaemonKit

/// Rows asked for at once by verbs that list everything.
let largestPage = String(ListQuery.limits.upperBound)

/// Verbs about queues.
enum QueueVerbs {
    private static func path(_ name: String, _ rest: String = "") -> String {
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
            .left("NAME"), .right("MESSAGES"), .right("READY"), .right("UNACKED"), .right("SIZE"), .right("CONSUMERS"),
            .right("IN"), .right("OUT"), .right("REDELIVERED"), .left("KIND"),
        ])
        for queue in all.queues {
            table.add([
                queue.name, "\(queue.messages)", "\(queue.ready)", "\(queue.unacked)", humanBytes(queue.bytes),
                "\(queue.consumers)", "\(queue.inTotal)", "\(queue.outTotal)", "\(queue.redeliveredTotal)",
                state(of: queue),
            ])
        }
        try console.print(table.text)
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
        facts.add("Consumers", "\(queue.consumers)")
        facts.add("Taken", "\(queue.inTotal)")
        facts.add("Delivered", "\(queue.outTotal), \(queue.redeliveredTotal) redelivered")
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

    @Sendable static func purge(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let client = try AdminClient(call, console)
        console.progress("Purging \(harmless(call.argument(0)))…")
        let count = try client.ask(API.MessageCount.self, "POST", path(call.argument(0), "/purge"))
        console.endProgress()
        if call.wantsJSON { return try console.printJSON(try encoded(count)) }
        try console.print("\(counted(count.messages, "message")) thrown away.")
    }

    // MARK: Moving

    /// Asks again until all is moved that was there at the beginning: what a producer adds meanwhile
    /// stays, or the end might never come.
    @Sendable static func move(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        var left = try call.number("--count", in: 1...UInt64.max) ?? .max
        let client = try AdminClient(call, console)
        var sum = API.Move()
        repeat {
            let request = API.MoveRequest(to: call.argument(1), limit: left == .max ? nil : left)
            let step = try client.ask(
                API.Move.self, "POST", path(call.argument(0), "/move"), body: try encoded(request))
            sum.moved = sum.moved.addingReportingOverflow(step.moved).partialValue
            sum.remaining = step.remaining
            // The first answer says how many there are.
            if left == .max { left = step.moved.addingReportingOverflow(step.remaining).partialValue }
            left = left > step.moved ? left - step.moved : 0
            if step.moved == 0 { break }
            console.progress("\(sum.moved) moved, \(min(left, sum.remaining)) to go")
        } while left > 0 && sum.remaining > 0
        console.endProgress()
        if call.wantsJSON { return try console.printJSON(try encoded(sum)) }
        try console.print(
            "\(counted(sum.moved, "message")) moved to \(harmless(call.argument(1))), \(sum.remaining) left.")
    }

    // MARK: Browsing

    @Sendable static func browse(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let preview = UInt64(BrowseQuery.previewLimits.upperBound)
        let bodyBytes = try call.number("--body-bytes", in: 0...preview)
        var from = try call.number("--from", in: 0...UInt64.max)
        var left = try call.number("--count", in: 1...UInt64.max) ?? UInt64(BrowseQuery.standardLimit)
        let client = try AdminClient(call, console)
        var all = API.MessageList()
        repeat {
            let page = try client.ask(
                API.MessageList.self, "GET", path(call.argument(0), "/messages"),
                query: [
                    ("from", from.map { String($0) }), ("body_bytes", bodyBytes.map { String($0) }),
                    ("limit", String(min(left, UInt64(BrowseQuery.limits.upperBound)))),
                ])
            all.messages += page.messages
            all.nextSequence = page.nextSequence
            from = page.nextSequence
            left -= min(left, UInt64(page.messages.count))
        } while left > 0 && from != nil
        if call.wantsJSON { return try console.printJSON(try encoded(all)) }
        try console.print(call.isGiven("--full") ? blocks(all.messages) : table(all.messages).text)
    }

    static func table(_ messages: [API.Message]) -> Table {
        var table = Table([
            .right("SEQUENCE"), .right("SIZE"), .right("DELIVERIES"), .left("STATE"), .left("BODY"),
        ])
        for message in messages {
            let body = message.bodyEncoding == "utf8" ? message.body : "base64 \(message.body)"
            table.add([
                "\(message.sequence)", humanBytes(message.bodyBytes), "\(message.deliveries)",
                message.unacked ? "unacked" : "ready",
                shortened(body, to: 60) + (message.bodyTruncated && body.count <= 60 ? "…" : ""),
            ])
        }
        return table
    }

    private static func blocks(_ messages: [API.Message]) -> String {
        messages.map { message in
            let state = message.unacked ? "unacked" : "ready"
            var text = "--- \(message.sequence), \(state), delivered \(message.deliveries) times\n"
            for header in message.headers { text += "\(harmless(header.name)): \(harmless(header.value))\n" }
            text += "\n" + (message.bodyEncoding == "utf8" ? "" : "base64: ") + harmless(message.body, keepsLines: true)
            return text + (message.bodyTruncated ? "… (\(message.bodyBytes) bytes in all)\n" : "\n")
        }.joined(separator: "\n")
    }
}
