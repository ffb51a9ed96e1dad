import Base
import Testing

@testable import BrokerCore

/// Messages of a topic that many get together.
struct AudienceTests {
    /// Three that take everything of `/topic/a`, and one that sends.
    private func threeReaders(limits: CoreLimits = CoreLimits()) -> (rig: Rig, readers: [SessionID], sender: SessionID)
    {
        var rig = Rig(limits: limits)
        let readers = [rig.open(), rig.open(), rig.open()]
        for reader in readers { rig.apply(.subscribe(7, "/topic/a", .auto), of: reader) }
        let sender = rig.open()
        return (rig, readers, sender)
    }

    /// Sends as a session does, which has a number for the topic, and returns what came out as it is.
    private func publish(_ body: String, of sender: SessionID, to rig: inout Rig) -> [Delivery] {
        var effects = Effects(loops: 1)
        let (name, content) = (bytes("/topic/a"), bytes("\n" + body + "\0"))
        name.withUnsafeBufferPointer { name in
            content.withUnsafeBufferPointer { content in
                let send = Command.send(
                    Send(memo: 0, destination: name, content: content, headerBytes: 1, flags: 0))
                [send].withUnsafeBufferPointer {
                    let result = rig.core.apply(
                        $0, extras: CommandExtras(), of: sender, now: rig.core.now, into: &effects)
                    #expect(result.done == 1)
                }
            }
        }
        return effects.deliveries[0]
    }

    private func flush(_ bytes: Int, of session: SessionID, in rig: inout Rig) {
        [Command.flushed(bytes: bytes)].withUnsafeBufferPointer {
            _ = rig.core.apply($0, extras: CommandExtras(), of: session, now: rig.core.now, into: &rig.effects)
        }
        rig.carryOut()
    }

    @Test func aMessageForManyIsOneDelivery() {
        var (rig, _, sender) = threeReaders()
        for _ in 0..<2 {
            let all = publish("x", of: sender, to: &rig)
            #expect(all.count == 1)
            #expect(all.first?.audience?.members == [1, 2, 3].map { Audience.Member(connection: $0, slot: 7) })
            #expect(all.bodies == ["x"])
        }
        #expect(rig.core.totals.messagesIn == 2)
        #expect(rig.core.totals.messagesOut == 6)
        #expect(rig.core.totals.acknowledged == 6)
        #expect(rig.core.subscriptionViews().map(\.delivered) == [2, 2, 2])
        #expect(rig.core.topicViews().map(\.outTotal) == [6])
    }

    @Test func whoWantsSomethingOfItsOwnGetsItsOwnDelivery() {
        var (rig, readers, sender) = threeReaders()
        rig.apply(.subscribe(8, "/topic/*", .auto), of: readers[0])
        rig.apply(.subscribe(1, "/topic/a", .individual), of: rig.open())
        rig.subscribe(1, "/topic/a", .auto, of: rig.open()) { $0.selector = bytes("colour = 'red'") }
        rig.subscribe(1, "/topic/a", .auto, of: sender) { $0.noLocal = true }
        for _ in 0..<2 {
            let all = publish("x", of: sender, to: &rig)
            #expect(all.map { $0.audience?.members.count ?? 1 } == [3, 1, 1])
            #expect(all.dropFirst().map(\.slot) == [8, 1])
        }
    }

    @Test func whoComesAndGoesIsCounted() {
        var (rig, readers, sender) = threeReaders()
        #expect(publish("1", of: sender, to: &rig).flatMap(\.single).map(\.connection) == [1, 2, 3])
        rig.apply([.unsubscribe(7)], of: readers[1])
        #expect(publish("2", of: sender, to: &rig).flatMap(\.single).map(\.connection) == [1, 3])
        rig.close(readers[0])
        #expect(publish("3", of: sender, to: &rig).flatMap(\.single).map(\.connection) == [3])
        rig.apply(.subscribe(1, "/topic/a", .auto), of: rig.open())
        #expect(publish("4", of: sender, to: &rig).flatMap(\.single).map(\.connection) == [3, 5])
    }

    /// One that does not read gets what its bound allows, and the rest in order once it has read.
    @Test func whoIsBehindGetsTheRestInOrder() {
        var limits = CoreLimits()
        limits.unflushedBytes = 300
        var (rig, readers, sender) = threeReaders(limits: limits)
        var seen: [UInt64: [String]] = [:]
        func note(_ deliveries: [Delivery]) {
            for delivery in deliveries.flatMap(\.single) { seen[delivery.connection, default: []] += [delivery].bodies }
        }
        for number in 0..<10 {
            note(publish("\(number)", of: sender, to: &rig))
            for reader in readers[1...] {
                flush(131, of: reader, in: &rig)
                note(rig.take())
            }
        }
        let all = (0..<10).map { "\($0)" }
        #expect(seen == [1: Array(all.prefix(3)), 2: all, 3: all])
        for _ in 0..<10 {
            flush(131, of: readers[0], in: &rig)
            note(rig.take())
        }
        #expect(seen[1] == all)
        #expect(publish("x", of: sender, to: &rig).map { $0.audience?.members.count } == [3])
    }

    /// Each loop has its own: a delivery leaves the core for one loop.
    @Test func eachLoopHasItsAudience() {
        var core = Core()
        var effects = Effects(loops: 3)
        let name = bytes("/topic/a")
        func apply(_ command: Command, of session: SessionID) {
            [command].withUnsafeBufferPointer {
                #expect(core.apply($0, extras: CommandExtras(), of: session, now: core.now, into: &effects).done == 1)
            }
        }
        name.withUnsafeBufferPointer { name in
            for connection in 0..<5 as Range<UInt64> {
                let session = core.open(SessionAddress(loop: Int(connection) / 2, connection: connection))
                apply(
                    .subscribe(Subscribe(slot: 1, destination: name, mode: .auto, prefetchCount: 1, prefetchBytes: 1)),
                    of: session)
            }
            let sender = core.open(SessionAddress(loop: 0, connection: 9))
            bytes("\nx\0").withUnsafeBufferPointer {
                apply(.send(Send(destination: name, content: $0, headerBytes: 1, flags: 0)), of: sender)
            }
        }
        #expect(
            effects.deliveries.map { $0.map { $0.audience?.members.map(\.connection) } } == [
                [[0, 1]], [[2, 3]], [nil],
            ])
        #expect(effects.deliveries.map { $0.flatMap(\.single).map(\.connection) } == [[0, 1], [2, 3], [4]])
    }
}
