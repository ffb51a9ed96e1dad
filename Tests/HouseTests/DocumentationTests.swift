import Testing

/// The libraries that others build on: nothing in them is without a word, and the tutorial is code that runs.
@Suite struct DocumentationTests {
    static let libraries: Set = ["BrokerClient", "BrokerClientJSON", "BrokerClientSQLite", "BrokerTesting"]

    @Test func everythingPublicIsDocumented() {
        var seen = 0
        for file in House.sources where Self.libraries.contains(file.module) {
            let lines = file.lines
            for number in PublicLines.numbers(in: lines) {
                seen += 1
                var above = number - 1
                while above >= 0, lines[above].trimmed.hasPrefix("@") { above -= 1 }
                #expect(
                    above >= 0 && lines[above].trimmed.hasPrefix("///"),
                    "\(file.path):\(number + 1) has no comment: \(lines[number].trimmed)")
            }
        }
        #expect(seen > 200, "the declarations were not found")
    }

    /// What finds them is not taken in by where they stand.
    @Test func publicDeclarationsAreFound() {
        let text = """
            public enum Colour {
                case red
                var warm: Bool {
                    switch self {
                    case .red: true
                    }
                }
                indirect case mixed(Colour)
            }
            enum Hidden { case no }
            public protocol Painter {
                associatedtype Paint
                nonisolated(nonsending) func paint() async
                var name: String { get }
            }
            extension Painter {
                func helper() {}
                @discardableResult public static func helped() -> Int { 1 }
            }
            nonisolated(nonsending) public func late() async {}
            package func ours() {}
            """
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(PublicLines.numbers(in: lines) == [0, 1, 7, 10, 11, 12, 13, 17, 19])
    }

    /// Every block of Swift in the tutorial is, word for word, in a file that a test compiles and runs.
    @Test func theTutorialIsCodeThatRuns() throws {
        let tutorial = try #require(House.documents.first { $0.path == "docs/client/tutorial.md" })
        let running = House.everything.filter {
            $0.path.hasPrefix("Examples/") || $0.path.hasPrefix("Tests/ExampleTests/")
        }
        let blocks = tutorial.text.matches(of: /(?s)```swift\n(.*?)```/).map { String($0.1) }
        #expect(blocks.count > 5)
        for block in blocks where !block.hasPrefix("// swift-tools-version") {
            #expect(running.contains { $0.text.contains(block) }, "not in Examples: \(block)")
        }
    }
}

/// Finds what others can see, in sources that are formatted as ours are.
enum PublicLines {
    static func numbers(in lines: [Substring]) -> [Int] {
        var found: [Int] = []
        /// Public enumerations and protocols that are open here: where they are indented, and what begins a member.
        var open: [(indentation: Int, isMember: (Substring) -> Bool)] = []
        for (number, line) in lines.enumerated() {
            let words = line.trimmed
            let indentation = line.count - line.drop { $0 == " " }.count
            if words.hasPrefix("}"), open.last?.indentation == indentation { open.removeLast() }
            let isInside = open.last.map { $0.indentation + 4 == indentation && $0.isMember(words) } ?? false
            let isPublic =
                !words.hasPrefix("//")
                && words.prefixMatch(of: /(?:@\w+(?:\([^)]*\))? |\w+(?:\(\w+\))? )*?public\b/) != nil
            if isPublic || isInside { found.append(number) }
            guard isPublic, !words.hasSuffix("}") else { continue }
            if words.contains("public enum ") || words.contains("public indirect enum ") {
                open.append((indentation, { $0.hasPrefix("case ") || $0.hasPrefix("indirect case ") }))
            } else if words.contains("public protocol ") {
                open.append((indentation, isRequirement))
            }
        }
        return found
    }

    private static func isRequirement(_ words: Substring) -> Bool {
        words.prefixMatch(of: /(?:\w+(?:\(\w+\))? )*?(?:var|func|init|associatedtype|subscript)\b/) != nil
    }
}

extension Substring {
    /// Without the blanks in front, and at the end.
    fileprivate var trimmed: Substring {
        var text = drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        return text
    }
}
