import Glibc
import Storage
import Synchronization

/// Looks at everything that is at rest, so that damage is found while a copy still helps.
///
///     pass    store, both checkpoints, journal segments in use, queue files: a slice at a time
///
/// It only reads. What can be mended from what is in memory is left to the keeper: a checkpoint is due again,
/// a segment is retired early.
package struct Scrubber: ~Copyable {
    /// What a slice came to.
    package struct Slice: Sendable {
        package var bytes = 0
        package var findings: [StorageFinding] = []
        /// Everything was looked at; the next slice begins anew.
        package var isPassDone = false
    }

    private enum Target {
        case store
        case checkpoint(Int)
        case segment(UInt32)
        /// Its files, one behind the other.
        case queue(UInt32)
    }

    private enum Work {
        case segment(SegmentCheck)
        case file(QueueFileCheck)
    }

    /// The next one comes last.
    private var targets: [Target] = []
    private var work: Work?
    /// Files of the queue before this one were looked at.
    private var nextFile: UInt64 = 0
    private var isUnderWay = false
    private var window = Window()
    private var reader = SegmentReader()

    /// A file costs so much at least, however short it is.
    private static let fileCost = 4096

    mutating func slice(_ budget: Int, _ store: Store) -> Slice {
        var slice = Slice()
        if !isUnderWay { begin(store) }
        while slice.bytes < budget, !slice.isPassDone {
            if work != nil {
                goOn(budget - slice.bytes, store, &slice)
            } else if let target = targets.last {
                take(target, store, &slice)
            } else {
                slice.isPassDone = true
                isUnderWay = false
                // Until the next pass there is nothing to keep memory for.
                window = Window()
                reader = SegmentReader()
            }
        }
        store.state.withLock { state in
            state.statistics.scrubbedBytes += UInt64(slice.bytes)
            if slice.isPassDone { state.statistics.scrubPasses += 1 }
        }
        return slice
    }

    /// Queues come in an order that starts anywhere: a broker that is stopped each night gets to all of them.
    private mutating func begin(_ store: Store) {
        isUnderWay = true
        let (segments, ids) = store.state.withLock { state in
            (
                state.segments.map(\.segment.number),
                state.ledger.ids.filter { state.ledger.queue($0)?.files.isEmpty == false }
            )
        }
        let turn = ids.isEmpty ? 0 : Int(store.disk.randomWord() % UInt64(ids.count))
        targets = (ids[turn...] + ids[..<turn]).map { .queue($0) }
        targets += segments.reversed().map { .segment($0) }
        targets += [.checkpoint(1), .checkpoint(0), .store]
        nextFile = 0
    }

    private mutating func take(_ target: Target, _ store: Store, _ slice: inout Slice) {
        switch target {
        case .store:
            targets.removeLast()
            slice.bytes += StoreHeader.size
            store.checkStoreFile(&slice)
        case .checkpoint(let index):
            targets.removeLast()
            slice.bytes += store.checkCheckpoint(index, &window, &slice)
        case .segment(let number):
            targets.removeLast()
            let (use, last) = store.state.withLock { state in
                (state.segments.first { $0.segment.number == number }, state.ledger.applied)
            }
            if let use { work = .segment(SegmentCheck(use, through: last)) }
        case .queue(let id):
            slice.bytes += Self.fileCost
            openNextFile(of: id, store, &slice)
        }
    }

    private mutating func openNextFile(of id: UInt32, _ store: Store, _ slice: inout Slice) {
        let from = nextFile
        let file = store.state.withLock { state in
            state.ledger.queue(id)?.files.first { $0.first >= from }
        }
        guard let file else {
            targets.removeLast()
            nextFile = 0
            return
        }
        nextFile = file.first + 1
        do throws(DiskError) {
            work = .file(try QueueFileCheck(file, of: id, storeID: store.storeID, on: store.disk))
        } catch {
            store.conclude(id, file, error, &slice)
        }
    }

    private mutating func goOn(_ budget: Int, _ store: Store, _ slice: inout Slice) {
        switch work {
        case .segment(var check):
            do throws(DiskError) {
                slice.bytes += max(1, try check.slice(budget, &reader))
                work = check.isDone ? nil : .segment(check)
                if check.isDone { store.conclude(check, nil, &slice) }
            } catch {
                work = nil
                store.conclude(check, error, &slice)
            }
        case .file(var check):
            do throws(DiskError) {
                slice.bytes += max(1, try check.slice(budget, &window))
                work = check.isDone ? nil : .file(check)
                if check.isDone { store.conclude(check, &slice) }
            } catch {
                work = nil
                store.conclude(check.queue, check.file, error, &slice)
            }
        case nil: return
        }
    }
}

extension Store {
    /// Looks at about `bytes` bytes of what is on disk. One caller at a time: the scrubber thread.
    package func scrub(_ bytes: Int) -> Scrubber.Slice { scrubber.withLock { $0.slice(bytes, self) } }

    /// Damage that was found and stands.
    var findings: [StorageFinding] { state.withLock { $0.currentFindings() } }

    // MARK: Small files

    fileprivate func checkStoreFile(_ slice: inout Scrubber.Slice) {
        let problem: String
        do throws(DiskError) {
            let bytes = try disk.open(StorePath.store, .existing).contents(limit: 4096)
            do throws(Checkpoint.Damage) {
                if try StoreHeader.decode(bytes).storeID == storeID { return clear(StorePath.store) }
                problem = "it is of another store"
            } catch {
                problem = "it is damaged"
            }
        } catch {
            problem = "\(error)"
        }
        note(
            StorageFinding(
                file: StorePath.store, offset: 0, problem: problem, loss: "nothing is lost",
                remedy: "the next start makes it anew from the checkpoint and the journal, unless it is missing: "
                    + "then put it back from a copy"), .store, &slice)
    }

    fileprivate func checkCheckpoint(_ index: Int, _ window: inout Window, _ slice: inout Scrubber.Slice) -> Int {
        let path = CheckpointCopies.paths[index]
        let written = state.withLock { $0.statistics.checkpoints }
        var problem: String
        var size = 0
        do throws(DiskError) {
            let file = try disk.open(path, .existing)
            size = try file.size()
            file.dropCache(0..<size)
            window.forget()
            defer { window.forget() }
            if try Checkpoint.isWhole(file, size: size, storeID: storeID, &window) {
                clear(path)
                return size
            }
            problem = "it is damaged"
        } catch {
            problem = error.isMissing ? "it is missing" : "\(error)"
        }
        // Others were written since this one was opened: what was wrong with it does not matter.
        let isCurrent = state.withLock { state in
            if state.statistics.checkpoints != written { return false }
            state.bytesSinceCheckpoint = max(state.bytesSinceCheckpoint, settings.checkpointBytes)
            return true
        }
        if isCurrent {
            note(
                StorageFinding(
                    file: path, offset: 0, problem: problem, loss: "nothing is lost as long as the other copy is whole",
                    remedy: "both are written anew now"), .checkpoint(written: written), &slice)
        }
        return size
    }

    private func note(_ finding: StorageFinding, _ place: Findings.Place, _ slice: inout Scrubber.Slice) {
        slice.findings.append(finding)
        state.withLock { $0.findings.note(finding, place) }
    }

    private func clear(_ path: String) { state.withLock { $0.findings.clear(path) } }

    // MARK: Segments

    /// What is in a segment is in memory only as places; and a start needs all of it.
    fileprivate func conclude(_ check: SegmentCheck, _ error: DiskError?, _ slice: inout Scrubber.Slice) {
        let number = check.use.segment.number
        let path = StorePath.segment(number)
        guard error != nil || check.damage != nil else { return clear(path) }
        let found = state.withLock { state -> StorageFinding? in
            // One that was given up meanwhile may be in use again for something else.
            guard state.segments.contains(where: { $0.segment.number == number }) else { return nil }
            // Moving what cannot be read would hold up the keeper.
            if error == nil { state.retireThrough = max(state.retireThrough, number) }
            let names = (check.damage?.queues ?? []).compactMap { state.ledger.queue($0)?.name }
            let finding = StorageFinding(
                file: path, offset: UInt64(check.damage?.offset ?? 0), queues: names,
                problem: error.map { "\($0)" } ?? check.damage?.problem ?? "",
                loss: "what its records say is in memory, but messages that are hit cannot be given out, and a start "
                    + "is refused as long as it needs this file",
                remedy: error == nil
                    ? "what is alive in it is moved to queue files as soon as it is not the newest: do not stop the "
                        + "broker before this finding is gone, and look at the disk"
                    : "look at the disk, and copy the data directory")
            state.findings.note(finding, .segment(number))
            return finding
        }
        if let found { slice.findings.append(found) }
    }

    // MARK: Queue files

    fileprivate func conclude(_ check: QueueFileCheck, _ slice: inout Scrubber.Slice) {
        let path = StorePath.queueFile(check.queue, first: check.file.first)
        guard let first = check.damages.first else { return clear(path) }
        let more = check.damages.count > 1 ? "; the same at \(check.damages.count - 1) more places" : ""
        let problem = first.problem + more
        note(check.queue, check.file, first.offset, problem, check.damages.compactMap(\.sequences), &slice)
    }

    fileprivate func conclude(_ id: UInt32, _ file: QueueFile, _ error: DiskError, _ slice: inout Scrubber.Slice) {
        let problem = error.isMissing ? "the file is missing" : "\(error)"
        note(id, file, 0, problem, [file.first...file.last], &slice)
    }

    private func note(
        _ id: UInt32, _ file: QueueFile, _ offset: Int, _ problem: String, _ hit: [ClosedRange<UInt64>],
        _ slice: inout Scrubber.Slice
    ) {
        let found = state.withLock { state -> StorageFinding? in
            // Removed meanwhile, with all that was in it.
            guard let queue = state.ledger.queue(id), queue.files.contains(where: { $0.first == file.first }) else {
                return nil
            }
            let finding = StorageFinding(
                file: StorePath.queueFile(id, first: file.first), offset: UInt64(offset), queues: [queue.name],
                problem: problem, loss: queue.loss(of: hit),
                remedy: "look at the disk; put the file back from a copy while the broker is stopped, or let "
                    + "`brokerctl store check` say what a repair would lose")
            state.findings.note(finding, .file(queue: id, first: file.first, hit: hit))
            return finding
        }
        if let found { slice.findings.append(found) }
    }
}

extension QueueLedger {
    /// What of these messages is still wanted, as a part of a sentence.
    fileprivate func loss(of hit: [ClosedRange<UInt64>]) -> String {
        var live: [String] = []
        for range in hit {
            let first = settled.firstLive(from: range.lowerBound)
            if first > range.upperBound { continue }
            live.append(first == range.upperBound ? "\(first)" : "\(first) to \(range.upperBound)")
        }
        if live.isEmpty { return "nothing that is still wanted is lost" }
        let more = live.count > 8 ? " and \(live.count - 8) more places" : ""
        return "of messages " + live.prefix(8).joined(separator: ", ") + more
            + " those in this file cannot be given out, and the queue stands still when it gets there"
    }
}
