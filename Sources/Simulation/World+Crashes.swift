import BrokerCore
import LogStorage
import Storage
import Synchronization

/// How a broker dies, and how the next one begins.
extension World {
    /// Whether the broker has survived the step.
    func checkLife() {
        let (picture, isPowerCut) = (faults.picture, faults.isPowerCut)
        if let picture { return crash(picture, isPowerCut: isPowerCut) }
        if let failure = broker?.failure {
            note("the storage fails: \(failure)")
            counts.failures += 1
            crash(disk.copy(), isPowerCut: dice.oneIn(2))
        }
    }

    /// The broker is no more; what `image` holds, or what a power cut leaves of it, is what there is.
    func crash(_ image: SimulatedDisk.Image, isPowerCut: Bool) {
        note(isPowerCut ? "the power is cut" : "the broker is killed")
        if isPowerCut { counts.powerCuts += 1 } else { counts.kills += 1 }
        die()
        replaceDisk(with: isPowerCut ? image.afterPowerCut(dice.oneIn(3) ? dice.roll(0..<2) : 2, &dice) : image)
        start(afterCrash: true)
    }

    func die() {
        broker = nil
        for client in clients { client.lose() }
    }

    func replaceDisk(with image: SimulatedDisk.Image) {
        let wasFull = disk.free.withLock { $0 }
        disarm()
        disk.hooks.withLock { $0 = SimulatedDisk.Hooks() }
        disk = SimulatedDisk(image, seed: options.seed &+ UInt64(life + 1) &* 7919 &+ UInt64(step))
        disk.free.withLock { $0 = wasFull }
        install()
    }

    /// SIGTERM and a new start.
    func stop() {
        note("the broker is stopped")
        counts.stops += 1
        broker?.stop()
        let (picture, isPowerCut) = (faults.picture, faults.isPowerCut)
        if let picture { return crash(picture, isPowerCut: isPowerCut) }
        die()
        replaceDisk(with: disk.copy())
        start(afterCrash: true)
    }

    /// Opens the store, perhaps with crashes and errors in the middle, and holds what is there to the promises.
    func start(afterCrash: Bool) {
        var attempts = 0
        while broker == nil, promises.violation == nil {
            attempts += 1
            if attempts < 4, afterCrash, dice.oneIn(4) { armCrash() }
            if attempts < 4, afterCrash, dice.oneIn(12) { armFault() }
            let copy = disk.copy()
            let hadFault = faults.errorAt != nil
            do throws(StorageFailure) {
                let (store, recovery) = try Opening.open(disk, habits.storage)
                if takePicture() { continue }
                live(store, recovery, copy, afterCrash: afterCrash)
            } catch {
                if takePicture() { continue }
                note("the start is refused: \(error)")
                if attempts > 8 || (!hadFault && !isFull) {
                    return promises.violated("I1: the start is refused: \(error)")
                }
                disarm()
                disk.image.withLock { $0.capacity = 1 << 40 }
            }
        }
    }

    var isFull: Bool { disk.image.withLock { $0.capacity < 1 << 40 } }

    /// True if there was a crash in the middle of what was just done.
    func takePicture() -> Bool {
        let (picture, isPowerCut) = (faults.picture, faults.isPowerCut)
        guard let picture else { return false }
        note("and crashes while it starts")
        counts.powerCuts += 1
        replaceDisk(with: isPowerCut ? picture.afterPowerCut(2, &dice) : picture)
        return true
    }

    func live(_ store: Store, _ recovery: Recovery, _ before: SimulatedDisk.Image, afterCrash: Bool) {
        life += 1
        promises.life = life
        counts.recoveries += 1
        disarm()
        note(
            "life \(life) begins: \(recovery.queues.reduce(0) { $0 + $1.messages }) messages. \(recovery.report.joined(separator: "; "))"
        )
        lacksSecondCheckpoint = recovery.report.contains { $0.hasPrefix("there is no room for the second copy") }
        guard let found = scan(store) else { return }
        if afterCrash {
            promises.compare(found, isAfterCrash: true, at: now.wall)
            if dice.oneIn(4) { recoverAgain(store, recovery) }
        }
        let broker = SimulatedBroker(
            store, recovery, core: habits.core, defaults: habits.defaults, life: life, now: now)
        broker.onDelivery = { [unowned self] in delivered($0, $1, decidedAt: $2) }
        broker.onBatch = { [unowned self] batch in note(Self.spoken(batch)) }
        broker.onReport = { [unowned self] in reported($0) }
        self.broker = broker
    }

    /// I6: recovering once more changes nothing.
    func recoverAgain(_ store: Store, _ recovery: Recovery) {
        let copy = SimulatedDisk(disk.copy(), seed: options.seed)
        do throws(StorageFailure) {
            let (again, second) = try Opening.open(copy, habits.storage)
            if again.queues.map(Summary.init) != store.queues.map(Summary.init) || second.note != recovery.note
                || second.nextQueueID != recovery.nextQueueID
            {
                promises.violated("I6: recovering twice gives something else than recovering once")
            }
            again.release()
        } catch {
            promises.violated("I6: a second recovery is refused: \(error)")
        }
    }

    /// What is compared of a queue.
    struct Summary: Equatable {
        var id: QueueID
        var name: [UInt8]
        var head: UInt64
        var next: UInt64
        var messages: UInt64
        var bytes: UInt64
        var attempts: [UInt64: Attempt]
        var note: [UInt8]
        var dedup: Int

        init(_ queue: Recovery.Queue) {
            id = queue.id
            name = queue.name
            head = queue.head
            next = queue.next
            messages = queue.messages
            bytes = queue.bytes
            attempts = queue.attempts
            note = queue.note
            dedup = queue.dedup.count
        }
    }

    private static func spoken(_ batch: Batch) -> String {
        let records = batch.records.map { record in
            "\(record.kind) \(record.queue.rawValue):\(record.sequence)\(record.count > 1 ? "+\(record.count)" : "")"
        }
        return "batch \(batch.number): \(records.joined(separator: ", "))"
    }
}
