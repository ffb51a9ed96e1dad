import Base
import STOMP
import Testing

@testable import BrokerClient

@Suite struct DoorTests {
    /// Runs `body` with someone who stands at doors and is never resumed by them.
    private func withWaiter(_ body: (Engine.Waiter) -> Void) async {
        _ = await withUnsafeContinuation { (waiter: Engine.Waiter) in
            body(waiter)
            waiter.resume(returning: .success(.done))
        }
    }

    private func arrival(_ number: UInt64, _ waiter: Engine.Waiter) -> Door.Arrival {
        Door.Arrival(
            id: RequestID(number: number), frame: Frame(.send), bytes: 0, deadline: Instant(nanoseconds: 0),
            waiter: waiter)
    }

    @Test func theFirstWakesTheLoopAndTheOthersComeAlong() async {
        await withWaiter { waiter in
            var door = Door()
            let woken = (1...3).map { door.arrive(arrival($0, waiter)) }
            #expect(woken == [true, false, false])
            door.open()
            var taken = door.takeAll()
            #expect(taken.popFirst()?.id.number == 1 && taken.count == 2)
            let next = door.arrive(arrival(4, waiter))
            #expect(next)
        }
    }

    @Test func aCrowdThatIsExpectedIsWaitedFor() async {
        await withWaiter { waiter in
            var door = Door()
            let gathering = door.expect(Door.crowd)
            #expect(gathering != nil)
            let woken = (1...Door.crowd).map { door.arrive(arrival(UInt64($0), waiter)) }
            #expect(woken.last == true && !woken.dropLast().contains(true))
        }
    }

    @Test func fewAreNotWaitedFor() async {
        await withWaiter { waiter in
            var door = Door()
            let gathering = door.expect(Door.crowd - 1)
            #expect(gathering == nil)
            let woken = door.arrive(arrival(1, waiter))
            #expect(woken)
        }
    }

    @Test func whoStandsThereIsLetInWhenTheOthersDoNotCome() async throws {
        await withWaiter { waiter in
            var door = Door()
            let first = door.expect(100)
            let later = door.expect(100)
            #expect(first != nil && later == nil)
            let woken = door.arrive(arrival(1, waiter))
            #expect(!woken)
            let mustOpen = door.waitNoLonger(first ?? 0)
            #expect(mustOpen)
            let count = door.takeAll().count
            #expect(count == 1)
            let next = door.arrive(arrival(2, waiter))
            #expect(next)
        }
    }

    /// Whoever is let in with another call was expected, too; the rest is still waited for, and not for ever.
    @Test func aGatheringGoesOnWhenSomeAreLetIn() async {
        await withWaiter { waiter in
            var door = Door()
            let gathering = door.expect(100)
            for number in 1...40 { _ = door.arrive(arrival(UInt64(number), waiter)) }
            let count = door.takeAll().count
            #expect(count == 40)
            let woken = door.arrive(arrival(41, waiter))
            #expect(!woken)
            let mustOpen = door.waitNoLonger(gathering ?? 0)
            #expect(mustOpen)
            let again = door.waitNoLonger(gathering ?? 0)
            #expect(!again)
        }
    }
}
