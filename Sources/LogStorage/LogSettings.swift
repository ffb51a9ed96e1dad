import Storage

/// The knobs of the engine, each with its range. `validate` is called by `LogEngine.open`.
public struct LogSettings: Sendable, Equatable {
    /// Size of a journal segment in bytes: 16 KiB to 1 GiB, a multiple of 4096. A batch must fit in one.
    public var segmentBytes = 64 << 20
    /// The keeper retires the oldest segment when more than this many are in use: 1 to 59.
    public var journalSegments = 4
    /// At most this many are in use when retiring cannot keep up; then commits wait: up to 60. As many as are used in a busy
    /// time before anything is moved, two thirds of the way, are kept on the disk afterwards.
    public var journalSegmentsMax = 24
    /// A queue file that has grown to this many bytes is closed and the next begun: 4 KiB to 1 GiB.
    public var queueFileBytes = 32 << 20
    /// Below this many free bytes new messages are to be refused.
    public var lowWatermark: UInt64 = 256 << 20
    /// Above this many free bytes they are welcome again.
    public var highWatermark: UInt64 = 512 << 20
    /// Set aside so that a checkpoint can be written to a full disk: up to 1 GiB.
    public var reserveBytes = 16 << 20
    /// Up to this many queue files are synced one by one when a segment is retired; more are synced all
    /// together, with all else that the file system has to write: 1 to 1000.
    public var filesSyncedSingly = 64
    /// Bytes of journal after which a checkpoint is written though no segment is retired.
    public var checkpointBytes = 128 << 20
    /// Bytes that one write and one sync take at most.
    public var commitBytes = 16 << 20
    /// Microseconds that commits may usually take for a caller's thread to do them; a single one may take twenty times
    /// as long. 0: it never does; up to 1000 seconds.
    public var quickCommitMicroseconds = 1000
    /// Milliseconds without work after which the idle marker is written.
    public var idleMilliseconds = 3

    /// Bytes that the scrubber reads in a second, 0 for none: up to 1 GiB.
    public var scrubBytesPerSecond = 4 << 20
    /// Seconds from the start, and from the end of one pass, to the next pass of the scrubber: up to a year.
    public var scrubDelaySeconds = 60
    public var scrubIntervalSeconds = 168 * 3600

    public init() {}

    /// Throws a sentence that names the setting, its value and what is allowed.
    public func validate() throws(StorageFailure) {
        try check("segmentBytes", segmentBytes, 16 << 10, 1 << 30)
        if segmentBytes % 4096 != 0 { throw StorageFailure("segmentBytes is \(segmentBytes): not a multiple of 4096") }
        try check("journalSegments", journalSegments, 1, 59)
        try check("journalSegmentsMax", journalSegmentsMax, journalSegments + 1, 60)
        try check("queueFileBytes", queueFileBytes, 4096, 1 << 30)
        try check("reserveBytes", reserveBytes, 0, 1 << 30)
        try check("filesSyncedSingly", filesSyncedSingly, 1, 1000)
        try check("checkpointBytes", checkpointBytes, 4096, 1 << 40)
        try check("commitBytes", commitBytes, 4096, 1 << 30)
        try check("quickCommitMicroseconds", quickCommitMicroseconds, 0, 1_000_000_000)
        try check("idleMilliseconds", idleMilliseconds, 1, 60_000)
        try check("scrubBytesPerSecond", scrubBytesPerSecond, 0, 1 << 30)
        try check("scrubDelaySeconds", scrubDelaySeconds, 0, 366 * 86400)
        try check("scrubIntervalSeconds", scrubIntervalSeconds, 0, 366 * 86400)
        if highWatermark < lowWatermark {
            throw StorageFailure("highWatermark (\(highWatermark)) is below lowWatermark (\(lowWatermark))")
        }
    }

    private func check(_ name: String, _ value: Int, _ low: Int, _ high: Int) throws(StorageFailure) {
        if value < low || value > high {
            throw StorageFailure("\(name) is \(value): it must be \(low) to \(high)")
        }
    }
}
