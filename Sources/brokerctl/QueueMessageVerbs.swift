import DaemonKit

/// Verbs about the messages in a queue.
enum QueueMessageVerbs {
    private static func path(_ call: Invocation, _ rest: String) -> String { QueueVerbs.path(call.argument(0), rest) }

    @Sendable static func purge(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let client = try AdminClient(call, console)
        var sum = API.Purge()
        repeat {
            console.progress("Purging \(harmless(call.argument(0)))…")
            let step = try client.ask(
                API.Purge.self, "POST", path(call, "/purge"),
                query: [("selector", call.value("--where")), ("from", sum.next)])
            sum.messages = sum.messages.addingReportingOverflow(step.messages).partialValue
            sum.next = step.next
        } while sum.next != nil
        console.endProgress()
        if call.wantsJSON { return try console.printJSON(try encoded(sum)) }
        try console.print("\(counted(sum.messages, "message")) thrown away.")
    }

    // MARK: Moving

    @Sendable static func move(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let sum = try whole(call, console, "/move", most: try call.number("--count", in: 1...UInt64.max)) {
            (limit, from) throws(CtlFailure) in
            var request = API.MoveRequest(to: call.argument(1), limit: limit)
            (request.selector, request.from) = (call.value("--where"), from)
            return try encoded(request)
        }
        if call.wantsJSON { return try console.printJSON(try encoded(sum)) }
        let moved = "\(counted(sum.moved, "message")) moved to \(harmless(call.argument(1)))"
        try console.print("\(moved), \(sum.remaining) left\(skipped(sum)).")
    }

    @Sendable static func retry(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let sum = try whole(call, console, "/retry", most: try call.number("--limit", in: 1...UInt64.max)) {
            (limit, from) throws(CtlFailure) in
            var request = API.RetryRequest()
            (request.limit, request.selector, request.from) = (limit, call.value("--where"), from)
            return try encoded(request)
        }
        if call.wantsJSON { return try console.printJSON(try encoded(sum)) }
        let moved = "\(counted(sum.moved, "message")) back where \(sum.moved == 1 ? "it" : "they") died"
        try console.print("\(moved), \(sum.remaining) left\(skipped(sum)).")
    }

    private static func skipped(_ sum: API.Move) -> String {
        sum.skipped == 0 ? "" : ", of which \(sum.skipped) can go nowhere"
    }

    /// Asks again until all that was there at the beginning has been looked at.
    private static func whole(
        _ call: Invocation, _ console: Console, _ verb: String, most: UInt64?,
        _ body: (_ limit: UInt64?, _ from: String?) throws(CtlFailure) -> [UInt8]
    ) throws(CtlFailure) -> API.Move {
        var left = most
        let client = try AdminClient(call, console)
        var sum = API.Move()
        repeat {
            let step = try client.ask(API.Move.self, "POST", path(call, verb), body: try body(left, sum.next))
            sum.moved = sum.moved.addingReportingOverflow(step.moved).partialValue
            sum.skipped = sum.skipped.addingReportingOverflow(step.skipped).partialValue
            (sum.remaining, sum.next) = (step.remaining, step.next)
            if let most { left = most - min(most, sum.moved) }
            console.progress("\(sum.moved) moved, \(sum.remaining) to go")
        } while left != 0 && sum.next != nil
        console.endProgress()
        return sum
    }

    // MARK: Browsing

    @Sendable static func browse(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let preview = UInt64(BrowseQuery.previewLimits.upperBound)
        let bodyBytes = try call.number("--body-bytes", in: 0...preview)
        var left = try call.number("--count", in: 1...UInt64.max) ?? UInt64(BrowseQuery.standardLimit)
        let client = try AdminClient(call, console)
        var all = API.MessageList()
        all.next = call.value("--from")
        repeat {
            let page = try client.ask(
                API.MessageList.self, "GET", path(call, "/messages"),
                query: [
                    ("from", all.next), ("body_bytes", bodyBytes.map { String($0) }),
                    ("selector", call.value("--where")),
                    ("limit", String(min(left, UInt64(BrowseQuery.limits.upperBound)))),
                ])
            all.messages += page.messages
            all.next = page.next
            left -= min(left, UInt64(page.messages.count))
        } while left > 0 && all.next != nil
        if call.wantsJSON { return try console.printJSON(try encoded(all)) }
        try console.print(call.isGiven("--full") ? blocks(all.messages) : table(all.messages).text)
    }

    static func table(_ messages: [API.Message]) -> Table {
        var table = Table([
            .right("PLACE"), .right("SIZE"), .right("DELIVERIES"), .left("STATE"), .left("LANE"), .left("BODY"),
        ])
        for message in messages {
            let body = message.bodyEncoding == "utf8" ? message.body : "base64 \(message.body)"
            table.add([
                message.place, humanBytes(message.bodyBytes), "\(message.deliveries)", state(of: message),
                message.lane, shortened(body, to: 60) + (message.bodyTruncated && body.count <= 60 ? "…" : ""),
            ])
        }
        return table
    }

    /// Delayed, and waiting after it came back, are told apart by the lane.
    private static func state(of message: API.Message) -> String {
        if message.unacked { return "unacked" }
        return message.notBeforeUnixMilliseconds == nil ? "ready" : message.deliveries > 0 ? "waiting" : "delayed"
    }

    private static func blocks(_ messages: [API.Message]) -> String {
        messages.map { message in
            var text = "--- \(message.place), \(message.lane), \(state(of: message))"
            if let due = message.notBeforeUnixMilliseconds { text += " until \(due)" }
            if let end = message.expiresUnixMilliseconds { text += ", expires \(end)" }
            text += ", delivered \(message.deliveries) times\n"
            for header in message.headers { text += "\(harmless(header.name)): \(harmless(header.value))\n" }
            text += "\n" + (message.bodyEncoding == "utf8" ? "" : "base64: ") + harmless(message.body, keepsLines: true)
            return text + (message.bodyTruncated ? "… (\(message.bodyBytes) bytes in all)\n" : "\n")
        }.joined(separator: "\n")
    }
}
