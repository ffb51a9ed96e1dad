import STOMP
import Synchronization

/// Hands a frame from one script to the next.
final class Shelf: Sendable {
    private let frame = Mutex<Frame?>(nil)

    var taken: Frame? { frame.withLock { $0 } }

    func put(_ frame: Frame) { self.frame.withLock { $0 = frame } }
}
