import Storage

/// Makes journal segments: new ones that read as zeros, used ones with a new header.
///
/// A segment bears its final name only when its header is synced, and is used only when the name is
/// synced too: so a numbered file with a bad header is damage, never an accident of timing.
enum SegmentFactory {
    static let zeroRun = 1 << 20

    /// A new file of `size` bytes, zeros as long as nothing is written. It has all its room from the start; blocks
    /// become written ones as the journal grows into them. Writing them all before would be as many bytes again as
    /// commits write, while commits wait for the same disk.
    static func make(number: UInt32, storeID: UInt64, size: Int, on disk: any Disk) throws(DiskError) -> Segment {
        let file = try disk.open(StorePath.segmentDraft, .create)
        do throws(DiskError) {
            if try !file.allocate(size) { try fill(file, size) }
        } catch {
            // What is half made must not keep the room that it took.
            disk.discard(StorePath.segmentDraft)
            throw error
        }
        return try name(file, StorePath.segmentDraft, number, isRecycled: false, storeID: storeID, size: size, on: disk)
    }

    /// Where room cannot be taken without it.
    static func fill(_ file: any DiskFile, _ size: Int) throws(DiskError) {
        let zeros = [UInt8](repeating: 0, count: min(zeroRun, size))
        var at = 0
        while at < size {
            let count = min(zeros.count, size - at)
            try file.write(count == zeros.count ? zeros : Array(zeros[..<count]), at: at)
            at += count
            // In steps, so that a commit's sync never waits for all of it.
            if at % (4 * zeroRun) == 0 { try file.syncData() }
        }
    }

    /// A file that was a segment before.
    static func recycle(
        _ spare: String, number: UInt32, storeID: UInt64, size: Int, on disk: any Disk
    ) throws(DiskError) -> Segment {
        let file = try disk.open(spare, .existing)
        return try name(file, spare, number, isRecycled: true, storeID: storeID, size: size, on: disk)
    }

    private static func name(
        _ file: any DiskFile, _ path: String, _ number: UInt32, isRecycled: Bool, storeID: UInt64, size: Int,
        on disk: any Disk
    ) throws(DiskError) -> Segment {
        let header = SegmentHeader(
            number: number, isRecycled: isRecycled, salt: disk.randomWord(), storeID: storeID,
            segmentBytes: UInt64(size))
        try file.write(header.encoded(), at: 0)
        try file.sync()
        let final = StorePath.segment(number)
        try disk.rename(path, to: final)
        try disk.syncDirectory(StorePath.journal)
        return Segment(
            number: number, file: try disk.open(final, .existing), seed: header.seed, size: size, isWritten: isRecycled)
    }
}
