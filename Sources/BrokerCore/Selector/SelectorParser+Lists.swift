/// Constants, alone and in what stands behind IN and LIKE.
extension SelectorParser {
    mutating func constant() throws(SelectorError) -> (instruction: SelectorProgram.Instruction, kind: Kind) {
        let lexeme = current
        switch lexeme.token {
        case .string(let text):
            try advance()
            return (.string(writer.text(text)), .string)
        case .integer(let value):
            guard let whole = Int64(exactly: value) else {
                throw SelectorError(
                    at: lexeme.range.lowerBound, of: lexer.text, "found \(value), which is too large for a whole number"
                )
            }
            try advance()
            return (.integer(whole), .number)
        case .real(let value):
            try advance()
            return (.real(value), .number)
        case .keyword(.true), .keyword(.false):
            try advance()
            return (.truth(lexeme.token == .keyword(.true)), .condition)
        default: throw unexpected("a string or a number")
        }
    }

    /// `( literal, literal )`; numbers too, which JMS does not have there. Returns the index of the list.
    mutating func list() throws(SelectorError) -> Int {
        try expect(.symbol(.open), "\"(\" and a list of strings or numbers")
        var items: [SelectorProgram.Instruction] = []
        repeat {
            let isNegative = try take(.symbol(.minus))
            switch (current.token, isNegative) {
            case (.string, false), (.integer, false), (.real, false): items.append(try constant().instruction)
            case (.integer(let value), true):
                items.append(.integer(Int64(truncatingIfNeeded: 0 &- value)))
                try advance()
            case (.real(let value), true):
                items.append(.real(-value))
                try advance()
            default: throw unexpected(isNegative ? "a number" : "a string or a number")
            }
        } while try take(.symbol(.comma))
        try expect(.symbol(.close), "\",\" or \")\"")
        return writer.list(items)
    }

    /// `string [ESCAPE character]`. Returns the index of the pattern.
    mutating func pattern() throws(SelectorError) -> Int {
        let start = current.range.lowerBound
        guard case .string(let text) = current.token else { throw unexpected("a pattern in quotes") }
        try advance()
        var escape: [UInt8]?
        if try take(.keyword(.escape)) {
            guard case .string(let character) = current.token, character.count(where: { $0 & 0xC0 != 0x80 }) == 1 else {
                throw unexpected("one character in quotes")
            }
            escape = character
            try advance()
        }
        guard let pattern = LikePattern(text, escape: escape) else {
            throw SelectorError(
                at: start, of: lexer.text,
                "found a pattern that ends with its ESCAPE character, expected one more character")
        }
        return writer.pattern(pattern)
    }
}

extension SelectorComparison {
    init?(_ token: SelectorToken) {
        switch token {
        case .symbol(.equal): self = .equal
        case .symbol(.notEqual): self = .notEqual
        case .symbol(.less): self = .less
        case .symbol(.lessOrEqual): self = .lessOrEqual
        case .symbol(.greater): self = .greater
        case .symbol(.greaterOrEqual): self = .greaterOrEqual
        default: return nil
        }
    }
}
