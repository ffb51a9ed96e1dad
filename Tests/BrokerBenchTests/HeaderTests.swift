import Base
import Testing

@testable import brokerbench

private func cycle(_ headers: String...) throws -> HeaderCycle {
    let lines = headers.map { text in
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        return Options.HeaderLine(name: parts[0], value: parts[1])
    }
    return try HeaderCycle(lines, now: 1_000_000)
}

private func texts(_ cycle: HeaderCycle) -> [String] {
    (0..<cycle.count).map { index in cycle.lines(at: index).map { "\($0.name):\($0.value)" }.joined(separator: " ") }
}

@Suite struct HeaderTests {
    @Test func valuesChangeFromMessageToMessage() throws {
        #expect(try texts(cycle("a:g{1..3}x")) == ["a:g1x", "a:g2x", "a:g3x"])
        #expect(try texts(cycle("a:{x,y}", "b:{0..2}")).count == 6)
        #expect(try texts(cycle("a:{x,y}", "b:{0..2}"))[4] == "a:x b:1")
        #expect(try texts(cycle("selector:{half = 1,}", "c:d")) == ["selector:half = 1 c:d", "c:d"])
        #expect(try texts(cycle("deliver-at:{now+500}")) == ["deliver-at:1000500"])
    }

    /// Goal: with more queues than consumers each is consumed once, with fewer all consumers have one.
    @Test func destinationsAreSharedAmongConsumers() throws {
        var options = Options()
        options.destination = "/queue/{1..3}"
        options.consumers = 2
        let run = try Run(options)
        #expect(run.destinations(ofConsumer: 0) == ["/queue/1", "/queue/3"])
        #expect(run.destinations(ofConsumer: 1) == ["/queue/2"])
        options.destination = "/queue/q"
        let one = try Run(options)
        #expect(one.destinations(ofConsumer: 1) == ["/queue/q"])
        #expect(one.destination == "/queue/q")
    }

    @Test(arguments: ["a:{}", "a:{x}", "a:{1.2}", "a:{now+}", "a:{1..}", "a:}{", "a:{1..2"])
    func otherBracesStandForThemselves(header: String) throws {
        #expect(try texts(cycle(header)) == [header])
    }

    @Test func knowsHowLongAMessageMustNotCome() throws {
        let delays = try cycle("delay:{0..2}")
        #expect((0..<3).map(delays.hold) == [.after(0), .after(1_000_000), .after(2_000_000)])
        #expect(try cycle("deliver-at:{now+1}").hold(at: 0) == .at(1_000_001))
        #expect(try cycle("ttl:5").hold(at: 0) == .none)
    }

    @Test func aRunKnowsWhenAMessageIsDue() throws {
        var options = Options()
        options.sendHeaders = [Options.HeaderLine(name: "delay", value: "{5,}")]
        let run = try Run(options)
        #expect(run.due(Stamp(producer: 0, sequence: 2, nanoseconds: 7)) == 5_000_007)
        #expect(run.due(Stamp(producer: 0, sequence: 3, nanoseconds: 7)) == nil)
        options.sendHeaders = [Options.HeaderLine(name: "deliver-at", value: "{now+60000}")]
        let fixed = try Run(options)
        let now = Instant.now.nanoseconds
        #expect((now + 50_000_000_000..<now + 60_000_000_001).contains(fixed.firstFixedTime))
        #expect(fixed.due(Stamp(producer: 0, sequence: 3, nanoseconds: 7)) == fixed.firstFixedTime)
    }

    @Test func whatComesBehindABacklogIsDueFromTheStart() throws {
        var options = Options()
        options.rate = 1000
        let pace = try #require(Pace(options, start: 5_000_000, first: 10))
        #expect(pace.due(10) == 5_000_000)
        #expect(pace.due(12) == 7_000_000)
        #expect(pace.dueCount(at: 4_000_000) == 10)
        #expect(pace.dueCount(at: 7_000_000) == 13)
    }

    @Test func eachMessageHasItsHead() throws {
        let body = Body(size: 32, run: 9)
        let template = SendTemplate(
            destination: "/queue/q", options: Options(), headers: try cycle("priority:{0..9}"),
            body: body.first(ofProducer: 0), receipts: true)
        for sequence: UInt64 in [0, 9, 13] {
            var out = Buffer()
            template.append(sequence: sequence, nanoseconds: 1, to: &out)
            let text = String(decoding: Array(out.readable).prefix(90), as: UTF8.self)
            #expect(text.contains("\npriority:\(sequence % 10)\nreceipt:\(sequence)\n"))
        }
    }
}
