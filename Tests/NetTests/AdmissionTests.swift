import Net
import Testing

/// Limits of connections over several listeners, and what those hear who are turned away.
@Suite struct AdmissionTests {
    private static func listener(_ loop: IOLoop, _ admission: Admission) throws -> Listener {
        let listener = try Listener(
            address: SocketAddress(parsing: "127.0.0.1:0"), loops: [loop], admission: admission,
            lastWord: { _, reason in Array("\(reason)".utf8) }, makeHandler: { _ in Script.echo() })
        listener.start()
        return listener
    }

    private static func isServed(_ peer: Peer) throws -> Bool {
        try peer.send([7])
        return try peer.receive(1) == [7]
    }

    @Test func listenersThatShareAnAdmissionCountTogether() throws {
        let loop = try IOLoop(index: 0)
        let admission = Admission(maxConnections: 2, maxPerAddress: nil)
        let (first, second) = (try Self.listener(loop, admission), try Self.listener(loop, admission))
        defer {
            first.stop()
            second.stop()
        }
        let (one, two) = (try Peer(first.boundAddress), try Peer(second.boundAddress))
        #expect(try Self.isServed(one) && Self.isServed(two))
        let word = Array("connections(most: 2)".utf8)
        let late = try Peer(second.boundAddress)
        #expect(try late.receive(word.count) == word)
        #expect(first.counters().refused == 0 && second.counters().refused == 1)
        one.close()
        #expect(Watched(0).wait { _ in first.counters().current == 0 })
        #expect(try Self.isServed(try Peer(second.boundAddress)))
    }

    @Test func newLimitsCountForWhoComesAfterThem() throws {
        let loop = try IOLoop(index: 0)
        let admission = Admission(maxConnections: 10, maxPerAddress: nil)
        let listener = try Self.listener(loop, admission)
        defer { listener.stop() }
        let inside = try (0..<2).map { _ in try Peer(listener.boundAddress) }
        for peer in inside { #expect(try Self.isServed(peer)) }
        admission.setLimits(maxConnections: 10, maxPerAddress: 2)
        let word = Array("address(most: 2)".utf8)
        #expect(try Peer(listener.boundAddress).receive(word.count) == word)
        admission.setLimits(maxConnections: 10, maxPerAddress: 3)
        #expect(try Self.isServed(try Peer(listener.boundAddress)))
        for peer in inside { #expect(try Self.isServed(peer), "who is inside stays") }
    }
}
