import Testing

/// What taste can mechanise.
@Suite struct HabitTests {
    @Test func aFileIsOneNoun() {
        for file in House.sources { #expect(file.lines.count <= 500, "\(file.path) has \(file.lines.count) lines") }
    }

    /// What ends the process ends it for every client.
    @Test(arguments: ["try!", "as!", "fatalError("])
    func nothingEndsTheProcessByTheWay(word: String) {
        for file in House.sources {
            for (number, line) in file.lines.enumerated() where code(of: line).contains(word) {
                Issue.record("\(file.path):\(number + 1) \(line)")
            }
        }
    }

    @Test(arguments: ["TODO", "FIXME", "XXX"])
    func nothingIsLeftForLater(word: String) {
        for file in House.sources {
            for (number, line) in file.lines.enumerated() where line.contains(word) {
                Issue.record("\(file.path):\(number + 1) \(line)")
            }
        }
    }

    /// Whoever switches the compiler's check off says why, there.
    @Test func whatIsNotCheckedIsExplained() {
        for file in House.sources {
            let lines = file.lines
            for (number, line) in lines.enumerated() {
                let code = code(of: line)
                guard code.contains("@unchecked Sendable") || code.contains("nonisolated(unsafe)") else { continue }
                let above = number > 0 ? lines[number - 1] : ""
                #expect(line.contains("//") || above.contains("//"), "\(file.path):\(number + 1) gives no reason")
            }
        }
    }

    @Test func noFileKnowsTheMachineItWasWrittenOn() {
        let places = ["/" + "work/", "/" + "tmp/wt", "/" + "root/", "/" + "home/"]
        for file in House.everything {
            for (number, line) in file.lines.enumerated() where places.contains(where: { line.contains($0) }) {
                Issue.record("\(file.path):\(number + 1) \(line)")
            }
        }
    }

    /// Without what stands behind `//`. A text with `//` in it loses its end, which hides nothing
    /// that these tests look for from a reader.
    private func code(of line: Substring) -> Substring {
        line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line
    }
}
