import Base
import Dispatch
import Glibc
import Net
import Testing

@Suite struct EndTests {
    /// Goal: an ERROR frame really arrives, even at a peer that is sending without pause: a close with
    /// unread input would send RST, and the frame would be thrown away. Method: the peer floods from one
    /// thread and reads slowly, through a small window, so that most of the last words are still with the
    /// kernel when the connection has nothing more to do.
    @Test(arguments: [40, 1 << 20]) func theLastWordsArrive(size: Int) throws {
        let words = pattern(size)
        let reason = Watched<[EndReason]>([])
        // However slow the machine is.
        var settings = LoopSettings()
        settings.finishMilliseconds = 120_000
        settings.drainMilliseconds = 120_000
        let house = try House(settings: settings) { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    words.withUnsafeBufferPointer { connection.outbox.append($0) }
                    connection.finish(.finished("protocol-error"))
                    connection.outbox.withTail { $0.append("said after the last word") }
                    return 0
                }
                script.onEnded = { _, why in reason.change { $0.append(why) } }
            }
        }
        let peer = try Peer(house.address)
        peer.limitReceiveBuffer(16 << 10)
        let isOver = Watched(false)
        let flood = Watched(false)
        DispatchQueue.global().async {
            // Ends with an error at the latest when the broker has closed; that is not this test's matter.
            let noise = [UInt8](repeating: 88, count: 64 << 10)
            while !isOver.current, (try? peer.send(noise)) != nil {}
            flood.change { $0 = true }
        }
        #expect(try peer.receiveToEnd(most: 4 << 10) == words)
        isOver.change { $0 = true }
        #expect(flood.wait { $0 })
        peer.close()
        #expect(reason.wait { !$0.isEmpty })
        #expect(reason.current == [.finished("protocol-error")])
    }

    @Test func aPeerThatNeverReadsDoesNotKeepAFinishWaiting() throws {
        var settings = LoopSettings()
        settings.finishMilliseconds = 100
        let reason = Watched<[EndReason]>([])
        let house = try House(settings: settings) { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    connection.outbox.withTail { $0.append([UInt8](repeating: 1, count: 16 << 20)) }
                    connection.finish(.finished("protocol-error"))
                    return bytes.count
                }
                script.onEnded = { _, why in reason.change { $0.append(why) } }
            }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(reason.wait { !$0.isEmpty })
        #expect(reason.current == [.finished("protocol-error")])
        peer.close()
    }

    @Test func aPeerThatNeverEndsDoesNotKeepADrainWaiting() throws {
        var settings = LoopSettings()
        settings.drainMilliseconds = 100
        let reason = Watched<[EndReason]>([])
        let house = try House(settings: settings) { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    connection.outbox.withTail { $0.append("ERROR") }
                    connection.finish(.finished("protocol-error"))
                    return bytes.count
                }
                script.onEnded = { _, why in reason.change { $0.append(why) } }
            }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(try peer.receiveToEnd() == Array("ERROR".utf8))
        #expect(reason.wait { !$0.isEmpty })
        #expect(reason.current == [.finished("protocol-error")])
    }

    @Test func anAbortEndsAtOnceAndIsToldOnce() throws {
        let reason = Watched<[EndReason]>([])
        let house = try House { connection in
            Script { script in
                script.onReceived = { bytes, connection in
                    connection.abort(.aborted("slow-consumer"))
                    connection.abort(.aborted("again"))
                    connection.finish(.finished("again"))
                    #expect(connection.loop.connection(connection.id) == nil)
                    return bytes.count
                }
                script.onEnded = { _, why in reason.change { $0.append(why) } }
            }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(peer.isEnded())
        #expect(reason.wait { !$0.isEmpty })
        #expect(house.onLoop { $0.connectionCount } == 0)
        #expect(reason.current == [.aborted("slow-consumer")])
    }

    /// Goal: half a stream is never taken for a whole one. Method: abort with bytes still unsent; the
    /// peer must see a reset, not an end in order.
    @Test func anAbortWithUnsentBytesResets() throws {
        let house = try House { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    connection.outbox.withTail { $0.append([UInt8](repeating: 1, count: 16 << 20)) }
                    connection.flush()
                    connection.abort(.aborted("slow-consumer"))
                    return bytes.count
                }
            }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(throws: Peer.Failure.self) { try peer.receiveToEnd() }
    }

    /// Goal: what a client sent before it went away is received, though the answers find nobody, and
    /// SIGPIPE kills nobody. Method: the loop is held while the peer sends and closes without having read
    /// its greeting, which makes an RST; then the loop first writes, and fails, before it reads.
    @Test func inputBeforeAResetIsNotLost() throws {
        let received = Watched<[UInt8]>([])
        let reason = Watched<[EndReason]>([])
        let house = try House { connection in
            connection.outbox.withTail { $0.append("greeting") }
            connection.markDirty()
            return Script { script in
                script.onReceived = { bytes, connection in
                    received.change { $0 += bytes }
                    return bytes.count
                }
                script.onEnded = { _, why in reason.change { $0.append(why) } }
            }
        }
        let peer = try Peer(house.address)
        #expect(Watched(0).wait { _ in house.onLoop { $0.connectionCount } == 1 })
        let isHeld = DispatchSemaphore(value: 0)
        let hold = DispatchSemaphore(value: 0)
        house.loop.submit { loop in
            isHeld.signal()
            _ = hold.wait(timeout: .now() + 20)
            loop.forEachConnection { connection in
                for _ in 0..<3 {
                    connection.outbox.withTail { $0.append("answer") }
                    connection.flush()
                }
            }
        }
        #expect(isHeld.wait(timeout: .now() + 20) == .success)
        try peer.send(pattern(50_000))
        peer.close()
        hold.signal()
        #expect(reason.wait { !$0.isEmpty })
        #expect(received.current == pattern(50_000))
        #expect(reason.current == [.peerReset])
    }

    @Test func aResetIsCalledOne() throws {
        let reason = Watched<[EndReason]>([])
        let house = try House { _ in
            Script { script in script.onEnded = { _, why in reason.change { $0.append(why) } } }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(house.onLoop { $0.connectionCount } != nil)
        peer.close(reset: true)
        #expect(reason.wait { !$0.isEmpty })
        #expect(reason.current == [.peerReset])
        #expect(reason.current[0].code == "peer-reset")
    }

    @Test func aHandlerMayEndTheConnectionBeforeItBegan() throws {
        let reason = Watched<[EndReason]>([])
        let house = try House { connection in
            connection.abort(.aborted("not-wanted"))
            return Script { script in script.onEnded = { _, why in reason.change { $0.append(why) } } }
        }
        let peer = try Peer(house.address)
        #expect(peer.isEnded())
        #expect(reason.wait { !$0.isEmpty })
        #expect(reason.current == [.aborted("not-wanted")])
        #expect(Watched(0).wait { _ in house.listener.counters().current == 0 })
    }

    /// The order that a daemon's stop needs: say goodbye to everybody, then wait until all are gone.
    @Test func everybodyCanBeFinished() throws {
        let ended = Watched(0)
        let house = try House { connection in
            Script { script in script.onEnded = { _, _ in ended.change { $0 += 1 } } }
        }
        let peers = try (0..<50).map { _ in try Peer(house.address) }
        #expect(Watched(0).wait { _ in house.onLoop { $0.connectionCount } == 50 })
        house.loop.submit { loop in
            loop.forEachConnection { connection in
                connection.outbox.withTail { $0.append("bye") }
                connection.finish(.finished("shutdown"))
            }
        }
        for peer in peers {
            #expect(try peer.receiveToEnd() == Array("bye".utf8))
            peer.close()
        }
        #expect(ended.wait { $0 == 50 })
        #expect(house.onLoop { $0.connectionCount } == 0)
    }

    /// Goal: an ended connection is let go of, with its handler. Method: weak references, after ends of
    /// each kind, one of them with a write source that was waiting.
    @Test func nothingKeepsAnEndedConnection() throws {
        struct Held {
            weak var connection: Connection?
            weak var handler: Script?
        }
        let held = Watched<[Held]>([])
        let house = try House { connection in
            let script = Script { script in
                script.onReceived = { bytes, connection in
                    switch bytes[0] {
                    case 0: connection.finish(.finished("asked"))
                    case 1: connection.abort(.aborted("asked"))
                    case 2:
                        connection.outbox.withTail { $0.append([UInt8](repeating: 0, count: 16 << 20)) }
                        connection.flush()
                        connection.pauseReading()
                        connection.deadline = connection.loop.now.adding(milliseconds: 5)
                    default: connection.deadline = connection.loop.now.adding(milliseconds: 1_000_000)
                    }
                    return bytes.count
                }
                script.onDeadline = { connection, _ in connection.abort(.timedOut("asked")) }
            }
            held.change { $0.append(Held(connection: connection, handler: script)) }
            return script
        }
        for way in UInt8(0)..<4 {
            let peer = try Peer(house.address)
            try peer.send([way])
            if way < 3 { #expect(peer.isEnded()) }
            peer.close()
        }
        #expect(held.wait { $0.count == 4 && $0.allSatisfy { $0.connection == nil && $0.handler == nil } })
    }
}
