/// The words of a command line, taken from the front.
struct OptionWords {
    private var rest: ArraySlice<String>

    init(_ words: [String]) { rest = words[...] }

    mutating func next() -> String? { rest.popFirst() }

    mutating func value(of name: String) throws -> String {
        guard let value = rest.popFirst() else { throw Options.Misuse(line: "\(name) needs a value") }
        return value
    }

    mutating func number<Number: FixedWidthInteger>(of name: String, in range: ClosedRange<Number>) throws -> Number {
        let text = try value(of: name)
        guard let number = Number(text), range.contains(number) else {
            let allowed = "\(range.lowerBound) to \(range.upperBound)"
            throw Options.Misuse(line: "\(name): want a number from \(allowed), got '\(text)'")
        }
        return number
    }

    /// Seconds or messages a second: finite, not negative, small enough to count in nanoseconds.
    mutating func decimal(of name: String) throws -> Double {
        let text = try value(of: name)
        guard let number = Double(text), number >= 0, number <= 1e9 else {
            throw Options.Misuse(line: "\(name): want a number from 0 to 1000000000, got '\(text)'")
        }
        return number
    }

    mutating func every(of name: String) throws -> UInt64 {
        let text = try value(of: name)
        guard text.hasPrefix("every:"), let count = UInt64(text.dropFirst(6)), count > 0 else {
            throw Options.Misuse(line: "\(name): want every:N, got '\(text)'")
        }
        return count
    }

    mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(of name: String) throws -> Choice {
        let text = try value(of: name)
        guard let choice = Choice(rawValue: text) else {
            let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw Options.Misuse(line: "\(name): want one of \(known), got '\(text)'")
        }
        return choice
    }

    mutating func header(of name: String) throws -> Options.HeaderLine {
        let text = try value(of: name)
        guard let colon = text.firstIndex(of: ":"), colon > text.startIndex, !text.contains("\n") else {
            throw Options.Misuse(line: "\(name): want name:value, got '\(text)'")
        }
        return Options.HeaderLine(name: String(text[..<colon]), value: String(text[text.index(after: colon)...]))
    }
}
