import Base
import Glibc

/// CPU time that we and the broker used over some time, from /proc.
struct ProcessorUse: Sendable {
    private let server: Int
    private let startedAt = Instant.now.nanoseconds
    private let ownBefore = ProcessorUse.cpuSeconds(of: Int(getpid()))
    private let serverBefore: Double
    private var endedAt: UInt64 = 0
    private var ownAfter = 0.0
    private var serverAfter = 0.0

    /// Starts the measurement. `server` 0: no broker process is known.
    init(server: Int) {
        self.server = server
        serverBefore = server > 0 ? ProcessorUse.cpuSeconds(of: server) : 0
    }

    mutating func end() {
        endedAt = Instant.now.nanoseconds
        ownAfter = ProcessorUse.cpuSeconds(of: Int(getpid()))
        if server > 0 { serverAfter = ProcessorUse.cpuSeconds(of: server) }
    }

    private var seconds: Double { max(Double(endedAt - startedAt) / 1e9, 1e-9) }
    var ownCores: Double { (ownAfter - ownBefore) / seconds }
    var serverCores: Double? { server > 0 ? (serverAfter - serverBefore) / seconds : nil }
    var ownResidentMiB: Double { ProcessorUse.mebibytes("VmRSS:", of: Int(getpid())) }
    var serverResidentMiB: Double? { server > 0 ? ProcessorUse.mebibytes("VmRSS:", of: server) : nil }

    static func residentMiB(of server: Int) -> Double { mebibytes("VmRSS:", of: server) }

    /// Most memory that the process had since its start or `forgetPeak`.
    static func peakMiB(of server: Int) -> Double? { server > 0 ? mebibytes("VmHWM:", of: server) : nil }

    /// The peak is what the process has now; nothing happens where we may not say so.
    static func forgetPeak(of server: Int) {
        guard server > 0, let file = fopen("/proc/\(server)/clear_refs", "w") else { return }
        fputs("5", file)
        fclose(file)
    }

    private static func cpuSeconds(of pid: Int) -> Double {
        // Fields 14 and 15, counted from behind the name, which may hold blanks.
        let text = contents(of: "/proc/\(pid)/stat")
        guard let close = text.lastIndex(of: ")") else { return 0 }
        let fields = text[text.index(after: close)...].split(separator: " ")
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    private static func mebibytes(_ field: String, of pid: Int) -> Double {
        for line in contents(of: "/proc/\(pid)/status").split(separator: "\n") where line.hasPrefix(field) {
            let number = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first
            return (number.flatMap { Double($0) } ?? 0) / 1024
        }
        return 0
    }

    private static func contents(of path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 16 << 10)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
