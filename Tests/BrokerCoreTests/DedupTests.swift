import Base
import Testing

@testable import BrokerCore

/// A message with a `dedup-id`.
private struct Once {
    var destination = "/queue/a"
    var body: String
    var id: String
    var transaction: UInt32 = 0
    var isDurable = true
    var priority: UInt8 = 4
    var delay: UInt64 = 0
}

/// A rig that is told what time it is and sends messages with ids; a class, so that it can act inside of what
/// is expected.
@dynamicMemberLookup
private final class IDRig {
    var rig: Rig
    /// Every other message that only has an id says where it stands, instead of bringing extras.
    private var isPlain = false
    private var memos: [String: Int32] = [:]

    init(limits: CoreLimits = CoreLimits()) {
        rig = Rig(limits: limits)
        rig.wall = 0
    }
    init(recovered ledger: Ledger) { rig = Rig(recovered: ledger) }

    subscript<Value>(dynamicMember path: WritableKeyPath<Rig, Value>) -> Value {
        get { rig[keyPath: path] }
        _modify { yield &rig[keyPath: path] }
    }

    func open() -> SessionID { rig.open() }
    func sync(_ count: Int = .max) { rig.sync(count) }
    func apply(_ request: Request, of session: SessionID) -> UInt64 { rig.apply([request], of: session).batch }

    func act<Result>(_ body: (inout Rig) throws -> Result) rethrows -> Result {
        defer { rig.carryOut() }
        return try body(&rig)
    }

    @discardableResult
    func send(
        _ messages: [Once], of session: SessionID
    ) -> (done: Int, refusal: Refusal?, batch: UInt64) {
        var extras = CommandExtras()
        var arena: [UnsafeMutableBufferPointer<UInt8>] = []
        defer { for bytes in arena { bytes.deallocate() } }
        func keep(_ bytes: [UInt8]) -> Bytes {
            let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
            _ = copy.initialize(from: bytes)
            arena.append(copy)
            return Bytes(copy)
        }
        var commands: [Command] = []
        for message in messages {
            isPlain.toggle()
            if isPlain, message.transaction == 0, message.priority == 4, message.delay == 0 {
                let memo = memos["\(session) \(message.destination)"] ?? Int32(memos.count)
                memos["\(session) \(message.destination)"] = memo
                commands.append(
                    .send(
                        Send(
                            memo: memo, destination: keep(Array(message.destination.utf8)),
                            content: keep(Array("i:\(message.id)\n\n\(message.body)\0".utf8)),
                            headerBytes: UInt32(message.id.utf8.count + 4),
                            flags: message.isDurable ? MessageFlags.durable : 0, dedupStart: 2,
                            dedupCount: UInt16(message.id.utf8.count))))
                continue
            }
            var extra = SendExtras()
            extra.dedupID = Array(message.id.utf8)
            extra.priority = message.priority
            extra.delay = message.delay
            extras.sends.append(extra)
            commands.append(
                .send(
                    Send(
                        destination: keep(Array(message.destination.utf8)),
                        content: keep(Request.content(message.body)),
                        headerBytes: 1, flags: message.isDurable ? MessageFlags.durable : 0,
                        transaction: message.transaction, extras: Int32(extras.sends.count - 1))))
        }
        let now = Moment(Instant(nanoseconds: 0), wall: rig.wall)
        return commands.withUnsafeBufferPointer { commands in
            act { $0.core.apply(commands, extras: extras, of: session, now: now, into: &$0.effects) }
        }
    }

    /// Sends one and says whether it was taken for a new one.
    func isTaken(_ id: String, to destination: String = "/queue/a", of session: SessionID) -> Bool {
        let before = rig.core.totals.messagesIn
        send([Once(destination: destination, body: id, id: id)], of: session)
        return rig.core.totals.messagesIn > before
    }

    func tick(seconds: UInt64) {
        rig.wall += seconds * 1000
        _ = act { $0.core.tick(now: Moment(Instant(nanoseconds: 0), wall: $0.wall), into: &$0.effects) }
    }

    func configure(_ name: String, seconds: UInt64, count: UInt64) {
        guard let index = rig.core.queueByName[bytes(name)] else { return }
        var settings = rig.core.queues[Int(index)].settings.value
        settings.dedupSeconds = seconds
        settings.dedupCount = count
        rig.core.queues[Int(index)].settings = SharedSettings(settings)
    }

    func stored(_ name: String, in ledger: Ledger) -> (bodies: [String], ids: Int) {
        guard let queue = ledger.queues.values.first(where: { $0.name == bytes(name) }) else { return ([], 0) }
        let bodies = queue.live.sorted { $0.key < $1.key }.map {
            String(
                decoding: $0.value.bytes.split(separator: 10, omittingEmptySubsequences: false).last?.dropLast() ?? [],
                as: UTF8.self)
        }
        return (bodies, queue.dedup.count)
    }
}

struct DedupTests {
    @Test func aMessageThatIsSentAgainIsNotStoredAgain() {
        let rig = IDRig()
        let session = rig.open()
        let first = rig.send([Once(body: "1", id: "x")], of: session)
        #expect(first.batch == 1)
        let record = rig.batches[0].records.map(\.kind)
        #expect(record == [.createQueue, .append, .remember], "both in one batch")
        // The first is not on disk yet: neither may be confirmed before it is.
        let again = rig.send([Once(body: "2", id: "x")], of: session)
        #expect(again.done == 1 && again.refusal == nil && again.batch == 1 && rig.batches.isEmpty)
        let other = rig.open()
        #expect(rig.send([Once(body: "3", id: "x")], of: other).batch == 1)
        rig.sync()
        #expect(rig.send([Once(body: "4", id: "x")], of: other).batch <= 1)
        #expect(rig.stored("/queue/a", in: rig.storage.durable).bodies == ["1"])
        #expect(rig.core.totals.duplicates == 3 && rig.core.totals.messagesIn == 1)
        #expect(rig.core.queues[0].rare.counts.duplicates == 3)
        #expect(rig.storage.wrong.isEmpty)
    }

    @Test func idsAreOfOneQueueAndMessagesWithoutOneAreNeverDuplicates() {
        let rig = IDRig()
        let session = rig.open()
        rig.send(
            [
                Once(body: "1", id: "x"), Once(body: "2", id: "y"), Once(destination: "/queue/b", body: "3", id: "x"),
                Once(body: "4", id: ""), Once(body: "4", id: ""), Once(body: "5", id: "x "),
            ], of: session)
        rig.sync()
        #expect(rig.stored("/queue/a", in: rig.storage.durable).bodies == ["1", "2", "4", "4", "5"])
        #expect(rig.stored("/queue/b", in: rig.storage.durable).bodies == ["3"])
        #expect(rig.core.totals.duplicates == 0)
    }

    @Test func priorityAndDelayMakeNoOtherMessage() {
        let rig = IDRig()
        let session = rig.open()
        rig.send(
            [
                Once(body: "1", id: "x", priority: 7), Once(body: "2", id: "x"), Once(body: "3", id: "x", delay: 9000),
                Once(body: "4", id: "y", delay: 9000), Once(body: "5", id: "y", priority: 0),
            ], of: session)
        #expect(rig.core.totals.duplicates == 3 && rig.core.queues[0].rare.counts.duplicates == 3)
        #expect(rig.storage.appended.queues.values.reduce(0) { $0 + $1.live.count } == 2)
        #expect(rig.stored("/queue/a", in: rig.storage.appended).ids == 2, "the queue remembers, not its lanes")
        #expect(rig.storage.wrong.isEmpty)
    }

    @Test func inOneCallTheAnswerWaitsForTheBatchOfTheFirst() {
        var limits = CoreLimits()
        limits.batchBytes = 200
        let rig = IDRig(limits: limits)
        let session = rig.open()
        let long = String(repeating: "a", count: 150)
        let result = rig.send(
            [
                Once(body: long, id: "x"), Once(body: long, id: "x"), Once(body: long, id: "y"),
                Once(body: long, id: "x"),
            ],
            of: session)
        #expect(result.done == 4 && result.batch == UInt64(rig.batches.last?.number ?? 0))
        #expect(rig.core.totals.duplicates == 2)
        // What another queue got later does not matter to a duplicate here.
        rig.send([Once(destination: "/queue/b", body: "1", id: "x")], of: session)
        #expect(rig.send([Once(body: long, id: "x")], of: session).batch == result.batch)
        #expect(rig.storage.wrong.isEmpty)
    }

    @Test func aMessageWithoutPersistenceIsRememberedToo() {
        let rig = IDRig()
        let session = rig.open()
        rig.send([Once(body: "1", id: "x", isDurable: false)], of: session)
        #expect(!rig.isTaken("x", of: session))
    }

    @Test func aDuplicateIsConfirmedThoughNothingNewIsTaken() {
        let rig = IDRig()
        let session = rig.open()
        #expect(rig.isTaken("x", of: session))
        rig.core.diskShort = "no room"
        #expect(rig.send([Once(body: "1", id: "x")], of: session).refusal == nil)
        #expect(rig.send([Once(body: "1", id: "y")], of: session).refusal?.kind == .diskShort)
        rig.core.diskShort = nil
        #expect(rig.isTaken("y", of: session), "what was refused is not remembered")
    }

    // MARK: The window

    @Test func theOldestOfTooManyIsForgotten() {
        let rig = IDRig()
        let session = rig.open()
        #expect(rig.isTaken("a", of: session))
        rig.configure("/queue/a", seconds: 100, count: 3)
        for id in ["b", "c"] { #expect(rig.isTaken(id, of: session)) }
        for id in ["a", "b", "c"] { #expect(!rig.isTaken(id, of: session)) }
        #expect(rig.isTaken("d", of: session))
        #expect(rig.stored("/queue/a", in: rig.storage.appended).ids == 3)
        for id in ["b", "c", "d"] { #expect(!rig.isTaken(id, of: session)) }
        #expect(rig.isTaken("a", of: session) && !rig.isTaken("c", of: session) && rig.isTaken("b", of: session))
        #expect(rig.storage.wrong.isEmpty)
    }

    @Test func anIDIsForgottenWhenItIsTooOld() {
        let rig = IDRig()
        rig.wall = 5_999
        let session = rig.open()
        #expect(rig.isTaken("a", of: session))
        rig.configure("/queue/a", seconds: 10, count: 100)
        rig.wall = 15_000
        #expect(rig.isTaken("b", of: session))
        rig.wall = 15_999
        #expect(!rig.isTaken("a", of: session), "10 s after, to the millisecond")
        rig.wall = 16_000
        #expect(rig.isTaken("a", of: session))
        #expect(rig.stored("/queue/a", in: rig.storage.appended).ids == 2, "b and the second a")
        rig.wall = 25_999
        #expect(!rig.isTaken("a", of: session) && !rig.isTaken("b", of: session))
        #expect(rig.storage.wrong.isEmpty)
    }

    /// Goal: a duplicate does not make the time longer for which its id is remembered.
    @Test func aDuplicateDoesNotRenewItsID() {
        let rig = IDRig()
        let session = rig.open()
        #expect(rig.isTaken("a", of: session))
        rig.configure("/queue/a", seconds: 10, count: 100)
        for wall in [5000, 10_000] as [UInt64] {
            rig.wall = wall
            #expect(!rig.isTaken("a", of: session))
        }
        rig.wall = 11_000
        #expect(rig.isTaken("a", of: session))
    }

    @Test(arguments: [(0, 100), (100, 0)] as [(UInt64, UInt64)]) func aQueueMayRememberNothing(
        _ window: (UInt64, UInt64)
    ) {
        let rig = IDRig()
        let session = rig.open()
        #expect(rig.isTaken("a", of: session) && !rig.isTaken("a", of: session))
        rig.configure("/queue/a", seconds: window.0, count: window.1)
        #expect(rig.isTaken("a", of: session) && rig.isTaken("a", of: session))
        rig.tick(seconds: 1)
        #expect(rig.stored("/queue/a", in: rig.storage.appended).ids == 0)
        #expect(rig.core.duplicates.count == 0 && rig.storage.wrong.isEmpty)
    }

    @Test func idleQueuesForgetWithTime() {
        let rig = IDRig()
        let session = rig.open()
        for queue in 0..<5 {
            for id in 0..<100 { #expect(rig.isTaken("\(id)", to: "/queue/\(queue)", of: session)) }
            rig.configure("/queue/\(queue)", seconds: UInt64(10 * (queue + 1)), count: 1000)
        }
        rig.tick(seconds: 10)
        #expect(rig.core.duplicates.count == 500)
        rig.tick(seconds: 1)
        #expect(rig.core.duplicates.count == 400 && rig.stored("/queue/0", in: rig.storage.appended).ids == 0)
        #expect(rig.batches.count == 1 && rig.batches[0].records.map(\.kind) == [.forget])
        rig.tick(seconds: 30)
        #expect(rig.core.duplicates.count == 100)
        rig.tick(seconds: 100)
        rig.tick(seconds: 1)
        #expect(rig.core.duplicates.count == 0 && rig.core.duplicates.windowCount == 0, "nothing is left in memory")
        #expect(rig.storage.appended.queues.values.allSatisfy { $0.dedup.isEmpty })
        #expect(rig.isTaken("1", to: "/queue/1", of: session) && !rig.isTaken("1", to: "/queue/1", of: session))
        #expect(rig.storage.wrong.isEmpty)
    }

    /// Goal: one tick does a bounded piece of work.
    @Test func aTickForgetsABoundedNumber() {
        let rig = IDRig()
        rig.isStoring = false
        let session = rig.open()
        let messages = (0..<25_000).map { Once(body: "", id: "\($0)") }
        rig.send(messages, of: session)
        #expect(rig.core.duplicates.count == 25_000)
        rig.wall += 601_000
        for left in [15_000, 5000, 0] {
            rig.tick(seconds: 0)
            #expect(rig.core.duplicates.count == left)
        }
    }

    @Test func allQueuesTogetherHaveABound() {
        var limits = CoreLimits()
        limits.dedupIDs = 10
        let rig = IDRig(limits: limits)
        let session = rig.open()
        for id in 0..<10 { #expect(rig.isTaken("\(id)", of: session)) }
        #expect(!rig.isTaken("0", of: session))
        #expect(rig.isTaken("10", of: session), "in place of the queue's own oldest")
        #expect(rig.core.duplicates.count == 10 && rig.isTaken("0", of: session) && !rig.isTaken("2", of: session))
        // One that has just begun gets its place from one that has many.
        #expect(rig.isTaken("x", to: "/queue/b", of: session) && !rig.isTaken("x", to: "/queue/b", of: session))
        #expect(rig.core.duplicates.count == 10)
        for queue in 0..<30 {
            #expect(rig.isTaken("x", to: "/queue/\(queue)", of: session))
            #expect(rig.core.duplicates.count <= max(10, queue + 3), "never fewer than one for each")
        }
        let ids = rig.storage.appended.queues.values.reduce(0) { $0 + $1.dedup.count }
        #expect(ids == rig.core.duplicates.count && rig.storage.wrong.isEmpty)
    }

    @Test func aDeletedQueueTakesItsIDsWithIt() throws {
        let rig = IDRig()
        let session = rig.open()
        #expect(rig.isTaken("x", of: session))
        _ = try rig.act { try $0.core.deleteQueue(named: bytes("/queue/a"), force: true, into: &$0.effects) }
        #expect(rig.core.duplicates.count == 0 && rig.core.duplicates.windowCount == 0)
        #expect(rig.isTaken("x", of: session))
        rig.sync()
        #expect(rig.storage.wrong.isEmpty && rig.stored("/queue/a", in: rig.storage.durable).ids == 1)
    }

    @Test func aPurgedQueueStillKnowsWhatItHasTaken() {
        let rig = IDRig()
        let session = rig.open()
        #expect(rig.isTaken("x", of: session))
        #expect(rig.act { $0.core.purgeQueue(named: bytes("/queue/a"), into: &$0.effects) } == 1)
        #expect(!rig.isTaken("x", of: session))
    }

    // MARK: Transactions

    @Test func inATransactionIDsAreLookedAtAtCommit() {
        let rig = IDRig()
        let session = rig.open()
        _ = rig.apply(.begin(1), of: session)
        rig.send(
            [
                Once(body: "1", id: "x", transaction: 1), Once(body: "2", id: "x", transaction: 1),
                Once(body: "3", id: "y", transaction: 1),
            ], of: session)
        // Meanwhile somebody else sends one of them.
        rig.send([Once(body: "4", id: "y")], of: session)
        #expect(rig.core.totals.duplicates == 0)
        let batch = rig.apply(.commit(1), of: session)
        #expect(batch == rig.batches.first?.number)
        #expect(rig.batches.count == 1 && rig.batches[0].records.map(\.kind) == [.append, .remember])
        #expect(rig.core.totals.duplicates == 2)
        #expect(rig.stored("/queue/a", in: rig.storage.appended).bodies == ["4", "1"])
        // All of it once more: nothing is stored, and the answer waits for what was.
        _ = rig.apply(.begin(1), of: session)
        rig.send([Once(body: "1", id: "x", transaction: 1), Once(body: "3", id: "y", transaction: 1)], of: session)
        #expect(rig.apply(.commit(1), of: session) == batch)
        #expect(rig.batches.isEmpty && rig.core.totals.duplicates == 4)
    }

    @Test func whatWasNotCommittedIsNotRemembered() {
        let rig = IDRig()
        let session = rig.open()
        _ = rig.apply(.begin(1), of: session)
        rig.send([Once(body: "1", id: "x", transaction: 1)], of: session)
        _ = rig.apply(.abort(1), of: session)
        #expect(rig.isTaken("x", of: session))
        #expect(rig.core.totals.duplicates == 0)
    }

    // MARK: Restart

    @Test func afterARestartIDsAreKnownAgain() {
        var rig = IDRig()
        rig.wall = 1_000_000
        var session = rig.open()
        for id in ["a", "b", "c"] { #expect(rig.isTaken(id, of: session)) }
        rig.sync()
        #expect(rig.isTaken("d", of: session))
        // What was not on disk is lost with its id: neither is there without the other.
        rig = IDRig(recovered: rig.storage.durable)
        rig.wall = 1_000_000
        session = rig.open()
        for id in ["a", "b", "c"] { #expect(!rig.isTaken(id, of: session)) }
        #expect(rig.send([Once(body: "a", id: "a")], of: session).batch == 0)
        #expect(rig.isTaken("d", of: session) && rig.core.totals.duplicates == 4)
        rig.sync()
        #expect(rig.stored("/queue/a", in: rig.storage.durable).bodies == ["a", "b", "c", "d"])
        // They get as old as they would have: with the clock further on, and with a clock that was set back.
        let later = IDRig(recovered: rig.storage.durable)
        later.wall = 1_601_000
        #expect(later.isTaken("a", of: later.open()))
        let earlier = IDRig(recovered: rig.storage.durable)
        earlier.wall = 0
        #expect(!earlier.isTaken("a", of: earlier.open()))
        earlier.tick(seconds: 1)
        #expect(earlier.storage.wrong.isEmpty && earlier.core.duplicates.count == 4)
    }

    @Test func anotherStoreHasAnotherKeyAndTheSameOneTheSame() {
        let (one, same, other) = (Core.dedupKey(storeID: 7), Core.dedupKey(storeID: 7), Core.dedupKey(storeID: 8))
        #expect(one == same && one != other)
        #expect(SipHash.hash(bytes("x"), key: one) != SipHash.hash(bytes("x"), key: other))
    }

    // MARK: Everything at once

    /// Goal: whatever happens, a message is taken if and only if a plain list of ids says so, and storage
    /// holds that list. Method: random sends, times and crashes.
    @Test(arguments: 1...6 as ClosedRange<UInt64>) func aRandomRunAgreesWithPlainLists(seed: UInt64) {
        struct Item: Equatable {
            var id: Int
            var second: UInt64
        }
        typealias Lists = [Int: [Item]]
        var random = SplitMix64(seed: seed)
        var rig = IDRig()
        rig.wall = 1_000_000
        var lists: Lists = [:]
        /// What was said to be durable after each batch.
        var history: [UInt64: Lists] = [0: [:]]
        var session = rig.open()
        let (seconds, most): (UInt64, Int) = (20, 15)
        func name(_ queue: Int) -> String { "/queue/\(queue)" }
        func trim(_ queue: Int) {
            let second = rig.wall / 1000
            lists[queue]?.removeAll { $0.second + seconds < second }
            if let count = lists[queue]?.count, count > most { lists[queue]?.removeFirst(count - most) }
        }
        for _ in 0..<1500 {
            switch random.below(20) {
            case 0..<14:
                let queue = random.below(4)
                let id = random.below(60)
                trim(queue)
                let isNew = lists[queue]?.contains { $0.id == id } != true
                if isNew { lists[queue, default: []].append(Item(id: id, second: rig.wall / 1000)) }
                trim(queue)
                // The queue has its settings before it is sent to.
                rig.act { _ = try? $0.core.createQueue(named: bytes(name(queue)), into: &$0.effects) }
                rig.configure(name(queue), seconds: seconds, count: UInt64(most))
                #expect(rig.isTaken("\(id)", to: name(queue), of: session) == isNew)
                history[rig.storage.lastBatch] = lists
            case 14: rig.wall += UInt64(random.below(9000))
            case 15: rig.tick(seconds: UInt64(random.below(3)))
            case 16, 17: rig.sync(random.below(4))
            case 18:
                rig.tick(seconds: 0)
                for queue in lists.keys { trim(queue) }
                for (queue, list) in lists {
                    let stored = rig.storage.appended.queues.values.first { $0.name == bytes(name(queue)) }
                    let hashes = list.map { SipHash.hash(bytes("\($0.id)"), key: rig.core.dedupKey) }
                    #expect(stored?.dedup.map { DedupHash(high: $0.high, low: $0.low) } == hashes)
                }
            default:
                if random.below(4) > 0 { continue }
                rig.sync(random.below(3))
                var through = rig.storage.durableThrough
                while history[through] == nil { through -= 1 }
                let (ledger, wall) = (rig.storage.durable, rig.wall)
                #expect(rig.storage.wrong.isEmpty)
                rig = IDRig(recovered: ledger)
                rig.wall = wall + UInt64(random.below(3000))
                lists = history[through] ?? [:]
                history = [0: lists]
                session = rig.open()
                for queue in lists.keys { rig.configure(name(queue), seconds: seconds, count: UInt64(most)) }
            }
        }
        #expect(rig.storage.wrong.isEmpty && rig.core.totals.messagesIn > 0)
    }
}
