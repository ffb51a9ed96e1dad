import Base
import Dispatch
import Glibc
import Net
import Testing

@Suite struct ConnectTests {
    enum Outcome: Equatable, Sendable {
        case connected(String)
        case failed(NetError)
    }

    /// Connects from a loop of its own and says what came of it, as often as it was told.
    private func attempt(
        _ address: SocketAddress, milliseconds: UInt64 = 10_000, cancel: Bool = false,
        script: @escaping @Sendable () -> Script = { Script() }
    ) throws -> [Outcome] {
        let loop = try IOLoop(index: 0)
        let outcomes = Watched<[Outcome]>([])
        loop.submit { loop in
            var hasReturned = false
            let attempt = loop.connect(to: address, timeoutMilliseconds: milliseconds) { result in
                #expect(hasReturned || cancel)
                outcomes.change {
                    switch result {
                    case .success(let connection): $0.append(.connected(connection.peer.description))
                    case .failure(let error): $0.append(.failed(error))
                    }
                }
            } handler: { _ in
                script()
            }
            hasReturned = true
            if cancel {
                attempt.cancel()
                attempt.cancel()
            }
        }
        #expect(outcomes.wait { !$0.isEmpty })
        let settled = Watched(false)
        loop.submit { _ in settled.change { $0 = true } }
        #expect(settled.wait { $0 })
        return outcomes.current
    }

    @Test(arguments: ["127.0.0.1:0", "[::1]:0", "unix:PATH"]) func talksToAListener(place: String) throws {
        let path = temporaryPath("connect")
        let house = try House(place == "unix:PATH" ? "unix:\(path)" : place) { _ in Script.echo() }
        let answer = Watched<[UInt8]>([])
        let loop = try IOLoop(index: 1)
        let address = house.address
        loop.submit { loop in
            loop.connect(to: address, timeoutMilliseconds: 10_000) { result in
                guard case .success(let connection) = result else {
                    Issue.record("\(result)")
                    return
                }
                connection.outbox.withTail { $0.append(pattern(100_000)) }
                connection.markDirty()
            } handler: { _ in
                Script { script in
                    script.onReceived = { bytes, _ in
                        answer.change { $0 += bytes }
                        return bytes.count
                    }
                }
            }
        }
        #expect(answer.wait { $0.count == 100_000 })
        #expect(answer.current == pattern(100_000))
    }

    /// "localhost" has an IPv6 address on many machines and the listener has only an IPv4 one: all
    /// addresses are tried.
    @Test func triesEveryAddressOfAName() throws {
        let house = try House("127.0.0.1:0") { _ in Script() }
        let port = try #require(house.address.port)
        let outcome = try attempt(try SocketAddress(parsing: "localhost:\(port)"))
        #expect(outcome == [.connected("127.0.0.1:\(port)")])
    }

    /// Method: a socket that has its port and does not listen, so that nobody else gets the port.
    @Test func saysThatNobodyListens() throws {
        let (descriptor, address) = boundSocket()
        defer { close(descriptor) }
        #expect(try attempt(address) == [.failed(.refused(address.description))])
    }

    @Test func saysThatThereIsNoSocket() throws {
        let path = temporaryPath("none")
        let address = SocketAddress(.unix(path: path))
        #expect(try attempt(address) == [.failed(.system(call: "connect", address: "unix:\(path)", errno: ENOENT))])
    }

    @Test func saysThatANameIsUnknown() throws {
        let outcome = try attempt(SocketAddress(.name("no-such-host.invalid", port: 1)))
        guard case .failed(.unresolvable("no-such-host.invalid", _)) = outcome.first else {
            Issue.record("\(outcome)")
            return
        }
        #expect(outcome.count == 1)
    }

    private func boundSocket() -> (descriptor: Int32, address: SocketAddress) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                #expect(bind(descriptor, pointer, size) == 0)
                #expect(getsockname(descriptor, pointer, &size) == 0)
            }
        }
        return (descriptor, SocketAddress(.ipv4("127.0.0.1", port: UInt16(bigEndian: name.sin_port))))
    }

    /// Goal: a peer that does not answer costs no more than the time given. Method: a listening socket
    /// that accepts nothing and whose backlog is full: Linux drops the next SYN.
    @Test func givesUpInTime() throws {
        let (descriptor, address) = boundSocket()
        defer { close(descriptor) }
        #expect(listen(descriptor, 0) == 0)
        var fillers: [Peer] = []
        defer { for filler in fillers { filler.close() } }
        fillers.append(try Peer(address))
        let outcome = try attempt(address, milliseconds: 200)
        #expect(outcome == [.failed(.timedOut(address.description, milliseconds: 200))])
    }

    @Test func aFullUnixBacklogIsAskedAgain() throws {
        let path = temporaryPath("backlog")
        let loop = try IOLoop(index: 0)
        let listener = try Listener(
            address: SocketAddress(.unix(path: path)), loops: [loop], limits: ListenerLimits(backlog: 0)
        ) { _ in Script() }
        defer { listener.stop() }
        let filler = try Peer(listener.boundAddress)
        let outcome = try attempt(listener.boundAddress, milliseconds: 100)
        #expect(outcome == [.failed(.timedOut("unix:\(path)", milliseconds: 100))])
        listener.start()
        #expect(try attempt(listener.boundAddress) == [.connected("unix")])
        filler.close()
    }

    @Test(arguments: ["127.0.0.1:1", "localhost:1", "unix:/nowhere"]) func canBeTakenBack(place: String) throws {
        let address = try SocketAddress(parsing: place)
        #expect(try attempt(address, cancel: true) == [.failed(.cancelled(place))])
    }
}
