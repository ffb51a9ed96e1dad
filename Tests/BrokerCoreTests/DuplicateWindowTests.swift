import Base
import Testing

@testable import BrokerCore

struct DuplicateWindowTests {
    /// The first 18 vectors for 128 bits of the authors' own (veorq/SipHash, vectors.h): the key is 00 to 0f,
    /// the text of vector n is 00 01 ... up to n bytes.
    @Test func hashesAreTheOnesOfTheAuthors() {
        let vectors = [
            "a3817f04ba25a8e66df67214c7550293", "da87c1d86b99af44347659119b22fc45", "8177228da4a45dc7fca38bdef60affe4",
            "9c70b60c5267a94e5f33b6b02985ed51", "f88164c12d9c8faf7d0f6e7c7bcd5579", "1368875980776f8854527a07690e9627",
            "14eeca338b208613485ea0308fd7a15e", "a1f1ebbed8dbc153c0b84aa61ff08239", "3b62a9ba6258f5610f83e264f31497b4",
            "264499060ad9baabc47f8b02bb6d71ed", "00110dc378146956c95447d3f3d0fbba", "0151c568386b6677a2b4dc6f81e5dc18",
            "d626b266905ef35882634df68532c125", "9869e247e9c08b10d029934fc4b952f7", "31fcefac66d7de9c7ec7485fe4494902",
            "5493e99933b0a8117e08ec0f97cfc3d9", "6ee2a4ca67b054bbfd3315bf85230577",
            "473d06e8738db89854c066c47ae47740",
        ]
        for (length, vector) in vectors.enumerated() {
            let hash = SipHash.hash((0..<length).map { UInt8($0) }, key: (0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908))
            let bytes = [hash.high, hash.low].flatMap { word in
                (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
            }
            let text = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            #expect(text == vector, "\(length) bytes")
        }
    }

    /// Goal: the window is what a plain list is. Method: random ids, some of them more than once.
    @Test(arguments: 1...6 as ClosedRange<UInt64>) func aWindowAgreesWithAPlainList(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var window = DuplicateWindow(queue: 1)
        var plain: [(hash: DedupHash, second: UInt32)] = []
        // Many that are alike in the words that the table looks at, where `seed` is even.
        func hash(_ number: Int) -> DedupHash {
            DedupHash(high: UInt64(number), low: seed % 2 == 0 ? UInt64(number) : UInt64(number) &* 0x9E37_79B9)
        }
        for step in 0..<6000 {
            let isGrowing = step / 1000 % 2 == 0
            if random.below(10) < (isGrowing ? 7 : 3) {
                let item = (hash: hash(random.below(900)), second: UInt32(random.below(1000)))
                window.append(item.hash, second: item.second)
                plain.append(item)
            } else if !plain.isEmpty {
                window.removeFirst()
                plain.removeFirst()
            } else {
                window.removeFirst()
            }
            #expect(window.count == plain.count && window.oldestSecond == plain.first?.second)
            let wanted = hash(random.below(900))
            #expect(window.second(of: wanted) == plain.last { $0.hash == wanted }?.second)
        }
        for number in 0..<900 {
            #expect(window.second(of: hash(number)) == plain.last { $0.hash == hash(number) }?.second)
        }
        while window.count > 0 { window.removeFirst() }
        #expect(window.second(of: hash(1)) == nil && window.memory <= 1024)
    }

    /// The figure in docs/protocol.md.
    @Test func anIDTakesNoMoreThan56Bytes() {
        var duplicates = Duplicates()
        for number in 0..<200_000 as Range<UInt64> {
            let hash = DedupHash(high: number &* 0x9E37_79B9_7F4A_7C15, low: number &* 0xD1B5_4A32_D192_ED03)
            duplicates.append(hash, second: 1, batch: 1, to: 1)
            if number == 131_071 { #expect(duplicates.memory <= 131_072 * 28 + (16 << 10)) }
            if number == 131_072 { #expect(duplicates.memory <= 131_073 * 56 + (16 << 10)) }
        }
        for _ in 0..<150_000 { duplicates.forgetOldest(of: 1) }
        #expect(duplicates.count == 50_000 && duplicates.memory <= 131_072 * 28 + (16 << 10))
    }
}
