import Glibc
import Synchronization

/// A descriptor that is closed once.
final class Descriptor {
    private(set) var number: Int32

    init(_ number: Int32) { self.number = number }

    deinit { close() }

    func close() {
        if number >= 0 { Glibc.close(number) }
        number = -1
    }

    /// It is the caller's to close from now on.
    func taken() -> Int32 {
        defer { number = -1 }
        return number
    }

    /// Reading and writing return at once.
    func neverBlock() { _ = fcntl(number, F_SETFL, fcntl(number, F_GETFL) | O_NONBLOCK) }
}

/// Two ends, that no command inherits but those that it is given.
struct PipeEnds {
    let reading: Descriptor
    let writing: Descriptor

    /// Held while pipes are made and commands started: a command that another thread starts in between would inherit an
    /// end, and whoever waits for the end of that pipe would wait for that command.
    static let making = Mutex(())

    /// With `making` held. nil, with `errno`, if the system has none.
    init?() {
        var ends: [Int32] = [0, 0]
        if pipe(&ends) != 0 { return nil }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        reading = Descriptor(ends[0])
        writing = Descriptor(ends[1])
    }
}
