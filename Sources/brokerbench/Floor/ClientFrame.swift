/// A frame from a client, where it lies in the receive buffer. Nothing is checked that a load generator
/// does right.
struct ClientFrame {
    enum Kind: Equatable { case connect, send, ack, subscribe, disconnect, unknown }

    var kind = Kind.unknown
    var destination = UnsafeRawBufferPointer(start: nil, count: 0)
    var receipt = UnsafeRawBufferPointer(start: nil, count: 0)
    var id = UnsafeRawBufferPointer(start: nil, count: 0)
    var isPersistent = false
    /// Of SUBSCRIBE: each message is acknowledged.
    var wantsAcks = false
    var body = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Bytes of the whole frame, its NUL too.
    var count = 0

    /// The frame at the front of `bytes`; nil until it is whole. Leading line ends must be gone.
    @inline(__always)
    static func scan(_ bytes: UnsafeRawBufferPointer) -> ClientFrame? {
        guard let base = bytes.baseAddress, let commandEnd = WireBytes.find(0x0A, base, 0, bytes.count) else {
            return nil
        }
        var frame = ClientFrame()
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

    @inline(__always)
    private mutating func take(_ line: UnsafeRawBufferPointer, _ length: inout Int?) {
        switch line[0] {
        case UInt8(ascii: "a"):
            if let value = line.value(of: "ack:") { wantsAcks = !value.equals("auto") }
        case UInt8(ascii: "c"):
            if let value = line.value(of: "content-length:") { length = value.decimal.map { Int($0) } }
        case UInt8(ascii: "d"):
            if let value = line.value(of: "destination:") { destination = value }
        case UInt8(ascii: "i"):
            if let value = line.value(of: "id:") { id = value }
        case UInt8(ascii: "p"):
            if line.equals("persistent:true") { isPersistent = true }
        case UInt8(ascii: "r"):
            if let value = line.value(of: "receipt:") { receipt = value }
        default: break
        }
    }

    @inline(__always)
    private static func kind(of word: UnsafeRawBufferPointer) -> Kind {
        if word.equals("SEND") { return .send }
        if word.equals("ACK") { return .ack }
        if word.equals("CONNECT") || word.equals("STOMP") { return .connect }
        if word.equals("SUBSCRIBE") { return .subscribe }
        return word.equals("DISCONNECT") ? .disconnect : .unknown
    }
}
