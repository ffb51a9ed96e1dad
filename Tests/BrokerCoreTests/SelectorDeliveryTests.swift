import Base
import Testing

@testable import BrokerCore

/// Subscriptions with a selector.
struct SelectorDeliveryTests {
    @Test func aTopicSubscriberGetsWhatItsSelectorTakes() {
        var rig = Rig()
        let session = rig.open()
        #expect(rig.subscribe(1, "/topic/a", selector: "colour = 'red'", of: session) == nil)
        #expect(rig.subscribe(2, "/topic/*", selector: "size > 5 OR colour IS NULL", of: session) == nil)
        #expect(rig.subscribe(3, "/topic/a", selector: "", of: session) == nil)
        rig.publish("/topic/a", "colour:red\nsize:3\n", "1", of: session)
        rig.publish("/topic/a", "colour:blue\nsize:7\n", "2", of: session)
        rig.publish("/topic/b", "", "3", of: session)
        rig.publish("/topic/a", "colour:blue\n", "4", of: session)
        let got = rig.take().map { "\($0.slot) \($0.text)" }
        #expect(got == ["1 1", "3 1", "2 2", "3 2", "2 3", "3 4"])
    }

    /// Goal: what is not taken leaves nothing behind and does not count as delivered.
    @Test func whatASelectorLeavesIsNotKept() throws {
        var limits = CoreLimits()
        limits.backlogBytes = 100
        var rig = Rig(limits: limits)
        let session = rig.open()
        rig.subscribe(1, "/topic/a", selector: "n = 0", of: session)
        for number in 1...50 { rig.publish("/topic/a", "n:\(number)\n", "x", of: session) }
        #expect(rig.kicks.isEmpty)
        rig.publish("/topic/a", "n:0\n", "y", of: session)
        #expect(rig.take().map(\.text) == ["y"])
        #expect(rig.core.topics.map(\.inTotal) == [51])
        #expect(rig.core.topics.map(\.outTotal) == [1])
    }

    @Test func aSelectorHoldsForWhatATransactionPublishes() {
        var rig = Rig()
        let session = rig.open()
        rig.subscribe(1, "/topic/a", selector: "n = 1", of: session)
        rig.apply(.begin(1), of: session)
        rig.publish("/topic/a", "n:1\n", "1", transaction: 1, of: session)
        rig.publish("/topic/a", "n:2\n", "2", transaction: 1, of: session)
        #expect(rig.take().isEmpty)
        rig.apply(.commit(1), of: session)
        #expect(rig.take().map(\.text) == ["1"])
    }

    @Test func aBadSelectorRefusesTheSubscription() {
        var rig = Rig()
        let session = rig.open()
        let refusal = rig.subscribe(1, "/topic/a", selector: "a = ", of: session)
        #expect(refusal?.kind == .badSelector)
        #expect(refusal?.detail.contains("character 5") == true)
        rig.publish("/topic/a", "a:1\n", "1", of: session)
        #expect(rig.take().isEmpty)
        rig.apply(.temporary("/reply-queue/t"), of: session)
        #expect(rig.subscribe(1, "/reply-queue/t", selector: "a = 1", of: session)?.kind == .badSelector)
        #expect(rig.subscribe(1, "/queue/q", selector: "a = ", of: session)?.kind == .badSelector)
        #expect(
            rig.core.queueView(named: bytes("/queue/q")) == nil, "no queue is made for a subscription that is refused")
    }
}

extension Rig {
    /// Why it was refused, if it was.
    @discardableResult
    mutating func subscribe(
        _ slot: UInt32, _ destination: String, selector: String, _ mode: AcknowledgeMode = .auto, of session: SessionID
    ) -> Refusal? {
        var subscribe = SubscribeExtras()
        subscribe.selector = bytes(selector)
        var extras = CommandExtras()
        extras.subscribes = [subscribe]
        let refusal = bytes(destination).withUnsafeBufferPointer { name in
            let command = Command.subscribe(
                Subscribe(
                    slot: slot, destination: name, mode: mode, prefetchCount: 1000, prefetchBytes: 1 << 20, extras: 0))
            return withUnsafePointer(to: command) {
                core.apply(
                    UnsafeBufferPointer(start: $0, count: 1), extras: extras, of: session,
                    now: Moment(Instant(nanoseconds: 0), wall: wall), into: &effects
                ).refusal
            }
        }
        carryOut()
        return refusal
    }

    /// Sends a message with these header lines.
    mutating func publish(
        _ destination: String, _ head: String, _ body: String, transaction: UInt32 = 0, of session: SessionID
    ) {
        let content = bytes(head + "\n" + body + "\0")
        let name = bytes(destination)
        name.withUnsafeBufferPointer { name in
            content.withUnsafeBufferPointer { content in
                let command = Command.send(
                    Send(
                        destination: name, content: content, headerBytes: UInt32(head.utf8.count + 1),
                        flags: MessageFlags.durable, transaction: transaction))
                withUnsafePointer(to: command) {
                    _ = core.apply(
                        UnsafeBufferPointer(start: $0, count: 1), extras: CommandExtras(), of: session,
                        now: Moment(Instant(nanoseconds: 0), wall: wall), into: &effects)
                }
            }
        }
        carryOut()
    }
}

extension Delivery {
    /// The body of a message with headers.
    var text: String { String(decoding: content.bytes.dropFirst(Int(headerBytes)).dropLast(), as: UTF8.self) }
}
