import Testing

@testable import DaemonKit

@Suite struct DiskWatchTests {
    private func looks(_ count: Int, _ watch: inout DiskWatch, durable: UInt64, isWaiting: Bool) -> [DiskWatch.Word] {
        (0..<count).compactMap { _ in watch.look(durable: durable, isWaiting: isWaiting) }
    }

    @Test func aDiskThatDoesNotAnswerIsSaidOnceAndSoIsItsAnswer() {
        var watch = DiskWatch()
        #expect(watch.look(durable: 7, isWaiting: true) == nil)
        #expect(looks(DiskWatch.patience - 1, &watch, durable: 7, isWaiting: true) == [])
        #expect(!watch.isSilent)
        #expect(watch.look(durable: 7, isWaiting: true) == .silent(seconds: DiskWatch.patience))
        #expect(watch.isSilent)
        #expect(looks(100, &watch, durable: 7, isWaiting: true) == [])
        #expect(watch.look(durable: 8, isWaiting: true) == .answers)
        #expect(!watch.isSilent)
        #expect(looks(DiskWatch.patience - 1, &watch, durable: 8, isWaiting: true) == [])
    }

    @Test func aSlowDiskAndAnIdleOneAreNotSilent() {
        var watch = DiskWatch()
        for batch in 1...100 as ClosedRange<UInt64> {
            #expect(looks(DiskWatch.patience - 1, &watch, durable: batch, isWaiting: true) == [])
        }
        #expect(looks(100, &watch, durable: 100, isWaiting: false) == [])
        // What waits from now on has not waited before.
        #expect(looks(DiskWatch.patience - 1, &watch, durable: 100, isWaiting: true) == [])
    }

    @Test func whatWaitsForRoomEndsTheSilence() {
        var watch = DiskWatch()
        _ = looks(DiskWatch.patience + 1, &watch, durable: 3, isWaiting: true)
        #expect(watch.isSilent)
        #expect(watch.look(durable: 3, isWaiting: false) == .answers)
    }
}
