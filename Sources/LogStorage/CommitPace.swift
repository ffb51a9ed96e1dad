import Synchronization

/// How long commits have been taking: whether the disk is so quick that a thread with other work may wait for it.
struct CommitPace: ~Copyable {
    /// Microseconds: the usual commit, and the longest of about the last thousand. 0: there was none yet.
    private let usual = Atomic<UInt64>(0)
    private let longest = Atomic<UInt64>(0)

    /// Whether the usual commit takes no longer than `most` microseconds, and none lately took twenty times as long.
    func isWithin(_ most: UInt64) -> Bool {
        let longest = longest.load(ordering: .relaxed)
        return longest > 0 && longest <= most * 20 && usual.load(ordering: .relaxed) <= most
    }

    /// Called by who has the journal, so by one at a time.
    func note(microseconds: UInt64) {
        let took = max(1, microseconds)
        let before = usual.load(ordering: .relaxed)
        usual.store(before == 0 ? took : (before * 15 + took) / 16, ordering: .relaxed)
        let longest = longest.load(ordering: .relaxed)
        self.longest.store(max(took, longest - (longest + 1023) / 1024), ordering: .relaxed)
    }
}
