import Base

/// Heart-beats of one connection: when to write one, and when the broker has been silent for too long.
///
/// Written after half the agreed interval, tolerated twice of it: clients that took the interval
/// literally were disconnected for milliseconds.
struct Heart: Sendable {
    /// Milliseconds after the last byte written, nil for never.
    private var writeAfter: UInt64?
    /// Milliseconds after the last byte heard, nil for never.
    private(set) var tolerance: UInt64?
    private var lastSpoken: Instant
    private var lastHeard: Instant
    /// Nothing is read at the moment, so nothing can be heard.
    var isDeaf = false

    /// No heart-beats.
    init(at now: Instant) {
        lastSpoken = now
        lastHeard = now
    }

    /// Intervals as agreed, in milliseconds; 0 for none.
    mutating func agree(outgoing: UInt64, incoming: UInt64) {
        writeAfter = outgoing == 0 ? nil : max(1, outgoing / 2)
        tolerance = incoming == 0 ? nil : incoming.addingSaturated(incoming)
    }

    mutating func spoke(at now: Instant) { lastSpoken = now }
    mutating func heard(at now: Instant) { lastHeard = now }

    func mustSpeak(at now: Instant) -> Bool { isDue(speakAt, now) }
    func isSilent(at now: Instant) -> Bool { isDue(silentAt, now) }

    /// When to look next.
    var next: Instant? {
        guard let speakAt else { return silentAt }
        return silentAt.map { min($0, speakAt) } ?? speakAt
    }

    private var speakAt: Instant? { writeAfter.map { lastSpoken.adding(milliseconds: $0) } }
    private var silentAt: Instant? { isDeaf ? nil : tolerance.map { lastHeard.adding(milliseconds: $0) } }

    private func isDue(_ time: Instant?, _ now: Instant) -> Bool { time.map { $0 <= now } ?? false }
}
