import Base
import BrokerCore
import Simulation
import Testing

@testable import LogStorage

/// A store that has something of everything: closed and growing queue files, several segments, messages settled in
/// all orders, attempts, notes, remembered ids, deleted queues.
struct RichStore {
    var image: SimulatedDisk.Image
    var model: Model

    static func settings() -> LogSettings {
        var settings = smallSettings()
        settings.queueFileBytes = 4096
        return settings
    }

    init(seed: UInt64) throws {
        let disk = SimulatedDisk()
        var workload = Workload(seed: seed)
        workload.keepsMore = true
        workload.queuesMax = 24
        let store = try Opening.open(disk, Self.settings()).store
        for number in 0..<900 {
            let batch = workload.next()
            while try store.commit([batch], from: 0) == 0 { _ = try store.keep() }
            // A checkpoint in the middle of the journal: some batches are contained in it, others are not.
            if number == 880 { store.finish() }
            if number % 50 == 49 { try store.mark() }
        }
        for _ in 0..<2 { _ = try store.keep() }
        try store.mark(syncing: true)
        store.release()
        var dice = SplitMix64(seed: 1)
        image = disk.copy().afterPowerCut(1, &dice)
        model = workload.model
    }

    /// What is in it, for a test that wants to be sure.
    var ledger: Ledger {
        get throws {
            let bytes = try #require(SimulatedDisk(image).bytes(StorePath.checkpoint))
            return try Checkpoint.decode(bytes).1
        }
    }
}
