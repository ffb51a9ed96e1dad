import DaemonKit
import FoundationEssentials
import STOMP

/// How `consume` shows messages.
struct MessagePrinter {
    private enum Style { case blocks, lines, bodies }

    private let style: Style
    private let console: Console

    init(_ call: Invocation, _ console: Console) {
        style = call.wantsJSON ? .lines : call.isGiven("--body-only") ? .bodies : .blocks
        self.console = console
    }

    /// Returns when the message is out of this process: only then may it be acknowledged.
    func print(_ message: Frame, number: UInt64) throws(CtlFailure) {
        switch style {
        case .lines: try console.printJSON(try MessagePrinter.json(message))
        case .bodies: try console.write(shown(message.body) + [0x0A])
        case .blocks:
            var head = "--- message \(number)\n"
            for header in message.headers { head += "\(harmless(header.name)): \(harmless(header.value))\n" }
            try console.write(Array((head + "\n").utf8) + shown(message.body) + [0x0A])
        }
    }

    /// On a terminal nothing that could steer it; into a file or a pipe the bytes as they are.
    private func shown(_ body: [UInt8]) -> [UInt8] {
        guard console.outputIsTerminal else { return body }
        return Array(harmless(String(decoding: body, as: UTF8.self), keepsLines: true).utf8)
    }

    /// One line: headers in order, the whole body as text or base64.
    static func json(_ message: Frame) throws(CtlFailure) -> [UInt8] {
        var line = Line()
        line.headers = message.headers.map { API.Header(name: $0.name, value: $0.value) }
        line.bodyBytes = UInt64(message.body.count)
        if let text = String(validating: message.body, as: UTF8.self) {
            line.body = text
        } else {
            line.body = Data(message.body).base64EncodedString()
            line.bodyEncoding = "base64"
        }
        return try encoded(line)
    }

    struct Line: APISchema {
        var headers: [API.Header] = []
        var bodyBytes: UInt64 = 0
        var body = ""
        var bodyEncoding = "utf8"

        static let summary = "A message as `consume --json` prints it, one to a line."
        static let notes = [
            "headers": "in the order the broker sent them; the first of a name counts",
            "body_bytes": "length of the body",
            "body": "all of it, as text or base64",
            "body_encoding": "`utf8` or `base64`",
        ]
    }
}
