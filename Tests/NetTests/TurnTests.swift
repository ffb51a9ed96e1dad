import Base
import Dispatch
import Glibc
import Net
import Testing

@Suite struct TurnTests {
    /// Goal: the owner enters shared state once for all that came in, before anything goes out. Method:
    /// the answer is written only by `beforeFlush`, from what the handler left behind.
    @Test func beforeFlushComesBetweenReceivingAndSending() throws {
        let house = try House { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    connection.loop.context = Waiting(connection, Array(bytes))
                    return bytes.count
                }
            }
        }
        house.loop.submit { loop in
            loop.beforeFlush = { [unowned loop] in
                guard let waiting = loop.context as? Waiting else { return }
                loop.context = nil
                waiting.connection.outbox.withTail { $0.append(waiting.bytes) }
                waiting.connection.markDirty()
            }
        }
        let peer = try Peer(house.address)
        for round in 0..<20 {
            try peer.send([UInt8(round)])
            #expect(try peer.receive(1) == [UInt8(round)])
        }
    }

    final class Waiting {
        let connection: Connection
        let bytes: [UInt8]
        init(_ connection: Connection, _ bytes: [UInt8]) {
            self.connection = connection
            self.bytes = bytes
        }
    }

    /// Goal: what `ended` leaves behind is carried out at once, not at the next event of the loop.
    @Test func beforeFlushFollowsAnEnd() throws {
        let events = Watched<[String]>([])
        let house = try House { _ in
            Script { script in script.onEnded = { _, _ in events.change { $0.append("ended") } } }
        }
        house.loop.submit { loop in
            loop.beforeFlush = { events.change { if $0.last == "ended" { $0.append("entered") } } }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        peer.close()
        #expect(events.wait { $0 == ["ended", "entered"] })
    }

    @Test func submittedWorkIsDoneInOrder() throws {
        let loop = IOLoop(index: 3)
        let seen = Watched<[Int]>([])
        for number in 0..<10_000 { loop.submit { _ in seen.change { $0.append(number) } } }
        #expect(seen.wait { $0.count == 10_000 })
        #expect(seen.current == Array(0..<10_000))
        #expect(loop.index == 3)
    }

    @Test func bytesSentFromOutsideATurnGoOut() throws {
        let house = try House { _ in Script() }
        let peer = try Peer(house.address)
        #expect(Watched(0).wait { _ in house.onLoop { $0.connectionCount } == 1 })
        // Not through submit: straight on the queue, as another Dispatch source of the owner would.
        house.loop.queue.async { [loop = house.loop] in
            loop.forEachConnection { connection in
                connection.outbox.withTail { $0.append("tick") }
                connection.markDirty()
            }
        }
        #expect(try peer.receive(4) == Array("tick".utf8))
    }

    @Test func countersAndTimesFollowTheBytes() throws {
        let house = try House { _ in Script.echo() }
        let peer = try Peer(house.address)
        let before = Instant.now
        try peer.send(pattern(1_000))
        #expect(try peer.receive(1_000) == pattern(1_000))
        let figures = house.onLoop { loop in
            var figures: [UInt64] = []
            loop.forEachConnection { connection in
                figures = [connection.bytesReceived, connection.bytesSent]
                #expect(connection.lastReceived >= before && connection.lastReceived <= Instant.now)
                #expect(connection.lastSent >= before && connection.lastSent <= Instant.now)
                #expect(connection.outbox.isEmpty)
            }
            return figures
        }
        #expect(figures == [1_000, 1_000])
    }
}
