import Base
import Dispatch
import Foundation
import Glibc
import STOMP
import Synchronization

/// A broker that does what its scripts say: the first connection gets the first script, and so on. Scripts run
/// on a thread of their own and may block, but never for longer than `Peer.patience`. When one of them fails, so does the
/// test (`ScriptWatch`).
final class FakeBroker: Sendable {
    typealias Script = @Sendable (Peer) throws -> Void

    let port: UInt16
    var address: String { "127.0.0.1:\(port)" }

    private struct State {
        var isDone = false
        var error: (any Error)?
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    init(_ scripts: Script...) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                bind(listener, raw, length) == 0 && listen(listener, 16) == 0
                    && getsockname(listener, raw, &length) == 0
            }
        }
        guard isBound else { throw ScriptError.socket(errno) }
        port = UInt16(bigEndian: address.sin_port)
        let watch = ScriptWatch.current
        // Not a Dispatch queue: scripts block, and the threads of Dispatch also carry the tasks of the tests.
        Thread.detachNewThread { self.run(scripts, on: listener, watch) }
    }

    private func run(_ scripts: [Script], on listener: Int32, _ watch: ScriptWatch?) {
        defer { Glibc.close(listener) }
        var failure: (any Error)?
        for (index, script) in scripts.enumerated() {
            do {
                let peer = try Peer(accepting: listener)
                try script(peer)
            } catch {
                let error = ScriptError.script(index, "\(error)")
                watch?.failed(error)
                failure = error
                break
            }
        }
        let waiter = state.withLock { state in
            state.isDone = true
            state.error = failure
            return state.waiter
        }
        waiter?.resume()
    }

    /// Returns when every script has come to its end; throws what one of them threw.
    func finished() async throws {
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                if !state.isDone { state.waiter = continuation }
                return state.isDone
            }
            if isDone { continuation.resume() }
        }
        if let error = state.withLock({ $0.error }) { throw error }
    }
}

enum ScriptError: Error {
    case socket(Int32)
    case script(Int, String)
    case nothingCame
    case ended
    case unexpected(Frame, wanted: Command)
    case notTheEnd(Int)
    case notSignalled
}

/// The broker's end of one connection. Used by one script on one thread.
final class Peer {
    /// In seconds. Only a script that waits for what never comes takes so long; on a machine with other things to do, what
    /// does come can take half of it.
    static let patience = 45

    private let descriptor: Int32
    private var parser = FrameParser(role: .server, limits: FrameLimits())
    private var input = Buffer()
    private(set) var heartBeats = 0

    fileprivate init(accepting listener: Int32) throws {
        var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        // A process that is stopped and goes on interrupts its calls.
        var ready = poll(&waiting, 1, Int32(Peer.patience * 1000))
        while ready < 0, errno == EINTR { ready = poll(&waiting, 1, Int32(Peer.patience * 1000)) }
        guard ready == 1 else { throw ScriptError.nothingCame }
        descriptor = accept(listener, nil, nil)
        guard descriptor >= 0 else { throw ScriptError.socket(errno) }
        var time = timeval(tv_sec: Peer.patience, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, size)
    }

    deinit { Glibc.close(descriptor) }

    // MARK: Reading

    /// The next frame, of this command.
    @discardableResult
    func next(_ command: Command) throws -> Frame {
        let frame = try next()
        guard frame.command == command else { throw ScriptError.unexpected(frame, wanted: command) }
        return frame
    }

    func next() throws -> Frame {
        while true {
            let bytes = UnsafeBufferPointer(input.readable)
            switch try parser.next(in: bytes) {
            case .incomplete: try readMore()
            case .heartBeat:
                heartBeats += 1
                input.consume(parser.consumed)
            case .frame:
                let version = parser.version ?? .v10
                let frame = try Frame.decode(layout: parser.layout, bytes: bytes, version: version)
                input.consume(parser.consumed)
                return frame
            }
        }
    }

    /// Waits for so many heart-beats, with nothing between them.
    func awaitHeartBeats(_ count: Int) throws {
        while heartBeats < count {
            if try parser.next(in: UnsafeBufferPointer(input.readable)) == .heartBeat {
                heartBeats += 1
                input.consume(parser.consumed)
            } else {
                try readMore()
            }
        }
    }

    /// Nothing but the end may come, and heart-beats before it.
    func expectEnd() throws {
        while true {
            guard input.readable.allSatisfy({ $0 == 10 }) else { throw ScriptError.notTheEnd(input.count) }
            input.consume(input.count)
            do { try readMore() } catch ScriptError.ended { return }
        }
    }

    private func readMore() throws {
        input.reserve(64 << 10)
        let room = input.room
        var count = read(descriptor, room.baseAddress, room.count)
        while count < 0, errno == EINTR { count = read(descriptor, room.baseAddress, room.count) }
        if count > 0 { return input.written(count) }
        if count == 0 || errno == ECONNRESET { throw ScriptError.ended }
        throw errno == EAGAIN ? ScriptError.nothingCame : ScriptError.socket(errno)
    }

    // MARK: Writing

    /// Exactly these bytes.
    func write(_ text: String) throws { try write(Array(text.utf8)) }

    func write(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, 0x4000) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw ScriptError.socket(errno) }
            done += count
        }
    }

    /// Reads CONNECT and lets the client in.
    @discardableResult
    func login(_ more: String = "", version: String = "1.2") throws -> Frame {
        let frame = try next(.connect)
        parser.version = Version(named: version)
        try write("CONNECTED\nversion:\(version)\n\(more)\n\0")
        return frame
    }

    /// The client logs in and subscribes, which is confirmed. Returns its SUBSCRIBE.
    @discardableResult
    func loginAndSubscribe() throws -> Frame {
        try login()
        let subscribe = try next(.subscribe)
        try receipt(subscribe)
        return subscribe
    }

    /// The client ends its subscription and then the connection, both of which are confirmed.
    func unsubscribeAndGoodBye() throws {
        try receipt(try next(.unsubscribe))
        try goodBye()
    }

    func receipt(_ frame: Frame) throws {
        if let receipt = frame["receipt"] { try write("RECEIPT\nreceipt-id:\(receipt)\n\n\0") }
    }

    func deliver(_ text: String, to subscription: Frame, _ more: String = "") throws {
        let id = subscription["id"] ?? ""
        try write(
            "MESSAGE\nsubscription:\(id)\nmessage-id:m-\(text)\nack:a-\(text)\ndestination:/queue/a\n\(more)"
                + "content-length:\(text.utf8.count)\n\n\(text)\0")
    }

    /// Reads DISCONNECT, answers, and waits for the end.
    func goodBye() throws {
        try receipt(try next(.disconnect))
        try expectEnd()
    }
}

/// Lets a script wait for its test.
final class Signal: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func send() { semaphore.signal() }

    func wait() throws {
        guard semaphore.wait(timeout: .now() + .seconds(Peer.patience)) == .success else {
            throw ScriptError.notSignalled
        }
    }
}

extension Version {
    init?(named text: String) {
        guard let version = Version.allCases.first(where: { $0.text.description == text }) else { return nil }
        self = version
    }
}
