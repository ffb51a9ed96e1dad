import Testing

@testable import DaemonKit

@Suite struct AdminListTests {
    static func queues(_ names: [String]) -> [API.Queue] {
        names.map { name in
            var queue = API.Queue()
            queue.name = name
            return queue
        }
    }

    /// Goal: paging shows every row once. Method: walk all page sizes.
    @Test(arguments: 1...7) func pagesShowEveryRowOnceInOrder(limit: Int) {
        let names = ["b", "a", "ä", "a\u{308}", "B", "/"]
        var seen: [String] = []
        var query = ListQuery(limit: limit)
        repeat {
            let page = API.QueueList(of: Self.queues(names), query)
            #expect(page.total == names.count)
            #expect(page.queues.count <= limit)
            seen += page.queues.map(\.name)
            query.after = page.next
        } while query.after != nil
        let sorted = ["/", "B", "a", "a\u{308}", "b", "ä"]
        // Compared as bytes: to Swift both spellings of ä are one.
        #expect(seen.map { Array($0.utf8) } == sorted.map { Array($0.utf8) })
    }

    @Test(arguments: 1...7) func pagesOfConnectionsAndSubscriptionsShowEveryRowOnce(limit: Int) throws {
        let connections = [10, 9, 100, UInt64.max].map { id in
            var connection = API.Connection()
            connection.id = id
            return connection
        }
        let subscriptions = connections.flatMap { connection in
            ["x:y", "", "a"].map { id in
                var subscription = API.Subscription()
                subscription.connectionID = connection.id
                subscription.id = id
                return subscription
            }
        }
        var ids: [UInt64] = []
        var query = ListQuery(limit: limit)
        repeat {
            let page = try API.ConnectionList(of: connections, query)
            ids += page.connections.map(\.id)
            query.after = page.next
        } while query.after != nil
        #expect(ids == [9, 10, 100, .max])

        var rows: [String] = []
        repeat {
            let page = try API.SubscriptionList(of: subscriptions, query)
            rows += page.subscriptions.map { "\($0.connectionID) \($0.id)" }
            query.after = page.next
        } while query.after != nil
        #expect(rows.prefix(4) == ["9 ", "9 a", "9 x:y", "10 "])
        #expect(rows.count == 12 && Set(rows).count == 12)
    }

    @Test(arguments: [
        ("orders", "orders", true), ("orders", "order", false), ("orders", "*", true), ("", "*", true), ("", "", true),
        ("a", "", false), ("orders.eu", "orders.*", true), ("orders", "orders.*", false), ("a.b.c", "*.c", true),
        ("aab", "*ab", true), ("abab", "*ab", true), ("abcabd", "*abd*", true), ("abc", "a*b*c", true),
        ("acb", "a*b*c", false), ("a*c", "a*c", true),
    ])
    func aPatternFitsByItsStars(text: String, pattern: String, fits: Bool) {
        #expect(ListQuery(name: pattern).matches(text) == fits)
    }

    /// Goal: no pattern costs more than text times pattern. Method: the classic one that takes years
    /// when each star is tried in every place.
    @Test func aHostilePatternIsCheap() {
        let text = String(repeating: "a", count: 5000)
        let pattern = String(repeating: "*a", count: 30) + "b"
        #expect(!ListQuery(name: pattern).matches(text))
    }

    @Test(arguments: [
        ("hello", 10, "hello", "utf8", false), ("hello", 3, "hel", "utf8", true), ("hello", 0, "", "utf8", true),
        ("", 0, "", "utf8", false), ("aä", 2, "a", "utf8", true), ("aä", 3, "aä", "utf8", false),
        ("\u{1F600}", 3, "", "utf8", true), ("\u{20AC}x", 3, "\u{20AC}", "utf8", true),
    ])
    func aTextIsShownAsText(body: String, limit: Int, shown: String, encoding: String, truncated: Bool) {
        var message = API.Message()
        Array(body.utf8).withUnsafeBufferPointer { message.show(body: $0, limit: limit) }
        #expect(message.body == shown && message.bodyEncoding == encoding && message.bodyTruncated == truncated)
        #expect(message.bodyBytes == UInt64(body.utf8.count))
    }

    @Test(
        arguments: [
            ([0xFF], 9, "/w==", false), ([0xFF, 0xFE], 1, "/w==", true), ([0xE4], 9, "5A==", false),
            ([0, 0xFF, 0x10], 9, "AP8Q", false), ([0x80, 0x80, 0x80, 0x80], 3, "gICA", true),
            ([0xFB, 0xEF, 0xBE, 0xFF], 9, "++++/w==", false),
        ] as [([UInt8], Int, String, Bool)])
    func otherBytesAreShownAsBase64(body: [UInt8], limit: Int, shown: String, truncated: Bool) {
        var message = API.Message()
        body.withUnsafeBufferPointer { message.show(body: $0, limit: limit) }
        #expect(message.body == shown && message.bodyEncoding == "base64" && message.bodyTruncated == truncated)
    }
}
