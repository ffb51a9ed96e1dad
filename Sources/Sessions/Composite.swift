import BrokerCore
import Glibc
import STOMP

/// Several destinations in one header: `/queue/a,/topic/b`. A comma that no slash follows is part of a name.
extension Session {
    /// The most of them in one SEND.
    static var partsMost: Int { 16 }

    static func isComposite(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = name.baseAddress else { return false }
        var at = 0
        while at < name.count, let comma = memchr(base + at, Int32(UInt8(ascii: ",")), name.count - at) {
            at = UnsafeRawPointer(comma) - UnsafeRawPointer(base) + 1
            if at < name.count, name[at] == UInt8(ascii: "/") { return true }
        }
        return false
    }

    /// Each once, in the order in which they stand there.
    static func parts(of name: [UInt8]) -> [[UInt8]] {
        if !name.withUnsafeBufferPointer({ isComposite($0) }) { return [name] }
        var parts: [[UInt8]] = []
        var start = 0
        for index in 1..<name.count where name[index] == UInt8(ascii: "/") && name[index - 1] == UInt8(ascii: ",") {
            parts.append(Array(name[start..<index - 1]))
            start = index
        }
        parts.append(Array(name[start...]))
        var seen: Set<[UInt8]> = []
        return parts.filter { seen.insert($0).inserted }
    }

    func checkCount(of parts: [[UInt8]]) throws(SessionError) {
        if parts.count <= Self.partsMost { return }
        throw SessionError(
            .badHeader,
            "a SEND may have \(Self.partsMost) destinations, this one has \(parts.count); send the message again for "
                + "the others")
    }
}
