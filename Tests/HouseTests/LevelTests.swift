import Foundation
import Testing

/// Imports go down and never up: what docs/architecture.md says, held against every file.
@Suite struct LevelTests {
    /// The level of each target, and what it may import beside the house.
    private static let rooms: [String: (level: Int, outside: Set<String>)] = [
        "CSystem": (0, []),
        "CSQLite": (0, []),
        // Machines: no Foundation, no Dispatch; a machine is told the time and what was read.
        "Base": (1, ["Glibc", "Synchronization"]),
        "STOMP": (2, ["Glibc"]),
        "BrokerCore": (2, ["Glibc"]),
        "Sessions": (3, ["Glibc"]),
        "Storage": (3, []),
        // Loops: threads, queues and descriptors, but no Foundation.
        "Net": (3, ["Glibc", "Synchronization"]),
        "LogStorage": (4, ["Glibc", "Dispatch", "Synchronization"]),
        "BrokerClient": (4, ["Glibc", "Dispatch", "Synchronization"]),
        "BrokerClientJSON": (5, ["FoundationEssentials"]),
        "BrokerClientSQLite": (5, ["Glibc", "Dispatch", "Synchronization"]),
        "BrokerTesting": (5, ["Synchronization"]),
        // Words: cold paths.
        "DaemonKit": (5, ["Glibc", "Dispatch", "Synchronization", "Foundation", "FoundationEssentials"]),
        "Simulation": (5, ["Glibc", "Dispatch", "Synchronization", "Foundation", "FoundationEssentials"]),
        "brokerd": (6, ["Glibc", "Dispatch", "Synchronization", "Foundation", "FoundationEssentials"]),
        "brokerctl": (6, ["Glibc", "Dispatch", "Synchronization", "Foundation", "FoundationEssentials"]),
        "brokerbench": (6, ["Glibc", "Dispatch", "Synchronization", "Foundation", "FoundationEssentials"]),
        "brokersim": (6, ["Glibc", "Dispatch", "Synchronization", "Foundation", "FoundationEssentials"]),
    ]

    /// What each target uses, as Package.swift says.
    private static let uses: [String: Set<String>] = {
        let manifest =
            (try? String(contentsOf: House.root.appendingPathComponent("Package.swift"), encoding: .utf8)) ?? ""
        var uses: [String: Set<String>] = [:]
        for match in manifest.matches(of: /(?:room|program)\(\s*"(\w+)",\s*uses:\s*\[([^\]]*)\]/) {
            uses[String(match.1)] = Set(match.2.matches(of: /"(\w+)"/).map { String($0.1) })
        }
        return uses
    }()

    private func imports(of file: House.File) -> [String] {
        file.lines.compactMap { line in
            // Nearly all lines are told by this, much sooner.
            guard line.contains("import ") else { return nil }
            return line.prefixMatch(
                of:
                    /\s*(?:@\w+(?:\(\w+\))?\s+|(?:public|package|internal|fileprivate|private)\s+)*import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)/
            )
            .map { String($0.1) }
        }
    }

    @Test func everyTargetHasALevel() {
        #expect(!Self.uses.isEmpty)
        for name in Self.uses.keys { #expect(Self.rooms[name] != nil, "\(name) is not in the table of levels") }
        for file in House.sources { #expect(Self.rooms[file.module] != nil, "\(file.path)") }
    }

    @Test func thePackageNamesOnlyTargetsOfALowerLevel() throws {
        for (name, used) in Self.uses {
            let level = try #require(Self.rooms[name]?.level)
            for other in used {
                let below = try #require(Self.rooms[other]?.level, "\(other)")
                #expect(below < level, "\(name) uses \(other)")
            }
        }
    }

    /// Who builds against the client, or runs the broker, needs no library of the system.
    @Test func onlyTheStoreInSQLiteNeedsSQLite() {
        #expect(Set(Self.uses.filter { $0.value.contains("CSQLite") }.keys) == ["BrokerClientSQLite"])
        #expect(Self.uses.values.allSatisfy { !$0.contains("BrokerClientSQLite") })
    }

    @Test func filesImportOnlyWhatTheirTargetMay() {
        var seen = 0
        for file in House.sources {
            guard let room = Self.rooms[file.module] else { continue }
            let allowed = room.outside.union(Self.uses[file.module] ?? [])
            for name in imports(of: file) {
                seen += 1
                #expect(allowed.contains(name), "\(file.path) imports \(name)")
            }
        }
        #expect(seen > 20, "the imports were not found")
    }
}
