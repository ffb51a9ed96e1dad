import Testing

@testable import brokerbench

@Suite struct HistogramTests {
    @Test func keepsEveryValueWithinAPercent() {
        var power: UInt64 = 1
        while power < 1 << 62 {
            for value in [power - 1, power, power + 1, power + power / 3] {
                let edge = Histogram.upperEdge(of: Histogram.slot(of: value))
                #expect(edge >= value && Double(edge) <= Double(value) * 1.008 + 1, "\(value) in a step up to \(edge)")
            }
            power *= 2
        }
    }

    @Test func findsQuantilesOfAKnownSet() {
        var times = Histogram()
        var others = Histogram()
        for value in UInt64(1)...500 { times.record(value * 1000) }
        for value in UInt64(501)...1000 { others.record(value * 1000) }
        times.merge(others)
        #expect(times.count == 1000)
        #expect(abs(Double(times.quantile(0.5)) / 500_000 - 1) < 0.01)
        #expect(abs(Double(times.quantile(0.99)) / 990_000 - 1) < 0.01)
        #expect(times.quantile(1) == 1_000_000)
        #expect(abs(times.mean - 500_500) < 1)
        #expect(Histogram().quantile(0.5) == 0)
    }
}

@Suite struct OptionsTests {
    @Test func readsAWholeCommandLine() throws {
        let words = "e2e --host h --port 7 --size 100 --producers 3 --consumers 2 --window 50 --messages 10 --json"
        let options = try #require(try Options(parsing: words.split(separator: " ").map(String.init)))
        #expect(options.workload == .e2e)
        #expect(options.address == "h:7")
        #expect(options.batchSize == 5)
        #expect((0..<3).map { options.quota(ofProducer: $0) } == [4, 3, 3])
        #expect(options.isStored)
        #expect(options.json)
    }

    @Test(arguments: [
        "fly", "e2e --port", "e2e --port 0", "e2e --port 65536", "e2e --size 15", "publish --rate nan",
        "publish --rate -1", "rtt --messages 5", "publish --header nocolon", "publish --header :v",
        "publish --seconds 0", "publish --sice 3", "publish --backlog 5", "e2e --drain", "e2e --nack 3",
        "e2e --nack every:0", "e2e --header a:{9..1}", "e2e --header a:{1..140000}",
        "e2e --header a:{1..65535} --header b:{1..65536}", "publish --nack every:1",
        "e2e --drain --backlog 1 --messages 1", "drain", "publish --no-fill", "publish --state-in f",
        "e2e --state-out f",
        "publish --client fast", "rtt --client library", "publish --client library --rate 5",
        "rtt --client library-one-by-one",
        "e2e --client library --backlog 5", "idle", "fanout --messages 5", "e2e --consumers 0", "first --consumers 1",
    ])
    func refusesWhatItDoesNotUnderstand(line: String) {
        #expect(throws: Options.Misuse.self) {
            _ = try Options(parsing: line.split(separator: " ").map(String.init))
        }
    }

    /// Tasks overtake each other between taking a number and sending.
    @Test func aRunByTheLibraryIsInNoOrder() throws {
        let words = ["e2e", "--client", "library"]
        let options = try #require(try Options(parsing: words))
        #expect(options.client == .brokerClient && options.isAnyOrder)
    }

    @Test func asksForHelpWithoutAWorkload() throws {
        #expect(try Options(parsing: []) == nil)
        #expect(try Options(parsing: ["publish", "--help"]) == nil)
        #expect(Options.help.contains("Examples"))
    }

    @Test func aPaceSharesTheRateAmongProducers() throws {
        var options = Options()
        #expect(Pace(options, start: 0) == nil)
        options.rate = 1000
        options.producers = 2
        let pace = try #require(Pace(options, start: 5))
        #expect(pace.due(0) == 5)
        #expect(pace.due(3) == 6_000_005)
        #expect(pace.dueCount(at: 4) == 0)
        #expect(pace.dueCount(at: 5) == 1)
        #expect(pace.dueCount(at: 6_000_005) == 4)
    }
}

@Suite struct ReportTests {
    @Test(arguments: [
        (0.0, 1, "0.0"), (1234.56, 1, "1234.6"), (0.05, 2, "0.05"), (-2.5, 0, "-3"), (9.999, 2, "10.00"),
        (.infinity, 1, "0"),
    ])
    func writesDecimals(number: Double, decimals: Int, text: String) {
        #expect(Report.format(number, decimals) == text)
    }

    @Test func isOneLineOfJSON() {
        var times = Histogram()
        times.record(2000)
        var report = Report(Options())
        report.addRate(messages: 10, seconds: 2, size: 100)
        report.add("confirm_us", times)
        #expect(
            report.json
                == #"{"work":"publish","size":1024,"producers":1,"consumers":0,"window":1000,"seconds":2.000,"#
                + #""rate":5.0,"mb_s":0.0,"confirm_us":{"n":1,"mean":2.0,"p50":2.0,"p90":2.0,"p99":2.0,"#
                + #""p999":2.0,"max":2.0}}"#)
    }
}
