import BrokerCore
import LogStorage
import Storage

/// A bit that changed on disk is told, or does not matter: never given out, never passed over in silence.
extension World {
    func tryDamage() {
        guard let broker, broker.appended.isEmpty, broker.failure == nil else { return }
        if faults.errorAt != nil || faults.crashAt != nil || isFull { return }
        // The marker tells a damaged last batch from a torn one. In a segment that is full it needs the next one.
        broker.keep()
        broker.mark()
        let copy = SimulatedDisk(disk.copy(), seed: options.seed &+ 1)
        let paths = copy.paths.filter { path in
            path.hasSuffix(".seg") || path.hasSuffix(".log") || path.hasPrefix("checkpoint") || path == "store"
        }
        guard let path = paths.randomElement(using: &dice), let size = copy.bytes(path)?.count, size > 0 else { return }
        let place = dice.roll(0..<size)
        let bit = dice.roll(0..<8)
        copy.damage(path) { $0[place] ^= 1 << UInt8(bit) }
        counts.flips += 1
        start(from: copy, "bit \(bit) of byte \(place) of \(path) was changed")
    }

    private func start(from damaged: SimulatedDisk, _ what: String) {
        do throws(StorageFailure) {
            let (store, recovery) = try Opening.open(damaged, habits.storage)
            defer { store.release() }
            let scan = Scan(store, promises)
            if let changed = scan.changed { return promises.violated("\(changed): \(what)") }
            if !scan.unreadable.isEmpty || !recovery.report.isEmpty { counts.flipsReported += 1 }
            var trial = promises
            for family in scan.unreadable.keys { trial.release(family: family) }
            // What is in part of a family's queues only says nothing about transactions.
            trial.compare(scan.found, isAfterCrash: scan.unreadable.isEmpty, at: now.wall)
            if let violation = trial.violation { promises.violated("\(violation): \(what). \(recovery.report)") }
        } catch {
            counts.flipsReported += 1
        }
    }
}
