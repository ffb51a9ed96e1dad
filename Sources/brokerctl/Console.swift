import DaemonKit
import FoundationEssentials
import Glibc

/// Where brokerctl reads and writes. Tests give one that keeps what was written.
struct Console {
    /// To standard output; returns when the bytes are out.
    var write: ([UInt8]) throws(CtlFailure) -> Void
    /// To standard error.
    var complain: (String) -> Void
    /// All of standard input, or of the file of this name.
    var read: (_ file: String?) throws(CtlFailure) -> [UInt8]
    var environment: [String: String]
    var fileExists: (String) -> Bool
    var outputIsTerminal: Bool
    var errorIsTerminal: Bool
    /// From now on interrupting brokerctl calls this instead of ending it, for as long as what is returned is kept.
    var whenInterrupted: (@escaping @Sendable () -> Void) -> AnyObject? = { _ in nil }

    static func standard() -> Console {
        Console(
            write: { (bytes) throws(CtlFailure) in try writeAll(bytes, to: 1) },
            complain: { text in
                // Nobody is left to be told if this fails.
                _ = try? writeAll(Array((text + "\n").utf8), to: 2)
            },
            read: readAll,
            environment: ProcessInfo.processInfo.environment,
            fileExists: { FileManager.default.fileExists(atPath: $0) },
            outputIsTerminal: isatty(1) == 1,
            errorIsTerminal: isatty(2) == 1,
            whenInterrupted: { handler in Signals(leavingIgnored: true) { _ in handler() } })
    }

    /// A line of output, or several. What comes from outside must have gone through `harmless`.
    func print(_ text: String) throws(CtlFailure) { try write(Array((text + "\n").utf8)) }

    func printJSON(_ bytes: [UInt8]) throws(CtlFailure) { try write(bytes + [0x0A]) }

    // MARK: Progress

    /// Overwrites the line before; on a terminal only.
    func progress(_ text: String) {
        if errorIsTerminal { Console.raw("\r\(text)\u{1B}[K", self) }
    }

    func endProgress() {
        if errorIsTerminal { Console.raw("\r\u{1B}[K", self) }
    }

    private static func raw(_ text: String, _ console: Console) {
        _ = try? writeAll(Array(text.utf8), to: 2)
    }

    // MARK: Descriptors

    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) throws(CtlFailure) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                throw CtlFailure(.failed, "Writing the output failed: \(systemError(errno))")
            }
        }
    }

    private static func readAll(_ file: String?) throws(CtlFailure) -> [UInt8] {
        let descriptor = file.map { open($0, O_RDONLY | O_CLOEXEC) } ?? 0
        defer { if file != nil, descriptor >= 0 { close(descriptor) } }
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(descriptor, &room, room.count)
            if count == 0 { return bytes }
            if count > 0 {
                bytes += room[..<count]
            } else if errno != EINTR {
                throw CtlFailure(.failed, "Reading \(file ?? "standard input") failed: \(systemError(errno))")
            }
        }
    }
}

func systemError(_ number: Int32) -> String { String(cString: strerror(number)).lowercased() }
