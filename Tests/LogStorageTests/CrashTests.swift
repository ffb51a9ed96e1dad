import Base
import BrokerCore
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// A store at work on a disk that may be cut off at any operation.
///
/// Before any disk operation a picture of the disk may be taken, with what had been confirmed by then;
/// and while the keeper is at work, commits and pages may come in between.
final class Run: Sendable {
    struct Picture: Sendable {
        var image: SimulatedDisk.Image
        /// Batches that had been confirmed, and batches that had been handed over.
        var confirmed: Int
        var submitted: Int
        var operation: SimulatedDisk.Operation
    }

    private struct State: Sendable {
        var workload: Workload
        /// `models[n]` is what `n` batches make.
        var models: [Model]
        var confirmed = 0
        var submitted = 0
        var pending: [Batch] = []
        var pictures: [Picture] = []
        var isBusy = false
        var dice: SplitMix64
        var failure: String?
    }

    let disk: SimulatedDisk
    let store: Store
    private let state: Mutex<State>
    /// One picture in so many operations.
    private let pictureEvery: Int

    init(seed: UInt64, workload: Workload? = nil, disk: SimulatedDisk = SimulatedDisk(), pictureEvery: Int) throws {
        self.disk = disk
        self.pictureEvery = pictureEvery
        let workload = workload ?? Workload(seed: seed)
        store = try Opening.open(disk, smallSettings()).store
        state = Mutex(State(workload: workload, models: [workload.model], dice: SplitMix64(seed: seed &* 31 &+ 7)))
        disk.hooks.withLock { $0.watch = { [weak self] in self?.before($0) } }
    }

    func end() {
        disk.hooks.withLock { $0.watch = nil }
        store.release()
    }

    var pictures: [Picture] { state.withLock { $0.pictures } }
    var models: [Model] { state.withLock { $0.models } }
    var failure: String? { state.withLock { $0.failure } }
    var confirmed: Int { state.withLock { $0.confirmed } }
    var submitted: Int { state.withLock { $0.submitted } }

    private func before(_ operation: SimulatedDisk.Operation) {
        let image = disk.copy()
        let isKeeper = state.withLock { state -> Bool in
            if state.dice.oneIn(pictureEvery) {
                state.pictures.append(
                    Picture(
                        image: image, confirmed: state.confirmed, submitted: state.submitted, operation: operation))
            }
            // In between the keeper's operations, but not of those that come in between.
            if state.isBusy || !state.dice.oneIn(6) { return false }
            state.isBusy = true
            return true
        }
        if !isKeeper { return }
        commitSome()
        state.withLock { $0.isBusy = false }
    }

    /// Random work: commits, idle marks, rounds of the keeper.
    func work(steps: Int) {
        for _ in 0..<steps {
            let kind = state.withLock { state in
                state.isBusy = true
                return state.dice.roll(0..<10)
            }
            if kind < 6 { commitSome() }
            if kind == 6 { attempt { () throws(StorageFailure) in try store.mark() } }
            if kind > 6 {
                state.withLock { $0.isBusy = false }
                attempt { () throws(StorageFailure) in _ = try store.keep() }
            }
        }
        state.withLock { $0.isBusy = true }
        attempt { () throws(StorageFailure) in try commitPending() }
    }

    private func attempt(_ body: () throws(StorageFailure) -> Void) {
        do throws(StorageFailure) { try body() } catch {
            state.withLock { $0.failure = $0.failure ?? error.description }
        }
    }

    private func commitSome() {
        state.withLock { state in
            for _ in 0..<state.dice.roll(1..<5) {
                state.pending.append(state.workload.next())
                state.models.append(state.workload.model)
                state.submitted += 1
            }
        }
        attempt { () throws(StorageFailure) in try commitPending() }
    }

    /// Commits what waits, as far as there are segments. Only the keeper makes one; if it is the
    /// keeper that we came in between, the rest waits.
    private func commitPending() throws(StorageFailure) {
        let batches = state.withLock { $0.pending }
        var done = 0
        var rounds = 0
        while done < batches.count {
            let end = try store.commit(batches, from: done)
            state.withLock { state in
                state.confirmed += end - done
                state.pending.removeFirst(end - done)
            }
            if end == done {
                let round = try store.keeper.withLockIfAvailable { (keeper) throws(StorageFailure) in
                    try keeper.round(store)
                }
                if round == nil { return }
                rounds += 1
                if rounds > 20 { throw StorageFailure("no segment comes") }
            }
            done = end
        }
    }
}

struct CrashTests {
    /// Opens what a crash left and compares it with the model: every confirmed batch, perhaps some of
    /// those that were under way, in order, nothing else. Returns how many.
    static func verify(
        _ image: SimulatedDisk.Image, _ picture: Run.Picture, _ models: [Model], _ about: String
    ) throws -> (disk: SimulatedDisk, batches: Int)? {
        let disk = SimulatedDisk(image)
        let opened: (store: Store, recovery: Recovery)
        do {
            opened = try Opening.open(disk, smallSettings())
        } catch {
            Issue.record("\(about), before \(picture.operation): \(error)")
            return nil
        }
        let contents = try opened.store.contents()
        var batches: Int?
        for count in (picture.confirmed...picture.submitted).reversed() where models[count] == contents {
            batches = count
            break
        }
        guard let batches else {
            Issue.record(
                "\(about), before \(picture.operation): no prefix of \(picture.confirmed)...\(picture.submitted)")
            return nil
        }
        let difference = opened.recovery.difference(from: models[batches])
        #expect(difference == nil, "\(about), before \(picture.operation)")
        opened.store.release()
        return (disk, batches)
    }

    /// Goal: after any crash the store holds a prefix that contains all that was confirmed.
    /// Method: random work with pictures of the disk; of each, what different power cuts leave.
    @Test(arguments: 1...8) func afterAnyCrashAPrefixIsThere(seed: UInt64) throws {
        let run = try Run(seed: seed, pictureEvery: 3)
        run.work(steps: 60)
        run.end()
        #expect(run.failure == nil)
        #expect(try run.store.contents() == run.models.last)
        var dice = SplitMix64(seed: seed &+ 99)
        let models = run.models
        #expect(run.pictures.count > 30)
        for picture in run.pictures {
            for keep in [0, 1, 2, 2] {
                let image = picture.image.afterPowerCut(keep, &dice)
                guard let after = try Self.verify(image, picture, models, "seed \(seed), keep \(keep)") else { return }
                // Recovering once more changes nothing.
                var again = picture
                again.confirmed = after.batches
                again.submitted = after.batches
                guard try Self.verify(after.disk.copy(), again, models, "again, seed \(seed), keep \(keep)") != nil
                else { return }
            }
        }
    }

    /// Goal: the same for a store that has crashed many times. Method: crash, recover (with crashes
    /// during recovery), go on with what was found, and so on.
    @Test(arguments: 1...8) func manyLivesOfOneStore(seed: UInt64) throws {
        var dice = SplitMix64(seed: seed &* 1_000_003)
        var workload = Workload(seed: seed)
        var image = SimulatedDisk.Image()
        for life in 0..<25 {
            let run = try Run(
                seed: seed &* 100 &+ UInt64(life), workload: workload, disk: SimulatedDisk(image), pictureEvery: 12)
            run.work(steps: 30)
            run.end()
            if let failure = run.failure { Issue.record("seed \(seed), life \(life): \(failure)") }
            let pictures = run.pictures
            guard !pictures.isEmpty else { continue }
            let picture = pictures[dice.roll(0..<pictures.count)]
            image = picture.image.afterPowerCut(2, &dice)
            // Crash while recovering, twice.
            for _ in 0..<2 {
                let disk = SimulatedDisk(image)
                let last = dice.roll(1..<60)
                let cut = Mutex<SimulatedDisk.Image?>(nil)
                disk.hooks.withLock { hooks in
                    hooks.watch = { [unowned disk] operation in
                        if operation.index == last { cut.withLock { $0 = disk.copy() } }
                    }
                }
                let opened = try Opening.open(disk, smallSettings())
                disk.hooks.withLock { $0.watch = nil }
                opened.store.release()
                if let picture = cut.withLock({ $0 }) { image = picture.afterPowerCut(2, &dice) }
            }
            guard let after = try Self.verify(image, picture, run.models, "seed \(seed), life \(life)") else { return }
            image = after.disk.copy()
            workload.model = run.models[after.batches]
        }
    }
}
