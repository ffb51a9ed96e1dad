import BrokerCore
import Foundation
import Synchronization
import Testing

@testable import DaemonKit
@testable import brokerctl

/// What is done to the messages of a queue, and durable subscriptions, from the words of brokerctl to the backend.
@Suite struct AdminMessageTests {
    let server: AdminServer

    init() throws { server = try AdminServer() }

    private func run(_ words: String...) async -> CtlRun {
        await CtlRun.of(["--admin", "unix:\(server.path)"] + words)
    }

    private var choices: [MessageChoice] { server.backend.world.withLock { $0.choices } }

    @Test func aRetrySaysWhichAndHowManyAndGoesOnWhereItStopped() async throws {
        let all = await run("queue", "retry", "orders", "--where", "n > 5", "--limit", "2200")
        #expect(all.output == "2200 messages back where they died, 300 left, of which 6 can go nowhere.\n")
        let selector = try Selector(Array("n > 5".utf8))
        #expect(
            choices == [
                MessageChoice(limit: 2200, selector: selector),
                MessageChoice(
                    limit: 1200, selector: selector, from: QueuePlace(lane: 1, sequence: 1001, end: 2501, lastLane: 1)),
                MessageChoice(
                    limit: 200, selector: selector, from: QueuePlace(lane: 1, sequence: 2001, end: 2501, lastLane: 1)),
            ])
    }

    @Test func aPurgeBySelectorGoesOnToTheEnd() async {
        let some = await run("queue", "purge", "orders", "--where", "n > 5")
        #expect(some.output == "20 messages thrown away.\n")
        #expect(choices.map(\.from?.description) == [nil, "1:11:20:1"])
        #expect(await run("queue", "purge", "orders").output == "2500 messages thrown away.\n")
    }

    @Test func browsingSaysWhereAndWhich() async throws {
        #expect(await run("queue", "browse", "orders", "--from", "3:17", "--where", "n > 5").code == 0)
        let query = try #require(server.backend.world.withLock { $0.browsed })
        #expect(query.from == QueuePlace(lane: 3, sequence: 17))
        #expect(query.selector == (try Selector(Array("n > 5".utf8))))
    }

    @Test func aNumberAloneIsAPlaceInTheFirstLane() throws {
        #expect(try QueuePlace("1000") == QueuePlace(lane: 0, sequence: 1000))
        for text in ["1:2", "1:2:3:4"] { #expect(try QueuePlace(text).description == text) }
        for text in ["", "x", "1:", "1:2:3", "1:2:3:4:5", "-1", "4294967296:1", "1:2:3:4294967296"] {
            #expect(throws: AdminError.self, "\(text)") { try QueuePlace(text) }
        }
    }

    @Test(
        arguments: [
            (["queue", "purge", "orders", "--where", "n >"], 1, "wrong at character 4"),
            (["queue", "browse", "orders", "--from", "x"], 1, "`place`"),
            (["queue", "retry", "orders", "--limit", "0"], 2, "--limit must be"),
            (["subscription", "show", "none"], 4, "no durable subscription none"),
            (["subscription", "list", "--durable", "--connection", "1"], 2, "do not go together"),
        ] as [([String], Int32, String)])
    func whatIsWrongIsSaid(words: [String], code: Int32, sentence: String) async {
        let run = await CtlRun.of(["--admin", "unix:\(server.path)"] + words)
        #expect(run.code == code && run.complaint.contains(sentence), "\(run.complaint)")
    }

    @Test func durableSubscriptionsAreListedShownAndDeleted() async {
        let list = await run("subscription", "list", "--durable").output.split(separator: "\n")
        #expect(list.count == 2 && list[1].hasPrefix("/dsub/billing.prices  /topic/prices.>"))
        #expect(list.last?.hasSuffix("orphan") == true)
        #expect(await run("subscription", "show", "billing.prices").output.contains("0, an orphan"))
        server.backend.world.withLock { $0.durables[0].consumers = 1 }
        #expect(await run("subscription", "delete", "billing.prices").code == 1)
        #expect(
            await run("subscription", "delete", "billing.prices", "--force").output
                == "billing.prices is gone, with 3 messages.\n")
        #expect(await run("subscription", "delete", "billing.prices").code == 4)
    }

    /// Goal: names that programs rely on. `oldest_age_ms` goes there and back.
    @Test func aQueueHasAllItsCounters() async throws {
        server.backend.world.withLock { world in
            world.queues[0].oldestAgeMs = 61_000
            (world.queues[0].delayed, world.queues[0].waiting, world.queues[0].deadLetteredTotal) = (4, 5, 6)
        }
        let json = await run("queue", "show", "orders", "--json").output
        let queue = try APICoding.decode(API.Queue.self, from: Array(json.utf8))
        #expect((queue.oldestAgeMs, queue.delayed, queue.waiting, queue.deadLetteredTotal) == (61_000, 4, 5, 6))
        for name in [
            "expired_total", "duplicates_total", "rejected_total", "dropped_total", "in_per_second", "out_per_second",
            "lanes", "oldest_age_ms", "redelivered_total",
        ] {
            #expect(json.contains("\"\(name)\":"), "\(name)")
        }
        let shown = await run("queue", "show", "orders").output
        #expect(shown.contains("1 min 1 s") && shown.contains("5 for their next delivery"))
        #expect(await run("queue", "list").output.contains("1 min 1 s"))
    }
}
