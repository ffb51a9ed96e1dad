import Foundation
import Glibc

/// A directory for one test, gone with it.
final class Home {
    let path: String
    private var isKept = false

    init() throws {
        var template = Array((NSTemporaryDirectory() + "/brokerd-test-XXXXXX").utf8CString)
        guard let made = mkdtemp(&template) else { throw Problem.system("mkdtemp") }
        path = String(cString: made)
    }

    deinit {
        if isKept { return }
        do { try FileManager.default.removeItem(atPath: path) } catch { print("\(path) stays: \(error)") }
    }

    /// It stays, for whoever wants to know what happened in it.
    func keep() { isKept = true }

    func file(_ name: String, _ text: String) throws -> String {
        let path = "\(path)/\(name)"
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// All files below, with their contents: what must not have changed.
    func contents() throws -> [String: Data] {
        var found: [String: Data] = [:]
        guard let walk = FileManager.default.enumerator(atPath: path) else { throw Problem("\(path) cannot be listed") }
        while let name = walk.nextObject() as? String {
            var isDirectory: ObjCBool = false
            let full = "\(path)/\(name)"
            guard FileManager.default.fileExists(atPath: full, isDirectory: &isDirectory), !isDirectory.boolValue else {
                continue
            }
            // The lock names the process that has it, or had it last.
            if !name.hasSuffix("/lock"), !name.hasSuffix(".sock") {
                found[name] = try Data(contentsOf: URL(fileURLWithPath: full))
            }
        }
        return found
    }
}

/// The programs under test, as `scripts/build` left them.
enum Programs {
    static func path(_ name: String) throws -> String {
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
        let wished = ProcessInfo.processInfo.environment[name.uppercased()]
        let candidates = [wished, "\(root)/.build/release/\(name)", "\(root)/.build/debug/\(name)"]
        for case let path? in candidates where access(path, X_OK) == 0 { return path }
        throw Problem("\(name) is not built: run scripts/build")
    }

    /// A program of the system; nil if it is not there.
    static func found(_ name: String) -> String? {
        ["/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"].map { $0 + name }.first { access($0, X_OK) == 0 }
    }
}

/// True where a missing tool is a failure, not a reason to leave something out.
let isCI = ProcessInfo.processInfo.environment["CI"] == "true"
