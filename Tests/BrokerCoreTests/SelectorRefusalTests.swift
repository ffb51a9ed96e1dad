import Base
import Testing

@testable import BrokerCore

/// Texts that are no selectors, and ones that want to do harm.
struct SelectorRefusalTests {
    private func error(_ text: String) -> SelectorError? {
        do throws(SelectorError) {
            _ = try Selector(bytes(text))
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        ("", 1, "found the end, expected a header"), ("   ", 4, "found the end"), ("a =", 4, "found the end"),
        ("a = = 1", 5, "found \"=\", expected a header"), ("a == 1", 4, "found \"=\""),
        ("a != 1", 3, "expected \"<>\""),
        ("a = 'x", 7, "the string that begins at character 5"), ("\"a = 1", 7, "the header name that begins"),
        ("\"\" = 1", 1, "empty header name"), ("a = 1 b = 2", 7, "found \"b\", expected AND, OR or the end"),
        ("a = 1 AND", 10, "found the end"), ("(a = 1", 7, "expected \")\""), ("a = 1)", 6, "found \")\""),
        ("a ? 1", 3, "found \"?\""), ("ä = 1", 1, "found \"ä\""), ("'ä' = ?", 7, "found \"?\""),
        ("'\u{1F600}' ? ", 5, "found \"?\""), ("a-b:c = 1", 4, "found \":\""),
        ("a < 'x'", 5, "no order"), ("'x' >= a", 1, "no order"), ("a > TRUE", 5, "no order"),
        ("(a = 1) < 2", 1, "no order"), ("1 = 'x'", 5, "cannot be compared"), ("TRUE = 'x'", 8, "cannot be compared"),
        ("1", 1, "found a number, expected a condition"), ("'x'", 1, "found a string, expected a condition"),
        ("a AND 1", 7, "expected a condition"), ("NOT 'x'", 5, "expected a condition"),
        ("a OR b + 1", 6, "expected a cond"),
        ("a + 'x' = 1", 5, "expected a number to calculate"), ("TRUE * 2 = 1", 1, "to calculate"),
        ("-'x' = 1", 2, "to calculate"), ("+TRUE = 1", 2, "to calculate"), ("- (a = 1) = 1", 3, "to calculate"),
        ("a LIKE b", 8, "expected a pattern in quotes"), ("a LIKE 1", 8, "a pattern"), ("1 LIKE 'x'", 1, "LIKE needs"),
        ("a LIKE 'x' ESCAPE 'yz'", 19, "one character"), ("a LIKE 'x' ESCAPE ''", 19, "one character"),
        ("a LIKE 'x' ESCAPE y", 19, "one character"), ("a LIKE 'x!' ESCAPE '!'", 8, "ends with its ESCAPE"),
        ("a IN ()", 7, "expected a string or a number"), ("a IN 'x'", 6, "expected \"(\""),
        ("a IN ('x'", 10, "\",\" or"),
        ("a IN ('x',)", 11, "expected a string or"), ("a IN (b)", 7, "found \"b\""),
        ("a IN (-'x')", 8, "expected a number"),
        ("'x' IN ('x')", 1, "IN needs"), ("a + 1 IN (1)", 1, "IN needs"), ("a IS 1", 6, "NULL or NOT NULL"),
        ("a IS NOT 1", 10, "expected NULL"), ("1 IS NULL", 1, "IS NULL needs"), ("(a > 1) IS NULL", 1, "IS NULL needs"),
        ("a NOT = 1", 7, "BETWEEN, IN or LIKE"),
        ("a BETWEEN 1 OR 2", 13, "expected AND"), ("a BETWEEN 'x' AND 'y'", 11, "no order"),
        ("'x' BETWEEN 1 AND 2", 1, "no order"), ("a BETWEEN 1 AND 'y'", 17, "no order"),
        ("a = 1 = 2", 7, "expected AND, OR or the end"), ("a = 007", 5, "does not begin with 0"),
        ("a = 0x", 5, "no number"), ("a = 0xG", 5, "no number"), ("a = 1x", 5, "found \"1x\""),
        ("a = 1.5L", 5, "no number"),
        ("a = 9223372036854775808", 5, "too large"), ("a = 99999999999999999999", 5, "too large"),
        ("a = -9223372036854775809", 6, "too large"), ("a = 1e999", 5, "too large"), ("and = 1", 1, "found \"and\""),
        ("a = NULL", 5, "found \"NULL\""), ("b = 1 AND JMSMessageID = 'x'", 11, "only when it delivers"),
    ])
    func aMistakeIsPointedAt(_ text: String, _ column: Int, _ reason: String) throws {
        let found = try #require(error(text))
        #expect(found.column == column, "\(found.reason)")
        #expect(found.reason.contains(reason), "\(found.reason)")
    }

    @Test func theRefusalNamesTheCharacter() throws {
        let refusal = Refusal(try #require(error("a = ")))
        #expect(refusal.message == "bad selector")
        #expect(refusal.detail.hasPrefix("the selector is wrong at character 5: found the end, expected "))
    }

    /// Goal: a long word does not make a long ERROR.
    @Test func whatWasFoundIsCutShort() throws {
        let word = String(repeating: "x", count: 4000)
        let found = try #require(error("a = 1 \(word)"))
        #expect(found.column == 7)
        #expect(found.reason.count < 120)
    }

    @Test func lengthNestingAndSizeHaveBounds() {
        let fits = "a = '" + String(repeating: "x", count: 4090) + "'"
        #expect(error(fits) == nil)
        #expect(error(fits + " ")?.column == 4097)
        func wrapped(_ count: Int, _ open: String, _ close: String, _ inner: String) -> String {
            String(repeating: open, count: count) + inner + String(repeating: close, count: count)
        }
        #expect(error(wrapped(64, "(", ")", "a = 1")) == nil)
        #expect(error(wrapped(65, "(", ")", "a = 1"))?.reason.contains("no more than 64") == true)
        #expect(error(wrapped(2000, "(", ")", "")) != nil)
        #expect(error(wrapped(64, "NOT ", "", "a = 1")) == nil)
        #expect(error(wrapped(1000, "NOT ", "", "a = 1")) != nil)
        #expect(error(wrapped(64, "- ", "", "a = 1")) == nil)
        #expect(error(wrapped(2000, "-+", "", "a = 1")) != nil)
        // A header, a number and a comparison each, an AND and a skip between two.
        #expect(error((0..<51).map { _ in "a = 1" }.joined(separator: " AND ")) == nil)
        #expect(error((0..<52).map { _ in "a = 1" }.joined(separator: " AND "))?.reason.contains("256") == true)
        #expect(error("a IN (" + (0..<900).map(String.init).joined(separator: ",") + ")") == nil)
    }

    /// Goal: nothing that a client writes traps. Method: random bytes, and random words of the language
    /// that get much further; what is accepted is also asked.
    @Test func nothingTraps() {
        let words = [
            "a", "b", "\"c-d\"", "1", "0x1F", "9223372036854775808", "1.5", "1e308", "'x'", "'%_'", "TRUE", "FALSE",
            "NULL",
            "(", ")", "(", ")", ",", "=", "<>", "<", ">=", "+", "-", "*", "/", "AND", "OR", "NOT", "IN", "LIKE",
            "ESCAPE",
            "BETWEEN", "IS", "JMSPriority", "'!'", "hyphenated_props:x-y", ".", "e5",
        ]
        let heads = [
            "a:1\nb:x\n\n", "a:-9223372036854775808\nb:\\n\\", "c-d:true\na:1e308\nb:1e308\n", "\n", "a", ":::\n\n\n",
        ]
        var random = SplitMix64(seed: 42)
        var accepted = 0
        for round in 0..<60_000 {
            var text: [UInt8] = []
            if round % 3 == 0 {
                text = (0..<random.below(40)).map { _ in UInt8(random.below(256)) }
            } else {
                text = bytes((0..<random.below(12)).compactMap { _ in random.pick(words) }.joined(separator: " "))
            }
            guard let selector = try? Selector(text) else { continue }
            accepted += 1
            for head in heads { _ = bytes(head).withUnsafeBufferPointer { selector.matches($0) } }
            let noise = (0..<random.below(60)).map { _ in random.pick(Array("ab:\\n\n1".utf8)) ?? 0 }
            _ = noise.withUnsafeBufferPointer { selector.matches($0) }
        }
        #expect(accepted > 100)
    }

    /// Goal: precedence and three-valued logic hold in any combination. Method: random trees, written with
    /// only the parentheses that they need, against their own evaluation.
    @Test func randomSelectorsAgreeWithTheirTrees() throws {
        var random = SplitMix64(seed: 3)
        var seen: [Bool?: Int] = [:]
        for _ in 0..<5_000 {
            let tree = Tree.condition(depth: 4, &random)
            let selector = try Selector(bytes(tree.text))
            let head = "a:3\nb:-2\nc:0\nd:true\n\n"
            let answer = bytes(head).withUnsafeBufferPointer { selector.matches($0) }
            let expected = tree.truth(["a": 3, "b": -2, "c": 0])
            #expect(answer == (expected == true), "\(tree.text)")
            seen[expected, default: 0] += 1
        }
        #expect(seen[true, default: 0] > 500 && seen[false, default: 0] > 500 && seen[nil, default: 0] > 500)
    }
}

/// A selector as a tree, worked out in the plainest way.
private indirect enum Tree {
    case number(Int)
    case header(String)
    case calculation(String, Tree, Tree)
    case comparison(String, Tree, Tree)
    case between(Tree, Tree, Tree, isNegated: Bool)
    case not(Tree)
    case logic(String, Tree, Tree)

    static func condition(depth: Int, _ random: inout SplitMix64) -> Tree {
        if depth == 0 || random.chance(20) {
            if random.chance(20) {
                return .between(
                    value(depth: 1, &random), value(depth: 1, &random), value(depth: 1, &random),
                    isNegated: random.chance(50))
            }
            let sign = random.pick(["=", "<>", "<", "<=", ">", ">="]) ?? "="
            return .comparison(sign, value(depth: 2, &random), value(depth: 2, &random))
        }
        if random.chance(25) { return .not(condition(depth: depth - 1, &random)) }
        let word = random.chance(50) ? "AND" : "OR"
        return .logic(word, condition(depth: depth - 1, &random), condition(depth: depth - 1, &random))
    }

    private static func value(depth: Int, _ random: inout SplitMix64) -> Tree {
        if depth == 0 || random.chance(40) {
            return random.chance(60) ? .header(random.pick(["a", "b", "c", "gone"]) ?? "a") : .number(random.below(5))
        }
        let sign = random.pick(["+", "-", "*", "/"]) ?? "+"
        return .calculation(sign, value(depth: depth - 1, &random), value(depth: depth - 1, &random))
    }

    private var rank: Int {
        switch self {
        case .logic("OR", _, _): 0
        case .logic: 1
        case .not: 2
        case .comparison, .between: 3
        case .calculation("+", _, _), .calculation("-", _, _): 4
        case .calculation: 5
        case .number, .header: 6
        }
    }

    var text: String {
        func part(_ tree: Tree, _ lowest: Int) -> String { tree.rank < lowest ? "(\(tree.text))" : tree.text }
        return switch self {
        case .number(let value): "\(value)"
        case .header(let name): name
        case .calculation(let sign, let left, let right), .logic(let sign, let left, let right):
            "\(part(left, rank)) \(sign) \(part(right, rank + 1))"
        case .comparison(let sign, let left, let right): "\(part(left, 4)) \(sign) \(part(right, 4))"
        case .between(let value, let low, let high, let isNegated):
            "\(part(value, 4)) \(isNegated ? "NOT " : "")BETWEEN \(part(low, 4)) AND \(part(high, 4))"
        case .not(let inner): "NOT \(part(inner, 2))"
        }
    }

    private func number(_ headers: [String: Int]) -> Int? {
        switch self {
        case .number(let value): return value
        case .header(let name): return headers[name]
        case .calculation(let sign, let left, let right):
            guard let left = left.number(headers), let right = right.number(headers) else { return nil }
            switch sign {
            case "+": return left + right
            case "-": return left - right
            case "*": return left * right
            default: return right == 0 ? nil : left / right
            }
        default: return nil
        }
    }

    func truth(_ headers: [String: Int]) -> Bool? {
        func compare(_ sign: String, _ left: Tree, _ right: Tree) -> Bool? {
            guard let left = left.number(headers), let right = right.number(headers) else { return nil }
            switch sign {
            case "=": return left == right
            case "<>": return left != right
            case "<": return left < right
            case "<=": return left <= right
            case ">": return left > right
            default: return left >= right
            }
        }
        /// Both, with unknown between false and true.
        func lower(_ left: Bool?, _ right: Bool?) -> Bool? {
            if left == false || right == false { return false }
            return left == true && right == true ? true : nil
        }
        switch self {
        case .comparison(let sign, let left, let right): return compare(sign, left, right)
        case .between(let value, let low, let high, let isNegated):
            let inside = lower(compare(">=", value, low), compare("<=", value, high))
            return isNegated ? inside.map { !$0 } : inside
        case .not(let inner): return inner.truth(headers).map { !$0 }
        case .logic("AND", let left, let right): return lower(left.truth(headers), right.truth(headers))
        case .logic(_, let left, let right):
            return lower(left.truth(headers).map { !$0 }, right.truth(headers).map { !$0 }).map { !$0 }
        case .number, .header, .calculation: return nil
        }
    }
}
