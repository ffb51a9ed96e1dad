import Glibc
import STOMP

/// Headers as the bytes that came: lines `name:value` in which nothing is escaped, each with its line feed. Most programs look
/// at few of them, and to make strings of all would be most of what it costs to receive a message.
struct HeaderLines: Sendable {
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The value of the first header of this name.
    subscript(name: String) -> String? {
        var name = name
        return name.withUTF8 { name in
            bytes.withUnsafeBufferPointer { bytes in
                guard let base = bytes.baseAddress else { return nil }
                var at = 0
                while let end = Self.endOfLine(base, at, bytes.count) {
                    let value = at + name.count + 1
                    if value <= end, base[value - 1] == UInt8(ascii: ":"),
                        memcmp(base + at, name.baseAddress ?? base, name.count) == 0
                    {
                        return Self.text(base, value..<end)
                    }
                    at = end + 1
                }
                return nil
            }
        }
    }

    /// How many there are.
    var count: Int { bytes.count { $0 == 10 } }

    /// All of them, in their order.
    var fields: [Frame.Header] {
        bytes.withUnsafeBufferPointer { bytes in
            var fields: [Frame.Header] = []
            guard let base = bytes.baseAddress else { return fields }
            fields.reserveCapacity(count)
            var at = 0
            while let end = Self.endOfLine(base, at, bytes.count) {
                let colon = (at..<end).first { base[$0] == UInt8(ascii: ":") } ?? end
                fields.append(Frame.Header(Self.text(base, at..<colon), Self.text(base, min(colon + 1, end)..<end)))
                at = end + 1
            }
            return fields
        }
    }

    /// Where the line feed of the line at `start` is; nil behind the last line.
    private static func endOfLine(_ base: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int? {
        guard start < count, let found = memchr(base + start, 10, count - start) else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(base)
    }

    private static func text(_ base: UnsafePointer<UInt8>, _ range: Range<Int>) -> String {
        String(decoding: UnsafeBufferPointer(start: base + range.lowerBound, count: range.count), as: UTF8.self)
    }
}
