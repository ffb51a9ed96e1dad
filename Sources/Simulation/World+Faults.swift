import Glibc
import Synchronization

/// What goes wrong with the disk, and when.
extension World {
    /// What the disk is to do at which operation.
    struct Faults {
        var crashAt: Int?
        var isPowerCut = false
        /// The broker is dead: nothing that it still asks for happens.
        var picture: SimulatedDisk.Image?
        var errorAt: Int?
        var errorKind = SimulatedDisk.Kind.write
        var isSticky = false
        var isInKeeper = false
        var isBusy = false
    }

    func install() {
        disk.hooks.withLock { hooks in
            hooks.losesWhenSyncFails = true
            let gate = Gate(self)
            hooks.watch = { gate.world?.before($0) }
            hooks.fault = { gate.world?.fault($0) }
        }
    }

    /// One thread only ever uses a world; the disk's hooks ask for more than they need.
    private final class Gate: @unchecked Sendable {  // Sendable: see above
        weak var world: World?
        init(_ world: World) { self.world = world }
    }

    func before(_ operation: SimulatedDisk.Operation) {
        let isDue = faults.withLock { faults in
            faults.picture == nil && faults.crashAt.map { operation.index >= $0 } ?? false
        }
        if isDue {
            let picture = disk.copy()
            faults.withLock { $0.picture = picture }
            return
        }
        let mayInterleave = faults.withLock { faults in
            if !faults.isInKeeper || faults.isBusy || faults.picture != nil { return false }
            faults.isBusy = true
            return true
        }
        if !mayInterleave { return }
        if dice.oneIn(3) { _ = broker?.commit() }
        if dice.oneIn(8) { broker?.readPage() }
        faults.withLock { $0.isBusy = false }
    }

    func fault(_ operation: SimulatedDisk.Operation) -> Int32? {
        faults.withLock { faults in
            if faults.picture != nil { return EIO }
            guard let at = faults.errorAt, operation.index >= at, operation.kind == faults.errorKind else { return nil }
            if !faults.isSticky { faults.errorAt = nil }
            return EIO
        }
    }

    func armCrash() {
        let at = disk.operations + dice.roll(1..<30)
        let isPowerCut = dice.oneIn(2)
        faults.withLock { faults in
            faults.crashAt = at
            faults.isPowerCut = isPowerCut
        }
    }

    func armFault() {
        let kind: SimulatedDisk.Kind = [.write, .sync, .sync, .read, .create, .rename, .syncDirectory, .remove][
            dice.roll(0..<8)]
        let at = disk.operations + dice.roll(1..<20)
        let isSticky = dice.oneIn(4)
        note("the disk will fail a \(kind)\(isSticky ? " and all that follow" : "")")
        faults.withLock { faults in
            faults.errorKind = kind
            faults.errorAt = at
            faults.isSticky = isSticky
        }
    }

    func disarm() {
        faults.withLock { $0 = Faults() }
    }

    func changeRoom() {
        let isFull = dice.oneIn(2)
        disk.image.withLock { $0.capacity = isFull ? $0.used + dice.roll(0..<30_000) : 1 << 40 }
        disk.free.withLock { $0 = isFull && dice.oneIn(2) ? 0 : 1 << 40 }
        note(isFull ? "the disk is nearly full" : "the disk has room")
    }
}
