import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// C4: CONNECT and what it settles.
@Suite struct ConnectTests {
    private func answer(_ headers: String, _ settings: SessionSettings = SessionSettings()) -> Frame? {
        let client = TestBroker(settings).client()
        client.send("CONNECT\n\(headers)\n\0")
        return client.frames().first
    }

    /// C4 #49 to #52: the highest common version, whatever the order, the blanks and the unknown ones.
    @Test(arguments: [
        ("", "1.0"), ("accept-version:1.0\n", "1.0"), ("accept-version:1.0,1.1,2.0\n", "1.1"),
        ("accept-version:1.2,1.0\n", "1.2"), ("accept-version:1.1, 1.2\n", "1.2"),
    ])
    func theHighestCommonVersionIsTaken(headers: String, version: String) {
        let connected = answer(headers + "host:h\n")
        #expect(connected?.command == .connected)
        #expect(connected?["version"] == version)
    }

    /// C4 #55, #56: what CONNECTED carries; heart-beat only since 1.1.
    @Test(arguments: Version.allCases)
    func connectedSaysWhoWeAreAndWhatWeBear(version: Version) {
        let connected = answer("accept-version:\(version.text)\nhost:h\n")
        #expect(connected?["session"] == "token0")
        #expect(connected?["server"] == "brokerd")
        #expect(connected?["max-body-bytes"] == "\(16 << 20)")
        #expect(connected?["max-head-bytes"] == "\(64 << 10)")
        #expect(connected?["heart-beat"] == (version == .v10 ? nil : "10000,10000"))
    }

    /// C4 #48.
    @Test func stompIsAnotherWordForConnect() {
        let client = TestBroker().client()
        client.send("STOMP\naccept-version:1.2\nhost:h\n\n\0")
        #expect(client.story() == ["CONNECTED"])
    }

    /// C4 #51.
    @Test func withoutACommonVersionTheErrorNamesOurs() {
        let error = answer("accept-version:2.0,3.0\nhost:h\n")
        #expect(error?.command == .error)
        #expect(error?["message"] == "no common protocol version")
        #expect(error?["version"] == "1.0,1.1,1.2")
        #expect(error?["content-type"] == "text/plain")
    }

    /// C4 #53, #54.
    @Test func hostsAreLookedAtWhenTheyAreConfigured() {
        #expect(answer("accept-version:1.2\n")?.command == .connected)
        var settings = SessionSettings()
        settings.hosts = ["one", "two"]
        #expect(answer("accept-version:1.2\nhost:two\n", settings)?.command == .connected)
        #expect(answer("accept-version:1.2\nhost:three\n", settings)?["message"] == "unknown host")
        #expect(answer("accept-version:1.2\n", settings)?.command == .connected)
        settings.strictHost = true
        #expect(answer("accept-version:1.2\n", settings)?["message"] == "host header missing")
        #expect(answer("", settings)?.command == .connected)
    }

    /// C4 #47, #58 and C10 #139.
    @Test func connectComesFirstAndOnce() {
        let early = TestBroker().client()
        early.send("SEND\ndestination:/queue/a\nreceipt:r\n\nx\0")
        #expect(early.story() == ["ERROR CONNECT expected for r"])
        let twice = TestBroker().connected(.v12)
        twice.send("CONNECT\naccept-version:1.2\nhost:h\n\n\0")
        #expect(twice.story() == ["ERROR already connected"])
        let unknown = TestBroker().connected(.v12)
        unknown.send("MESSAGE\ndestination:/queue/a\n\n\0")
        #expect(unknown.story() == ["ERROR unknown command"])
    }

    /// C4 #60: what follows a CONNECT that fails does nothing; what follows a good one counts at once.
    @Test func framesBehindConnectWaitForItsResult() {
        let broker = TestBroker()
        let refused = broker.client()
        refused.send("CONNECT\naccept-version:9.9\n\n\0" + sendFrame("x", headers: "receipt:1\n"))
        #expect(refused.story() == ["ERROR no common protocol version"])
        #expect(broker.core.totals.messagesIn == 0)
        let welcome = broker.client()
        welcome.send("CONNECT\naccept-version:1.2\nhost:h\n\n\0" + sendFrame("x", headers: "receipt:1\n"))
        #expect(welcome.story() == ["CONNECTED", "RECEIPT 1"])
    }

    /// C1 #24: strangers may write less.
    @Test func limitsGrowWithConnect() {
        let broker = TestBroker()
        let stranger = broker.client()
        stranger.send("CONNECT\nx:" + String(repeating: "x", count: 9000) + "\n\n\0")
        #expect(stranger.story() == ["ERROR header too long"])
        let client = broker.connected(.v12)
        client.send(sendFrame("x", headers: "x:" + String(repeating: "x", count: 9000) + "\nreceipt:1\n"))
        #expect(client.story() == ["RECEIPT 1"])
    }

    /// C2 #31: CONNECT is literal in every version.
    @Test func theLoginIsTakenLiterally() {
        let client = TestBroker().client()
        client.send("CONNECT\naccept-version:1.2\nhost:h\nlogin:a\\cb\npasscode:\\x\n\n\0")
        #expect(client.story() == ["CONNECTED"])
        #expect(client.login == "a\\cb")
    }

    /// C1 #25: no STOMP for those who do not speak it.
    @Test(arguments: ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\u{16}\u{3}\u{1}"])
    func otherProtocolsAreClosedWithoutAFrame(bytes: String) {
        let client = TestBroker().client()
        client.send(bytes)
        #expect(client.take() == "")
        #expect(client.isOver)
        #expect(client.failure?.code == "not-stomp")
    }

    /// C5 #63 to #65, #70, #73: what is answered, and what both sides are then held to.
    @Test(arguments: [
        ("", "10000,10000", 0, 0), ("0,0", "10000,10000", 0, 0), ("5000,0", "10000,5000", 0, 5000),
        ("0,5000", "5000,10000", 5000, 0), ("1000,2000", "2000,1000", 2000, 1000), ("1,1", "100,100", 100, 100),
        ("60000,30000", "10000,10000", 30000, 60000),
        ("99999999999999999999999,99999999999999999999999", "10000,10000", UInt64.max, UInt64.max),
    ])
    func heartBeatsAreNegotiated(offer: String, answered: String, outgoing: UInt64, incoming: UInt64) {
        let client = TestBroker().client()
        client.send("CONNECT\naccept-version:1.2\nhost:h\n\(offer.isEmpty ? "" : "heart-beat:\(offer)\n")\n\0")
        #expect(client.frames().first?["heart-beat"] == answered)
        #expect(client.heartBeats == HeartBeat.Intervals(outgoing: outgoing, incoming: incoming))
    }

    /// C5 #65, and #72: 1.0 has none.
    @Test(arguments: ["0", "a,b", "-1,0", "1,2,3", "", " 1,1"])
    func badHeartBeatsAreRefused(value: String) {
        #expect(answer("accept-version:1.2\nhost:h\nheart-beat:\(value)\n")?["message"] == "bad heart-beat header")
        #expect(answer("heart-beat:\(value)\n")?.command == .connected)
    }

    @Test func heartBeatsCanBeSwitchedOff() {
        var settings = SessionSettings()
        settings.heartBeat = 0
        #expect(answer("accept-version:1.2\nhost:h\nheart-beat:1000,1000\n", settings)?["heart-beat"] == "0,0")
    }
}
