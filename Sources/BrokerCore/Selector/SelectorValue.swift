/// What a part of a selector comes to for one message.
enum SelectorValue {
    /// Not there, or not to be compared or counted with.
    case unknown
    case truth(Bool)
    case integer(Int64)
    case real(Double)
    /// A string of the selector.
    case string(Bytes)
    /// The text of a header, which can be a number or a truth.
    case header(Bytes)
}

enum SelectorComparison: Equatable, Sendable {
    case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual

    var isOrder: Bool { self != .equal && self != .notEqual }

    fileprivate func holds<T: Comparable>(_ left: T, _ right: T) -> Bool {
        switch self {
        case .equal: left == right
        case .notEqual: left != right
        case .less: left < right
        case .lessOrEqual: left <= right
        case .greater: left > right
        case .greaterOrEqual: left >= right
        }
    }
}

enum SelectorArithmetic: Equatable, Sendable { case add, subtract, multiply, divide }

/// Three-valued logic, comparison, arithmetic.
extension SelectorValue {
    /// True, false, or nil for unknown.
    var truth: Bool? {
        switch self {
        case .truth(let truth): truth
        case .header(let text): text.elementsEqual("true".utf8) ? true : text.elementsEqual("false".utf8) ? false : nil
        case .unknown, .integer, .real, .string: nil
        }
    }

    init(_ truth: Bool?) { self = truth.map { .truth($0) } ?? .unknown }

    var isUnknown: Bool { if case .unknown = self { true } else { false } }

    /// A header as the number that it is; what is a number already as it is; nil for all else.
    private var number: SelectorValue? {
        switch self {
        case .integer, .real: self
        case .header(let text): SelectorNumber.read(text)
        case .unknown, .truth, .string: nil
        }
    }

    private var asReal: Double {
        switch self {
        case .integer(let value): Double(value)
        case .real(let value): value
        case .unknown, .truth, .string, .header: .nan
        }
    }

    /// Nil if that cannot be said.
    func compare(_ comparison: SelectorComparison, _ other: SelectorValue) -> Bool? {
        switch (self, other) {
        case (.string(let left), .string(let right)), (.string(let left), .header(let right)),
            (.header(let left), .string(let right)):
            return Self.compareText(comparison, left, right)
        case (.header(let left), .header(let right)):
            if let left = number, let right = other.number { return left.compareNumbers(comparison, right) }
            return Self.compareText(comparison, left, right)
        case (.truth, _), (_, .truth):
            guard !comparison.isOrder, let left = truth, let right = other.truth else { return nil }
            return (left == right) == (comparison == .equal)
        default:
            guard let left = number, let right = other.number else { return nil }
            return left.compareNumbers(comparison, right)
        }
    }

    /// Strings have no order in JMS.
    private static func compareText(_ comparison: SelectorComparison, _ left: Bytes, _ right: Bytes) -> Bool? {
        if comparison.isOrder { return nil }
        return (left.count == right.count && left.elementsEqual(right)) == (comparison == .equal)
    }

    private func compareNumbers(_ comparison: SelectorComparison, _ other: SelectorValue) -> Bool? {
        if case .integer(let left) = self, case .integer(let right) = other { return comparison.holds(left, right) }
        let (left, right) = (asReal, other.asReal)
        return left.isNaN || right.isNaN ? nil : comparison.holds(left, right)
    }

    /// Whole numbers stay whole, also when divided, until they grow over 64 bits. Dividing by zero is unknown.
    func calculate(_ operation: SelectorArithmetic, _ other: SelectorValue) -> SelectorValue {
        guard let left = number, let right = other.number else { return .unknown }
        if case .integer(let left) = left, case .integer(let right) = right {
            if operation == .divide && right == 0 { return .unknown }
            let (result, overflow) =
                switch operation {
                case .add: left.addingReportingOverflow(right)
                case .subtract: left.subtractingReportingOverflow(right)
                case .multiply: left.multipliedReportingOverflow(by: right)
                case .divide: left.dividedReportingOverflow(by: right)
                }
            if !overflow { return .integer(result) }
        }
        let (first, second) = (left.asReal, right.asReal)
        let result =
            switch operation {
            case .add: first + second
            case .subtract: first - second
            case .multiply: first * second
            case .divide: second == 0 ? .nan : first / second
            }
        return result.isNaN ? .unknown : .real(result)
    }

    var negated: SelectorValue {
        switch number {
        case .integer(let value): value == .min ? .real(-Double(value)) : .integer(-value)
        case .real(let value): .real(-value)
        case nil, .unknown, .truth, .string, .header: .unknown
        }
    }

    static func and(_ left: Bool?, _ right: Bool?) -> Bool? {
        if left == false || right == false { return false }
        return left == nil || right == nil ? nil : true
    }

    static func or(_ left: Bool?, _ right: Bool?) -> Bool? {
        if left == true || right == true { return true }
        return left == nil || right == nil ? nil : false
    }
}

/// The text of a header that is wholly a number.
enum SelectorNumber {
    /// Longer text is none: what programs write has at most some twenty digits.
    private static let longest = 64

    /// `-5`, `5.7`, `.5`, `5.7e-10`; no blanks, no hexadecimal, no infinity. Whole numbers beyond 64 bits
    /// become the nearest real one.
    static func read(_ text: Bytes) -> SelectorValue? {
        if text.isEmpty || text.count > longest { return nil }
        var at = text[0] == UInt8(ascii: "-") || text[0] == UInt8(ascii: "+") ? 1 : 0
        let whole = digits(text, &at)
        var isWhole = true
        var fraction = 0
        if at < text.count, text[at] == UInt8(ascii: ".") {
            at += 1
            isWhole = false
            fraction = digits(text, &at)
        }
        if whole + fraction == 0 { return nil }
        if at < text.count, text[at] | 0x20 == UInt8(ascii: "e") {
            at += 1
            isWhole = false
            if at < text.count, text[at] == UInt8(ascii: "-") || text[at] == UInt8(ascii: "+") { at += 1 }
            if digits(text, &at) == 0 { return nil }
        }
        if at < text.count { return nil }
        if isWhole, let value = integer(text) { return .integer(value) }
        return Double(String(decoding: text, as: UTF8.self)).map { .real($0) }
    }

    /// How many digits stand at `at`, which moves behind them.
    private static func digits(_ text: Bytes, _ at: inout Int) -> Int {
        let start = at
        while at < text.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[at]) { at += 1 }
        return at - start
    }

    /// Signed decimal digits; nil beyond 64 bits.
    private static func integer(_ text: Bytes) -> Int64? {
        let isNegative = text[0] == UInt8(ascii: "-")
        var value: Int64 = 0
        for byte in text where byte >= UInt8(ascii: "0") {
            let digit = Int64(byte - UInt8(ascii: "0"))
            let (tens, over) = value.multipliedReportingOverflow(by: 10)
            let (sum, beyond) =
                isNegative ? tens.subtractingReportingOverflow(digit) : tens.addingReportingOverflow(digit)
            if over || beyond { return nil }
            value = sum
        }
        return value
    }
}
