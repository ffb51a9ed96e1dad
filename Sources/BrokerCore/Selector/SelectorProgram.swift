import Glibc

/// A selector as a list of instructions over a stack. Never changes once it is made.
final class SelectorProgram: Sendable {
    enum Instruction: Equatable, Sendable {
        /// Push the value of a name, by index.
        case load(Int)
        /// Push a constant; a string is a range of `Code.texts`.
        case string(Range<Int>)
        case integer(Int64)
        case real(Double)
        case truth(Bool)
        /// Change the top.
        case negate
        case asTruth
        case not
        case isUnknown
        /// By index in `Code.patterns`, `Code.lists`.
        case like(Int)
        case isOneOf(Int)
        /// Take two, push one.
        case compare(SelectorComparison)
        case calculate(SelectorArithmetic)
        case and
        case or
        /// Take a value, the lowest and the highest that it may have.
        case between
        /// Go on at another instruction if that is decided already; the top stays.
        case skipIfFalse(Int)
        case skipIfTrue(Int)
    }

    /// A name with where its value is.
    struct Variable: Equatable, Sendable {
        /// The first of these headers that is there.
        var headers: Range<Int>
        /// If none is there.
        var otherwise: Range<Int>?
        /// If the header is `false`; then `otherwise` stands for all other values.
        var ifFalse: Range<Int>?
    }

    struct Code: Sendable {
        var instructions: [Instruction] = []
        var variables: [Variable] = []
        /// Header names as they are stored: ranges of `texts`.
        var headers: [Range<Int>] = []
        var patterns: [LikePattern] = []
        /// Constants only.
        var lists: [[Instruction]] = []
        var texts: [UInt8] = []
        /// Values on the stack at most.
        var depth = 0
    }

    private let code: Code
    /// Bit n: a wanted header has a name of n bytes, of 63 or more for the last.
    private let lengths: UInt64

    init(_ code: Code) {
        self.code = code
        lengths = code.headers.reduce(0) { $0 | 1 << UInt64(min($1.count, 63)) }
    }

    /// See `Selector.matches`.
    func matches(_ head: Bytes) -> Bool {
        code.texts.withUnsafeBufferPointer { texts in
            withUnsafeTemporaryAllocation(of: Bytes?.self, capacity: code.headers.count) { found in
                found.initialize(repeating: nil)
                let escaped = find(in: head, texts, into: found)
                if escaped == 0 { return run(found, texts) }
                return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: escaped) { plain in
                    Self.unescape(found, into: plain)
                    return run(found, texts)
                }
            }
        }
    }

    // MARK: Headers

    /// Finds the wanted headers in one pass. Returns how many bytes those have that hold escapes.
    private func find(in head: Bytes, _ texts: Bytes, into found: UnsafeMutableBufferPointer<Bytes?>) -> Int {
        guard let start = head.baseAddress, let names = texts.baseAddress else { return 0 }
        var missing = found.count
        var escaped = 0
        var at = 0
        while missing > 0, at < head.count, start[at] != 0x0A {
            let line = start + at
            let rest = head.count - at
            let length = memchr(line, 0x0A, rest).map { UnsafeRawPointer($0) - UnsafeRawPointer(line) } ?? rest
            at += length + 1
            guard let colon = memchr(line, 0x3A, length) else { continue }
            let name = UnsafeRawPointer(colon) - UnsafeRawPointer(line)
            if lengths & 1 << UInt64(min(name, 63)) == 0 { continue }
            for index in 0..<found.count where found[index] == nil {
                let wanted = code.headers[index]
                guard wanted.count == name, memcmp(names + wanted.lowerBound, line, name) == 0 else { continue }
                let value = Bytes(start: line + name + 1, count: length - name - 1)
                found[index] = value
                missing -= 1
                if memchr(line + name + 1, 0x5C, value.count) != nil { escaped += value.count }
            }
        }
        return escaped
    }

    /// Writes values with escapes anew, as they are meant.
    private static func unescape(
        _ found: UnsafeMutableBufferPointer<Bytes?>, into plain: UnsafeMutableBufferPointer<UInt8>
    ) {
        var end = 0
        for index in 0..<found.count {
            guard let value = found[index], value.contains(0x5C) else { continue }
            let start = end
            var at = 0
            while at < value.count {
                var byte = value[at]
                if byte == 0x5C, at + 1 < value.count {
                    at += 1
                    switch value[at] {
                    case UInt8(ascii: "n"): byte = 0x0A
                    case UInt8(ascii: "r"): byte = 0x0D
                    case UInt8(ascii: "c"): byte = 0x3A
                    default: byte = value[at]
                    }
                }
                plain[end] = byte
                end += 1
                at += 1
            }
            found[index] = Bytes(rebasing: UnsafeBufferPointer(plain)[start..<end])
        }
    }

    private func value(
        of variable: Variable, _ found: UnsafeMutableBufferPointer<Bytes?>, _ texts: Bytes
    ) -> SelectorValue {
        var header: Bytes?
        for index in variable.headers where header == nil { header = found[index] }
        if let ifFalse = variable.ifFalse {
            let isFalse = header.map { $0.elementsEqual("false".utf8) } ?? false
            return .header(Bytes(rebasing: texts[isFalse ? ifFalse : variable.otherwise ?? ifFalse]))
        }
        if let header { return .header(header) }
        return variable.otherwise.map { .header(Bytes(rebasing: texts[$0])) } ?? .unknown
    }

    // MARK: Evaluation

    private func run(_ found: UnsafeMutableBufferPointer<Bytes?>, _ texts: Bytes) -> Bool {
        withUnsafeTemporaryAllocation(of: SelectorValue.self, capacity: code.depth) { stack in
            var top = -1
            var next = 0
            var steps = Selector.mostSteps
            func push(_ value: SelectorValue) {
                top += 1
                stack.initializeElement(at: top, to: value)
            }
            while next < code.instructions.count {
                let instruction = code.instructions[next]
                next += 1
                switch instruction {
                case .load(let index): push(value(of: code.variables[index], found, texts))
                case .string, .integer, .real, .truth: push(Self.constant(instruction, texts))
                case .negate: stack[top] = stack[top].negated
                case .asTruth: stack[top] = SelectorValue(stack[top].truth)
                case .not: stack[top] = SelectorValue(stack[top].truth.map { !$0 })
                case .isUnknown: stack[top] = .truth(stack[top].isUnknown)
                case .like(let index):
                    guard case .header(let text) = stack[top] else {
                        stack[top] = .unknown
                        continue
                    }
                    stack[top] = SelectorValue(code.patterns[index].matches(text, steps: &steps))
                case .isOneOf(let index): stack[top] = SelectorValue(isOne(stack[top], of: code.lists[index], texts))
                case .compare(let comparison):
                    top -= 1
                    stack[top] = SelectorValue(stack[top].compare(comparison, stack[top + 1]))
                case .calculate(let operation):
                    top -= 1
                    stack[top] = stack[top].calculate(operation, stack[top + 1])
                case .and:
                    top -= 1
                    stack[top] = SelectorValue(SelectorValue.and(stack[top].truth, stack[top + 1].truth))
                case .or:
                    top -= 1
                    stack[top] = SelectorValue(SelectorValue.or(stack[top].truth, stack[top + 1].truth))
                case .between:
                    top -= 2
                    let value = stack[top]
                    stack[top] = SelectorValue(
                        SelectorValue.and(
                            value.compare(.greaterOrEqual, stack[top + 1]), value.compare(.lessOrEqual, stack[top + 2]))
                    )
                case .skipIfFalse(let target): if stack[top].truth == false { next = target }
                case .skipIfTrue(let target): if stack[top].truth == true { next = target }
                }
            }
            return top == 0 && stack[0].truth == true
        }
    }

    private static func constant(_ instruction: Instruction, _ texts: Bytes) -> SelectorValue {
        switch instruction {
        case .string(let range): .string(Bytes(rebasing: texts[range]))
        case .integer(let value): .integer(value)
        case .real(let value): .real(value)
        case .truth(let value): .truth(value)
        default: .unknown
        }
    }

    /// As a chain of `=` and OR.
    private func isOne(_ value: SelectorValue, of list: [Instruction], _ texts: Bytes) -> Bool? {
        var answer: Bool? = false
        for item in list {
            answer = SelectorValue.or(answer, value.compare(.equal, Self.constant(item, texts)))
            if answer == true { break }
        }
        return answer
    }
}
