import Base
import Testing

@testable import BrokerCore

extension Rig {
    /// What the daemon does: page by page over all lanes, each after the one before is durable.
    mutating func run(
        _ errand: Core.Errand, on name: String, where text: String? = nil, most: UInt64 = .max, pages count: Int = 3
    ) throws -> Core.ErrandResult {
        let selector = try text.map { try Selector(bytes($0)) }
        var sum = Core.ErrandResult(resumeAt: 0)
        for lane in core.laneSummaries(of: bytes(name)) ?? [] {
            var from: UInt64 = 0
            while from < lane.next, sum.done < most {
                let read = FakeStorage.read(
                    storage.durable, queue: lane.id, from: from, maxCount: count, maxBytes: 1 << 20)
                let page = Core.ErrandPage(
                    lane: lane.id, messages: read.messages, from: from, resumeAt: read.resumeAt)
                let result = try core.run(errand, on: page, where: selector, most: most - sum.done, into: &effects)
                carryOut()
                sync()
                sum.done += result.done
                sum.skipped += result.skipped
                from = result.resumeAt
                if read.messages.isEmpty { break }
            }
        }
        settleDown()
        return sum
    }

    mutating func fill(_ name: String, _ numbers: ClosedRange<Int>, of session: SessionID) {
        for number in numbers {
            let colour = number % 2 == 0 ? "red" : "blue"
            send(head: "destination:/queue/\(name)\ncolour:\(colour)\nn:\(number)\n", name, "\(number)", of: session)
        }
        settleDown()
    }
}

/// What operators do to single messages of a queue.
struct ErrandTests {
    /// Ten messages in "q", of which a session holds the first three.
    private func filled() -> (Rig, SessionID) {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 3), of: session)
        rig.fill("q", 1...10, of: session)
        return (rig, session)
    }

    @Test func aMoveTakesAllThatNobodyHoldsInOrderWithTheNameOfTheTarget() throws {
        var (rig, session) = filled()
        #expect(try rig.run(.move(to: bytes("later")), on: "q").done == 7)
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 3)
        #expect(rig.stored("/queue/later") == ["": (4...10).map { "\($0)" }])
        _ = rig.take()
        rig.apply(.subscribe(2, "later", .auto), of: session)
        rig.settleDown()
        let moved = rig.take()
        #expect(moved.bodies == (4...10).map { "\($0)" })
        let text = String(decoding: moved[0].content.bytes, as: UTF8.self)
        #expect(text.hasPrefix("destination:/queue/later\ncolour:red\nn:4\n\n4"))
        #expect(rig.storage.wrong == [])
    }

    /// Goal: no crash can lose or double a message. Method: each batch has as many that come as that go.
    @Test func bothEndsOfAMoveAreInOneBatch() throws {
        var (rig, _) = filled()
        let lane = try #require(rig.core.laneSummaries(of: bytes("q"))?.first)
        let read = FakeStorage.read(rig.storage.durable, queue: lane.id, from: 0, maxCount: 100, maxBytes: 1 << 20)
        let page = Core.ErrandPage(
            lane: lane.id, messages: read.messages, from: 0, resumeAt: read.resumeAt)
        let result = try rig.core.run(.move(to: bytes("x")), on: page, where: nil, most: .max, into: &rig.effects)
        rig.carryOut()
        #expect(result.done == 7 && !rig.batches.isEmpty)
        for batch in rig.batches {
            #expect(
                batch.records.count { $0.kind == .append }
                    == batch.records.reduce(0) { $0 + Int($1.kind == .settle ? $1.count : 0) })
        }
    }

    /// Goal: a source that is gone makes no target.
    @Test func aMoveFromAQueueThatWasDeletedDoesNothing() throws {
        var (rig, _) = filled()
        let lane = try #require(rig.core.laneSummaries(of: bytes("q"))?.first)
        let read = FakeStorage.read(rig.storage.durable, queue: lane.id, from: 1, maxCount: 100, maxBytes: 1 << 20)
        _ = try rig.core.deleteQueue(named: bytes("q"), force: true, into: &rig.effects)
        rig.carryOut()
        let page = Core.ErrandPage(
            lane: lane.id, messages: read.messages, from: 1, resumeAt: read.resumeAt)
        let result = try rig.core.run(.move(to: bytes("x")), on: page, where: nil, most: .max, into: &rig.effects)
        rig.carryOut()
        #expect(result.done == 0 && rig.core.queueCount == 0 && rig.batches.isEmpty)
    }

    /// Goal: what stays is delivered, once and in order, and what went is not; also after a restart.
    @Test(arguments: [false, true]) func onlyWhatIsSelectedGoes(restarts: Bool) throws {
        var (rig, session) = filled()
        #expect(try rig.run(.purge, on: "q", where: "colour = 'red'").done == 4)
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 6)
        if restarts {
            rig.restart()
            session = rig.open()
            rig.apply(.subscribe(1, "q", .individual), of: session)
        } else {
            for tag in 1...3 { rig.apply(.accept(1, UInt64(tag)), of: session) }
        }
        rig.settleDown()
        let got = rig.take().bodies
        #expect(got.suffix(3) == ["5", "7", "9"] && got.count == 6)
        #expect(rig.storage.wrong == [])
    }

    /// Goal: a message is not delivered because storage still shows what is not yet durably gone.
    @Test func whatIsTakenOutOfTheMidstIsNotDeliveredBeforeThatIsDurable() throws {
        var rig = Rig()
        let session = rig.open()
        rig.fill("q", 1...10, of: session)
        let lane = try #require(rig.core.laneSummaries(of: bytes("q"))?.first)
        let read = FakeStorage.read(rig.storage.durable, queue: lane.id, from: 0, maxCount: 100, maxBytes: 1 << 20)
        let page = Core.ErrandPage(
            lane: lane.id, messages: read.messages, from: 0, resumeAt: read.resumeAt)
        let red = try Selector(bytes("colour = 'red'"))
        let first = try rig.core.run(.purge, on: page, where: red, most: .max, into: &rig.effects)
        rig.carryOut()
        #expect(first.done == 5)
        rig.apply(.subscribe(1, "q", .individual), of: session)
        while !rig.storage.questions.isEmpty { rig.answer() }
        rig.settleDown()
        #expect(rig.take().bodies == ["1", "3", "5", "7", "9"])
        // The same page again shows what is gone.
        let again = try rig.core.run(.purge, on: page, where: red, most: .max, into: &rig.effects)
        #expect(again.done == 0)
    }

    @Test func whatCameBackAndWhatWaitsGoesToo() throws {
        var settings = QueueSettings.calm
        settings.redeliveryDelay = 60_000
        settings.redeliveryDelayMost = 60_000
        var rig = Rig(defaults: settings)
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 3), of: session)
        rig.fill("q", 1...5, of: session)
        rig.apply(.reject(1, 1), of: session)
        rig.settleDown()
        rig.close(session)
        rig.settleDown()
        let view = try #require(rig.core.queueView(named: bytes("q")))
        #expect((view.waiting, view.ready) == (1, 4))
        #expect(try rig.run(.move(to: bytes("x")), on: "q").done == 5)
        #expect(rig.stored("/queue/x") == ["": ["1", "2", "3", "4", "5"]])
        let empty = try #require(rig.core.queueView(named: bytes("q")))
        #expect((empty.messages, empty.bytes) == (0, 0))
        #expect(rig.storage.wrong == [])
    }

    @Test func allLanesAreMovedAndStayWhatTheyAre() throws {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.send("q", "plain"), of: session)
        rig.extras.sends = []
        rig.send("q", "late", of: session) { $0.delay = 3_600_000 }
        rig.extras.sends = []
        rig.send(head: "destination:/queue/q\npriority:9\n", "q", "usual", of: session)
        rig.extras.sends = [SendExtras()]
        rig.extras.sends[0].priority = 9
        rig.send(head: "destination:/queue/q\npriority:9\n", "q", "urgent", of: session)
        rig.settleDown()
        #expect(rig.core.laneSummaries(of: bytes("q"))?.map(\.kind) == [.usual, .delayed, .priority(9)])
        #expect(try rig.run(.move(to: bytes("x")), on: "q").done == 4)
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 0)
        let view = try #require(rig.core.queueView(named: bytes("x")))
        #expect((view.messages, view.delayed, view.ready) == (4, 1, 3))
        #expect(rig.stored("/queue/x")["p9"] == ["usual", "urgent"])
        rig.pass(3_600_000)
        rig.apply(.subscribe(1, "x", .auto), of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["usual", "urgent", "plain", "late"])
        #expect(rig.storage.wrong == [])
    }

    @Test func anErrandStopsAtItsNumber() throws {
        var (rig, _) = filled()
        #expect(try rig.run(.purge, on: "q", most: 5).done == 5)
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 5)
    }

    // MARK: Dead letters

    private func buried() -> Rig {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: session)
        rig.fill("q", 1...4, of: session)
        for tag in 1...4 { rig.apply(.reject(1, UInt64(tag), .deadLetter), of: session) }
        rig.settleDown()
        rig.close(session)
        _ = rig.take()
        return rig
    }

    /// A gap in the window of a delayed lane is not a message that falls due.
    @Test func whatIsTakenOutOfDelayedOnesDoesNotFallDue() throws {
        var rig = Rig()
        let session = rig.open()
        var more = SendExtras()
        more.delay = 4000
        for number in 0..<5 {
            rig.extras.sends = [more]
            rig.send(head: "n:\(number)\n", "q", "\(number)", of: session)
        }
        rig.settleDown()
        #expect(try rig.run(.purge, on: "q", where: "n = 2 OR n = 3").done == 2)
        rig.apply(.subscribe(1, "q", .auto), of: session)
        for _ in 0..<30 { rig.pass(1000) }
        #expect(rig.take().bodies == ["0", "1", "4"])
        #expect(rig.storage.wrong.isEmpty)
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 0)
    }

    @Test func theDeadGoBackAndTheirCountBeginsAnew() throws {
        var rig = buried()
        #expect(
            try rig.run(.retry, on: "q.dlq", where: "n > 2 AND \"dead-letter-reason\" = 'rejected'", most: 1).done == 1)
        #expect(rig.stored("/queue/q.dlq") == ["": ["1", "2", "4"]])
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: session)
        rig.settleDown()
        let back = rig.take()
        #expect(back.bodies == ["3"] && back[0].count == 1)
        let text = String(decoding: back[0].content.bytes, as: UTF8.self)
        #expect(text == "destination:/queue/q\ncolour:blue\nn:3\n\n3\0")
        #expect(rig.storage.wrong == [])
    }

    @Test func whatSaysNoOriginStaysAndIsCounted() throws {
        var rig = buried()
        let session = rig.open()
        rig.apply(.send("q.dlq", "stray"), of: session)
        rig.settleDown()
        let result = try rig.run(.retry, on: "q.dlq")
        #expect((result.done, result.skipped) == (4, 1))
        #expect(rig.stored("/queue/q.dlq") == ["": ["stray"]])
        #expect(rig.stored("/queue/q") == ["": ["1", "2", "3", "4"]])
    }

    @Test func whatADurableSubscriptionGaveUpGoesBackToIt() throws {
        var rig = Rig()
        let session = rig.open()
        rig.subscribe(1, "/topic/t", .individual, of: session) {
            $0.durableName = bytes("d")
        }
        rig.send(head: "destination:/topic/t\n", "/topic/t", "x", of: session)
        rig.settleDown()
        rig.apply(.reject(1, 1, .deadLetter), of: session)
        rig.settleDown()
        _ = rig.take()
        #expect(try rig.run(.retry, on: "dsub.d.dlq").done == 1)
        let back = rig.take()
        #expect(back.map { String(decoding: $0.content.bytes, as: UTF8.self) } == ["destination:/topic/t\n\nx\0"])
    }

    @Test func aTargetThatCannotBeIsRefused() throws {
        var (rig, _) = filled()
        #expect(throws: Refusal.self) { try rig.run(.move(to: bytes("/topic/t")), on: "q") }
        rig.core.diskShort = "the disk is full"
        #expect(throws: Refusal.self) { try rig.run(.move(to: bytes("x")), on: "q") }
        #expect(try rig.run(.purge, on: "q").done == 7)
    }
}
