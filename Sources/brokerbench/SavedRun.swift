import Glibc

/// What a run has confirmed, kept in a file while the broker is started again: `brokerbench RUN SIZE` in the
/// first line (hexadecimal, decimal), then the set of each producer as hexadecimal words.
struct SavedRun: Equatable {
    let id: UInt32
    let size: Int
    /// For each producer.
    let confirmed: [SequenceSet]

    var text: String {
        let lines = confirmed.map { set in set.words.map { String($0, radix: 16) }.joined(separator: " ") }
        return "brokerbench \(String(id, radix: 16)) \(size)\n" + lines.map { $0 + "\n" }.joined()
    }

    init(id: UInt32, size: Int, confirmed: [SequenceSet]) {
        self.id = id
        self.size = size
        self.confirmed = confirmed
    }

    init(text: String) throws(Failure) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let head = lines.first?.split(separator: " ") ?? []
        guard head.count == 3, head[0] == "brokerbench", let id = UInt32(head[1], radix: 16), let size = Int(head[2]),
            (Stamp.leastSize...(256 << 20)).contains(size), lines.count > 2, lines.last?.isEmpty == true
        else { throw Failure("not what --state-out has written") }
        self.id = id
        self.size = size
        var sets: [SequenceSet] = []
        for line in lines.dropFirst().dropLast() {
            var words: [UInt64] = []
            for word in line.split(separator: " ") {
                guard let bits = UInt64(word, radix: 16) else { throw Failure("not a set of numbers: \(word)") }
                words.append(bits)
            }
            sets.append(SequenceSet(words: words))
        }
        confirmed = sets
    }

    init(path: String) throws(Failure) {
        guard let file = fopen(path, "r") else { throw Failure.system("cannot read \(path)") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = fread(&piece, 1, piece.count, file)
            if count == 0 { break }
            bytes += piece[..<count]
        }
        do {
            try self.init(text: String(decoding: bytes, as: UTF8.self))
        } catch {
            throw Failure("\(path): \(error.line)")
        }
    }

    func write(to path: String) throws(Failure) {
        let bytes = Array(text.utf8)
        guard let file = fopen(path, "w") else { throw Failure.system("cannot write \(path)") }
        let isWritten = fwrite(bytes, 1, bytes.count, file) == bytes.count
        guard fclose(file) == 0, isWritten else { throw Failure.system("cannot write \(path)") }
    }
}
