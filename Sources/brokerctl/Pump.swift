import Base
import Glibc

/// Writes all of the input and reads all of the output, whichever of both the other side wants first.
struct Pump {
    private var input: ArraySlice<UInt8>
    private let feed: Descriptor
    private let source: Descriptor?
    private(set) var output: [UInt8] = []
    private(set) var isFlooded = false

    init(_ input: [UInt8], _ feed: Descriptor, _ source: Descriptor?) {
        self.input = input[...]
        self.feed = feed
        self.source = source
        feed.neverBlock()
    }

    mutating func run(until deadline: Instant) {
        if input.isEmpty { feed.close() }
        while feed.number >= 0 || (source?.number ?? -1) >= 0 {
            // Those that are closed have a negative number, and are passed over.
            var entries = [
                pollfd(fd: feed.number, events: Int16(POLLOUT), revents: 0),
                pollfd(fd: source?.number ?? -1, events: Int16(POLLIN), revents: 0),
            ]
            let left = deadline.milliseconds(since: .now)
            if left == 0 { return }
            if poll(&entries, 2, Int32(clamping: left)) <= 0 { continue }
            if entries[0].revents != 0 { write() }
            if entries[1].revents != 0 { read() }
        }
    }

    private mutating func write() {
        let count = input.withUnsafeBytes { Glibc.write(feed.number, $0.baseAddress, $0.count) }
        if count >= 0 {
            input = input.dropFirst(count)
            if input.isEmpty { feed.close() }
        } else if errno != EINTR, errno != EAGAIN {
            // It does not want to read any more.
            feed.close()
        }
    }

    private mutating func read() {
        guard let source else { return }
        var room = [UInt8](repeating: 0, count: 64 << 10)
        let count = Glibc.read(source.number, &room, room.count)
        if count < 0, errno == EINTR { return }
        if count <= 0 { return source.close() }
        output += room[..<count]
        if output.count > ShellCommand.outputBytes {
            isFlooded = true
            source.close()
            feed.close()
        }
    }
}
