import Foundation

/// The files of this package, as text.
enum House {
    struct File {
        /// From the root of the package: `Sources/Base/Buffer.swift`.
        let path: String
        let text: String

        var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
        /// The folder below `Sources`.
        var module: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
    }

    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// All Swift files of the targets.
    static let sources = files(in: "Sources") { $0.hasSuffix(".swift") }

    static let documents = files(in: "") { $0.hasSuffix(".md") }

    /// What people wrote: everything but what is built or generated.
    static let everything = files(in: "") { path in
        path.contains(".swift") || path.hasSuffix(".md") || path.hasSuffix(".json5") || path.hasSuffix(".service")
            || path.hasPrefix("scripts/") || path.hasPrefix(".ci/") || path.hasSuffix(".c") || path.hasSuffix(".h")
    }

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appendingPathComponent(path).path)
    }

    private static let notOurs: Set = [".build", ".git", ".venv", "data", "node_modules"]

    private static func files(in folder: String, where isWanted: (String) -> Bool) -> [File] {
        let start = folder.isEmpty ? root : root.appendingPathComponent(folder)
        guard let walk = FileManager.default.enumerator(atPath: start.path) else { return [] }
        var found: [File] = []
        while let path = walk.nextObject() as? String {
            if notOurs.contains(path) {
                walk.skipDescendants()
                continue
            }
            let full = folder.isEmpty ? path : folder + "/" + path
            guard isWanted(full),
                let data = FileManager.default.contents(atPath: start.appendingPathComponent(path).path)
            else { continue }
            found.append(File(path: full, text: String(decoding: data, as: UTF8.self)))
        }
        return found.sorted { $0.path < $1.path }
    }
}
