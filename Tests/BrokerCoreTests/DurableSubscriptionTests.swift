import Base
import Testing

@testable import BrokerCore

/// Subscriptions of topics that stay when the client goes.
struct DurableSubscriptionTests {
    /// Makes it and leaves.
    private func make(
        _ rig: inout Rig, _ name: String = "d", client: String = "", on topic: String = "/topic/a"
    ) {
        let session = rig.open()
        #expect(subscribe(&rig, session, name, client: client, on: topic) == nil)
        rig.close(session)
        rig.settleDown()
    }

    private func subscribe(
        _ rig: inout Rig, _ session: SessionID, slot: UInt32 = 1, _ name: String = "d", client: String = "",
        on topic: String = "/topic/a", selector: String = "", noLocal: Bool = false
    ) -> Refusal.Kind? {
        rig.subscribe(slot, topic, .individual, of: session) {
            $0.durableName = bytes(name)
            $0.clientID = bytes(client)
            $0.selector = bytes(selector)
            $0.noLocal = noLocal
        }
    }

    @Test func itGetsWhatWasSentWhileNobodyWasThere() {
        var rig = Rig()
        make(&rig)
        let sender = rig.open()
        rig.apply([.send("/topic/a", "1"), .send("/topic/a", "2"), .send("/topic/b", "no")], of: sender)
        rig.settleDown()
        let session = rig.open()
        #expect(subscribe(&rig, session) == nil)
        rig.settleDown()
        #expect(rig.take().bodies == ["1", "2"])
        rig.apply([.accept(1, 1), .accept(1, 2)], of: session)
        rig.settleDown()
        #expect(rig.stored("/dsub/d").isEmpty)
    }

    @Test func itSurvivesARestartWithWhatIsInIt() {
        var rig = Rig()
        make(&rig, on: "/topic/a.*")
        let sender = rig.open()
        rig.apply(.send("/topic/a.b", "before"), of: sender)
        rig.settleDown()
        rig.restart()
        let after = rig.open()
        rig.apply(.send("/topic/a.c", "after"), of: after)
        rig.settleDown()
        let session = rig.open()
        #expect(subscribe(&rig, session, on: "/topic/a.*") == nil)
        rig.settleDown()
        #expect(rig.take().bodies == ["before", "after"])
        #expect(rig.storage.wrong.isEmpty)
    }

    /// The RECEIPT of a SEND waits for the batch; the subscriber does too.
    @Test func aDurableMessageToATopicIsInABatch() {
        var rig = Rig()
        let (session, sender) = (rig.open(), rig.open())
        _ = subscribe(&rig, session)
        rig.settleDown()
        let result = rig.apply([.send("/topic/a", "1")], of: sender)
        #expect(result.batch > 0)
        #expect(rig.take().isEmpty)
        rig.sync()
        #expect(rig.take().bodies == ["1"])
        rig.apply(.send("/topic/a", "2", durable: false), of: sender)
        #expect(rig.take().bodies == ["2"])
    }

    @Test func aCrashBeforeTheBatchIsOnDiskTakesTheMessageBackFromAll() {
        var rig = Rig()
        make(&rig, "d1")
        make(&rig, "d2")
        let sender = rig.open()
        rig.apply(.send("/topic/a", "kept"), of: sender)
        rig.settleDown()
        rig.apply(.send("/topic/a", "lost"), of: sender)
        rig.restart()
        rig.settleDown()
        for name in ["/dsub/d1", "/dsub/d2"] { #expect(rig.stored(name) == ["": ["kept"]]) }
    }

    @Test func theBytesAreWrittenOnceForAllDurableSubscriptions() {
        var rig = Rig()
        for number in 0..<5 { make(&rig, "d\(number)") }
        let sender = rig.open()
        let body = String(repeating: "x", count: 1000)
        rig.apply(.send("/topic/a", body), of: sender)
        #expect(rig.batches.count == 1)
        #expect(rig.batches.first?.payloadBytes == 1002)
        rig.settleDown()
        for number in 0..<5 { #expect(rig.stored("/dsub/d\(number)") == ["": [body]]) }
        #expect(rig.storage.wrong.isEmpty)
    }

    @Test func aSharedOneDividesItsMessages() {
        var rig = Rig()
        let (one, two, sender) = (rig.open(), rig.open(), rig.open())
        #expect(subscribe(&rig, one) == nil)
        #expect(subscribe(&rig, two) == nil)
        for number in 1...4 { rig.apply(.send("/topic/a", "\(number)"), of: sender) }
        rig.settleDown()
        let all = rig.take()
        #expect(all.filter { $0.connection == 1 }.bodies == ["1", "3"])
        #expect(all.filter { $0.connection == 2 }.bodies == ["2", "4"])
    }

    @Test func anOwnedOneHasOneConsumerAtATime() {
        var rig = Rig()
        let (one, two) = (rig.open(), rig.open())
        #expect(subscribe(&rig, one, client: "c") == nil)
        #expect(subscribe(&rig, two, client: "c") == .subscriptionInUse)
        #expect(subscribe(&rig, two, slot: 2, client: "other") == nil)
        #expect(rig.apply(.subscribe(3, "/dsub/c.d", .auto), of: two) == .subscriptionInUse)
        rig.close(one)
        #expect(subscribe(&rig, two, slot: 4, client: "c") == nil)
    }

    /// The RECEIPT of DISCONNECT says that another may take over, however long the connection stays after it.
    @Test func anOwnedOneIsFreeOnceItsClientDisconnects() {
        var rig = Rig()
        let (one, two) = (rig.open(), rig.open())
        #expect(subscribe(&rig, one, client: "c") == nil)
        rig.apply([.send("/topic/a", "1"), .send("/topic/a", "2")], of: two)
        rig.settleDown()
        #expect(rig.take().bodies == ["1", "2"])
        rig.apply([.begin(1), .accept(1, 1, transaction: 1), .disconnect], of: one)
        #expect(subscribe(&rig, two, client: "c") == nil)
        rig.settleDown()
        #expect(rig.take().bodies == ["1", "2"])
    }

    @Test func whoOnlyLooksIsNoSecondConsumer() {
        var rig = Rig()
        let owner = rig.open()
        #expect(subscribe(&rig, owner, client: "c") == nil)
        rig.apply(.send("/topic/a", "1"), of: owner)
        rig.settleDown()
        #expect(rig.take().bodies == ["1"])
        let other = rig.open()
        #expect(rig.subscribe(1, "/dsub/c.d", .auto, of: other) { $0.isBrowser = true } == nil)
        rig.settleDown()
        #expect(rig.take().bodies.first == "1")
    }

    @Test func aNameWithADotCannotTakeTheSubscriptionOfAnotherClient() {
        var rig = Rig()
        make(&rig, "b.d", client: "a")
        let session = rig.open()
        #expect(subscribe(&rig, session, "d", client: "a.b") == .subscriptionInUse)
        #expect(subscribe(&rig, session, "a.b.d") == .subscriptionInUse)
    }

    @Test func anotherTopicBeginsANewOne() {
        var rig = Rig()
        make(&rig)
        let sender = rig.open()
        rig.apply(.send("/topic/a", "old"), of: sender)
        let session = rig.open()
        #expect(subscribe(&rig, session, on: "/topic/b") == nil)
        #expect(subscribe(&rig, rig.open(), on: "/topic/a") == .subscriptionInUse)
        rig.apply([.send("/topic/a", "no"), .send("/topic/b", "new")], of: sender)
        rig.settleDown()
        #expect(rig.take().bodies == ["new"])
        rig.restart()
        #expect(rig.core.durableViews().map(\.topic) == [bytes("/topic/b")])
    }

    @Test func anotherSelectorBeginsANewOne() {
        var rig = Rig()
        make(&rig)
        rig.apply(.send("/topic/a", "old"), of: rig.open())
        #expect(subscribe(&rig, rig.open(), selector: "colour = 'red'") == nil)
        rig.settleDown()
        #expect(rig.core.durableViews().map(\.messages) == [0])
        #expect(rig.core.durableViews().map(\.selector) == [bytes("colour = 'red'")])
    }

    @Test func itsSelectorIsAskedWhenAMessageComesAndAfterARestart() {
        var rig = Rig()
        let session = rig.open()
        #expect(subscribe(&rig, session, selector: "colour =") == .badSelector)
        #expect(subscribe(&rig, session, selector: "priority IS NULL") == nil)
        #expect(subscribe(&rig, rig.open(), "e", selector: "priority IS NOT NULL") == nil)
        rig.settleDown()
        rig.restart()
        let sender = rig.open()
        rig.apply(.send("/topic/a", "1"), of: sender)
        rig.settleDown()
        #expect(rig.stored("/dsub/d") == ["": ["1"]])
        #expect(rig.stored("/dsub/e").isEmpty)
    }

    /// A note that this version cannot understand: nothing is given by a condition that nobody knows, and it is said.
    @Test func aNoteThatCannotBeUnderstoodIsSaid() {
        var rig = Rig()
        #expect(subscribe(&rig, rig.open(), selector: "priority IS NULL") == nil)
        #expect(subscribe(&rig, rig.open(), "e") == nil)
        rig.settleDown()
        var ledger = rig.storage.durable
        for id in ledger.queues.keys where ledger.queues[id]?.name == bytes("/dsub/d") {
            var note = QueueNote(decoding: ledger.queues[id]?.note ?? [])
            note.binding?.selector = bytes("priority OF TOMORROW")
            ledger.queues[id]?.note = note.encoded()
        }
        var later = Rig(recovered: ledger)
        #expect(later.core.deafSubscriptions.map(\.name) == [bytes("/dsub/d")])
        #expect(later.core.deafSubscriptions.first?.reason.contains("character 10") == true)
        later.apply(.send("/topic/a", "1"), of: later.open())
        later.settleDown()
        #expect(later.stored("/dsub/d").isEmpty)
        #expect(later.stored("/dsub/e") == ["": ["1"]])
        #expect(later.core.durableViews().count == 2)
    }

    @Test func eachKnowsDuplicatesForItself() {
        var rig = Rig()
        make(&rig, "d")
        let sender = rig.open()
        let id: (inout SendExtras) -> Void = { $0.dedupID = bytes("id") }
        rig.send("/topic/a", "1", of: sender, id)
        make(&rig, "e")
        rig.send("/topic/a", "2", of: sender, id)
        rig.apply(.begin(1), of: sender)
        rig.send("/topic/a", "3", of: sender, transaction: 1, id)
        rig.apply(.commit(1), of: sender)
        rig.settleDown()
        rig.restart()
        rig.send("/topic/a", "4", of: rig.open(), id)
        rig.settleDown()
        #expect(rig.stored("/dsub/d") == ["": ["1"]])
        #expect(rig.stored("/dsub/e") == ["": ["2"]])
    }

    /// Goal: a full one that does not even want the message neither refuses it nor loses another for it.
    @Test func onlyThoseThatGetTheMessageNeedSpace() {
        var settings = QueueSettings.calm
        settings.lengthMost = 1
        var rig = Rig(defaults: settings)
        #expect(subscribe(&rig, rig.open(), selector: "x = 1") == nil)
        make(&rig, "e")
        let sender = rig.open()
        #expect(rig.apply(.send("/topic/a", "1"), of: sender) == nil)
        #expect(rig.apply(.send("/topic/a", "2"), of: sender) == .queueFull)
        rig.settleDown()
        #expect(rig.stored("/dsub/e") == ["": ["1"]])
    }

    @Test func aTransactionMakesTheOldestGoWhereTheSettingsSaySo() {
        var settings = QueueSettings.calm
        (settings.lengthMost, settings.overflow) = (2, .dropHead)
        var rig = Rig(defaults: settings)
        make(&rig)
        let sender = rig.open()
        rig.apply([.begin(1)] + (1...4).map { .send("/topic/a", "\($0)", transaction: 1) } + [.commit(1)], of: sender)
        rig.settleDown()
        #expect(rig.stored("/dsub/d") == ["": ["3", "4"]])
    }

    @Test func unsubscribeLeavesItOrDeletesIt() {
        var rig = Rig()
        let session = rig.open()
        _ = subscribe(&rig, session)
        rig.apply(.unsubscribe(1), of: session)
        rig.apply(.send("/topic/a", "1"), of: session)
        #expect(rig.core.durableViews().map(\.messages) == [1])
        _ = subscribe(&rig, session, slot: 2)
        let other = rig.open()
        _ = subscribe(&rig, other)
        #expect(rig.unsubscribe(2, deletes: true, of: session) == .subscriptionInUse)
        rig.close(other)
        rig.settleDown()
        #expect(rig.unsubscribe(2, deletes: true, of: session) == nil)
        rig.settleDown()
        #expect(rig.core.durableViews().isEmpty)
        #expect(rig.storage.durable.queues.isEmpty)
        #expect(rig.apply(.send("/topic/a", "2"), of: session) == nil)
        #expect(rig.batches.isEmpty)
    }

    /// Goal: a transaction that has decided deliveries does not reach into a queue that has gone.
    @Test func deletingDropsWhatATransactionHadDecided() {
        var rig = Rig()
        let session = rig.open()
        _ = subscribe(&rig, session)
        rig.apply(.send("/topic/a", "1"), of: session)
        rig.settleDown()
        rig.apply([.begin(1), .accept(1, 1, transaction: 1), .send("q", "x", transaction: 1)], of: session)
        #expect(rig.unsubscribe(1, deletes: true, of: session) == nil)
        #expect(rig.apply(.commit(1), of: session) == nil)
        rig.settleDown()
        #expect(rig.stored("/queue/q") == ["": ["x"]])
        #expect(rig.storage.wrong.isEmpty)
    }

    @Test func aClientDeletesItByNameWhenNobodyUsesIt() {
        var rig = Rig()
        make(&rig, client: "c")
        let session = rig.open()
        #expect(rig.deleteSubscription("d", client: "", of: session) == .noSuchSubscription)
        #expect(rig.deleteSubscription("d", client: "c", of: session) == nil)
        #expect(rig.core.durableViews().isEmpty)
    }

    @Test func itIsReachedByItsOwnName() {
        var rig = Rig()
        make(&rig)
        let session = rig.open()
        #expect(rig.apply(.subscribe(1, "/dsub/none", .auto), of: session) == .noSuchSubscription)
        #expect(rig.apply(.send("/dsub/d", "x"), of: session) == .unsupportedDestination)
        #expect(rig.apply(.subscribe(1, "/dsub/d", .auto), of: session) == nil)
        rig.apply(.send("/topic/a", "1"), of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["1"])
    }

    @Test func aTransactionFeedsItWithEverythingElse() {
        var rig = Rig()
        make(&rig)
        let session = rig.open()
        rig.apply(
            [.begin(1), .send("/topic/a", "1", transaction: 1), .send("q", "2", transaction: 1)], of: session)
        #expect(rig.stored("/dsub/d").isEmpty)
        rig.apply(.commit(1), of: session)
        #expect(rig.batches.count == 1)
        #expect(rig.batches.first?.records.filter { $0.kind == .append }.count == 2)
        rig.settleDown()
        #expect(rig.stored("/dsub/d") == ["": ["1"]])
    }

    @Test func fullDisksRefuseTheMessageAndTheTransaction() {
        var rig = Rig()
        make(&rig)
        let session = rig.open()
        rig.core.diskShort = "no room"
        #expect(rig.apply(.send("/topic/a", "1"), of: session) == .diskShort)
        #expect(rig.apply([.begin(1), .send("/topic/a", "1", transaction: 1)], of: session).refusal == nil)
        #expect(rig.apply(.commit(1), of: session) == .diskShort)
        #expect(rig.apply(.send("/topic/nobody", "1"), of: session) == nil)
    }

    @Test func itIsAQueueLikeAnyOther() {
        var settings = QueueSettings.calm
        settings.deliveryLimit = 2
        var rig = Rig(defaults: settings)
        make(&rig)
        let session = rig.open()
        rig.send("/topic/a", "low", of: session) { $0.priority = 1 }
        rig.send("/topic/a", "high", of: session) { $0.priority = 9 }
        #expect(subscribe(&rig, session) == nil)
        rig.settleDown()
        #expect(rig.take().bodies == ["high", "low"])
        rig.apply([.accept(1, 2), .reject(1, 1)], of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["high"])
        rig.apply(.reject(1, 3), of: session)
        rig.settleDown()
        #expect(rig.stored("/queue/dsub.d.dlq") == ["": ["high"]])
    }

    @Test func oneThatNobodyUsesExpires() {
        var settings = QueueSettings.calm
        settings.subscriptionExpirySeconds = 60
        var rig = Rig(defaults: settings)
        let session = rig.open()
        _ = subscribe(&rig, session)
        rig.apply(.send("/topic/a", "1"), of: session)
        for _ in 0..<100 { rig.tick() }
        #expect(rig.core.durableViews().count == 1)
        rig.close(session)
        for _ in 0..<40 { rig.tick() }
        #expect(rig.core.durableViews().count == 1)
        for _ in 0..<40 { rig.tick() }
        #expect(rig.core.durableViews().isEmpty)
        let expired = rig.reports.contains {
            if case .subscriptionExpired(bytes("/dsub/d"), _, 1) = $0 { true } else { false }
        }
        #expect(expired)
        #expect(rig.storage.durable.queues.isEmpty)
    }

    /// Goal: one in use when the broker was killed counts as used until then, not as unused since ever.
    @Test func aCrashDoesNotMakeOneInUseOld() {
        var settings = QueueSettings.calm
        settings.subscriptionExpirySeconds = 60
        var rig = Rig(defaults: settings)
        make(&rig)
        for _ in 0..<30 { rig.tick() }
        _ = subscribe(&rig, rig.open())
        rig.settleDown()
        for _ in 0..<1000 { rig.tick() }
        rig.restart()
        for _ in 0..<50 { rig.tick() }
        #expect(rig.core.durableViews().count == 1)
        for _ in 0..<30 { rig.tick() }
        #expect(rig.core.durableViews().isEmpty)
    }

    @Test func operatorsSeeAndDeleteIt() throws {
        var rig = Rig()
        make(&rig, client: "c", on: "/topic/a.>")
        rig.apply(.send("/topic/a.x", "1"), of: rig.open())
        let view = try #require(rig.core.durableViews().first)
        #expect(view.destination == bytes("/dsub/c.d"))
        #expect((view.name, view.clientID, view.topic) == (bytes("d"), bytes("c"), bytes("/topic/a.>")))
        #expect((view.consumers, view.messages, view.bytes) == (0, 1, 3))
        #expect(view.lastUsed == rig.wall / 1000)
        #expect(view.isOrphan)
        let consumer = rig.open()
        rig.apply(.subscribe(1, "/dsub/c.d", .individual), of: consumer)
        #expect(rig.core.durableViews().first?.isOrphan == false)
        #expect(throws: Core.DeleteObstacle.consumers(1)) {
            try rig.core.deleteDurable(named: view.destination, force: false, into: &rig.effects)
        }
        rig.close(consumer)
        #expect(try rig.core.deleteDurable(named: view.destination, force: false, into: &rig.effects) == 1)
        rig.carryOut()
        #expect(rig.core.durableViews().isEmpty)
        #expect(rig.apply([.send("/topic/a.x", "2")], of: rig.open()).batch == 0)
    }

    @Test func noLocalNeedsAnOwner() {
        var rig = Rig()
        let (session, other) = (rig.open(), rig.open())
        #expect(subscribe(&rig, session, noLocal: true) == .contradictoryWishes)
        #expect(subscribe(&rig, session, client: "c", noLocal: true) == nil)
        rig.apply(.send("/topic/a", "mine"), of: session)
        rig.apply(.send("/topic/a", "theirs"), of: other)
        rig.settleDown()
        #expect(rig.take().bodies == ["theirs"])
    }

    @Test func namesThatNoDestinationMayHaveAreRefused() {
        var rig = Rig()
        let session = rig.open()
        #expect(subscribe(&rig, session, "a\u{1}p7") == .badDestination)
        #expect(subscribe(&rig, session, String(repeating: "x", count: 300)) == .badDestination)
        #expect(rig.core.durableViews().isEmpty)
    }
}
