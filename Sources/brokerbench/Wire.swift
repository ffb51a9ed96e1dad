import Base
import Glibc

/// A frame from the broker, where it lies in the receive buffer. Only what a load generator needs is
/// looked at; the checks of a real client are in the STOMP module.
struct ServerFrame {
    enum Kind: Equatable { case message, receipt, connected, error, unknown }

    var kind = Kind.unknown
    /// As it stands on the wire, so that it can be sent back without unescaping.
    var ack = UnsafeRawBufferPointer(start: nil, count: 0)
    var receiptID = UnsafeRawBufferPointer(start: nil, count: 0)
    var body = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Bytes of the whole frame, its NUL too.
    var count = 0

    /// The frame at the front of `bytes`; nil until it is whole. Leading line ends must be gone.
    static func scan(_ bytes: UnsafeRawBufferPointer) -> ServerFrame? {
        guard let base = bytes.baseAddress, let commandEnd = WireBytes.find(0x0A, base, 0, bytes.count) else {
            return nil
        }
        var frame = ServerFrame()
        frame.kind = kind(of: WireBytes.line(base, 0, commandEnd))
        var length: Int?
        var at = commandEnd + 1
        while true {
            guard let end = WireBytes.find(0x0A, base, at, bytes.count) else { return nil }
            let line = WireBytes.line(base, at, end)
            at = end + 1
            if line.count == 0 { break }
            frame.take(line, &length)
        }
        guard let end = WireBytes.bodyEnd(base, start: at, length: length, available: bytes.count) else { return nil }
        frame.body = UnsafeRawBufferPointer(start: base + at, count: end - at)
        frame.count = end + 1
        return frame
    }

    private mutating func take(_ line: UnsafeRawBufferPointer, _ length: inout Int?) {
        switch line[0] {
        case UInt8(ascii: "a"):
            if let value = line.value(of: "ack:") { ack = value }
        case UInt8(ascii: "c"):
            if length == nil, let value = line.value(of: "content-length:") { length = value.decimal.map { Int($0) } }
        case UInt8(ascii: "r"):
            if let value = line.value(of: "receipt-id:") { receiptID = value }
        default: break
        }
    }

    private static func kind(of word: UnsafeRawBufferPointer) -> Kind {
        if word.equals("MESSAGE") { return .message }
        if word.equals("RECEIPT") { return .receipt }
        if word.equals("CONNECTED") { return .connected }
        return word.equals("ERROR") ? .error : .unknown
    }
}

/// SEND frames of one producer: all but receipt id, sequence and time is made once.
struct SendTemplate {
    /// One for each different message of the cycle of headers.
    private let heads: [[UInt8]]
    private let tail: [UInt8]
    private let bodyOffset: Int
    private let bodySize: Int
    private let asksReceipt: Bool

    /// `destination`: instead of those among the headers.
    init(destination: String? = nil, options: Options, headers: HeaderCycle, body: [UInt8], receipts: Bool) {
        asksReceipt = receipts
        heads = (0..<headers.count).map { index in
            let text = Self.head(destination: destination, options: options, headers: headers.lines(at: index))
            return Array((text + (receipts ? "receipt:" : "")).utf8)
        }
        let rest = Array("\(receipts ? "\n" : "")content-length:\(body.count)\n\n".utf8)
        bodyOffset = rest.count
        bodySize = body.count
        tail = rest + body + [0]
    }

    private static func head(destination: String?, options: Options, headers: [Options.HeaderLine]) -> String {
        let destination = destination ?? headers.first { $0.name == "destination" }?.value ?? ""
        var lines = "SEND\ndestination:\(HeaderText.escape(destination))\n"
        if options.isStored {
            lines += "persistent:true\n"
        } else if options.persistent == false {
            lines += "persistent:false\n"
        }
        for header in headers where header.name != "destination" {
            lines += "\(HeaderText.escape(header.name)):\(HeaderText.escape(header.value))\n"
        }
        return lines
    }

    /// The receipt id is the sequence number.
    func append(sequence: UInt64, nanoseconds: UInt64, to out: inout Buffer) {
        let head = heads.count == 1 ? heads[0] : heads[Int(sequence % UInt64(heads.count))]
        out.reserve(head.count + 20 + tail.count)
        out.append(head)
        if asksReceipt { out.append(decimal: sequence) }
        tail.withUnsafeBytes { out.append($0) }
        let end = out.readable.count
        guard let base = out.readable.baseAddress else { return }
        let body = base + (end - tail.count + bodyOffset)
        Body.write(sequence: sequence, nanoseconds: nanoseconds, into: body, size: bodySize)
    }
}

/// STOMP 1.2 escapes, for what the command line gives.
enum HeaderText {
    static func escape(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\r": escaped += "\\r"
            case ":": escaped += "\\c"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
