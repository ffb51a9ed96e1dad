import Base
import CSystem
import Dispatch
import Glibc
import Synchronization

/// The daemon's log: one line an event, on standard error.
///
/// Writing never waits. A line is formed by the caller, put into a bounded queue, and written by a
/// thread of the log's own; when standard error is blocked (a full pipe, a stopped collector) lines
/// are dropped and counted, and the count is the first thing said when it moves again. So a dead
/// collector cannot stop the commit path.
///
/// A message is a fixed sentence; what varies goes into the fields, which are escaped and cut.
public final class Log: Sendable {
    /// Most bytes that wait to be written.
    static let queueBytesMax = 1 << 20

    private struct Queue {
        var waiting: [UInt8] = []
        var dropped: UInt64 = 0
        var isClosed = false
    }

    private let queue = Mutex(Queue())
    private let wake = DispatchSemaphore(value: 0)
    private let done = DispatchSemaphore(value: 0)
    private let rank: Atomic<Int>
    private let form: LogLine.Form
    private let descriptor: Int32
    private let droppedInAll = Atomic<UInt64>(0)

    /// `descriptor` is written to and not closed. Its thread lives until `close`.
    public convenience init(level: LogLevel, format: LogFormat, descriptor: Int32 = STDERR_FILENO) {
        let form: LogLine.Form =
            switch format {
            case .json: .json
            case .text: .text
            case .auto: JournalStream.isBehind(descriptor) ? .journald : .text
            }
        self.init(level: level, form: form, descriptor: descriptor)
    }

    init(level: LogLevel, form: LogLine.Form, descriptor: Int32) {
        self.rank = Atomic(level.rank)
        self.form = form
        self.descriptor = descriptor
        startThread()
    }

    /// Lines that were never written.
    public var dropped: UInt64 { droppedInAll.load(ordering: .relaxed) }

    /// May be changed at any time, from any thread.
    public func setLevel(_ level: LogLevel) { rank.store(level.rank, ordering: .relaxed) }

    /// Whether a line of this level would be written: to spare work before calling.
    public func writes(_ level: LogLevel) -> Bool { level.rank <= rank.load(ordering: .relaxed) }

    public func error(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
        write(.error, message(), fields())
    }

    public func warning(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
        if writes(.warning) { write(.warning, message(), fields()) }
    }

    public func info(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
        if writes(.info) { write(.info, message(), fields()) }
    }

    public func debug(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
        if writes(.debug) { write(.debug, message(), fields()) }
    }

    private func write(_ level: LogLevel, _ message: String, _ fields: LogFields) {
        var line: [UInt8] = []
        line.reserveCapacity(256)
        LogLine.append(
            message, fields, level: level, milliseconds: wallClockMilliseconds(), form: form, to: &line)
        put(line)
    }

    private func put(_ line: [UInt8]) {
        let wasEmpty = queue.withLock { queue -> Bool in
            guard !queue.isClosed, queue.waiting.count + line.count <= Self.queueBytesMax else {
                queue.dropped &+= 1
                droppedInAll.add(1, ordering: .relaxed)
                return false
            }
            let wasEmpty = queue.waiting.isEmpty
            queue.waiting.append(contentsOf: line)
            return wasEmpty
        }
        if wasEmpty { wake.signal() }
    }

    /// Lets no more lines in and waits until those that wait are written, but not longer than
    /// `milliseconds`: a blocked collector must not keep a process from ending. Call it once.
    public func close(within milliseconds: Int) {
        queue.withLock { $0.isClosed = true }
        wake.signal()
        _ = done.wait(timeout: .now() + .milliseconds(milliseconds))
    }

    // MARK: The log's own thread

    /// Without a thread there is no log; the broker that cannot have this one cannot have others.
    private func startThread() {
        let log = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let status = pthread_create(&thread, nil, Self.threadBody, log.toOpaque())
        if status == 0 {
            pthread_detach(thread)
            return
        }
        log.release()
        queue.withLock { $0.isClosed = true }
        done.signal()
        writeOut(Array("there is no thread for the log: \(String(cString: strerror(status)))\n".utf8))
    }

    private static let threadBody: @convention(c) @Sendable (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
        log in
        csystem_name_thread("log")
        if let log { Unmanaged<Log>.fromOpaque(log).takeRetainedValue().drain() }
        return nil
    }

    private func drain() {
        var isClosed = false
        while !isClosed {
            wake.wait()
            var lines: [UInt8] = []
            var dropped: UInt64 = 0
            queue.withLock { queue in
                swap(&lines, &queue.waiting)
                dropped = queue.dropped
                queue.dropped = 0
                isClosed = queue.isClosed
            }
            // What was dropped came after what was waiting.
            if dropped > 0 { lines.append(contentsOf: lineAboutDropped(dropped)) }
            writeOut(lines)
        }
        done.signal()
    }

    private func lineAboutDropped(_ count: UInt64) -> [UInt8] {
        var line: [UInt8] = []
        LogLine.append(
            "log lines were dropped because standard error was blocked", ["lines": .number(count)], level: .warning,
            milliseconds: wallClockMilliseconds(), form: form, to: &line)
        return line
    }

    /// Blocks as long as the other end does. When nobody can ever read it, the lines are lost: there
    /// is no place left to say so, but the count stays.
    private func writeOut(_ lines: [UInt8]) {
        var rest = lines[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno == EAGAIN {
                // Somebody made our terminal non-blocking.
                var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = Glibc.poll(&poll, 1, -1)
            } else if errno != EINTR {
                let lost = rest.lazy.filter { $0 == UInt8(ascii: "\n") }.count
                droppedInAll.add(UInt64(lost), ordering: .relaxed)
                return
            }
        }
    }
}
