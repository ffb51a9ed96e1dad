import Base
import Dispatch
import Glibc
import Net
import Testing

@Suite struct ListenerTests {
    @Test func admitsNoMoreThanTheLimit() throws {
        let house = try House(limits: ListenerLimits(maxConnections: 3)) { _ in Script.echo() }
        var inside = try (0..<3).map { _ in try Peer(house.address) }
        for peer in inside {
            try peer.send([7])
            #expect(try peer.receive(1) == [7])
        }
        #expect(try Peer(house.address).isEnded())
        #expect(try Peer(house.address).isEnded())
        let counters = house.listener.counters()
        #expect(counters.accepted == 3)
        #expect(counters.refused == 2)
        #expect(counters.current == 3)
        #expect(counters.pauses == 0)
        inside.removeLast().close()
        #expect(Watched(0).wait { _ in house.listener.counters().current == 2 })
        let late = try Peer(house.address)
        try late.send([8])
        #expect(try late.receive(1) == [8])
    }

    @Test func limitsEachAddress() throws {
        let house = try House("*:0", limits: ListenerLimits(maxPerAddress: 2)) { _ in Script.echo() }
        let port = try #require(house.address.port)
        let first = try (0..<2).map { _ in try Peer(SocketAddress(.ipv4("127.0.0.1", port: port))) }
        #expect(try Peer(SocketAddress(.ipv4("127.0.0.1", port: port))).isEnded())
        // Another address has its own count.
        let other = try Peer(SocketAddress(.ipv6("::1", port: port)))
        try other.send([1])
        #expect(try other.receive(1) == [1])
        first[0].close()
        #expect(Watched(0).wait { _ in house.listener.counters().current == 2 })
        let again = try Peer(SocketAddress(.ipv4("127.0.0.1", port: port)))
        try again.send([2])
        #expect(try again.receive(1) == [2])
        #expect(house.listener.counters().refused == 1)
    }

    @Test func everyInterfaceMeansBothProtocolsOnOnePort() throws {
        let house = try House("*:0") { _ in Script.echo() }
        let port = try #require(house.address.port)
        #expect(port != 0)
        #expect(house.listener.boundAddresses.map(\.description) == ["0.0.0.0:\(port)", "[::]:\(port)"])
    }

    @Test func spreadsConnectionsOverLoops() throws {
        let loops = try (0..<3).map { try IOLoop(index: $0) }
        let counts = Watched([0, 0, 0])
        let listener = try Listener(address: SocketAddress(parsing: "127.0.0.1:0"), loops: loops) { connection in
            connection.loop.preconditionOnLoop()
            let index = connection.loop.index
            counts.change { $0[index] += 1 }
            return Script()
        }
        defer { listener.stop() }
        listener.start()
        let peers = try (0..<12).map { _ in try Peer(listener.boundAddress) }
        #expect(counts.wait { $0.reduce(0, +) == peers.count })
        #expect(counts.current == [4, 4, 4])
    }

    @Test func aPortInUseIsNamed() throws {
        let house = try House { _ in Script() }
        #expect(throws: NetError.addressInUse(house.address.description)) {
            try House(house.address.description) { _ in Script() }
        }
    }

    @Test func whatWaitedBeforeTheStartIsServed() throws {
        let loop = try IOLoop(index: 0)
        let listener = try Listener(address: SocketAddress(parsing: "127.0.0.1:0"), loops: [loop]) { _ in
            Script.echo()
        }
        defer { listener.stop() }
        let peer = try Peer(listener.boundAddress)
        try peer.send([5])
        #expect(listener.counters().accepted == 0)
        listener.start()
        listener.start()
        #expect(try peer.receive(1) == [5])
    }

    /// Method: a Unix socket, since the port of one that has stopped may be another's by then.
    @Test func connectionsOutliveTheListener() throws {
        let house = try House("unix:\(temporaryPath("outlived"))") { _ in Script.echo() }
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(try peer.receive(1) == [1])
        let stopped = Watched(0)
        house.listener.stop { stopped.change { $0 += 1 } }
        house.listener.stop { stopped.change { $0 += 1 } }
        #expect(stopped.wait { $0 == 2 })
        #expect(throws: Peer.Failure.self) { try Peer(house.address) }
        try peer.send([2])
        #expect(try peer.receive(1) == [2])
    }

    // MARK: Unix sockets

    private func status(_ path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }

    @Test func aUnixSocketIsForItsOwnerAndGoesWithTheListener() throws {
        let path = temporaryPath("mode")
        let house = try House("unix:\(path)") { _ in Script.echo() }
        #expect((status(path)?.st_mode ?? 0) & 0o777 == 0o600)
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(try peer.receive(1) == [1])
        let stopped = Watched(false)
        house.listener.stop { stopped.change { $0 = true } }
        #expect(stopped.wait { $0 })
        #expect(status(path) == nil)
    }

    @Test func aStaleSocketFileIsReplacedALiveOneIsNot() throws {
        let path = temporaryPath("stale")
        // What a killed process leaves behind: a bound file that nobody listens on.
        let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8) }
        withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                #expect(bind(dead, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0)
            }
        }
        close(dead)
        #expect(status(path) != nil)
        let house = try House("unix:\(path)") { _ in Script.echo() }
        #expect(throws: NetError.addressInUse("unix:\(path)")) {
            try House("unix:\(path)") { _ in Script() }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(try peer.receive(1) == [1])
    }

    @Test func aFileThatIsNoSocketIsLeftAlone() throws {
        let path = temporaryPath("file")
        let file = open(path, O_CREAT | O_WRONLY, 0o600)
        #expect(write(file, "data", 4) == 4)
        close(file)
        defer { unlink(path) }
        #expect(throws: NetError.notASocket(path: path)) { try House("unix:\(path)") { _ in Script() } }
        #expect(status(path)?.st_size == 4)
    }

    @Test func theFileOfAnotherListenerIsNotRemoved() throws {
        let path = temporaryPath("replaced")
        let first = try House("unix:\(path)") { _ in Script() }
        unlink(path)
        let second = try House("unix:\(path)") { _ in Script.echo() }
        let stopped = Watched(false)
        first.listener.stop { stopped.change { $0 = true } }
        #expect(stopped.wait { $0 })
        let peer = try Peer(second.address)
        try peer.send([1])
        #expect(try peer.receive(1) == [1])
    }
}
