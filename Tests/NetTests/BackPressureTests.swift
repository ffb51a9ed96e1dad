import Base
import Dispatch
import Glibc
import Net
import Testing

@Suite struct BackPressureTests {
    /// Goal: a peer that never reads costs a bounded outbox, and nobody else waits for it. Method: the
    /// handler produces numbered blocks while the outbox is not full and goes on when it has drained; a
    /// second connection is served meanwhile; then the first one reads everything.
    @Test func aPeerThatNeverReadsIsBoundedByItsOwner() throws {
        let block = 10_000
        let blocks = 1_000
        let highest = Watched(0)
        let house = try House { _ in
            var next = 0
            func produce(_ connection: Connection) {
                while next < blocks, !connection.outbox.isOverHighMark {
                    connection.outbox.withTail(room: block) { $0.append(pattern(block, from: next * block)) }
                    next += 1
                }
                let unsent = connection.outbox.unsentBytes
                highest.change { $0 = max($0, unsent) }
                connection.markDirty()
            }
            return Script { script in
                script.onReceived = { bytes, connection in
                    if bytes[0] == 1 { produce(connection) } else { connection.outbox.append(.init(bytes)) }
                    connection.markDirty()
                    return bytes.count
                }
                script.onDrained = produce
            }
        }
        let slow = try Peer(house.address)
        slow.limitReceiveBuffer(64 << 10)
        try slow.send([1])
        let other = try Peer(house.address)
        for round in 0..<100 {
            try other.send([2, UInt8(round)])
            #expect(try other.receive(2) == [2, UInt8(round)])
        }
        #expect(highest.current <= LoopSettings().outboxHighBytes + block)
        #expect(highest.current > LoopSettings().outboxHighBytes)
        for index in 0..<blocks {
            let arrived = try slow.receive(block)
            guard arrived == pattern(block, from: index * block) else {
                Issue.record("block \(index) is not what was sent")
                return
            }
        }
        #expect(highest.current <= LoopSettings().outboxHighBytes + block)
    }

    @Test func nothingIsReceivedWhileReadingIsPaused() throws {
        let received = Watched(0)
        let isSent = Watched(false)
        let house = try House { connection in
            Script { script in
                script.onReceived = { bytes, connection in
                    if received.current == 0 { connection.pauseReading() }
                    received.change { $0 += bytes.count }
                    return bytes.count
                }
            }
        }
        let peer = try Peer(house.address)
        // More than the kernel keeps for us, so the peer itself is held back.
        let all = pattern(32 << 20)
        DispatchQueue.global().async {
            do { try peer.send(all) } catch { Issue.record(error) }
            isSent.change { $0 = true }
        }
        #expect(received.wait { $0 > 0 })
        let before = received.current
        #expect(
            house.onLoop { loop in
                var isPaused = false
                loop.forEachConnection { isPaused = $0.isReadingPaused }
                return isPaused
            } == true)
        // Other events of the loop do not let anything through.
        for _ in 0..<50 { _ = house.onLoop { _ in 0 } }
        #expect(received.current == before)
        #expect(!isSent.current)
        house.loop.submit { $0.forEachConnection { $0.resumeReading() } }
        #expect(isSent.wait { $0 })
        #expect(received.wait { $0 == all.count })
    }

    /// Goal: an owner who stopped in the middle of a batch gets the rest at once when it resumes, though
    /// the peer sends nothing more.
    @Test func keptBytesAreOfferedAgainAtResume() throws {
        let offered = Watched<[Int]>([])
        let house = try House { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    offered.change { $0.append(bytes.count) }
                    connection.pauseReading()
                    return min(bytes.count, 4)
                }
            }
        }
        let peer = try Peer(house.address)
        try peer.send(pattern(10))
        #expect(offered.wait { $0 == [10] })
        house.loop.submit { $0.forEachConnection { $0.resumeReading() } }
        #expect(offered.wait { $0 == [10, 6] })
        // Paused and resumed twice in one turn: once is enough.
        house.loop.submit {
            $0.forEachConnection { connection in
                connection.resumeReading()
                connection.pauseReading()
                connection.resumeReading()
            }
        }
        #expect(offered.wait { $0.count == 3 })
        #expect(offered.current == [10, 6, 2])
    }

    @Test func thePeersEndWaitsBehindAPause() throws {
        let events = Watched<[String]>([])
        let house = try House { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    events.change { $0.append("bytes") }
                    connection.pauseReading()
                    return bytes.count
                }
                script.onEnd = { connection in
                    events.change { $0.append("end") }
                    connection.finish(.peerClosed)
                }
                script.onEnded = { _, why in events.change { $0.append(why.code) } }
            }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        peer.endWriting()
        #expect(events.wait { $0 == ["bytes"] })
        _ = house.onLoop { _ in 0 }
        #expect(events.current == ["bytes"])
        house.loop.submit { $0.forEachConnection { $0.resumeReading() } }
        #expect(events.wait { $0.count == 3 })
        #expect(events.current == ["bytes", "end", "peer-closed"])
    }

    /// Goal: large slices go out without a copy, in their place between small ones, and are let go of
    /// when they are sent.
    @Test func slicesAreSentInOrderAndLetGoOf() throws {
        weak var watched: Chunk?
        let sizes = [10, 70_000, 100, 200_000, 64 << 10, 5]
        let total = sizes.reduce(0, +)
        let all = pattern(total)
        let chunk = Watched<Chunk?>(Chunk(capacity: total))
        watched = chunk.current
        let house = try House { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    guard let memory = chunk.current else { return bytes.count }
                    var start = 0
                    for size in sizes {
                        connection.outbox.append(Slice(chunk: memory, offset: start, count: size))
                        connection.outbox.withTail { $0.append("|") }
                        start += size
                    }
                    chunk.change { $0 = nil }
                    connection.markDirty()
                    return bytes.count
                }
            }
        }
        all.withUnsafeBytes { source in
            chunk.change { memcpy($0!.base, source.baseAddress!, source.count) }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        var expected: [UInt8] = []
        var start = 0
        for size in sizes {
            expected += all[start..<start + size]
            expected.append(UInt8(ascii: "|"))
            start += size
        }
        #expect(try peer.receive(expected.count) == expected)
        #expect(Watched(0).wait { _ in watched == nil })
    }
}
