/// Rows under headings, in aligned columns with two spaces between them.
struct Table {
    enum Alignment { case left, right }

    struct Column {
        var heading: String
        var alignment: Alignment

        /// For words.
        static func left(_ heading: String) -> Column { Column(heading: heading, alignment: .left) }
        /// For numbers.
        static func right(_ heading: String) -> Column { Column(heading: heading, alignment: .right) }
    }

    var columns: [Column]
    private(set) var rows: [[String]] = []

    init(_ columns: [Column]) { self.columns = columns }

    /// A cell for every column. Cells are made harmless here.
    mutating func add(_ cells: [String]) {
        precondition(cells.count == columns.count)
        rows.append(cells.map { harmless($0) })
    }

    /// The lines, without an end of line behind the last and without blanks at the end of any.
    var text: String {
        let widths = columns.indices.map { index in
            rows.reduce(columns[index].heading.count) { max($0, $1[index].count) }
        }
        return ([columns.map(\.heading)] + rows).map { line(of: $0, widths) }.joined(separator: "\n")
    }

    private func line(of cells: [String], _ widths: [Int]) -> String {
        var line = ""
        for (index, cell) in cells.enumerated() {
            let fill = String(repeating: " ", count: widths[index] - cell.count)
            line += index == 0 ? "" : "  "
            line += columns[index].alignment == .right ? fill + cell : cell + fill
        }
        while line.last == " " { line.removeLast() }
        return line
    }
}

/// Names and values under each other, the values aligned.
struct Facts {
    private var facts: [(name: String, value: String)] = []

    /// Both are made harmless here.
    mutating func add(_ name: String, _ value: String) { facts.append((harmless(name), harmless(value))) }

    var text: String {
        let width = facts.reduce(0) { max($0, $1.name.count) }
        return facts.map { fact in
            fact.name + String(repeating: " ", count: width - fact.name.count) + "  " + fact.value
        }.joined(separator: "\n")
    }
}
