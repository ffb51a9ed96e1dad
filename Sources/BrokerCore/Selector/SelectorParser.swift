/// Reads a selector by recursive descent and writes its program.
struct SelectorParser {
    /// What can be known of a value before there is a message.
    enum Kind { case header, string, number, condition }

    /// A part that was read: what its value is, and where it begins.
    struct Term {
        var kind: Kind
        var start: Int
    }

    var lexer: SelectorLexer
    var current: SelectorLexer.Lexeme
    var writer = SelectorWriter()
    /// Parentheses, NOT and signs around what is read.
    private var nesting = 0

    static func read(_ text: [UInt8]) throws(SelectorError) -> SelectorProgram {
        guard text.count <= Selector.longestText else {
            throw SelectorError(
                at: Selector.longestText, of: text,
                "found more than \(Selector.longestText) bytes, which is the most that a selector may have")
        }
        var parser = try SelectorParser(text)
        let whole = try parser.either()
        try parser.require(whole)
        guard parser.current.token == .end else { throw parser.unexpected("AND, OR or the end") }
        return SelectorProgram(parser.writer.code)
    }

    private init(_ text: [UInt8]) throws(SelectorError) {
        lexer = SelectorLexer(text)
        current = try lexer.next()
    }

    // MARK: Words

    func unexpected(_ expected: String) -> SelectorError {
        let found =
            current.token == .end ? "the end" : SelectorLexer.show(lexer.text[current.range])
        return SelectorError(at: current.range.lowerBound, of: lexer.text, "found \(found), expected \(expected)")
    }

    mutating func advance() throws(SelectorError) { current = try lexer.next() }

    mutating func take(_ token: SelectorToken) throws(SelectorError) -> Bool {
        if current.token != token { return false }
        try advance()
        return true
    }

    mutating func expect(_ token: SelectorToken, _ name: String) throws(SelectorError) {
        guard try take(token) else { throw unexpected(name) }
    }

    /// Writes an instruction that came of what was read last.
    mutating func write(_ instruction: SelectorProgram.Instruction) throws(SelectorError) {
        guard writer.write(instruction) else {
            throw SelectorError(
                at: current.range.lowerBound, of: lexer.text,
                "found more than \(Selector.mostInstructions) values and operators, which is the most that a selector may have"
            )
        }
    }

    private mutating func nested(
        _ read: (inout SelectorParser) throws(SelectorError) -> Term
    ) throws(SelectorError) -> Term {
        nesting += 1
        defer { nesting -= 1 }
        guard nesting <= Selector.deepest else {
            throw unexpected("no more than \(Selector.deepest) parentheses, NOT and signs in one another")
        }
        return try read(&self)
    }

    // MARK: Conditions

    /// Makes sure that a part can be true or false; a header is so by its text.
    private mutating func require(_ term: Term) throws(SelectorError) {
        switch term.kind {
        case .condition: return
        case .header: try write(.asTruth)
        case .string, .number:
            throw SelectorError(
                at: term.start, of: lexer.text,
                "found a \(term.kind == .string ? "string" : "number"), expected a condition that is true or false")
        }
    }

    private mutating func either() throws(SelectorError) -> Term {
        let first = try both()
        guard current.token == .keyword(.or) else { return first }
        try require(first)
        while try take(.keyword(.or)) {
            let skip = writer.next
            try write(.skipIfTrue(0))
            try require(try both())
            try write(.or)
            writer.replace(skip, by: .skipIfTrue(writer.next))
        }
        return Term(kind: .condition, start: first.start)
    }

    private mutating func both() throws(SelectorError) -> Term {
        let first = try negation()
        guard current.token == .keyword(.and) else { return first }
        try require(first)
        while try take(.keyword(.and)) {
            let skip = writer.next
            try write(.skipIfFalse(0))
            try require(try negation())
            try write(.and)
            writer.replace(skip, by: .skipIfFalse(writer.next))
        }
        return Term(kind: .condition, start: first.start)
    }

    private mutating func negation() throws(SelectorError) -> Term {
        let start = current.range.lowerBound
        guard try take(.keyword(.not)) else { return try predicate() }
        let term = try nested { parser throws(SelectorError) in try parser.negation() }
        try require(term)
        try write(.not)
        return Term(kind: .condition, start: start)
    }

    private mutating func predicate() throws(SelectorError) -> Term {
        let left = try sum()
        let result = Term(kind: .condition, start: left.start)
        if let comparison = SelectorComparison(current.token) {
            try advance()
            let right = try sum()
            try check(left, comparison, right)
            try write(.compare(comparison))
            return result
        }
        if try take(.keyword(.is)) {
            let isNegated = try take(.keyword(.not))
            try expect(.keyword(.null), isNegated ? "NULL" : "NULL or NOT NULL")
            try requireHeader(left, "IS NULL")
            try write(.isUnknown)
            if isNegated { try write(.not) }
            return result
        }
        let isNegated = try take(.keyword(.not))
        if try take(.keyword(.between)) {
            try between(left)
        } else if try take(.keyword(.in)) {
            try requireHeader(left, "IN")
            try write(.isOneOf(try list()))
        } else if try take(.keyword(.like)) {
            try requireHeader(left, "LIKE")
            try write(.like(try pattern()))
        } else if isNegated {
            throw unexpected("BETWEEN, IN or LIKE")
        } else {
            return left
        }
        if isNegated { try write(.not) }
        return result
    }

    private func requireHeader(_ term: Term, _ what: String) throws(SelectorError) {
        guard term.kind == .header else {
            throw SelectorError(at: term.start, of: lexer.text, "\(what) needs the name of a header before it")
        }
    }

    /// Refuses what could never be true, which is a mistake of the writer.
    private func check(
        _ left: Term, _ comparison: SelectorComparison, _ right: Term
    ) throws(SelectorError) {
        if comparison.isOrder {
            for term in [left, right] where term.kind == .string || term.kind == .condition {
                throw SelectorError(
                    at: term.start, of: lexer.text,
                    "found a \(term.kind == .string ? "string" : "condition"), which has no order; "
                        + "<, <=, > and >= are for numbers, = and <> for everything")
            }
        }
        if left.kind != right.kind, left.kind != .header, right.kind != .header {
            throw SelectorError(
                at: right.start, of: lexer.text, "found a \(right.kind), which cannot be compared with a \(left.kind)")
        }
    }

    private mutating func between(_ value: Term) throws(SelectorError) {
        try check(value, .greaterOrEqual, value)
        let lowest = try sum()
        try check(value, .greaterOrEqual, lowest)
        try expect(.keyword(.and), "AND and the highest value of BETWEEN")
        let highest = try sum()
        try check(value, .lessOrEqual, highest)
        try write(.between)
    }

    // MARK: Values

    private mutating func sum() throws(SelectorError) -> Term {
        var term = try product()
        while true {
            let operation: SelectorArithmetic
            switch current.token {
            case .symbol(.plus): operation = .add
            case .symbol(.minus): operation = .subtract
            default: return term
            }
            try requireNumber(term)
            try advance()
            try requireNumber(try product())
            try write(.calculate(operation))
            term.kind = .number
        }
    }

    private mutating func product() throws(SelectorError) -> Term {
        var term = try signed()
        while true {
            let operation: SelectorArithmetic
            switch current.token {
            case .symbol(.times): operation = .multiply
            case .symbol(.divide): operation = .divide
            default: return term
            }
            try requireNumber(term)
            try advance()
            try requireNumber(try signed())
            try write(.calculate(operation))
            term.kind = .number
        }
    }

    private func requireNumber(_ term: Term) throws(SelectorError) {
        guard term.kind == .header || term.kind == .number else {
            throw SelectorError(
                at: term.start, of: lexer.text, "found a \(term.kind), expected a number to calculate with")
        }
    }

    private mutating func signed() throws(SelectorError) -> Term {
        let start = current.range.lowerBound
        if try take(.symbol(.minus)) {
            // The lowest number has no positive twin, so it is read with its sign.
            if case .integer(let value) = current.token {
                try advance()
                try write(.integer(Int64(truncatingIfNeeded: 0 &- value)))
            } else {
                try requireNumber(try nested { parser throws(SelectorError) in try parser.signed() })
                try write(.negate)
            }
            return Term(kind: .number, start: start)
        }
        if try take(.symbol(.plus)) {
            try requireNumber(try nested { parser throws(SelectorError) in try parser.signed() })
            return Term(kind: .number, start: start)
        }
        return try primary()
    }

    private mutating func primary() throws(SelectorError) -> Term {
        let start = current.range.lowerBound
        switch current.token {
        case .name(let name):
            try load(name)
            try advance()
            return Term(kind: .header, start: start)
        case .string, .integer, .real, .keyword(.true), .keyword(.false):
            let constant = try constant()
            try write(constant.instruction)
            return Term(kind: constant.kind, start: start)
        case .symbol(.open):
            try advance()
            let term = try nested { parser throws(SelectorError) in try parser.either() }
            try expect(.symbol(.close), "\")\"")
            return Term(kind: term.kind, start: start)
        default: throw unexpected("a header, a number, a string, TRUE, FALSE or \"(\"")
        }
    }

    private mutating func load(_ name: [UInt8]) throws(SelectorError) {
        guard let index = writer.variable(name) else {
            throw SelectorError(
                at: current.range.lowerBound, of: lexer.text,
                "found \(SelectorLexer.show(name[...])), which the broker sets only when it delivers a message")
        }
        try write(.load(index))
    }
}
