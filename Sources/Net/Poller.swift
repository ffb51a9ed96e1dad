import CSystem
import Glibc
import Synchronization

/// What a descriptor is waited for.
struct Interest: OptionSet {
    let rawValue: UInt32
    static let input = Interest(rawValue: UInt32(CSYSTEM_IN))
    static let output = Interest(rawValue: UInt32(CSYSTEM_OUT))
}

/// Who is told that a descriptor is ready. An error or a hang-up counts as ready for whatever was wanted.
protocol Watcher: AnyObject {
    func ready(_ ready: Interest)
}

/// What one thread waits for: descriptors (epoll(7), level-triggered), and a bell that any thread may ring.
final class Poller: Sendable {
    private let epoll: Int32
    private let bell: Int32
    private let state = Atomic<UInt8>(awake)
    private static let awake: UInt8 = 0
    private static let asleep: UInt8 = 1
    private static let rung: UInt8 = 2

    init() throws(NetError) {
        epoll = csystem_epoll_create()
        if epoll < 0 { throw .system(call: "epoll_create", address: "of a loop", errno: errno) }
        bell = csystem_bell_create(epoll)
        if bell < 0 {
            let error = errno
            close(epoll)
            throw .system(call: "eventfd", address: "of a loop", errno: error)
        }
    }

    deinit {
        close(bell)
        close(epoll)
    }

    /// Its thread waits, with nothing to do that it knows of.
    var isAsleep: Bool { state.load(ordering: .sequentiallyConsistent) == Self.asleep }

    /// Nil, or the error number.
    func set(_ descriptor: Int32, had: Interest, wants: Interest) -> Int32? {
        csystem_epoll_set(epoll, descriptor, had.rawValue, wants.rawValue) == 0 ? nil : errno
    }

    /// Ends the wait that is going on, or the next one. From any thread. Costs a system call only if the thread
    /// is asleep.
    func ring() {
        if state.exchange(Self.rung, ordering: .sequentiallyConsistent) == Self.asleep { csystem_bell_ring(bell) }
    }

    /// Waits until something is ready, somebody rings or the time is over (-1: for ever). Returns how many of
    /// `events` were filled. What was done before a `ring` is seen by who looks after this.
    func wait(_ events: UnsafeMutableBufferPointer<csystem_event>, milliseconds: Int32) -> Int {
        let maySleep = state.compareExchange(
            expected: Self.awake, desired: Self.asleep, ordering: .sequentiallyConsistent
        ).exchanged
        let count = csystem_epoll_wait(
            epoll, events.baseAddress, Int32(events.count), maySleep ? milliseconds : 0)
        state.store(Self.awake, ordering: .sequentiallyConsistent)
        return max(0, Int(count))
    }
}
