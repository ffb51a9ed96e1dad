import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// What a SEND asks for, in the words of each broker.
@Suite struct SendExtrasTests {
    @Test(arguments: [
        ("", "nothing"), ("priority:0\n", "priority 0"), ("priority:9\n", "priority 9"), ("priority:4\n", "nothing"),
        ("JMSPriority:7\n", "priority 7"), ("priority:7\nJMSPriority:07\n", "priority 7"),
        ("expires:1800000005000\n", "expires 1800000005000"), ("JMSExpiration:5\n", "expires 5"),
        ("expires:0\n", "nothing"), ("ttl:0\n", "nothing"), ("ttl:500\n", "lives 500"), ("expiration:60\n", "lives 60"),
        ("ttl:60\nexpiration:60\n", "lives 60"), ("ttl:60\nexpires:5\n", "expires 5, lives 60"),
        ("delay:5\n", "waits 5"), ("AMQ_SCHEDULED_DELAY:5\n", "waits 5"), ("x-delay:5\n", "waits 5"),
        ("delay:0\n", "nothing"), ("delay:31536000000\n", "waits 31536000000"),
        ("deliver-at:1800000000007\n", "due 1800000000007"), ("AMQ_SCHEDULED_TIME:7\n", "due 7"),
        ("_AMQ_SCHED_DELIVERY:7\n", "due 7"), ("deliver-at:1831536000000\n", "due 1831536000000"),
        ("deliver-at:0\ndelay:5\n", "waits 5"),
        ("message-group:g\n", "group g"), ("JMSXGroupID:g\n", "group g"), ("message_group:g\n", "group g"),
        ("_AMQ_GROUP_ID:g\n", "group g"), ("JMSXGroupID:\n", "nothing"), ("message-group:a\\cb\n", "group a:b"),
        ("JMSXGroupID:g\n_AMQ_GROUP_ID:g\n", "group g"),
        ("dedup-id:d\n", "once d"), ("_AMQ_DUPL_ID:d\n", "once d"), ("Nats-Msg-Id:d\n", "once d"),
        ("destination-type:ANYCAST\n", "nothing"), ("x-queue-type:quorum\n", "nothing"),
        ("x-max-priority:5\n", "nothing"), ("AMQ_SCHEDULED_PERIOD:0\nAMQ_SCHEDULED_REPEAT:0\n", "nothing"),
        ("priority:9\nttl:1\ndelay:2\nmessage-group:g\ndedup-id:d\n", "priority 9, lives 1, waits 2, group g, once d"),
    ])
    func everySpellingIsTaken(headers: String, expected: String) {
        for version in [Version.v11, .v12] {
            let listener = Listener(version)
            #expect(listener.asked(send: headers) == expected)
            #expect(!listener.hasRewritten, "a message is stored as it came, also if it asks for more")
        }
        if !headers.contains("\\") { #expect(Listener(.v10).asked(send: headers) == expected) }
    }

    @Test(arguments: [("set", "retain set"), ("remove", "retain remove")])
    func topicsRetain(value: String, expected: String) {
        #expect(Listener().asked(send: "retain:\(value)\n", to: "/topic/a") == expected)
        #expect(Listener().asked(send: "destination-type:MULTICAST\n", to: "/topic/a") == "nothing")
    }

    @Test(arguments: [
        ("priority:1\nJMSPriority:2\n", ["priority:1", "JMSPriority:2"]),
        ("expires:1\nJMSExpiration:2\n", ["expires:1", "JMSExpiration:2"]),
        ("ttl:1\nexpiration:2\n", ["ttl:1", "expiration:2"]),
        ("AMQ_SCHEDULED_DELAY:1\ndelay:2\n", ["delay:2", "AMQ_SCHEDULED_DELAY:1"]),
        ("x-delay:1\ndelay:2\n", ["delay:2", "x-delay:1"]),
        ("deliver-at:1\nAMQ_SCHEDULED_TIME:2\n", ["deliver-at:1", "AMQ_SCHEDULED_TIME:2"]),
        ("deliver-at:1\n_AMQ_SCHED_DELIVERY:2\n", ["deliver-at:1", "_AMQ_SCHED_DELIVERY:2"]),
        ("delay:1\ndeliver-at:1800000000001\n", ["delay:1", "deliver-at:1800000000001"]),
        ("message-group:a\nJMSXGroupID:b\n", ["message-group:a", "JMSXGroupID:b"]),
        ("message_group:a\n_AMQ_GROUP_ID:b\n", ["message_group:a", "_AMQ_GROUP_ID:b"]),
        ("dedup-id:a\n_AMQ_DUPL_ID:b\n", ["dedup-id:a", "_AMQ_DUPL_ID:b"]),
        ("dedup-id:a\nNats-Msg-Id:b\n", ["dedup-id:a", "Nats-Msg-Id:b"]),
        ("destination-type:MULTICAST\n", ["destination-type:MULTICAST", "/queue/a"]),
    ])
    func contradictionsAreRefused(headers: String, named: [String]) throws {
        let listener = Listener()
        #expect(listener.asked(send: headers) == nil)
        let failure = try #require(listener.failure)
        #expect(failure.message == "contradictory headers")
        for name in named { #expect(failure.detail.contains(name), "\(failure.detail)") }
    }

    /// The sentence says which header, what it was and what it may be.
    @Test(arguments: [
        ("priority:10", "from 0 to 9"), ("priority:-1", "from 0 to 9"), ("JMSPriority:", "from 0 to 9"),
        ("ttl:x", "whole number"), ("expires:1e3", "whole number"), ("ttl:9999999999999999999", "whole number"),
        ("expiration:0", "leave it out"), ("delay:31536000001", "from 0 to 31536000000"), ("delay:-1", "from 0"),
        ("AMQ_SCHEDULED_DELAY:1.5", "from 0"), ("deliver-at:1831536000001", "from 0 to 1831536000000"),
        ("_AMQ_SCHED_DELIVERY:tomorrow", "from 0"), ("dedup-id:", "empty"),
        ("destination-type:QUEUE", "ANYCAST or MULTICAST"),
    ])
    func valuesOutOfRangeAreRefused(line: String, range: String) throws {
        let listener = Listener()
        #expect(listener.asked(send: line + "\n") == nil)
        let failure = try #require(listener.failure)
        #expect(failure.message == "bad header value")
        let parts = line.split(separator: ":", omittingEmptySubsequences: false)
        for part in [String(parts[0]), String(parts[1]), range] {
            #expect(failure.detail.contains(part), "\(failure.detail)")
        }
    }

    @Test(arguments: ["message-group", "dedup-id"]) func idsHaveABound(name: String) {
        let longest = String(repeating: "x", count: 1024)
        #expect(Listener().asked(send: "\(name):\(longest)\n")?.hasSuffix(longest) == true)
        let listener = Listener()
        #expect(listener.asked(send: "\(name):\(longest)x\n") == nil)
        #expect(listener.failure?.message == "bad header value")
    }

    @Test(arguments: [
        "AMQ_SCHEDULED_PERIOD:5", "AMQ_SCHEDULED_REPEAT:5", "AMQ_SCHEDULED_CRON:* * * * *", "_AMQ_LVQ_NAME:k",
        "retain:set", "x-queue-type:stream", "x-queue-name:q", "x-message-ttl:5", "x-expires:5", "x-max-length:5",
        "x-max-length-bytes:5", "x-max-age:1D", "x-overflow:drop-head", "x-delivery-limit:5",
        "x-dead-letter-exchange:e",
        "x-dead-letter-routing-key:k", "x-dead-letter-strategy:at-least-once",
    ])
    func whatIsNotThereIsRefused(line: String) throws {
        let client = TestBroker().connected(.v12)
        client.send(sendFrame("x", headers: line + "\nreceipt:1\n"))
        #expect(client.story() == ["ERROR unsupported header for 1"])
        let name = String(try #require(line.split(separator: ":").first))
        #expect(client.failure?.detail.contains(name) == true)
    }

    /// A header of the broker must not come from a client, and those about the SEND are not the message's.
    @Test(arguments: [true, false]) func linesThatOnlyTheBrokerWritesAreCutOut(isInPlace: Bool) {
        let gone = [
            "delay:0", "deliver-at:0", "x-delay:0", "AMQ_SCHEDULED_DELAY:0", "AMQ_SCHEDULED_TIME:0",
            "_AMQ_SCHED_DELIVERY:0", "expires:0", "retained:true", "browser:end", "dead-letter-reason:expired",
            "dead-letter-time:5", "original-destination:/queue/z", "original-message-id:1", "refused-by:me",
        ]
        let kept = [
            "x:1", "priority:4", "ttl:0", "JMSExpiration:0", "message-group:g", "dedup-id:d", "JMSXGroupSeq:1",
        ]
        let client = TestBroker().connected(.v12)
        let lines = (gone + kept).sorted().joined(separator: "\n")
        let length = isInPlace ? "content-length:1\n" : ""
        client.send(subscribeFrame() + "SEND\ndestination:/queue/a\n\(length)\(lines)\n\nx\0")
        let text = client.take()
        for line in kept { #expect(text.contains("\n\(line)\n"), "\(line)") }
        for line in gone { #expect(!text.contains("\n\(line)\n"), "\(line)") }
        #expect(client.failure == nil)
    }
}
