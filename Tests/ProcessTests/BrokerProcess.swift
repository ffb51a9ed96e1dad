import Foundation
import Glibc

/// A broker as a process of its own.
final class BrokerProcess {
    let child: Child
    let data: String
    /// Of the first address it listens on.
    private(set) var port: UInt16 = 0
    /// Everything it listens on, as its `ready` line says.
    private(set) var addresses: [String] = []

    /// Small files and little room: a test is not about their size.
    static let small = [
        "--set", "journal.segment_bytes=8 MiB", "--set", "limits.body_bytes=1 MiB", "--set",
        "limits.transaction_bytes=1 MiB",
        "--set", "disk.low_bytes=1 MiB", "--set", "disk.high_bytes=2 MiB",
    ]

    /// Starts it and waits until it serves. `under`: a program that runs it.
    init(
        _ home: Home, data: String? = nil, _ arguments: [String] = [], listen: [String] = ["127.0.0.1:0"],
        under: [String] = [], within duration: Duration = .seconds(30)
    ) throws {
        self.data = data ?? home.path + "/data"
        let command = try under + Self.command(data: self.data, arguments, listen: listen)
        child = try Child(command)
        let isReady = try child.readErrors(within: duration) { Self.readyLine(in: $0) != nil }
        guard isReady, let line = Self.readyLine(in: child.errorText) else {
            let code = try child.exitCode()
            throw Problem("the broker ended with \(code):\n\(log)")
        }
        addresses = Self.addresses(in: line)
        guard let port = addresses.first.flatMap({ $0.split(separator: ":").last }).flatMap({ UInt16($0) }) else {
            throw Problem("no port in \(line)")
        }
        self.port = port
    }

    static func command(data: String, _ arguments: [String] = [], listen: [String] = ["127.0.0.1:0"]) throws -> [String]
    {
        try [Programs.path("brokerd"), "--data", data] + listen.flatMap { ["--listen", $0] } + small + arguments
    }

    /// A start that is expected to fail: its code and what it said.
    static func refusal(data: String, _ arguments: [String] = [], listen: [String] = ["127.0.0.1:0"]) throws -> (
        code: Int32, errors: String
    ) {
        let ended = try Child.run(command(data: data, arguments, listen: listen))
        return (ended.code, ended.errors)
    }

    private static func readyLine(in text: [UInt8]) -> String? {
        String(decoding: text, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            .first { $0.contains(" ready listen=") }.map(String.init)
    }

    private static func addresses(in line: String) -> [String] {
        guard let start = line.range(of: "listen=")?.upperBound else { return [] }
        let rest = line[start...]
        let value = rest.first == "\"" ? rest.dropFirst().prefix { $0 != "\"" } : rest.prefix { $0 != " " }
        return value.split(separator: " ").map(String.init)
    }

    var log: String { String(decoding: child.errorText, as: UTF8.self) }

    /// Waits until the log says `words`.
    func waitForLog(_ words: String, within duration: Duration = .seconds(10)) throws {
        guard try child.readErrors(within: duration, until: { String(decoding: $0, as: UTF8.self).contains(words) })
        else {
            throw Problem("it ended without saying \"\(words)\":\n\(log)")
        }
    }

    func connect(version: String = "1.2") throws -> RawClient {
        let client = try RawClient(port: port)
        try client.login(version: version)
        return client
    }

    /// SIGTERM, and its exit code.
    func stop(within duration: Duration = .seconds(10)) throws -> Int32 {
        child.signal(SIGTERM)
        return try child.exitCode(within: duration)
    }

    func kill() { child.end() }
}
