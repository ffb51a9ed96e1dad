import Base
import BrokerCore
import Glibc
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// One flipped bit anywhere in a store.
struct FlipTests {
    /// What became of it.
    private enum Outcome: String, CaseIterable {
        case refused = "refused, the file named"
        case reported = "said at the start, nothing lost"
        case unreadable = "a message cannot be given out, the file named"
        case scrubbed = "found by the scrubber, nothing lost"
        case harmless = "harmless: zeros between batches, stale bytes, bytes that do not count"
        case silent = "SILENT"
    }

    /// How many: `BROKERD_BIT_FLIPS`, which the long form sets to 4000.
    private static var count: Int { getenv("BROKERD_BIT_FLIPS").flatMap { Int(String(cString: $0)) } ?? 300 }

    /// Goal: no flipped bit is silent. Method: a store with something of everything; for each flip a start, all
    /// messages read, and a pass of the scrubber. What is read must be what was written; where nothing at all is
    /// said, the byte must be one that means nothing.
    @Test(arguments: [5, 12] as [UInt64]) func noFlippedBitIsSilent(seed: UInt64) throws {
        let rich = try RichStore(seed: seed)
        let ledger = try rich.ledger
        #expect(ledger.count > 8 && !ledger.note.isEmpty)
        let queues = ledger.ids.compactMap { ledger.queue($0) }
        #expect(queues.contains { !$0.attempts.isEmpty } && queues.contains { !$0.note.isEmpty })
        #expect(queues.contains { $0.settled.countAbove > 0 } && queues.contains { !$0.remembered.isEmpty })
        let files = queues.flatMap(\.files)
        #expect(files.contains { $0.kind == .closed } && files.contains { $0.kind == .open })
        let whole = SimulatedDisk(rich.image)
        let meaning = try Meaning(whole)
        #expect(meaning.bytes.keys.filter { $0.hasSuffix(".seg") }.count > 2)
        #expect(DamageTests.open(SimulatedDisk(rich.image), RichStore.settings()).model == rich.model)
        var dice = SplitMix64(seed: seed &* 77)
        var seen: [String: [Outcome: Int]] = [:]
        for _ in 0..<max(1, Self.count / 2) {
            let (kind, path) = Self.choose(whole, &dice)
            let bit = dice.roll(0..<(whole.bytes(path)?.count ?? 1) * 8)
            let disk = SimulatedDisk(rich.image)
            disk.damage(path) { $0[bit / 8] ^= 1 << UInt8(bit % 8) }
            var outcome = try Self.outcome(disk, path, rich.model)
            if outcome == .silent, !meaning.has(path, bit / 8) { outcome = .harmless }
            #expect(outcome != .silent, "seed \(seed): bit \(bit % 8) of byte \(bit / 8) of \(path)")
            seen[kind, default: [:]][outcome, default: 0] += 1
        }
        for kind in seen.keys.sorted() {
            for outcome in Outcome.allCases {
                if let count = seen[kind]?[outcome] {
                    print("flips, seed \(seed): \(kind): \(count) \(outcome.rawValue)")
                }
            }
        }
    }

    private static func choose(_ disk: SimulatedDisk, _ dice: inout SplitMix64) -> (kind: String, path: String) {
        func any(_ ending: String) -> String {
            let paths = disk.paths.filter { $0.hasSuffix(ending) }
            return paths[dice.roll(0..<paths.count)]
        }
        switch dice.roll(0..<100) {
        case ..<40: return ("journal", any(".seg"))
        case ..<80: return ("queue files", any(".log"))
        case ..<87: return (StorePath.checkpoint, StorePath.checkpoint)
        case ..<94: return (StorePath.secondCheckpoint, StorePath.secondCheckpoint)
        default: return (StorePath.store, StorePath.store)
        }
    }

    /// Starts, reads and scrubs.
    private static func outcome(_ disk: SimulatedDisk, _ path: String, _ model: Model) throws -> Outcome {
        let store: Store
        let recovery: Recovery
        do throws(StorageFailure) { (store, recovery) = try Opening.open(disk, RichStore.settings()) } catch {
            #expect(error.description.contains(path), "\(path): \(error)")
            return .refused
        }
        defer { store.release() }
        let (read, failures) = try self.read(store)
        for failure in failures { #expect(failure.sentence.contains(path), "\(path): \(failure.sentence)") }
        #expect(Self.without(failures, model) == Self.without(failures, read), "\(path): other contents")
        let findings = ScrubTests.pass(store)
        #expect(findings.allSatisfy { $0.file == path }, "\(path): \(findings)")
        if !failures.isEmpty {
            #expect(!findings.isEmpty, "\(path): the scrubber overlooked \(failures)")
            return .unreadable
        }
        if recovery.report.contains(where: { $0.contains(path) }) { return .reported }
        return findings.isEmpty ? .silent : .scrubbed
    }

    private typealias Failure = (queue: UInt32, sequence: UInt64, sentence: String)

    /// All that can be given out, and what cannot.
    private static func read(_ store: Store) throws -> (Model, [Failure]) {
        var model = Model()
        var failures: [Failure] = []
        let ledger = store.state.withLock { $0.ledger }
        (model.nextQueueID, model.note) = (ledger.nextQueueID, ledger.note)
        for id in ledger.ids {
            let queue = try #require(ledger.queue(id))
            var read = Model.Queue(
                name: queue.name, next: queue.next, attempts: queue.attempts, note: queue.note,
                dedup: queue.remembered.entries)
            var from: UInt64 = 1
            while true {
                let request = PageRequest(queue: QueueID(rawValue: id), from: from, maxCount: 100, maxBytes: 1 << 20)
                let page = store.page(request)
                for message in page.messages {
                    read.live[message.sequence] = Model.Message(
                        content: Array(message.content.bytes), flags: message.flags, headerBytes: message.headerBytes)
                }
                if let failure = page.failure {
                    failures.append((id, page.resumeAt, failure))
                } else if page.resumeAt == from {
                    break
                }
                from = page.resumeAt + (page.failure == nil ? 0 : 1)
            }
            model.queues[id] = read
        }
        return (model, failures)
    }

    private static func without(_ failures: [Failure], _ model: Model) -> Model {
        var left = model
        for failure in failures { left.queues[failure.queue]?.live[failure.sequence] = nil }
        return left
    }
}

/// Which bytes of a store mean something: worked out from the formats, not by the code under test.
private struct Meaning {
    /// The ranges that do, for files in which not all do.
    var bytes: [String: [Range<Int>]] = [:]

    init(_ disk: SimulatedDisk) throws {
        let checkpoint = try #require(disk.bytes(StorePath.checkpoint))
        let (front, ledger) = try Checkpoint.decode(checkpoint)
        for path in disk.paths where path.hasSuffix(".log") { bytes[path] = [] }
        for id in ledger.ids {
            for file in ledger.queue(id)?.files ?? [] {
                bytes[StorePath.queueFile(id, first: file.first)] = [0..<file.bytes]
            }
        }
        var sequence = front.firstSequence
        var number = front.firstSegment
        while let segment = disk.bytes(StorePath.segment(number)) {
            bytes[StorePath.segment(number)] = try Self.batches(segment, number, &sequence)
            number += 1
        }
    }

    private static func batches(_ segment: [UInt8], _ number: UInt32, _ sequence: inout UInt64) throws -> [Range<Int>] {
        let header = try #require(segment.withUnsafeBytes { SegmentHeader($0) })
        var ranges = [0..<SegmentHeader.size]
        var at = SegmentHeader.size
        while let batch = segment.withUnsafeBytes({ BatchHeader(in: $0, at: at, segment: number, seed: header.seed) }),
            batch.sequence == sequence
        {
            let length = BatchHeader.size + batch.recordCount * RecordFormat.size + batch.payloadBytes
            // The idle marker says nothing that is missed.
            if !batch.isIdle { ranges.append(at..<at + length) }
            at += batch.diskBytes
            sequence += 1
        }
        return ranges
    }

    func has(_ path: String, _ byte: Int) -> Bool {
        guard let ranges = bytes[path] else { return true }
        return ranges.contains { $0.contains(byte) }
    }
}
