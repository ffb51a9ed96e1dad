import Testing

@testable import BrokerClient

@Suite struct HeadersTests {
    @Test func theFirstOfARepeatedNameCounts() {
        var headers: Headers = ["a": "1", "b": "2", "a": "3"]
        #expect(headers["a"] == "1")
        #expect(headers.count == 3)
        headers["a"] = "9"
        #expect(headers.map { "\($0.name)=\($0.value)" } == ["a=9", "b=2"])
        headers["c"] = "4"
        #expect(headers.map { "\($0.name)=\($0.value)" } == ["a=9", "b=2", "c=4"])
        headers["b"] = nil
        #expect(headers == ["a": "9", "c": "4"])
    }

    @Test func whatCannotBeSentIsRefused() {
        #expect(throws: ClientError.self) { try Headers([("", "x")]).check(reserved: []) }
        #expect(throws: ClientError.self) { try Headers([("a", "x\0y")]).check(reserved: []) }
        #expect(throws: ClientError.self) { try Headers([("a\0", "x")]).check(reserved: []) }
        #expect(throws: ClientError.self) { try (["receipt": "1"] as Headers).check(reserved: ["receipt"]) }
        #expect(throws: ClientError.self) { try Headers.checkLiteral("passcode", "a\nb") }
    }

    @Test func lineBreaksAndColonsAreTheCodecsBusiness() throws {
        try (["a:b": "x:\\\r\ny"] as Headers).check(reserved: ["receipt"])
    }

    @Test(arguments: [
        (Duration.zero, UInt64(0)), (.milliseconds(1), 1), (.nanoseconds(1), 1), (.seconds(2), 2_000),
        (.seconds(-3), 0), (.seconds(Int64.max), .max),
    ])
    func wholeMilliseconds(duration: Duration, expected: UInt64) {
        #expect(duration.wholeMilliseconds == expected)
    }
}
