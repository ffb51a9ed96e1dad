import Base
import Testing

@testable import BrokerCore

/// Whether `selector` takes a message with these header lines; nil if it is refused.
private func select(_ selector: String, _ head: String) -> Bool? {
    guard let selector = try? Selector(bytes(selector)) else { return nil }
    return bytes(head).withUnsafeBufferPointer { selector.matches($0) }
}

/// Selectors: what they take and what they refuse.
struct SelectorTests {
    // MARK: Values and comparison

    private static let head = """
        destination:/queue/a
        colour:red
        count:7
        price:9.50
        negative:-3
        exponent:1.5e2
        flag:true
        off:false
        empty:
        content-type:text/plain
        path:a\\cb\\\\c\\nd
        number text:007x
        count:8
        odd\\cname:yes
        content-length:12

        """

    @Test(arguments: [
        ("colour = 'red'", true), ("colour = 'blue'", false), ("colour <> 'blue'", true), ("colour = 'Red'", false),
        ("Colour = 'red'", false), ("'red' = colour", true), ("count = 7", true), ("count = '7'", true),
        ("count = 7.0", true), ("count = '7.0'", false), ("count <> 8", true), ("count < 8 and count > 6", true),
        ("count <= 7 AND count >= 7", true), ("7 < count", false), ("price = 9.5", true), ("price > 9", true),
        ("price = '9.5'", false), ("negative = -3", true), ("negative < 0", true), ("exponent = 150", true),
        ("count = 0x7", true), ("count = 7L", true), ("price = 9.5F", true), ("price = 95e-1", true),
        ("price = .095E2", true), ("count = 7.", true), ("count = 7d", true), ("exponent > 1E2", true),
        ("flag = TRUE", true), ("flag = false", false), ("flag <> FALSE", true), ("flag", true), ("off", false),
        ("NOT off", true), ("not flag", false), ("flag = 'true'", true), ("flag AND NOT off", true),
        ("(count > 1) = TRUE", true), ("empty = ''", true), ("empty IS NULL", false), ("missing IS NULL", true),
        ("colour IS NOT NULL", true), ("missing IS NOT NULL", false), ("colour = colour", true),
        ("count < price", true), ("count = price", false), ("colour = flag", false), ("colour <> flag", true),
        ("\"content-type\" = 'text/plain'", true), ("hyphenated_props:content-type = 'text/plain'", true),
        ("convert_string_expressions:count > 6", true), ("\"number text\" = '007x'", true),
        ("\"odd:name\" = 'yes'", true), ("path = 'a:b\\c\nd'", true), ("TRUE", true), ("FALSE", false),
        ("1 = 1", true), ("'a' = 'a'", true), ("'it''s' = 'it''s'", true), ("\"co\"\"lour\" IS NULL", true),
        ("  colour\t=\n'red' ", true), ("(((colour = 'red')))", true), ("\"and\" IS NULL", true),
    ])
    func aValueIsCompared(_ text: String, _ expected: Bool) {
        #expect(select(text, Self.head) == expected)
    }

    /// What cannot be compared is unknown, and so is its opposite.
    @Test(arguments: [
        "colour > 3", "colour = 3", "missing = 'x'", "missing <> 'x'", "missing > 1", "missing = missing",
        "colour < flag", "flag = 1", "colour = TRUE", "empty = 0", "\"number text\" > 1", "missing LIKE '%'",
        "missing IN ('a')", "colour IN (1, 2)", "missing BETWEEN 1 AND 2", "count BETWEEN missing AND 8",
        "colour + 1 = 1",
        "count / 0 = 1", "count / 0.0 > 1", "1 - colour > 0", "-colour = 1", "missing", "colour", "count",
        "missing = TRUE",
    ])
    func whatCannotBeComparedIsUnknown(_ text: String) {
        #expect(select(text, Self.head) == false)
        #expect(select("NOT (\(text))", Self.head) == false)
        #expect(select("(\(text)) OR TRUE", Self.head) == true)
    }

    /// A number is all of the text or none of it.
    @Test(arguments: [
        ("7", true), ("+7", true), ("7.0", true), ("70e-1", true), ("07", true), (" 7", false), ("7 ", false),
        ("7a", false), ("0x7", false), ("7.0.", false), ("7e", false), ("--7", false), ("", false), ("-", false),
        (".", false), ("nan", false), ("inf", false), ("7_", false), ("7L", false), ("7\u{0}", false),
        ("7." + String(repeating: "0", count: 62), true), ("7." + String(repeating: "0", count: 63), false),
    ])
    func aHeaderIsANumberIfAllOfItIs(_ value: String, _ expected: Bool) {
        #expect(select("x = 7", "x:\(value)\n") == expected)
    }

    @Test(arguments: [
        ("x = 9223372036854775807", "9223372036854775807", true),
        ("x = -9223372036854775808", "-9223372036854775808", true),
        ("x = 9223372036854775806", "9223372036854775807", false),
        ("x > 9223372036854775807", "9223372036854775807", false),
        ("x > 9223372036854775807", "92233720368547758070", true), ("x + 1 > 9e18", "9223372036854775807", true),
        ("-x > 9e18", "-9223372036854775808", true), ("x / -1 > 9e18", "-9223372036854775808", true),
        ("x * x > 1e37", "9223372036854775807", true), ("x - 1 < -9e18", "-9223372036854775808", true),
        ("x > 1e308", "1e309", true), ("x - x = 0", "1e309", false), ("NOT x - x = 0", "1e309", false),
    ])
    func largeNumbersNeitherTrapNorWrap(_ text: String, _ value: String, _ expected: Bool) {
        #expect(select(text, "x:\(value)\n") == expected)
    }

    @Test(arguments: [
        ("count + 1 * 2 = 9", true), ("(count + 1) * 2 = 16", true), ("count - 1 - 1 = 5", true),
        ("count / 2 = 3", true),
        ("count / 2.0 = 3.5", true), ("20 / 2 / 5 = 2", true), ("-count = -7", true), ("- -count = 7", true),
        ("+count = 7", true), ("count + -1 = 6", true), ("count-1 = 6", true), ("price * 2 = 19", true),
        ("count BETWEEN 7 AND 8", true), ("count BETWEEN 8 AND 9", false), ("count NOT BETWEEN 8 AND 9", true),
        ("count BETWEEN 3 + 3 AND 2 * 4 AND flag", true), ("count BETWEEN 5 AND missing", false),
        ("count BETWEEN 8 AND missing", false), ("count NOT BETWEEN 8 AND missing", true),
        ("count NOT BETWEEN 5 AND missing", false), ("price BETWEEN 9 AND 10", true),
        ("colour IN ('blue', 'red')", true), ("colour IN ('blue')", false), ("colour NOT IN ('blue')", true),
        ("colour NOT IN ('red')", false), ("count IN (1, 7)", true), ("count IN ('7')", true),
        ("negative IN (-3)", true),
        ("count in (7.0)", true), ("colour IN (7, 'red')", true), ("colour NOT IN (7, 'blue')", false),
    ])
    func listsAndSumsAreWorkedOut(_ text: String, _ expected: Bool) {
        #expect(select(text, Self.head) == expected)
    }

    @Test func theThreeTruthsFollowTheirTables() {
        let names = ["TRUE", "FALSE", "missing"]
        let values: [Bool?] = [true, false, nil]
        /// What a selector comes to, by asking for it and for its opposite.
        func outcome(_ text: String) -> Bool? {
            if select(text, "\n") == true { return true }
            return select("NOT (\(text))", "\n") == true ? false : nil
        }
        let and: [[Bool?]] = [[true, false, nil], [false, false, false], [nil, false, nil]]
        let or: [[Bool?]] = [[true, true, true], [true, false, nil], [true, nil, nil]]
        for left in 0..<3 {
            #expect(outcome("NOT \(names[left])") == values[left].map { !$0 })
            for right in 0..<3 {
                #expect(outcome("\(names[left]) AND \(names[right])") == and[left][right])
                #expect(outcome("\(names[left]) OR \(names[right])") == or[left][right])
            }
        }
    }

    // MARK: Names

    @Test(arguments: [
        ("JMSPriority = 4", "", true), ("JMSPriority > 4", "priority:7\n", true),
        ("AMQPriority = '9'", "priority:9\n", true),
        ("JMSPriority IN ('4')", "", true), ("JMSType = 'x'", "type:x\n", true), ("JMSType IS NULL", "", true),
        ("JMSCorrelationID = 'c'", "correlation-id:c\n", true), ("JMSTimestamp > 5", "timestamp:6\n", true),
        ("JMSReplyTo LIKE '/temp%'", "reply-to:/temp-queue/a\n", true), ("JMSExpiration = 0", "", true),
        ("AMQExpiration > 0", "expires:99\n", true), ("JMSExpiration = 5", "expires:5\nexpires:9\n", true),
        ("JMSDeliveryMode = 'PERSISTENT'", "", true), ("JMSDeliveryMode = 'PERSISTENT'", "persistent:true\n", true),
        ("JMSDeliveryMode = 'NON_PERSISTENT'", "persistent:false\n", true), ("AMQDurable = 'DURABLE'", "", true),
        ("AMQDurable = 'NON_DURABLE'", "persistent:false\n", true), ("AMQSize > 3", "content-length:4\n", true),
        ("JMSXGroupID = 'g'", "JMSXGroupID:g\n", true), ("JMSXGroupID = 'g'", "message_group:g\n", true),
        ("JMSXGroupID = 'g'", "message-group:g\n", true), ("JMSXGroupID = 'g'", "_AMQ_GROUP_ID:g\n", true),
        ("JMSXGroupID = 'g'", "message-group:h\nJMSXGroupID:g\n", true), ("JMSXGroupID IS NULL", "group:g\n", true),
        ("JMSDestination = '/queue/a'", "destination:/queue/a\n", true),
    ])
    func theNamesOfJMSAreKnown(_ text: String, _ head: String, _ expected: Bool) {
        #expect(select(text, head + "\n") == expected)
    }

    /// Goal: nobody waits for what cannot come.
    @Test(arguments: ["JMSMessageID", "JMSRedelivered", "JMSXDeliveryCount", "\"message-id\"", "redelivered", "ack"])
    func whatOnlyADeliveryHasIsRefused(_ name: String) {
        #expect(select("\(name) IS NOT NULL", "\n") == nil)
    }

    /// Goal: the head ends where it ends, and lines that are none do no harm.
    @Test func onlyTheHeadIsLookedAt() {
        #expect(select("a = '1'", "b:2\n\na:1\n") == false)
        #expect(select("a = '1'", "a:1") == true)
        #expect(select("a = '1'", "nonsense\na:1\n\n") == true)
        #expect(select("a = ''", "a:\n\n") == true)
        #expect(select("a IS NULL", "") == true)
        #expect(select("a = '1:2'", "a:1:2\n") == true)
        #expect(select("a = 'b\\'", "a:b\\") == true, "a backslash with nothing behind it stays")
        let long = String(repeating: "n", count: 100)
        #expect(select("\(long) = '1' AND \(long)n IS NULL", "\(long):1\n") == true)
    }

    @Test func manyEscapedHeadersStandSideBySide() {
        #expect(
            select("a = 'x:y' AND b = 'p\\q' AND c = '' AND d = 'r\ns\rt'", "a:x\\cy\nb:p\\\\q\nc:\nd:r\\ns\\rt\n")
                == true)
    }

    // MARK: LIKE

    @Test(arguments: [
        ("", "", true), ("", "a", false), ("%", "", true), ("%", "abc", true), ("_", "", false), ("_", "a", true),
        ("_", "ab", false), ("a%", "abc", true), ("%c", "abc", true), ("%b%", "abc", true), ("a_c", "abc", true),
        ("a_c", "ac", false), ("%%%", "x", true), ("a%b%c", "aXXbYYc", true), ("a%b%c", "aXXcYYb", false),
        ("%ab", "aab", true), ("%aab", "aaab", true), ("_%_", "a", false), ("_%_", "ab", true), ("abc", "ABC", false),
        ("%.%", "a.b", true), ("12%3", "123", true), ("12%3", "12993", true), ("12%3", "1234", false), ("_", "ä", true),
        ("__", "ä", false), ("%_", "ä", true), ("ä%", "äb", true), ("_%", "", false), ("a%_", "a", false),
    ])
    func aPatternIsMatched(_ pattern: String, _ value: String, _ expected: Bool) {
        #expect(select("x LIKE '\(pattern)'", "x:\(value)\n") == expected)
        #expect(select("x NOT LIKE '\(pattern)'", "x:\(value)\n") == !expected)
    }

    @Test(arguments: [
        ("'\\_%' ESCAPE '\\'", "_foo", true), ("'\\_%' ESCAPE '\\'", "bar", false), ("'a!%' escape '!'", "a%", true),
        ("'a!%' ESCAPE '!'", "ab", false), ("'!!%' ESCAPE '!'", "!x", true), ("'%%' ESCAPE '%'", "%", true),
        ("'xä_' ESCAPE 'ä'", "x_", true), ("'xä_' ESCAPE 'ä'", "xy", false), ("'!ä' ESCAPE '!'", "ä", true),
    ])
    func aPatternMayEscape(_ pattern: String, _ value: String, _ expected: Bool) {
        let head = value.replacing("\\", with: "\\\\")
        #expect(select("x LIKE \(pattern)", "x:\(head)\n") == expected)
    }

    /// Method: random patterns and texts of few letters, against the definition.
    @Test func patternsAgreeWithTheirDefinition() throws {
        func fits(_ pattern: ArraySlice<Character>, _ text: ArraySlice<Character>) -> Bool {
            guard let first = pattern.first else { return text.isEmpty }
            if first == "%" {
                return fits(pattern.dropFirst(), text) || !text.isEmpty && fits(pattern, text.dropFirst())
            }
            return !text.isEmpty && (first == "_" || first == text.first) && fits(pattern.dropFirst(), text.dropFirst())
        }
        var random = SplitMix64(seed: 7)
        var matched = 0
        for _ in 0..<20_000 {
            let pattern = (0..<random.below(8)).compactMap { _ in random.pick(Array("aaäb%%_")) }
            let text = (0..<random.below(10)).compactMap { _ in random.pick(Array("aäb")) }
            let compiled = try #require(LikePattern(bytes(String(pattern))))
            var steps = 1000
            let answer = bytes(String(text)).withUnsafeBufferPointer { compiled.matches($0, steps: &steps) }
            let expected = fits(pattern[...], text[...])
            #expect(answer == expected, "\(String(pattern)) on \(String(text))")
            matched += expected ? 1 : 0
        }
        #expect(matched > 1000)
    }

    /// Goal: no pattern takes long. Method: the worst known ones; at most the product of the lengths, and
    /// what would take more than the limit is unknown.
    @Test func aPatternHasABoundOnItsSteps() throws {
        let text = [UInt8](repeating: UInt8(ascii: "a"), count: 1000)
        let many = String(repeating: "%a", count: 50) + "%b"
        let product = 1000 * bytes(many).count
        var steps = product
        let pattern = try #require(LikePattern(bytes(many)))
        #expect(text.withUnsafeBufferPointer { pattern.matches($0, steps: &steps) } == false)
        #expect(steps > 0)
        let long = String(repeating: "a", count: 2000) + "b"
        let head = "x:" + String(repeating: "a", count: 100_000) + "\n"
        #expect(select("x LIKE '%\(long)'", head) == false)
        #expect(select("x NOT LIKE '%\(long)'", head) == false, "unknown")
        #expect(select("x LIKE '%a%a%a'", head) == true)
    }
}
