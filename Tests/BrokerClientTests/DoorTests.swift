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
}
