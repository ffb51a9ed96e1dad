import Base
import Dispatch
import Glibc
import Net
import Testing

/// Descriptors belong to the process, so these run in one of their own.
@Suite struct DescriptorTests {
    private static func openDescriptors() -> Int {
        (0..<4_096).count { fcntl(Int32($0), F_GETFD) >= 0 }
    }

    private static func highestDescriptor() -> Int32 {
        (Int32(0)..<4_096).last { fcntl($0, F_GETFD) >= 0 } ?? 0
    }

    /// Goal: no descriptor is lost, whoever ends first and however. Method: thousands of connections
    /// that end in each of the ways there are; in the end there are as many descriptors as before.
    @Test func thousandsOfConnectionsLeaveNoDescriptor() async {
        await #expect(processExitsWith: .success) {
            let ended = Watched(0)
            let house = try House { _ in
                Script { script in
                    script.onReceived = { bytes, connection in
                        switch bytes[0] {
                        case 0:
                            connection.outbox.withTail { $0.append("bye") }
                            connection.finish(.finished("asked"))
                        case 1: connection.abort(.aborted("asked"))
                        case 2:
                            // More than the socket takes: the write source exists and waits.
                            connection.outbox.withTail { $0.append([UInt8](repeating: 0, count: 8 << 20)) }
                            connection.flush()
                            connection.pauseReading()
                            connection.deadline = connection.loop.now.adding(milliseconds: 1)
                        default: break
                        }
                        return bytes.count
                    }
                    script.onDeadline = { connection, _ in connection.abort(.timedOut("asked")) }
                    script.onEnded = { _, _ in ended.change { $0 += 1 } }
                }
            }
            let rounds = 600
            func cycle() throws {
                for way in UInt8(0)..<4 {
                    let peer = try Peer(house.address)
                    try peer.send([way])
                    if way == 0 { guard try peer.receiveToEnd() == Array("bye".utf8) else { exit(2) } }
                    if way == 1 || way == 2 { guard peer.isEnded() else { exit(3) } }
                    peer.close(reset: way == 3 && ended.current % 2 == 0)
                }
            }
            try cycle()
            guard ended.wait(until: { $0 == 4 }) else { exit(4) }
            guard Watched(0).wait(until: { _ in house.listener.counters().current == 0 }) else { exit(8) }
            let before = DescriptorTests.openDescriptors()
            for _ in 0..<rounds { try cycle() }
            guard ended.wait(until: { $0 == 4 + 4 * rounds }) else { exit(5) }
            guard Watched(0).wait(until: { _ in house.listener.counters().current == 0 }) else { exit(6) }
            guard DescriptorTests.openDescriptors() == before else { exit(7) }
        }
    }

    /// Goal: without descriptors accepting pauses, says so once, does not spin, and goes on later.
    /// Method: the limit is lowered until only a few remain; connections beyond them wait in the kernel.
    @Test func acceptingPausesWithoutDescriptorsAndGoesOn() async {
        await #expect(processExitsWith: .success) {
            let told = Watched<[NetError]>([])
            let loop = try IOLoop(index: 0)
            let listener = try Listener(
                address: SocketAddress(parsing: "127.0.0.1:0"), loops: [loop],
                limits: ListenerLimits(pauseMilliseconds: 20),
                onPause: { why in told.change { $0.append(why) } },
                makeHandler: { _ in Script.echo() })
            listener.start()
            func echo(_ peer: Peer) throws {
                try peer.send([1])
                guard try peer.receive(1) == [1] else { exit(2) }
            }
            var peers: [Peer] = []
            for _ in 0..<9 { peers.append(try Peer(listener.boundAddress)) }
            for peer in peers { try echo(peer) }

            // Every gap between the open descriptors is filled; then the limit leaves one for a peer, and
            // none for the connection accepted from it.
            let highest = DescriptorTests.highestDescriptor()
            var next = dup(0)
            while next < highest { next = dup(0) }
            close(next)
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = rlim_t(next) + 1
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let late = try Peer(listener.boundAddress)
            guard told.wait(until: { !$0.isEmpty }) else { exit(3) }
            guard told.current == [.system(call: "accept", address: listener.boundAddress.description, errno: EMFILE)]
            else { exit(4) }
            // Those inside are served, and after several pauses it is still said once.
            for peer in peers { try echo(peer) }
            let until = Instant.now.adding(milliseconds: 100)
            while Instant.now < until { try echo(peers[0]) }
            guard told.current.count == 1, listener.counters().pauses == 1 else { exit(5) }
            // A descriptor becomes free: accepting goes on by itself.
            peers.removeLast().close()
            try echo(late)
            for peer in peers { try echo(peer) }
            guard listener.counters().accepted == 10 else { exit(6) }
        }
    }
}
