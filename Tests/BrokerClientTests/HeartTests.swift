import Base
import STOMP
import Testing

@testable import BrokerClient

@Suite struct HeartTests {
    private func talk(offer: HeartBeat, answer: String) -> Talk {
        var talk = Talk { $0.heartBeat = offer }
        _ = talk.connect()
        talk.open()
        talk.broker(.connected, ["version": "1.2", "heart-beat": answer])
        return talk
    }

    @Test func aHeartBeatIsWrittenAfterHalfTheInterval() {
        var talk = talk(offer: HeartBeat(sends: 100, wants: 0), answer: "0,200")
        talk.pass(milliseconds: 99)
        #expect(talk.heartBeats == 0)
        talk.pass(milliseconds: 1)
        #expect(talk.heartBeats == 1)
        talk.pass(milliseconds: 50)
        _ = talk.send("real frames count, too")
        talk.pass(milliseconds: 99)
        #expect(talk.heartBeats == 1)
        talk.pass(milliseconds: 1)
        #expect(talk.heartBeats == 2)
    }

    @Test func silenceIsToleratedForTwiceTheInterval() {
        var talk = talk(offer: HeartBeat(sends: 0, wants: 100), answer: "50,0")
        let link = talk.conversation.link
        talk.pass(milliseconds: 199)
        talk.event { $0.heard(link, at: $1) }
        talk.pass(milliseconds: 199)
        #expect(talk.conversation.canTransmit)
        talk.pass(milliseconds: 1)
        guard case .disconnected(.connectionLost(.silence(milliseconds: 200)), _) = talk.states.last else {
            Issue.record("\(String(describing: talk.states.last))")
            return
        }
        #expect(talk.hangUps.count == 1)
    }

    @Test(arguments: ["0,0", "0,100", "100,0"]) func noneInADirectionThatOneSideDoesNotWant(answer: String) {
        let none = talk(offer: .none, answer: answer)
        #expect(none.conversation.heart.next == nil)
    }

    @Test func hugeIntervalsDoNotTrap() {
        let most = UInt64.max
        var talk = talk(offer: HeartBeat(sends: most, wants: most), answer: "\(most),\(most)")
        talk.pass(milliseconds: 1_000_000)
        #expect(talk.conversation.canTransmit)
    }

    /// Goal: wake-ups are planned for every beat, not only for the first. Method: do nothing but sleep until the
    /// time the conversation asked for.
    @Test func sleepingUntilWokenIsEnough() {
        var talk = talk(offer: HeartBeat(sends: 100, wants: 0), answer: "0,100")
        let start = talk.now
        while talk.heartBeats < 20 { talk.sleepUntilWake() }
        #expect(talk.now.milliseconds(since: start) == 20 * 50)
    }
}
