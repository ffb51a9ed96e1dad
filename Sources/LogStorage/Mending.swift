import Storage

/// What a start has to change in the journal before the log goes on: kept apart from reading it, and
/// carried out only when nothing was refused.
///
/// Doing it twice, or half and then again, leads to the same log: the tail that was cut stays
/// unreadable until all of it is zeros, and what is written again is what was there.
struct Mending {
    private struct Cut {
        var segment: Segment
        var range: Range<Int>
    }

    private struct Stretch {
        var sequence: UInt64
        var segment: Segment
        var range: Range<Int>
    }

    private var torn: Cut?
    private var stretches: [Stretch] = []
    /// So many are looked through for those that need not be kept.
    private var stretchesMost = 4096

    /// A batch that was replayed; those up to `durable` are known to be on disk. A journal may hold a million.
    mutating func note(_ sequence: UInt64, _ segment: Segment, _ range: Range<Int>, durable: UInt64) {
        if stretches.count >= stretchesMost {
            keepUnproven(above: durable)
            stretchesMost = max(4096, 2 * stretches.count)
        }
        stretches.append(Stretch(sequence: sequence, segment: segment, range: range))
    }

    /// Batches up to `durable` are known to be on disk.
    mutating func keepUnproven(above durable: UInt64) {
        stretches.removeAll { $0.sequence <= durable }
    }

    /// What was written in `range` is no batch; everything from its start on has to be zeros.
    mutating func cut(_ segment: Segment, _ range: Range<Int>) {
        torn = Cut(segment: segment, range: range)
    }

    func carryOut(on disk: any Disk, report: inout [String]) throws(DiskError) {
        if let torn {
            if !torn.range.isEmpty { report.append(try save(torn, on: disk)) }
            try clear(torn)
        }
        try writeAgain()
    }

    /// Keeps a copy of what is cut; returns the sentence that says where. On a full disk it goes without: nothing
    /// in the tail was ever confirmed, and what fills the disk may be messages that only a broker that runs can
    /// hand out.
    private func save(_ cut: Cut, on disk: any Disk) throws(DiskError) -> String {
        let names = Set(try disk.names(in: StorePath.journal).map { "\(StorePath.journal)/\($0)" })
        var number = 1
        while names.contains(StorePath.torn(cut.segment.number, number)) { number += 1 }
        let path = StorePath.torn(cut.segment.number, number)
        do throws(DiskError) {
            try copy(cut, to: path, on: disk)
            return "the bytes that were cut are kept in \(path)"
        } catch {
            if !error.isFull { throw error }
            disk.discard(path)
            return "the bytes that were cut are not kept: \(error)"
        }
    }

    private func copy(_ cut: Cut, to path: String, on disk: any Disk) throws(DiskError) {
        let file = try disk.open(path, .create)
        try eachRun(of: cut.range) { (run) throws(DiskError) in
            try file.write(try read(run, of: cut.segment), at: run.lowerBound - cut.range.lowerBound)
        }
        try file.sync()
        try disk.syncDirectory(StorePath.journal)
    }

    /// Zeros from the cut to the end of the segment: no later batch that was half written may ever be
    /// taken for one of those that will now get the same sequence.
    private func clear(_ cut: Cut) throws(DiskError) {
        try eachRun(of: cut.range.lowerBound..<cut.segment.size) { (run) throws(DiskError) in
            try cut.segment.file.write([UInt8](repeating: 0, count: run.count), at: run.lowerBound)
        }
        try cut.segment.file.sync()
    }

    /// Batches whose sync no later batch proves are about to be acted on, so they must be on disk. A
    /// sync alone does not do: after a failed one the kernel may hold pages that it takes for clean.
    private func writeAgain() throws(DiskError) {
        for stretch in stretches {
            try eachRun(of: stretch.range) { (run) throws(DiskError) in
                try stretch.segment.file.write(try read(run, of: stretch.segment), at: run.lowerBound)
            }
        }
        var synced: Set<UInt32> = []
        for stretch in stretches where synced.insert(stretch.segment.number).inserted {
            try stretch.segment.file.sync()
        }
    }

    private func eachRun(
        of range: Range<Int>, _ body: (Range<Int>) throws(DiskError) -> Void
    ) throws(DiskError) {
        var at = range.lowerBound
        while at < range.upperBound {
            let end = min(range.upperBound, at + SegmentFactory.zeroRun)
            try body(at..<end)
            at = end
        }
    }

    private func read(_ run: Range<Int>, of segment: Segment) throws(DiskError) -> [UInt8] {
        try segment.file.bytes(run)
    }
}
