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
        guard let base = bytes.baseAddress, let commandEnd = find(0x0A, base, 0, bytes.count) else { return nil }
        var frame = ServerFrame()
        frame.kind = kind(of: UnsafeRawBufferPointer(start: base, count: commandEnd))
        var length: Int?
        var at = commandEnd + 1
        while true {
            guard let end = find(0x0A, base, at, bytes.count) else { return nil }
            let count = end > at && base.load(fromByteOffset: end - 1, as: UInt8.self) == 0x0D ? end - at - 1 : end - at
            if count == 0 {
                at = end + 1
                break
            }
            frame.take(UnsafeRawBufferPointer(start: base + at, count: count), &length)
            at = end + 1
        }
        return frame.close(base, bodyStart: at, length: length, available: bytes.count)
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

    private consuming func close(
        _ base: UnsafeRawPointer, bodyStart: Int, length: Int?, available: Int
    ) -> ServerFrame? {
        let end: Int
        if let length {
            guard length < available - bodyStart else { return nil }
            end = bodyStart + length
        } else {
            guard let zero = ServerFrame.find(0, base, bodyStart, available) else { return nil }
            end = zero
        }
        body = UnsafeRawBufferPointer(start: base + bodyStart, count: end - bodyStart)
        count = end + 1
        return self
    }

    private static func kind(of word: UnsafeRawBufferPointer) -> Kind {
        let word = word.last == 0x0D ? UnsafeRawBufferPointer(rebasing: word.dropLast()) : word
        if word.equals("MESSAGE") { return .message }
        if word.equals("RECEIPT") { return .receipt }
        if word.equals("CONNECTED") { return .connected }
        return word.equals("ERROR") ? .error : .unknown
    }

    @inline(__always)
    private static func find(_ byte: Int32, _ base: UnsafeRawPointer, _ from: Int, _ end: Int) -> Int? {
        guard let found = memchr(base + from, byte, end - from) else { return nil }
        return UnsafeRawPointer(found) - base
    }
}

extension UnsafeRawBufferPointer {
    /// What stands behind `name` (with its colon) when the line starts with it.
    @inline(__always)
    fileprivate func value(of name: StaticString) -> UnsafeRawBufferPointer? {
        let length = name.utf8CodeUnitCount
        guard count >= length, let base = baseAddress, memcmp(base, name.utf8Start, length) == 0 else { return nil }
        return UnsafeRawBufferPointer(start: base + length, count: count - length)
    }

    fileprivate func equals(_ word: StaticString) -> Bool {
        guard count == word.utf8CodeUnitCount, let base = baseAddress else { return false }
        return memcmp(base, word.utf8Start, count) == 0
    }

    /// All of it as a decimal number of at most 18 digits.
    var decimal: UInt64? {
        guard count > 0, count <= 18 else { return nil }
        var value: UInt64 = 0
        for byte in self {
            let digit = byte &- 48
            guard digit < 10 else { return nil }
            value = value &* 10 &+ UInt64(digit)
        }
        return value
    }
}

/// SEND frames of one producer: all but receipt id, sequence and time is made once.
struct SendTemplate {
    /// One for each different message of the cycle of headers.
    private let heads: [[UInt8]]
    private let tail: [UInt8]
    private let bodyOffset: Int
    private let asksReceipt: Bool

    init(destination: String, options: Options, headers: HeaderCycle, body: [UInt8], receipts: Bool) {
        asksReceipt = receipts
        heads = (0..<headers.count).map { index in
            let text = Self.head(destination: destination, options: options, headers: headers.lines(at: index))
            return Array((text + (receipts ? "receipt:" : "")).utf8)
        }
        let rest = Array("\(receipts ? "\n" : "")content-length:\(body.count)\n\n".utf8)
        bodyOffset = rest.count
        tail = rest + body + [0]
    }

    private static func head(destination: String, options: Options, headers: [Options.HeaderLine]) -> String {
        var lines = "SEND\ndestination:\(HeaderText.escape(destination))\n"
        if options.isStored {
            lines += "persistent:true\n"
        } else if options.persistent == false {
            lines += "persistent:false\n"
        }
        for header in headers {
            lines += "\(HeaderText.escape(header.name)):\(HeaderText.escape(header.value))\n"
        }
        return lines
    }

    /// The receipt id is the sequence number.
    func append(sequence: UInt64, nanoseconds: UInt64, to out: inout Buffer) {
        let head = heads[Int(sequence % UInt64(heads.count))]
        out.reserve(head.count + 20 + tail.count)
        out.append(head)
        if asksReceipt { out.append(decimal: sequence) }
        tail.withUnsafeBytes { out.append($0) }
        let end = out.readable.count
        guard let base = out.readable.baseAddress else { return }
        Body.write(sequence: sequence, nanoseconds: nanoseconds, into: base + (end - tail.count + bodyOffset))
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
