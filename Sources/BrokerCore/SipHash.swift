/// SipHash-2-4 with 128 bits of output (Aumasson, Bernstein 2012): short, and nobody who does not know the
/// key can make two texts that have the same.
enum SipHash {
    static func hash(_ text: some Collection<UInt8>, key: (UInt64, UInt64)) -> DedupHash {
        text.withContiguousStorageIfAvailable { hash($0, key: key) }
            ?? Array(text).withUnsafeBufferPointer { hash($0, key: key) }
    }

    static func hash(_ text: UnsafeBufferPointer<UInt8>, key: (UInt64, UInt64)) -> DedupHash {
        var state = State(key)
        let bytes = UnsafeRawBufferPointer(text)
        var at = 0
        while bytes.count - at >= 8 {
            state.take(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
            at += 8
        }
        var last = UInt64(truncatingIfNeeded: bytes.count) << 56
        for index in at..<bytes.count { last |= UInt64(bytes[index]) << UInt64((index - at) * 8) }
        state.take(last)
        return state.end()
    }

    private struct State {
        private var v0: UInt64
        private var v1: UInt64
        private var v2: UInt64
        private var v3: UInt64

        init(_ key: (UInt64, UInt64)) {
            v0 = key.0 ^ 0x736F_6D65_7073_6575
            v1 = key.1 ^ 0x646F_7261_6E64_6F6D ^ 0xEE
            v2 = key.0 ^ 0x6C79_6765_6E65_7261
            v3 = key.1 ^ 0x7465_6462_7974_6573
        }

        mutating func take(_ word: UInt64) {
            v3 ^= word
            mix(2)
            v0 ^= word
        }

        mutating func end() -> DedupHash {
            v2 ^= 0xEE
            mix(4)
            let high = v0 ^ v1 ^ v2 ^ v3
            v1 ^= 0xDD
            mix(4)
            return DedupHash(high: high, low: v0 ^ v1 ^ v2 ^ v3)
        }

        private mutating func mix(_ rounds: Int) {
            for _ in 0..<rounds {
                v0 &+= v1
                v1 = v1 << 13 | v1 >> 51
                v1 ^= v0
                v0 = v0 << 32 | v0 >> 32
                v2 &+= v3
                v3 = v3 << 16 | v3 >> 48
                v3 ^= v2
                v0 &+= v3
                v3 = v3 << 21 | v3 >> 43
                v3 ^= v0
                v2 &+= v1
                v1 = v1 << 17 | v1 >> 47
                v1 ^= v2
                v2 = v2 << 32 | v2 >> 32
            }
        }
    }
}
