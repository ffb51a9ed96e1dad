import Base
import Foundation
import Glibc
import Net
import Testing

@Suite struct TurnTests {
    @Test func submittedWorkIsDoneInOrder() throws {
        let loop = try IOLoop(index: 3)
        let seen = Watched<[Int]>([])
        for number in 0..<10_000 { loop.submit { _ in seen.change { $0.append(number) } } }
        #expect(seen.wait { $0.count == 10_000 })
        #expect(seen.current == Array(0..<10_000))
        #expect(loop.index == 3)
    }

    @Test func bytesSentBySubmittedWorkGoOut() throws {
        let house = try House { _ in Script() }
        let peer = try Peer(house.address)
        #expect(Watched(0).wait { _ in house.onLoop { $0.connectionCount } == 1 })
        house.loop.submit { loop in
            loop.forEachConnection { connection in
                connection.outbox.withTail { $0.append("tick") }
                connection.markDirty()
            }
        }
        #expect(try peer.receive(4) == Array("tick".utf8))
    }

    /// Goal: a thread for each loop that is needed, and none for one that is not. Method: the system's names of our
    /// threads.
    @Test func theThreadEndsWithTheLoop() throws {
        let name = "loop 4711"
        @Sendable func count() -> Int {
            let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
            return
                tasks.filter {
                    (try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8)) == name + "\n"
                }
                .count
        }
        var loop: IOLoop? = try IOLoop(index: 4711)
        let begun = Watched(0)
        loop?.submit { _ in begun.change { $0 = count() } }
        loop = nil
        // What was submitted is done first.
        #expect(begun.wait { $0 == 1 })
        #expect(Watched(0).wait { _ in count() == 0 })
    }

    /// Goal: a peer that resets a connection which is not read from costs nothing until it is. Method: the loop's
    /// thread tells how long it has computed; that does not depend on what else the machine does.
    @Test func aResetOfAPausedConnectionDoesNotKeepTheLoopBusy() throws {
        let ended = Watched(0)
        let house = try House { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    connection.pauseReading()
                    return bytes.count
                }
                script.onEnded = { _, _ in ended.change { $0 += 1 } }
            }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(
            Watched(0).wait { _ in
                house.onLoop { loop in
                    var paused = 0
                    loop.forEachConnection { if $0.isReadingPaused { paused += 1 } }
                    return paused
                } == 1
            })
        peer.close(reset: true)
        func computed() -> UInt64 {
            house.onLoop { _ in
                var time = timespec()
                clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
                return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
            } ?? 0
        }
        let before = computed()
        // The loop's own next event.
        let hasSlept = Watched(false)
        house.loop.submit { loop in
            loop.after(milliseconds: 300) { hasSlept.change { $0 = true } }
        }
        #expect(hasSlept.wait { $0 })
        #expect(computed() - before < 100_000_000)
        #expect(ended.current == 0)
        _ = house.onLoop { loop in
            loop.forEachConnection { $0.resumeReading() }
            return 0
        }
        #expect(ended.wait { $0 == 1 })
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
