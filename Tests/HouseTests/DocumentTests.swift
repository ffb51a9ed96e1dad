import Foundation
import Testing

@Suite struct DocumentTests {
    /// Goal: nobody follows a link into nothing. Method: every relative link of every document, with
    /// its heading if it names one.
    @Test func everyLinkLeadsSomewhere() {
        #expect(!House.documents.isEmpty)
        for document in House.documents {
            for match in document.text.matches(of: /\]\(([^)\s]+)\)/) {
                let link = String(match.1)
                if link.contains("://") || link.hasPrefix("mailto:") { continue }
                let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
                let path = parts[0].isEmpty ? document.path : resolve(String(parts[0]), from: document.path)
                #expect(House.exists(path), "\(document.path) links to \(link)")
                guard parts.count == 2, let target = House.documents.first(where: { $0.path == path }) else { continue }
                #expect(headings(of: target).contains(String(parts[1])), "\(document.path) links to \(link)")
            }
        }
    }

    @Test func everyDecisionThatSourcesNameIsWritten() {
        for file in House.sources {
            for match in file.text.matches(of: /docs\/decisions\/[\w-]+\.md/) {
                #expect(House.exists(String(match.0)), "\(file.path) names \(match.0)")
            }
        }
    }

    @Test func everyDecisionIsInTheIndex() {
        let index = House.documents.first { $0.path == "docs/decisions/README.md" }
        for document in House.documents where document.path.hasPrefix("docs/decisions/") {
            let name = document.path.dropFirst("docs/decisions/".count)
            if name == "README.md" { continue }
            #expect(name.prefixMatch(of: /[0-9]{3}-[a-z0-9-]+\.md/) != nil, "\(document.path)")
            #expect(index?.text.contains("(\(name))") == true, "\(document.path) is not in the index")
        }
    }

    private func resolve(_ link: String, from document: String) -> String {
        var parts = document.split(separator: "/").dropLast()
        for part in link.split(separator: "/") {
            if part == ".." { parts = parts.dropLast() } else if part != "." { parts.append(part) }
        }
        return parts.joined(separator: "/")
    }

    /// Headings as the web shows them in addresses: small letters, blanks as hyphens.
    private func headings(of document: House.File) -> Set<String> {
        Set(
            document.lines.filter { $0.hasPrefix("#") }.map { line in
                let words = line.drop { $0 == "#" || $0 == " " }.lowercased()
                return String(words.filter { $0.isLetter || $0.isNumber || $0 == " " || $0 == "-" || $0 == "_" })
                    .replacingOccurrences(of: " ", with: "-")
            })
    }
}
