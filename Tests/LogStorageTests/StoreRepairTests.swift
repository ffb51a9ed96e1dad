import Base
import BrokerCore
import Glibc
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// Damage of every kind, and what a repair makes of it.
struct StoreRepairTests {
    enum Harm: CaseIterable {
        case flip, flips, zeros, cut, drop, dropCheckpoints, flipCheckpoints, flipSegmentHeader, flipQueueFileHeader
        case dropStore, garbage
    }

    /// How often each kind of harm is done to each store: `BROKERD_REPAIR_ROUNDS`.
    private static var rounds: Int { getenv("BROKERD_REPAIR_ROUNDS").flatMap { Int(String(cString: $0)) } ?? 6 }

    /// Does one kind of harm to a store; says where.
    static func harm(_ disk: SimulatedDisk, _ harm: Harm, _ dice: inout SplitMix64) -> String {
        func path(_ suffixes: String...) -> String {
            let paths = StoreCheckTests.paths(disk).filter { path in suffixes.contains { path.hasSuffix($0) } }
            return paths.isEmpty ? StorePath.checkpoint : paths[dice.roll(0..<paths.count)]
        }
        func flip(_ path: String, _ range: Range<Int>? = nil) {
            let count = disk.bytes(path)?.count ?? 0
            let at = dice.roll(range ?? 0..<count)
            disk.damage(path) { $0[at] ^= 1 << UInt8(dice.roll(0..<8)) }
        }
        switch harm {
        case .flip:
            let path = path(".seg", ".log")
            flip(path)
            return path
        case .flips:
            for _ in 0..<6 { flip(path(".seg", ".log")) }
            return "many"
        case .zeros, .garbage:
            let path = path(".seg", ".log")
            let count = disk.bytes(path)?.count ?? 0
            let start = dice.roll(0..<count)
            let length = min(count - start, dice.roll(1..<3000))
            disk.damage(path) { bytes in
                for at in start..<start + length { bytes[at] = harm == .zeros ? 0 : UInt8(dice.roll(0..<256)) }
            }
            return "\(path) \(start)..<\(start + length)"
        case .cut:
            let path = path(".seg", ".log")
            let count = disk.bytes(path)?.count ?? 0
            disk.damage(path) { $0.removeLast(dice.roll(1..<count)) }
            return path
        case .drop:
            let path = path(".seg", ".log")
            disk.drop(path)
            return path
        case .dropCheckpoints:
            for path in CheckpointCopies.paths { disk.drop(path) }
            return "checkpoints"
        case .flipCheckpoints:
            for path in CheckpointCopies.paths { flip(path) }
            return "checkpoints"
        case .flipSegmentHeader:
            let path = path(".seg")
            flip(path, 0..<48)
            return path
        case .flipQueueFileHeader:
            let path = path(".log")
            flip(path, 0..<40)
            return path
        case .dropStore:
            disk.drop(StorePath.store)
            return StorePath.store
        }
    }

    /// Holds what a repaired store has against what it had and what the report said.
    static func compare(_ model: Model, _ was: Model, _ report: StoreReport, _ about: String) throws {
        func losses(_ kind: StoreReport.Loss.Kind, _ id: UInt32) -> SequenceRanges? {
            report.losses.first { $0.kind == kind && $0.queue == id }?.sequences
        }
        let isRebuilt = report.consequences.contains { $0.contains("is not known any more") }
        for (id, queue) in was.queues {
            let now = model.queues[id]
            let lost = losses(.lost, id)
            let unknown = losses(.unknownFrom, id)?.first ?? .max
            for (sequence, message) in queue.live {
                if let found = now?.live[sequence] {
                    try #require(found == message, "\(about): message \(sequence) of queue \(id) is another")
                    #expect(lost?.contains(sequence) != true, "\(about): \(sequence) of \(id) is not lost")
                    continue
                }
                let isSaid = lost?.contains(sequence) == true || sequence >= unknown
                // Without a checkpoint a queue of which nothing can be read is not known to have been.
                try #require(
                    isSaid || isRebuilt && (now == nil || lost == nil),
                    "\(about): message \(sequence) of queue \(id) is lost without a word: \(report.losses)")
            }
            if let now { #expect(now.next >= queue.next, "\(about): sequences of queue \(id) go back") }
        }
        for (id, queue) in model.queues {
            for sequence in queue.live.keys where was.queues[id]?.live[sequence] == nil {
                try #require(
                    losses(.mayReturn, id)?.contains(sequence) == true,
                    "\(about): message \(sequence) of queue \(id) comes again without a word")
            }
        }
        #expect(model.nextQueueID >= was.nextQueueID || isRebuilt, "\(about)")
    }

    /// Appends to every queue and to a new one, through restarts.
    static func work(on disk: SimulatedDisk, _ about: String) throws {
        let (store, recovery) = try Opening.open(disk, smallSettings())
        var builder = BatchBuilder()
        for queue in recovery.queues { builder.append(queue.id.rawValue, queue.next, [1, 2, 3]) }
        builder.create(recovery.nextQueueID, "new")
        builder.append(recovery.nextQueueID, 1, [UInt8](repeating: 9, count: 2000))
        let batch = builder.batch(1)
        while try store.commit([batch], from: 0) == 0 { _ = try store.keep() }
        for _ in 0..<3 { _ = try store.keep() }
        let model = try store.contents()
        store.finish()
        store.release()
        let again = DamageTests.open(disk)
        #expect(again.model == model && again.report.isEmpty, "\(about): \(again.refusal ?? "") \(again.report)")
    }

    /// Goal: whatever is done to a store, a repair makes it whole, and loses nothing that it does not name.
    @Test(arguments: Harm.allCases) func whatIsLostIsWhatWasSaid(harm: Harm) throws {
        var repaired = 0
        for seed in [5, 6, 7] as [UInt64] {
            // One of them has something of everything.
            let rich = try RichStore(seed: seed)
            let large = seed == 7 ? (image: rich.image, model: rich.model) : try DamageTests.large(seed: seed)
            var dice = SplitMix64(seed: seed)
            for round in 0..<Self.rounds {
                let disk = SimulatedDisk(large.image, seed: seed)
                let place = Self.harm(disk, harm, &dice)
                let about = "seed \(seed), round \(round), \(harm) of \(place)"
                let outcome = try StoreRepair.run(on: disk, stamp: "1", carryOut: true)
                if outcome.before.isWhole {
                    #expect(DamageTests.open(disk).model == large.model, "\(about)")
                    continue
                }
                repaired += 1
                let after = try #require(outcome.after)
                try #require(after.isWhole, "\(about): \(after.damages) \(after.start)")
                let opened = DamageTests.open(disk)
                let model = try #require(opened.model, "\(about): \(opened.refusal ?? "")")
                try Self.compare(model, large.model, outcome.before, about)
                try Self.work(on: disk, about)
                #expect(try StoreRepair.run(on: disk, stamp: "2", carryOut: true).before.isWhole, "\(about)")
            }
        }
        #expect(repaired > 3)
    }

    /// Goal: no copy is written over what it is the copy of, or over anything else.
    @Test func copiesGoOnlyToANewOrEmptyDirectoryElsewhere() throws {
        let temporary = try TemporaryDirectory()
        let root = temporary.path
        let data = "\(root)/data"
        let disk = try SystemDisk(directory: data)
        try Opening.open(disk, smallSettings()).store.release()
        try disk.remove(StorePath.store)
        try SystemDisk(directory: "\(root)/other").makeDirectory("precious")
        #expect(symlink(data, "\(root)/link") == 0)
        func repair(_ saved: String, _ carryOut: Bool) throws -> StoreRepair.Outcome {
            try StoreRepair.run(directory: data, saved: "\(root)/\(saved)", stamp: "1", carryOut: carryOut)
        }
        let before = try Set(disk.names(in: ""))
        for isMeant in [false, true] {
            for saved in ["data", "data/", "data/journal", "data/new", "link/new", "other/../data/new", "other"] {
                let refusal = #expect(throws: StorageFailure.self, "\(saved)") { _ = try repair(saved, isMeant) }
                #expect(refusal?.kind == .unavailable)
            }
        }
        #expect(try Set(disk.names(in: "")) == before)
        #expect(try repair("saved", false).after == nil)
        #expect(access("\(root)/saved", F_OK) != 0)
        #expect(try repair("saved", true).after?.isWhole == true)
        #expect(access("\(root)/saved/\(StorePath.checkpoint)", F_OK) == 0)
    }

    @Test func theDirectoriesOfAStoreAreThereAfterARepair() throws {
        let disk = SimulatedDisk()
        try Opening.open(disk, smallSettings()).store.release()
        disk.drop(StorePath.store)
        disk.drop(StorePath.queues)
        #expect(try StoreRepair.run(on: disk, stamp: "1", carryOut: true).after?.isWhole == true)
        #expect(disk.paths.contains(StorePath.queues))
    }
}

/// Repairs that are cut off.
struct StoreRepairCrashTests {
    private static func outline(_ model: Model) -> String {
        model.queues.sorted { $0.key < $1.key }.map { id, queue in
            "\(id): next \(queue.next), \(queue.live.count) live, \(queue.dedup.count) ids, \(queue.attempts.count) tries"
        }.joined(separator: "; ") + "; next \(model.nextQueueID)"
    }

    /// Goal: a repair can be cut off at any operation and begun again, and a start in between never sees half of
    /// one. Method: pictures of the disk at each operation, what a power cut leaves of each, a start, a repair.
    @Test(arguments: [StoreRepairTests.Harm.zeros, .drop, .flipCheckpoints, .dropStore, .garbage])
    func aRepairCutOffAnywhereCanBeRepeated(harm: StoreRepairTests.Harm) throws {
        let large = try DamageTests.large(seed: 6)
        var dice = SplitMix64(seed: 77)
        var damaged = SimulatedDisk(large.image)
        repeat {
            damaged = SimulatedDisk(large.image)
            _ = StoreRepairTests.harm(damaged, harm, &dice)
        } while try StoreCheck.run(on: damaged).isWhole
        try Self.cutOff(damaged.copy(), large.model, "\(harm)", &dice)
    }

    /// Goal: the same where the segment is missing in which the log went on: an empty one of its number would
    /// let a start go on as if nothing had been lost.
    @Test func aRepairWithoutTheLastSegmentCanBeCutOffAndRepeated() throws {
        let large = try DamageTests.large(seed: 6)
        var dice = SplitMix64(seed: 77)
        let damaged = SimulatedDisk(large.image)
        func isSealed() throws -> Bool {
            try StoreCheck.run(on: damaged).damages.contains { $0.sentence.contains("the log goes on there") }
        }
        while try !isSealed() {
            damaged.drop(try #require(damaged.paths.last { $0.hasSuffix(".seg") }))
        }
        try Self.cutOff(damaged.copy(), large.model, "the last segment", &dice)
    }

    /// Goal: a plan that is thrown away is never called done. Method: a repair is cut off before its second step, the
    /// next one while it clears what the first has left; then one more.
    @Test func aPlanThatIsThrownAwayIsNotDone() throws {
        let disk = SimulatedDisk(try DamageTests.large(seed: 6).image)
        for path in CheckpointCopies.paths { disk.damage(path) { $0[100] ^= 1 } }
        func cut(_ stamp: String, at kind: SimulatedDisk.Kind, _ path: String) {
            disk.hooks.withLock { $0.fault = { $0.kind == kind && $0.path == path ? EIO : nil } }
            #expect(throws: StorageFailure.self) { _ = try StoreRepair.run(on: disk, stamp: stamp, carryOut: true) }
            disk.hooks.withLock { $0.fault = nil }
        }
        cut("1", at: .remove, StorePath.store)
        #expect(disk.bytes("repair-1/ready") != nil && disk.bytes("repair-1/new/store") != nil)
        cut("2", at: .remove, "repair-1/new")
        #expect(disk.bytes("repair-1/new/store") == nil)
        let outcome = try StoreRepair.run(on: disk, stamp: "3", carryOut: true)
        #expect(outcome.after?.isWhole == true && !outcome.hasFinishedAnother)
        #expect(disk.paths.filter { $0.hasSuffix("/done") } == ["repair-3/done"])
        #expect(!disk.paths.contains { $0.hasSuffix("/new") || $0.hasSuffix("/ready") })
    }

    /// Goal: a file of a number that no store reaches is named, and does not end the process.
    @Test func aSegmentOfTheLastNumberIsRefused() throws {
        let disk = SimulatedDisk(try DamageTests.large(seed: 6).image)
        disk.drop(StorePath.store)
        disk.put(StorePath.segment(.max), [UInt8](repeating: 1, count: 5000))
        let failure = #expect(throws: StorageFailure.self) {
            _ = try StoreRepair.run(on: disk, stamp: "1", carryOut: true)
        }
        #expect(failure?.description.contains("4294967295.seg") == true)
    }

    private static func cutOff(
        _ image: SimulatedDisk.Image, _ was: Model, _ harm: String, _ dice: inout SplitMix64
    ) throws {
        let disk = SimulatedDisk(image, seed: 1)
        let pictures = Mutex<[SimulatedDisk.Image]>([])
        let operations = Mutex<[SimulatedDisk.Operation]>([])
        disk.hooks.withLock { hooks in
            hooks.watch = { [unowned disk] operation in
                // Reading changes nothing.
                if operation.kind == .read || operation.kind == .open || operation.kind == .list { return }
                pictures.withLock { $0.append(disk.copy()) }
                operations.withLock { $0.append(operation) }
            }
        }
        let outcome = try StoreRepair.run(on: disk, stamp: "1", carryOut: true)
        disk.hooks.withLock { $0.watch = nil }
        let expected = try #require(DamageTests.open(disk).model)
        let all = pictures.withLock { $0 }
        #expect(all.count > 20)
        for (index, picture) in all.enumerated() where index % 4 == 0 || index > all.count - 60 {
            let about = "\(harm), operation \(index) of \(all.count)"
            let after = SimulatedDisk(picture.afterPowerCut(index % 3, &dice), seed: 2)
            // A start in between goes on from before or from after, or not at all.
            let start = try StoreCheck.tryStart(on: after)
            if case .goesOn = start {
                let model = DamageTests.readAllOf(SimulatedDisk(after.copy()))
                try StoreRepairTests.compare(model, was, outcome.before, about)
            }
            let again = try StoreRepair.run(on: after, stamp: "2", carryOut: true)
            if let report = again.after { #expect(report.isWhole, "\(about): \(report.damages)") }
            let opened = DamageTests.open(after)
            let model = try #require(opened.model, "\(about): \(opened.refusal ?? "")")
            let isSame = model == expected
            try #require(
                isSame,
                """
                \(about): another store than without the interruption: \(Self.outline(model)), not \
                \(Self.outline(expected)); before \(operations.withLock { $0[index] }); \(start); \
                \(again.before.damages), \(again.hasFinishedAnother)
                """)
        }
    }
}
