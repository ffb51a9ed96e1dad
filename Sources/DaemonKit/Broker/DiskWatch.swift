/// Notices that the disk does not answer: something waits to be made durable, and nothing has become so for
/// a while. A disk may take seconds; one that takes longer is worth a word, since clients see nothing but silence.
///
/// Counts looks, which come once a second, not time: a broker that was stopped has not waited.
struct DiskWatch {
    enum Word: Equatable {
        case silent(seconds: Int)
        case answers
    }

    /// Looks without progress before it is said.
    static let patience = 5

    private var durable: UInt64 = 0
    private var looks = 0

    /// `durable` is the last batch that is on disk; `isWaiting`: there are batches that are not, and nothing
    /// but the disk keeps them from it.
    mutating func look(durable: UInt64, isWaiting: Bool) -> Word? {
        let wasSilent = isSilent
        let isStill = isWaiting && durable == self.durable
        self.durable = durable
        looks = isStill ? min(looks + 1, Self.patience) : 0
        if isSilent == wasSilent { return nil }
        return isSilent ? .silent(seconds: Self.patience) : .answers
    }

    var isSilent: Bool { looks >= Self.patience }
}
