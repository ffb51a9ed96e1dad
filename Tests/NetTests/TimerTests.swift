import Base
import Dispatch
import Glibc
import Net
import Testing

@Suite struct TimerTests {
    /// Goal: deadlines are reached in their order and never early, however they were set. Method: 60
    /// connections set deadlines in a shuffled order, after having set other ones, earlier and later,
    /// and some take theirs back.
    @Test func deadlinesAreReachedInOrder() throws {
        struct Reached: Sendable {
            let number: Int
            let wasEarly: Bool
        }
        let reached = Watched<[Reached]>([])
        let house = try House { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    let number = Int(bytes[0])
                    let base = Instant(nanoseconds: connection.loop.now.nanoseconds)
                    let due = base.adding(milliseconds: 50 + UInt64(number) * 3)
                    connection.deadline = base.adding(milliseconds: 1_000)
                    connection.deadline = base.adding(milliseconds: 10)
                    connection.deadline = number % 5 == 4 ? nil : due
                    script.onDeadline = { connection, now in
                        let early = now < due || connection.deadline != nil
                        reached.change { $0.append(Reached(number: number, wasEarly: early)) }
                    }
                    return bytes.count
                }
            }
        }
        let numbers = (0..<60).shuffled()
        let peers = try numbers.map { _ in try Peer(house.address) }
        #expect(Watched(0).wait { _ in house.onLoop { $0.connectionCount } == 60 })
        // All numbers are received in one turn, or the order would depend on the order of arrival.
        let hold = DispatchSemaphore(value: 0)
        let base = Watched<Instant?>(nil)
        house.loop.submit { _ in _ = hold.wait(timeout: .now() + 20) }
        for (peer, number) in zip(peers, numbers) { try peer.send([UInt8(number)]) }
        base.change { $0 = Instant.now }
        hold.signal()
        let expected = (0..<60).filter { $0 % 5 != 4 }
        #expect(reached.wait { $0.count == expected.count })
        let result = reached.current
        #expect(result.allSatisfy { !$0.wasEarly })
        #expect(Set(result.map(\.number)) == Set(expected))
    }

    /// The same with equal starting points, so that the order is exact.
    @Test func workIsDoneInTheOrderOfItsTimes() throws {
        let loop = try IOLoop(index: 0)
        let seen = Watched<[Int]>([])
        loop.submit { loop in
            for number in (0..<200).shuffled() {
                loop.after(milliseconds: UInt64(number) * 2) { seen.change { $0.append(number) } }
            }
            let taken = loop.after(milliseconds: 1) { seen.change { $0.append(-1) } }
            taken.cancel()
        }
        #expect(seen.wait { $0.count == 200 })
        #expect(seen.current == Array(0..<200))
    }

    @Test func workIsNeverEarly() throws {
        let loop = try IOLoop(index: 0)
        let late = Watched<[Bool]>([])
        loop.submit { loop in
            for milliseconds in UInt64(0)..<40 {
                let due = Instant.now.adding(milliseconds: milliseconds)
                loop.after(milliseconds: milliseconds) { late.change { $0.append(Instant.now >= due) } }
            }
        }
        #expect(late.wait { $0.count == 40 })
        #expect(late.current.allSatisfy { $0 })
    }

    /// Goal: a process that was stopped does not take silent clients for dead ones whose heart-beats lie
    /// in the socket. Method: the loop is held until the deadline has passed, and then bytes come; they
    /// must be received first, and may move the deadline.
    @Test func bytesInTheSocketCountBeforeALateDeadline() throws {
        for _ in 0..<10 {
            let events = Watched<[String]>([])
            let house = try House { _ in
                Script { script in
                    script.onReceived = { bytes, connection in
                        events.change { $0.append("bytes") }
                        connection.deadline = events.current.count == 1 ? Instant.now.adding(milliseconds: 20) : nil
                        return bytes.count
                    }
                    script.onDeadline = { _, _ in events.change { $0.append("deadline") } }
                }
            }
            let peer = try Peer(house.address)
            try peer.send([1])
            #expect(events.wait { $0.count == 1 })
            let isHeld = DispatchSemaphore(value: 0)
            let hold = DispatchSemaphore(value: 0)
            house.loop.submit { _ in
                isHeld.signal()
                _ = hold.wait(timeout: .now() + 20)
            }
            #expect(isHeld.wait(timeout: .now() + 20) == .success)
            guard events.current == ["bytes"] else { continue }  // the machine was slower than the deadline
            let until = Instant.now.adding(milliseconds: 40)
            while Instant.now < until {}
            try peer.send([2])
            hold.signal()
            #expect(events.wait { $0.count == 2 })
            #expect(house.onLoop { _ in 0 } == 0)
            #expect(events.current == ["bytes", "bytes"])
        }
    }

    @Test func aDeadlineInThePastDoesNotHoldTheLoop() throws {
        let count = Watched(0)
        let house = try House { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    connection.deadline = Instant(nanoseconds: 0)
                    return bytes.count
                }
                script.onDeadline = { connection, _ in
                    count.change { $0 += 1 }
                    connection.deadline = Instant(nanoseconds: 0)
                }
            }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(count.wait { $0 > 20 })
        #expect(house.onLoop { $0.connectionCount } == 1)
        #expect(count.wait { $0 > 40 })
    }

    @Test func aFarDeadlineIsOnlyFar() throws {
        let count = Watched(0)
        let house = try House { connection in
            connection.deadline = Instant(nanoseconds: .max)
            return Script { script in
                script.onReceived = { bytes, connection in
                    connection.deadline = connection.loop.now.adding(milliseconds: .max)
                    connection.outbox.append(UnsafeBufferPointer(bytes))
                    connection.markDirty()
                    return bytes.count
                }
                script.onDeadline = { _, _ in count.change { $0 += 1 } }
            }
        }
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(try peer.receive(1) == [1])
        #expect(count.current == 0)
    }
}
