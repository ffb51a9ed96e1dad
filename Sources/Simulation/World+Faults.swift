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

    /// Lets the hooks of a disk, which may be asked from any thread, reach a world, which belongs to one.
    private final class Gate: @unchecked Sendable {  // Sendable: `world` is only reached on the thread that made it
        private weak let owner: World?
        private let thread = pthread_self()

        init(_ world: World) { owner = world }

        var world: World? {
            // The disk is asked by the store, and that by `SimulatedBroker`, within a step of the world.
            precondition(pthread_equal(thread, pthread_self()) != 0, "a simulated world is used from a second thread")
            return owner
        }
    }

    func before(_ operation: SimulatedDisk.Operation) {
        if faults.picture == nil, let at = faults.crashAt, operation.index >= at {
            faults.picture = disk.copy()
            return
        }
        if !faults.isInKeeper || faults.isBusy || faults.picture != nil { return }
        faults.isBusy = true
        if dice.oneIn(3) { _ = broker?.commit() }
        if dice.oneIn(8) { broker?.readPage() }
        if operation.index % 4 == 0 { scrub() }
        faults.isBusy = false
    }

    func fault(_ operation: SimulatedDisk.Operation) -> Int32? {
        if faults.picture != nil { return EIO }
        guard let at = faults.errorAt, operation.index >= at, operation.kind == faults.errorKind else { return nil }
        if !faults.isSticky { faults.errorAt = nil }
        return EIO
    }

    func armCrash() {
        faults.crashAt = disk.operations + dice.roll(1..<30)
        faults.isPowerCut = dice.oneIn(2)
    }

    func armFault() {
        let kind: SimulatedDisk.Kind = [.write, .sync, .sync, .read, .create, .rename, .syncDirectory, .remove][
            dice.roll(0..<8)]
        let at = disk.operations + dice.roll(1..<20)
        let isSticky = dice.oneIn(4)
        note("the disk will fail a \(kind)\(isSticky ? " and all that follow" : "")")
        faults.errorKind = kind
        faults.errorAt = at
        faults.isSticky = isSticky
    }

    func disarm() {
        faults = Faults()
    }

    func changeRoom() {
        let isFull = dice.oneIn(2)
        disk.image.withLock { $0.capacity = isFull ? $0.used + dice.roll(0..<30_000) : 1 << 40 }
        disk.free.withLock { $0 = isFull && dice.oneIn(2) ? 0 : 1 << 40 }
        note(isFull ? "the disk is nearly full" : "the disk has room")
    }
}
