import Glibc

/// What a test could not go on from.
struct Problem: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }

    /// A system call failed.
    static func system(_ what: String) -> Problem { Problem("\(what): \(String(cString: strerror(errno)))") }
}

/// A moment on the clock that does not jump.
struct Deadline {
    private let end: ContinuousClock.Instant

    init(_ duration: Duration) { end = .now + duration }

    var isOver: Bool { ContinuousClock.now >= end }
    /// For poll(2): never negative.
    var milliseconds: Int32 {
        let left = ContinuousClock.now.duration(to: end)
        return Int32(
            clamping: max(0, left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000))
    }
}

/// Waits until `descriptor` has one of `events` (or has ended). False when the time is over.
func waitFor(_ descriptor: Int32, _ events: Int32, until deadline: Deadline) -> Bool {
    while true {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        let count = poll(&entry, 1, deadline.milliseconds)
        if count > 0 { return true }
        if count == 0 || errno != EINTR { return false }
    }
}

/// Asks again and again, with a breath between, for what cannot be waited for otherwise.
func eventually(_ what: String, within duration: Duration = .seconds(10), _ isSo: () throws -> Bool) throws {
    let deadline = Deadline(duration)
    while try !isSo() {
        if deadline.isOver { throw Problem("not within \(duration): \(what)") }
        poll(nil, 0, 5)
    }
}
