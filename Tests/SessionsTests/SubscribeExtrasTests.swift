import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// What a SUBSCRIBE, UNSUBSCRIBE and NACK ask for, in the words of each broker.
@Suite struct SubscribeExtrasTests {
    @Test(arguments: [
        ("/queue/a", "", "nothing"), ("/queue/a", "selector:x = 'a\\cb'\n", "where x = 'a:b'"),
        ("/queue/a", "exclusive:true\n", "exclusive"), ("/queue/a", "activemq.exclusive:true\n", "exclusive"),
        ("/queue/a", "x-single-active-consumer:true\n", "exclusive"),
        ("/queue/a", "exclusive:true\nactivemq.exclusive:true\n", "exclusive"),
        ("/queue/a", "exclusive:false\nbrowser:false\n", "nothing"),
        ("/queue/a", "browser:true\n", "browser"), ("/queue/a", "browser:true\nbrowser-end:false\n", "browser, no end"),
        ("/queue/a", "durable:true\nauto-delete:false\n", "nothing"), ("/queue/a", "persistent:true\n", "nothing"),
        ("/queue/a", "activemq.priority:0\nactivemq.retroactive:false\n", "nothing"),
        ("/queue/a", "subscription-type:ANYCAST\n", "nothing"), ("/queue/a", "x-queue-type:classic\n", "nothing"),
        ("/topic/a", "subscription-type:MULTICAST\n", "nothing"),
        ("/topic/a", "no-local:true\n", "no local"), ("/topic/a", "activemq.noLocal:true\n", "no local"),
        ("/topic/a", "retained:false\n", "not retained"),
        ("/topic/a", "durable:true\nauto-delete:false\n", "durable id"),
        ("/topic/a", "persistent:true\n", "durable id"),
        ("/topic/a", "durable:false\nauto-delete:true\n", "nothing"),
        ("/topic/a", "durable:true\nx-queue-name:q\n", "durable q"),
        ("/topic/a", "durable-subscription-name:n\n", "durable n, of me"),
        ("/topic/a", "durable-subscriber-name:n\n", "durable n, of me"),
        ("/topic/a", "activemq.subscriptionName:n\n", "durable n, of me"),
        ("/topic/a", "activemq.subscriptionName:n\ndurable-subscription-name:n\ndurable:true\n", "durable n, of me"),
    ])
    func everySpellingIsTaken(destination: String, headers: String, expected: String) {
        #expect(Listener(clientID: "me").asked(subscribe: headers, to: destination) == expected)
    }

    @Test(arguments: [
        ("/queue/a", "exclusive:true\nactivemq.exclusive:false\n", "contradictory headers"),
        ("/topic/a", "no-local:true\nactivemq.noLocal:false\n", "contradictory headers"),
        ("/topic/a", "durable:true\npersistent:false\n", "contradictory headers"),
        ("/topic/a", "durable:true\nauto-delete:true\n", "contradictory headers"),
        ("/topic/a", "durable-subscription-name:a\nactivemq.subscriptionName:b\n", "contradictory headers"),
        ("/topic/a", "durable-subscription-name:a\ndurable:false\n", "contradictory headers"),
        ("/queue/a", "browser:true\nexclusive:true\n", "contradictory headers"),
        ("/topic/a", "subscription-type:ANYCAST\n", "contradictory headers"),
        ("/queue/a", "exclusive:yes\n", "bad header value"), ("/queue/a", "browser:\n", "bad header value"),
        ("/topic/a", "retained:0\n", "bad header value"),
        ("/topic/a", "durable-subscription-name:\n", "bad header value"),
        ("/topic/a", "durable-subscription-name:a\u{1}b\n", "bad header value"),
        ("/topic/a", "exclusive:true\n", "unsupported header"), ("/topic/a", "browser:true\n", "unsupported header"),
        ("/queue/a", "no-local:true\n", "unsupported header"),
        ("/queue/a", "durable-subscription-name:a\n", "unsupported header"),
        ("/topic/a", "x-queue-name:q\n", "unsupported header"),
        ("/queue/a", "x-stream-offset:first\n", "unsupported header"),
        ("/queue/a", "from-seq:0\n", "unsupported header"),
        ("/queue/a", "include-seq:seq\n", "unsupported header"),
        ("/queue/a", "x-stream-filter:f\n", "unsupported header"),
        ("/queue/a", "activemq.priority:5\n", "unsupported header"),
        ("/queue/a", "x-priority:5\n", "unsupported header"),
        ("/topic/a", "activemq.retroactive:true\n", "unsupported header"),
        ("/queue/a", "x-queue-type:stream\n", "unsupported header"),
        ("/queue/a", "x-dead-letter-exchange:e\n", "unsupported header"),
        ("/queue/a", "x-message-ttl:5\n", "unsupported header"),
        ("/queue/a,/queue/b", "", "unsupported destination"),
    ])
    func whatMakesNoSenseIsRefused(destination: String, headers: String, message: String) {
        let listener = Listener(clientID: "me")
        listener.take(subscribeFrame(to: destination, headers: headers))
        #expect(listener.failure?.message == message)
    }

    /// The name belongs to somebody: who that is must be known, and both become part of a queue's name.
    @Test func ownedSubscriptionsNeedAnOwner() {
        let nobody = Listener()
        #expect(nobody.asked(subscribe: "durable-subscription-name:n\n", to: "/topic/a") == nil)
        #expect(nobody.failure?.message == "required header missing")
        #expect(nobody.failure?.detail.contains("client-id") == true)
        let long = Listener(clientID: String(repeating: "c", count: 200))
        #expect(
            long.asked(subscribe: "durable-subscription-name:\(String(repeating: "n", count: 55))\n", to: "/topic/a")
                == nil)
        #expect(long.failure?.message == "bad header value")
        let odd = Listener(clientID: "a\u{1}")
        #expect(odd.asked(subscribe: "durable-subscription-name:n\n", to: "/topic/a") == nil)
        #expect(odd.failure?.message == "bad header value")
    }

    @Test func aDurableSubscriptionOf10NeedsItsID() {
        let listener = Listener(.v10)
        listener.take("SUBSCRIBE\ndestination:/topic/a\ndurable:true\n\n\0")
        #expect(listener.failure?.message == "required header missing")
    }

    /// UNSUBSCRIBE as it is leaves a durable subscription; with the words of its SUBSCRIBE it ends it.
    @Test(arguments: [
        ("durable:true\nauto-delete:false\n", "", false), ("durable:true\n", "durable:true\nauto-delete:false\n", true),
        ("persistent:true\n", "persistent:true\n", true), ("persistent:true\n", "durable:false\n", false),
        ("durable-subscription-name:n\n", "", false),
        ("durable-subscription-name:n\n", "durable-subscription-name:n\n", true),
        ("activemq.subscriptionName:n\n", "activemq.subscriptionName:n\n", true),
        ("activemq.subscriptionName:n\n", "durable-subscriber-name:n\n", true),
    ])
    func unsubscribeEndsDurableOnesIfItSaysSo(subscribe: String, unsubscribe: String, deletes: Bool) {
        let listener = Listener(clientID: "me")
        listener.take(subscribeFrame("1", to: "/topic/a", headers: subscribe))
        listener.take("UNSUBSCRIBE\nid:1\n\(unsubscribe)\n\0")
        guard case .unsubscribe(1, let asked) = listener.commands.last else {
            Issue.record("no UNSUBSCRIBE: \(String(describing: listener.failure))")
            return
        }
        #expect(asked == deletes)
    }

    @Test func unsubscribeMustNameTheRightOne() {
        let listener = Listener(clientID: "me")
        listener.take(subscribeFrame("1", to: "/topic/a", headers: "durable-subscription-name:n\n"))
        listener.take("UNSUBSCRIBE\nid:1\ndurable-subscription-name:other\n\n\0")
        #expect(listener.failure?.message == "contradictory headers")
    }

    /// A browser has nothing to acknowledge, whatever it says.
    @Test func browsersNeedNoACK() {
        let listener = Listener()
        listener.take(subscribeFrame(ack: "client", headers: "browser:true\n"))
        guard case .subscribe(let subscribe) = listener.commands.last else {
            Issue.record("no SUBSCRIBE")
            return
        }
        #expect(subscribe.mode == .auto)
    }

    // MARK: NACK

    @Test(arguments: [
        ("", Verdict.requeue), ("requeue:true\n", .requeue), ("requeue:false\n", .deadLetter),
        ("delay:0\n", .requeueAfter(milliseconds: 0)), ("delay:1500\n", .requeueAfter(milliseconds: 1500)),
        ("delay:2592000000\nrequeue:true\n", .requeueAfter(milliseconds: 2_592_000_000)),
    ])
    func nackSaysWhereTo(headers: String, verdict: Verdict) {
        for transaction in [false, true] {
            let within = transaction ? "transaction:t\n" : ""
            let new = Listener(.v12)
            if transaction { new.take("BEGIN\ntransaction:t\n\n\0") }
            new.take("NACK\nid:1-1\n\(headers)\(within)\n\0")
            guard case .reject(1, 1, let number, let said) = new.commands.last else {
                Issue.record("no NACK")
                return
            }
            #expect(said == verdict && (number != 0) == transaction)
            let old = Listener(.v11)
            if transaction { old.take("BEGIN\ntransaction:t\n\n\0") }
            old.take(
                subscribeFrame("1", ack: "client") + "NACK\nsubscription:1\nmessage-id:0-1-1\n\(headers)\(within)\n\0")
            guard case .settleMessage(1, 1, 1, let saidToo, _) = old.commands.last else {
                Issue.record("no NACK in 1.1")
                return
            }
            #expect(saidToo == verdict)
        }
    }

    @Test(arguments: [
        ("requeue:false\ndelay:5\n", "contradictory headers"), ("requeue:no\n", "bad header value"),
        ("delay:-1\n", "bad header value"), ("delay:2592000001\n", "bad header value"),
    ])
    func nackIsRefused(headers: String, message: String) {
        let listener = Listener()
        listener.take("NACK\nid:1-1\n\(headers)\n\0")
        #expect(listener.failure?.message == message)
    }

    /// Goal: what JMS calls `unsubscribe(name)`: the subscription is deleted while nobody consumes from it.
    @Test(arguments: ["durable:true\n", "durable-subscription-name:n\n"])
    func aDurableSubscriptionIsDeletedWithoutBeingSubscribedTo(header: String) {
        let broker = TestBroker()
        let client = broker.client()
        client.send("CONNECT\naccept-version:1.2\nhost:h\nclient-id:me\n\n\0")
        _ = client.take()
        client.send("SUBSCRIBE\nid:1\ndestination:/topic/a\n\(header)\n\0UNSUBSCRIBE\nid:1\n\n\0")
        #expect(broker.core.durableViews().count == 1)
        client.send("UNSUBSCRIBE\nid:1\n\(header)receipt:r\n\n\0")
        #expect(broker.core.durableViews().isEmpty)
        client.send("UNSUBSCRIBE\nid:1\n\(header)\n\0")
        #expect(client.take().contains("no such durable subscription"))
    }

    @Test func aRetainedMessageSaysSo() {
        let broker = TestBroker()
        let sender = broker.connected(.v12)
        sender.send("SEND\ndestination:/topic/a\nretain:set\nx:1\n\n21.5\0")
        let client = broker.connected(.v11)
        client.send("SUBSCRIBE\nid:1\ndestination:/topic/*\nreceipt:r\n\n\0")
        let text = client.take()
        #expect(text.contains("retained:true\n"))
        #expect(text.contains("x:1\n"))
        #expect(text.contains("content-length:4\n"))
        #expect(text.contains("\n\n21.5\0"))
        #expect(!text.contains("retain:set"))
    }
}
