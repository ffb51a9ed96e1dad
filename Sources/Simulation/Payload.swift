/// The body of a message says which it is, and every byte of it follows from that.
enum Payload {
    static func bytes(_ message: Int, count: Int) -> [UInt8] {
        var bytes = Array("\(message);".utf8)
        var state = UInt64(truncatingIfNeeded: message) &* 0x9E37_79B9_7F4A_7C15 | 1
        while bytes.count < count {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            bytes.append(UInt8(truncatingIfNeeded: state >> 56))
        }
        return bytes
    }

    /// When the life of a message ends, as its header block says.
    static func expiry(in head: Slice<UnsafeBufferPointer<UInt8>>) -> UInt64? {
        let name = Array("expires:".utf8)
        var line = head[...]
        while !line.isEmpty {
            if line.starts(with: name) {
                return UInt64(String(decoding: line.dropFirst(name.count).prefix { $0 != 0x0A }, as: UTF8.self))
            }
            line = line.drop { $0 != 0x0A }.dropFirst()
        }
        return nil
    }

    /// The number of the message that begins a body.
    static func message(in body: UnsafeBufferPointer<UInt8>) -> Int? {
        var number = 0
        for byte in body.prefix(12) {
            if byte == UInt8(ascii: ";") { return number }
            guard byte >= 48, byte <= 57 else { return nil }
            number = number * 10 + Int(byte - 48)
        }
        return nil
    }
}
