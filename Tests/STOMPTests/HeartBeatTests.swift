import Testing

@testable import STOMP

@Suite struct HeartBeatTests {
    @Test(
        arguments: [
            ("0,0", 0, 0), ("1000,2000", 1000, 2000), ("4294967296,1", 4_294_967_296, 1),
            ("18446744073709551615,0", .max, 0), ("18446744073709551616,99999999999999999999999", .max, .max),
            ("007,1", 7, 1),
        ] as [(String, UInt64, UInt64)])
    func twoNumbersAreRead(text: String, sends: UInt64, wants: UInt64) {
        #expect(text.withBytes { HeartBeat(parsing: $0) } == HeartBeat(sends: sends, wants: wants))
    }

    @Test(arguments: [
        "", ",", "0", "1,", ",1", "a,b", "-1,0", "0,-1", "+1,0", "1,2,3", " 1,2", "1, 2", "1,2 ", "1.5,2", "0x1,0",
        "1;2",
    ])
    func anythingElseIsRefused(text: String) {
        #expect(text.withBytes { HeartBeat(parsing: $0) } == nil)
    }

    /// The table of the specification: nothing if one side says 0, else the larger of the two.
    @Test(
        arguments: [
            (0, 0, 0), (0, 10, 0), (10, 0, 0), (10, 10, 10), (10, 20, 20), (20, 10, 20), (1, .max, .max),
        ] as [(UInt64, UInt64, UInt64)])
    func theSlowerOfTheTwoSetsTheInterval(sends: UInt64, wants: UInt64, interval: UInt64) {
        #expect(HeartBeat.interval(from: sends, to: wants) == interval)
    }

    @Test func eachDirectionIsAgreedOnByItself() {
        let server = HeartBeat(sends: 10_000, wants: 5_000)
        let client = HeartBeat(sends: 1_000, wants: 30_000)
        #expect(server.intervals(with: client) == .init(outgoing: 30_000, incoming: 5_000))
        #expect(client.intervals(with: server) == .init(outgoing: 5_000, incoming: 30_000))
        #expect(server.intervals(with: .none) == .init(outgoing: 0, incoming: 0))
        let oneWay = HeartBeat(sends: 0, wants: 7_000)
        #expect(server.intervals(with: oneWay) == .init(outgoing: 10_000, incoming: 0))
    }
}
