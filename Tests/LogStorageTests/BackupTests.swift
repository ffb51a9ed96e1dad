import Base
import BrokerCore
import Glibc
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// Copies of a store that is in use.
struct BackupTests {
    /// What `backup/` is as a directory of its own, as long as the list says, or as long as it is.
    static func copy(_ disk: SimulatedDisk, cut: Bool) throws -> SimulatedDisk {
        let copy = SimulatedDisk()
        let list = String(decoding: try #require(disk.bytes("backup/files")), as: UTF8.self)
        for line in list.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            let path = String(parts[1])
            let bytes = try #require(disk.bytes("backup/\(path)"), "\(path)")
            let length = try #require(Int(parts[0]))
            #expect(bytes.count >= length)
            var directory = ""
            for piece in path.split(separator: "/").dropLast() {
                directory += directory.isEmpty ? String(piece) : "/\(piece)"
                try copy.makeDirectory(directory)
            }
            copy.put(path, cut ? Array(bytes[..<length]) : bytes)
        }
        for directory in ["", "journal", "queues"] { try copy.syncDirectory(directory) }
        return copy
    }

    /// Goal: a copy holds what was confirmed when it was begun, and nothing that came after its end. Method:
    /// random work in between all operations of making it; keeper rounds and commits before it is copied.
    @Test(arguments: 1...8) func aCopyIsThatOfOneMoment(seed: UInt64) throws {
        let run = try Run(seed: seed, pictureEvery: 1 << 20)
        run.work(steps: 20 + Int(seed) * 3)
        for round in 0..<4 {
            let before = run.confirmed
            _ = try run.store.beginBackup()
            let after = run.submitted
            run.work(steps: 15)
            for isCut in [true, false] {
                let copy = try Self.copy(run.disk, cut: isCut)
                let (store, recovery) = try Opening.open(copy, smallSettings())
                let contents = try store.contents()
                let count = (before...after).first { run.models[$0] == contents }
                #expect(count != nil, "seed \(seed), round \(round)")
                if let count { #expect(recovery.difference(from: run.models[count]) == nil) }
                store.release()
                #expect(try StoreCheck.run(on: copy).isWhole)
            }
            if round % 2 == 0 {
                try run.store.endBackup()
                #expect(run.disk.paths.allSatisfy { !$0.hasPrefix("backup") })
            }
        }
        run.work(steps: 20)
        #expect(try run.store.contents() == run.models.last)
        run.end()
        #expect(run.failure == nil)
        // A start takes it away.
        let again = try Opening.open(run.disk, smallSettings()).store
        #expect(try again.contents() == run.models.last)
        #expect(run.disk.paths.allSatisfy { !$0.hasPrefix("backup") })
        again.release()
    }

    /// Goal: making and keeping a copy endangers nothing. Method: pictures of the disk at any operation.
    @Test(arguments: 1...4) func aCrashWithACopySetAsideLosesNothing(seed: UInt64) throws {
        let run = try Run(seed: seed, pictureEvery: 2)
        run.work(steps: 20)
        _ = try run.store.beginBackup()
        run.work(steps: 20)
        try run.store.endBackup()
        run.work(steps: 5)
        run.end()
        #expect(run.failure == nil)
        var dice = SplitMix64(seed: seed &+ 7)
        for picture in run.pictures {
            for keep in [0, 1, 2] {
                let image = picture.image.afterPowerCut(keep, &dice)
                guard let after = try CrashTests.verify(image, picture, run.models, "seed \(seed), keep \(keep)")
                else { return }
                #expect(after.disk.paths.allSatisfy { !$0.hasPrefix("backup") })
            }
        }
    }

    @Test func aCopyThatCannotBeMadeLeavesNothing() throws {
        let run = try Run(seed: 3, pictureEvery: 1 << 20)
        run.work(steps: 80)
        run.disk.hooks.withLock { $0.fault = { $0.kind == .link && $0.path.hasSuffix(".seg") ? 28 : nil } }
        #expect(throws: StorageFailure.self) { _ = try run.store.beginBackup() }
        run.disk.hooks.withLock { $0.fault = nil }
        #expect(run.disk.paths.allSatisfy { !$0.hasPrefix("backup") })
        _ = try run.store.beginBackup()
        run.end()
    }

    /// Goal: what somebody else put where the copy goes stays as it is, and a start goes on. Method: files and
    /// directories of all kinds, with and without the rest of a copy around them.
    @Test(arguments: [
        ["backup"], ["backup/notes.txt"], ["backup/files/"], ["backup/journal/monday.tar", "backup/store"],
        ["backup/journal/00000001.seg/"], ["backup/queues/7/old/x"], ["backup/queues/x"], ["backup/journal"],
        ["backup/manifest", "backup/store", "backup/checkpoint", "backup/journal/00000001.seg"],
    ])
    func whatIsNotOursIsLeftWhereItIs(paths: [String]) throws {
        let temporary = try TemporaryDirectory()
        let disk = try SystemDisk(directory: temporary.path)
        let store = try Opening.open(disk, smallSettings()).store
        store.release()
        let tree = FileTree(disk)
        for path in paths {
            try tree.make(above: path + (path.hasSuffix("/") ? "x" : ""))
            if !path.hasSuffix("/") { try disk.open(path, .create).write([7], at: 0) }
        }
        let again = try Opening.open(disk, smallSettings()).store
        for path in paths where path != "backup/store" || paths.contains("backup/manifest") {
            #expect(access("\(temporary.path)/\(path)", F_OK) == 0, "\(path)")
        }
        let refusal = #expect(throws: StorageFailure.self) { _ = try again.beginBackup() }
        #expect(refusal?.description.contains("is taken by something else") == true)
        #expect(rename("\(temporary.path)/backup", "\(temporary.path)/mine") == 0)
        _ = try again.beginBackup()
        try again.endBackup()
        #expect(try !disk.names(in: "").contains("backup"))
        again.release()
    }

    @Test func theEngineMakesOneBetweenItsOwnWork() async throws {
        let disk = SimulatedDisk()
        let (engine, _) = try LogEngine.open(disk: disk, settings: smallSettings())
        engine.start(Deaf())
        let made = await withCheckedContinuation { done in engine.beginBackup { done.resume(returning: $0) } }
        #expect(try made.get().files >= 4)
        #expect(disk.bytes("backup/store") != nil)
        let problem = await withCheckedContinuation { done in engine.endBackup { done.resume(returning: $0) } }
        #expect(problem == nil && disk.bytes("backup/store") == nil)
        await withCheckedContinuation { done in engine.close { done.resume() } }
        let late = await withCheckedContinuation { done in engine.beginBackup { done.resume(returning: $0) } }
        #expect(throws: StorageFailure.self) { try late.get() }
    }

    private struct Deaf: StorageEvents {
        func durable(through: UInt64) {}
        func roomChanged(_ room: StorageRoom) {}
        func found(_ finding: StorageFinding) {}
        func failed(_ failure: StorageFailure) {}
    }
}
