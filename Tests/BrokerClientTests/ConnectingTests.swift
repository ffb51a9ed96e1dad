import Base
import STOMP
import Testing

@testable import BrokerClient

@Suite struct ConnectingTests {
    @Test func connectAnswersWhenLoggedIn() {
        var talk = Talk {
            $0.login = "guest"
            $0.host = "/"
            $0.heartBeat = HeartBeat(sends: 1_000, wants: 2_000)
        }
        let request = talk.connect()
        #expect(talk.dials == [0])
        talk.open(passcode: "a:b\\c")
        #expect(
            talk.sent == [
                Frame(
                    .connect,
                    [
                        "accept-version": "1.0,1.1,1.2", "host": "/", "login": "guest", "passcode": "a:b\\c",
                        "heart-beat": "1000,2000",
                    ])
            ])
        #expect(talk.outcomes[request] == nil)
        talk.broker(.connected, ["version": "1.1", "server": "brokerd/1"])
        #expect(talk.outcomes[request] == .success(.done))
        #expect(talk.states == [.connecting(address: "first:1"), .connected(version: "1.1", server: "brokerd/1")])
    }

    @Test func missingVersionMeansOnePointZero() {
        var talk = Talk()
        _ = talk.connect()
        talk.open()
        talk.broker(.connected, ["heart-beat": "1,1"])
        #expect(talk.conversation.version == .v10)
        #expect(talk.conversation.heart.next == nil, "1.0 has no heart-beats")
    }

    @Test(arguments: ["2.0", "1.3", "", "1.2 "]) func refusesAVersionItDoesNotKnow(version: String) {
        var talk = Talk()
        let request = talk.connect()
        talk.open()
        talk.broker(.connected, ["version": version])
        #expect(talk.outcomes[request] == .failure(.versionRefused(offered: version)))
        #expect(talk.hangUps.count == 1)
    }

    @Test func errorWithForeignVersionsMeansVersionRefused() {
        var talk = Talk()
        let request = talk.connect()
        talk.open()
        talk.broker(.error, ["version": "2.0,2.1", "message": "no"])
        #expect(talk.outcomes[request] == .failure(.versionRefused(offered: "2.0,2.1")))
    }

    @Test func errorBeforeConnectedMeansLoginRefused() {
        var talk = Talk()
        let request = talk.connect()
        talk.open()
        talk.broker(.error, ["message": "bad credentials", "version": "1.0,1.1,1.2"], text: "who are you?")
        guard case .failure(.loginRefused(let error)) = talk.outcomes[request] else {
            Issue.record("\(String(describing: talk.outcomes[request]))")
            return
        }
        #expect(error.message == "bad credentials")
        #expect(error.detail == "who are you?")
    }

    @Test func aFrameBeforeConnectedIsNotSTOMP() {
        var talk = Talk()
        let request = talk.connect()
        talk.open()
        talk.broker(.receipt, ["receipt-id": "1"])
        #expect(talk.outcomes[request] == .failure(.connectionLost(.notSTOMP("RECEIPT before CONNECTED"))))
    }

    @Test func malformedHeartBeatIsNotSTOMP() {
        var talk = Talk()
        let request = talk.connect()
        talk.open()
        talk.broker(.connected, ["version": "1.2", "heart-beat": "soon"])
        #expect(
            talk.outcomes[request]
                == .failure(.connectionLost(.notSTOMP("malformed heart-beat header in CONNECTED"))))
    }

    @Test func eachAddressIsTriedOnceInOrder() {
        var talk = Talk { $0.addresses = ["one", "two", "three"] }
        let request = talk.connect()
        for _ in 0..<2 { talk.lose() }
        #expect(talk.dials == [0, 1, 2])
        #expect(talk.outcomes[request] == nil)
        talk.lose(.ended(reason: "last"))
        #expect(talk.dials == [0, 1, 2])
        #expect(talk.outcomes[request] == .failure(.connectionLost(.ended(reason: "last"))))
        #expect(talk.states.last == .closed(reason: .connectionLost(.ended(reason: "last"))))
    }

    @Test func theSecondAddressWillDo() {
        var talk = Talk { $0.addresses = ["one", "two"] }
        let request = talk.connect()
        talk.lose()
        talk.open()
        talk.broker(.connected, ["version": "1.2"])
        #expect(talk.outcomes[request] == .success(.done))
    }

    /// Goal: the time-out covers the socket as well as the login.
    @Test(arguments: [false, true]) func connectTimesOut(isOpen: Bool) {
        var talk = Talk { $0.connectTimeoutMilliseconds = 100 }
        let request = talk.connect()
        if isOpen { talk.open() }
        talk.pass(milliseconds: 99)
        #expect(talk.outcomes[request] == nil)
        talk.pass(milliseconds: 1)
        #expect(talk.outcomes[request] == .failure(.connectTimedOut(address: "first:1")))
        #expect(talk.hangUps.count == 1)
    }

    @Test(arguments: [false, true]) func cancelledConnectHangsUp(isOpen: Bool) {
        var talk = Talk { $0.addresses = ["one", "two"] }
        let request = talk.connect()
        if isOpen { talk.open() }
        talk.cancel(request)
        #expect(talk.outcomes[request] == .failure(.cancelled))
        #expect(talk.hangUps.count == 1)
        #expect(talk.dials == [0], "no other address is tried")
    }

    @Test func aSocketThatComesTooLateIsNotWanted() {
        var talk = Talk { $0.addresses = ["one", "two"] }
        _ = talk.connect()
        let first = talk.conversation.link
        talk.lose()
        let isWanted = talk.event { $0.opened(first, passcode: nil, at: $1) }
        #expect(!isWanted)
        #expect(talk.sent.isEmpty)
    }

    @Test func wordsFromAnEarlierLinkAreIgnored() {
        var talk = Talk.ready()
        let old = talk.conversation.link
        talk.lose()
        talk.reconnect()
        let send = talk.send("x")
        let receipt = Frame(.receipt, ["receipt-id": String(send.number)])
        talk.event { $0.received(receipt, on: old, at: $1) }
        talk.event { $0.ended(old, .connectionLost(.ended(reason: "late")), at: $1) }
        #expect(talk.outcomes[send] == nil)
        #expect(talk.conversation.canTransmit)
    }
}
