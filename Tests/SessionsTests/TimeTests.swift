import Base
import STOMP
import Testing

@testable import Sessions

/// C4 #61, C3 #46 and C5: time, told and never asked.
@Suite struct TimeTests {
    private func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    private func client(heartBeat: String = "0,0") -> TestClient {
        let client = TestBroker().client()
        client.send("CONNECT\naccept-version:1.2\nhost:h\nheart-beat:\(heartBeat)\n\n\0")
        _ = client.take()
        return client
    }

    /// What `due` says, and that `nextDeadline` asks neither too late nor for ever at one moment.
    private func due(
        _ client: TestClient, _ now: UInt64, received: UInt64 = 0, sent: UInt64 = 0, reading: Bool = true
    ) -> String {
        let due = client.session.due(
            now: at(now), lastReceived: at(received), lastSent: at(sent), isReading: reading, received: client.received)
        switch due {
        case .nothing:
            let next = client.session.nextDeadline(lastReceived: at(received), lastSent: at(sent))
            #expect(next.map { $0 > at(now) } ?? true, "asks at once again, for ever")
            return "nothing"
        case .beat: return "beat"
        case .end(let error): return error.message
        }
    }

    private func next(_ client: TestClient, received: UInt64) -> Instant? {
        client.session.nextDeadline(lastReceived: at(received), lastSent: at(0))
    }

    /// C4 #61: also in the middle of a CONNECT; a stranger who said nothing gets no frame.
    @Test(arguments: ["", "CONN", "CONNECT\nhost:h\n"])
    func aStrangerHasTenSeconds(begun: String) {
        let client = TestBroker().client()
        client.send(begun)
        #expect(next(client, received: 9000) == at(10_000))
        #expect(due(client, 9_999) == "nothing")
        #expect(due(client, 10_000) == "login timed out")
        client.end(SessionError(.loginTimeout, "x"))
        #expect(client.isOver)
        #expect(client.take() == "")
    }

    /// C3 #46: a frame that does not grow ends the session; one that grows by 16 KiB does not.
    @Test func aFrameMustGrow() {
        let client = client()
        #expect(next(client, received: 0) == nil)
        client.send("SEND\ndestination:/queue/a\ncontent-length:100000\n\n", at: at(1000))
        #expect(next(client, received: 1000) == at(31_000))
        client.send(String(repeating: "x", count: 20_000), at: at(2000))
        #expect(due(client, 31_000) == "nothing")
        client.send("x", at: at(60_000))
        #expect(due(client, 60_999) == "nothing")
        #expect(due(client, 61_000) == "frame timed out")
    }

    /// One byte each second is no progress, and a frame that ends begins the count anew.
    @Test func slowWritersAreCutOff() {
        let client = client()
        var end = ""
        for second in UInt64(0)..<40 where end != "frame timed out" {
            client.send(second == 5 ? sendFrame("x") + "S" : second < 5 ? "\n" : "E", at: at(second * 1000))
            end = due(client, second * 1000, received: second * 1000)
            if second < 35 { #expect(end == "nothing", "second \(second)") }
        }
        #expect(end == "frame timed out")
    }

    /// C5 #66 and #68: we beat at half the interval, and forgive twice.
    @Test func heartBeatsAreSentEarlyAndAwaitedLate() {
        let client = client(heartBeat: "1000,2000")
        #expect(next(client, received: 0) == at(1000))
        #expect(due(client, 999) == "nothing")
        #expect(due(client, 1000) == "beat")
        #expect(due(client, 1999, sent: 1500) == "nothing")
        #expect(due(client, 2000, sent: 1500) == "heart-beat missed")
        #expect(due(client, 2000, received: 1, sent: 1500) == "nothing")
    }

    /// C5 #71: silence while we do not read is not the client's; afterwards it gets the whole time again.
    @Test func whileWeDoNotReadNobodyIsLate() {
        let client = client(heartBeat: "1000,0")
        client.send("SEND\n", at: at(0))
        for time in stride(from: UInt64(2000), through: 100_000, by: 2000) {
            #expect(due(client, time, reading: false) == "nothing")
        }
        #expect(due(client, 101_000) == "nothing")
        #expect(due(client, 102_999) == "nothing")
        #expect(due(client, 103_000) == "heart-beat missed")
    }

    /// C5 #71 for frames.
    @Test func aFrameDoesNotTimeOutWhileWeDoNotRead() {
        let client = client()
        client.send("SEND\n", at: at(0))
        #expect(due(client, 40_000, reading: false) == "nothing")
        #expect(due(client, 41_000) == "nothing")
        #expect(due(client, 70_999) == "nothing")
        #expect(due(client, 71_000) == "frame timed out")
    }

    /// C5 #73.
    @Test func endlessIntervalsDoNotOverflow() {
        let client = client(heartBeat: "18446744073709551615,18446744073709551615")
        #expect(due(client, 1 << 40) == "nothing")
    }

    @Test func anEndingSessionHasNoDeadlines() {
        let broker = TestBroker()
        broker.isDiskQuick = false
        let client = broker.connected(.v12)
        client.send(sendFrame("x", headers: "receipt:1\n") + "DISCONNECT\n\n\0")
        #expect(next(client, received: 0) == nil)
        #expect(due(client, 1 << 40) == "nothing")
    }

    /// C10 #142: an end from our side comes behind what is owed, once.
    @Test func ourOwnEndComesBehindWhatIsOwed() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        broker.isDiskQuick = false
        client.send(sendFrame("x", headers: "receipt:1\n"))
        client.end(SessionError(.shuttingDown, "back soon"))
        client.end(SessionError(.heartBeatTimeout, "too late"))
        #expect(!client.isOver)
        broker.sync()
        #expect(client.story() == ["RECEIPT 1", "ERROR server shutting down"])
        #expect(client.isOver)
        #expect(client.endCode == "shutting-down")
    }
}
