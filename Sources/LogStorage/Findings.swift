import Storage

/// Damage that was found and still stands, each file once.
struct Findings {
    /// How long a finding stands.
    enum Place {
        /// As long as the file is there and something that cannot be read is alive.
        case file(queue: UInt32, first: UInt64, hit: [ClosedRange<UInt64>])
        /// As long as a start would need the segment.
        case segment(UInt32)
        /// Until another checkpoint than this many was written.
        case checkpoint(written: UInt64)
        case store
    }

    private var standing: [String: (finding: StorageFinding, place: Place)] = [:]

    mutating func note(_ finding: StorageFinding, _ place: Place) { standing[finding.file] = (finding, place) }

    /// The file was looked at again, and nothing is wrong with it.
    mutating func clear(_ path: String) { standing[path] = nil }

    /// Those that stand, by file. Others are forgotten.
    mutating func current(_ ledger: Ledger, neededFrom: UInt32, checkpoints: UInt64) -> [StorageFinding] {
        standing = standing.filter { entry in
            switch entry.value.place {
            case .file(let id, let first, let hit):
                guard let queue = ledger.queue(id), queue.files.contains(where: { $0.first == first }) else {
                    return false
                }
                return hit.isEmpty || hit.contains { queue.settled.firstLive(from: $0.lowerBound) <= $0.upperBound }
            case .segment(let number): return number >= neededFrom
            case .checkpoint(let written): return written == checkpoints
            case .store: return true
            }
        }
        return standing.values.map(\.finding).sorted { $0.file < $1.file }
    }
}

extension StoreState {
    /// Damage that was found and stands.
    mutating func currentFindings() -> [StorageFinding] {
        findings.current(ledger, neededFrom: neededFrom, checkpoints: statistics.checkpoints)
    }
}
