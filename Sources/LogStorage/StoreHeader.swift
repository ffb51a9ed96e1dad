/// The file `store`: what this directory is, and whose.
///
///     0        8         12    16        24   32
///     | magic  | version | CRC | storeID | 0  |
struct StoreHeader {
    static let magic: UInt64 = 0x3152_4F54_534B_5242  // "BRKSTOR1"
    static let size = 32
    var storeID: UInt64
    /// The newest version that any file of the store may be of.
    var version = FormatVersion.current

    func encoded() -> [UInt8] {
        var writer = FileFront.begin(Self.magic, version: version)
        writer.put(storeID)
        writer.put(UInt64(0))
        FileFront.seal(&writer, version: version)
        return writer.bytes
    }

    /// The version is looked at first: whatever a newer one changes, it stands there.
    static func decode(_ bytes: [UInt8]) throws(Checkpoint.Damage) -> StoreHeader {
        var reader = ByteReader(bytes)
        guard let magic = reader.take64(), magic == Self.magic, let version = reader.take32() else { throw .damaged }
        if version > FormatVersion.current { throw .newer(version) }
        let sum = FormatVersion.checksum(ofFile: bytes, version: version)
        guard FormatVersion.isKnown(version), bytes.count == size, reader.take32() == sum,
            let storeID = reader.take64()
        else { throw .damaged }
        return StoreHeader(storeID: storeID, version: version)
    }
}
