/// Gathers the program of a selector.
struct SelectorWriter {
    private(set) var code = SelectorProgram.Code()
    /// Values on the stack behind the last instruction.
    private var height = 0
    private var known: [[UInt8]: Int] = [:]

    /// Where the next instruction goes.
    var next: Int { code.instructions.count }

    /// False if the program is too long already.
    mutating func write(_ instruction: SelectorProgram.Instruction) -> Bool {
        if code.instructions.count == Selector.mostInstructions { return false }
        switch instruction {
        case .load, .string, .integer, .real, .truth: height += 1
        case .compare, .calculate, .and, .or: height -= 1
        case .between: height -= 2
        case .negate, .asTruth, .not, .isUnknown, .like, .isOneOf, .skipIfFalse, .skipIfTrue: break
        }
        code.depth = max(code.depth, height)
        code.instructions.append(instruction)
        return true
    }

    /// Takes the place of a skip whose target was not known.
    mutating func replace(_ index: Int, by instruction: SelectorProgram.Instruction) {
        code.instructions[index] = instruction
    }

    mutating func text(_ bytes: [UInt8]) -> Range<Int> {
        let start = code.texts.count
        code.texts += bytes
        return start..<code.texts.count
    }

    mutating func list(_ items: [SelectorProgram.Instruction]) -> Int {
        code.lists.append(items)
        return code.lists.count - 1
    }

    mutating func pattern(_ pattern: LikePattern) -> Int {
        code.patterns.append(pattern)
        return code.patterns.count - 1
    }

    /// The index of a name's value; nil if no message has one.
    mutating func variable(_ name: [UInt8]) -> Int? {
        if let index = known[name] { return index }
        let variable: SelectorProgram.Variable
        switch SelectorNames.source(of: name) {
        case .nowhere: return nil
        case nil: variable = SelectorProgram.Variable(headers: headers([name]))
        case .headers(let names, let otherwise):
            variable = SelectorProgram.Variable(
                headers: headers(names.map { Array($0.utf8) }), otherwise: otherwise.map { text(Array($0.utf8)) })
        case .persistence(let isFalse, let otherwise):
            variable = SelectorProgram.Variable(
                headers: headers([Array("persistent".utf8)]), otherwise: text(Array(otherwise.utf8)),
                ifFalse: text(Array(isFalse.utf8)))
        }
        code.variables.append(variable)
        known[name] = code.variables.count - 1
        return code.variables.count - 1
    }

    private mutating func headers(_ names: [[UInt8]]) -> Range<Int> {
        let start = code.headers.count
        for name in names { code.headers.append(text(Self.escaped(name))) }
        return start..<code.headers.count
    }

    /// As names are stored.
    private static func escaped(_ name: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        for byte in name {
            switch byte {
            case 0x0A: out += "\\n".utf8
            case 0x0D: out += "\\r".utf8
            case 0x3A: out += "\\c".utf8
            case 0x5C: out += "\\\\".utf8
            default: out.append(byte)
            }
        }
        return out
    }
}
