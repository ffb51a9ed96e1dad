import Base
import STOMP

/// Heart-beats and time-outs. The loop asks for the next moment of interest and reports it.
extension Session {
    public enum Due: Equatable {
        case nothing
        /// Write one end of line: nothing else was sent for long enough.
        case beat
        /// The client is gone or too slow: `end` it with this.
        case end(SessionError)
    }

    /// When `due` should be asked next; nil if time does not matter to this session.
    public func nextDeadline(lastReceived: Instant, lastSent: Instant) -> Instant? {
        if state == .expectingConnect { return opened.adding(milliseconds: settings.loginMilliseconds) }
        if state == .ending { return nil }
        var next: Instant?
        func consider(_ instant: Instant) { next = next.map { min($0, instant) } ?? instant }
        if heartBeats.outgoing > 0 { consider(lastSent.adding(milliseconds: max(1, heartBeats.outgoing / 2))) }
        if heartBeats.incoming > 0 { consider(max(lastReceived, excused).adding(milliseconds: patience)) }
        if let partialSince { consider(max(partialSince, excused).adding(milliseconds: settings.frameMilliseconds)) }
        return next
    }

    public var owesHeartBeats: Bool { heartBeats.outgoing > 0 }

    /// How long a client that promised heart-beats may be silent, in milliseconds.
    private var patience: UInt64 {
        let (product, overflow) = heartBeats.incoming.multipliedReportingOverflow(by: settings.heartBeatTolerance)
        return overflow ? .max : max(1, product / 100)
    }

    /// What time `now` asks for. `isReading` is false while we ourselves do not read: then silence is
    /// not the client's fault, unless we stopped because it takes nothing: `isStuckSince` is when it last
    /// did. `received` counts all bytes that ever came.
    public mutating func due(
        now: Instant, lastReceived: Instant, lastSent: Instant, isReading: Bool, isStuckSince: Instant? = nil,
        received: UInt64
    ) -> Due {
        let isReading = isReading || (isStuckSince.map { now >= $0.adding(milliseconds: patience) } ?? false)
        if state == .expectingConnect {
            guard now >= opened.adding(milliseconds: settings.loginMilliseconds) else { return .nothing }
            return .end(SessionError(.loginTimeout, "no CONNECT frame came within \(settings.loginMilliseconds) ms"))
        }
        if state == .ending { return .nothing }
        // Silence while we did not read, or before we had time to read on, starts anew.
        if !isReading || !wasReading { excused = now }
        wasReading = isReading
        if isReading, heartBeats.incoming > 0, now >= max(lastReceived, excused).adding(milliseconds: patience) {
            return .end(
                SessionError(
                    .heartBeatTimeout,
                    "nothing came for \(now.milliseconds(since: lastReceived)) ms; agreed was \(heartBeats.incoming) ms"
                ))
        }
        if isReading, let since = partialSince,
            now >= max(since, excused).adding(milliseconds: settings.frameMilliseconds)
        {
            if received &- partialBytes < UInt64(settings.frameProgressBytes) {
                return .end(
                    SessionError(
                        .frameTimeout, "a frame was begun and not finished within \(settings.frameMilliseconds) ms"))
            }
            partialSince = now
            partialBytes = received
        }
        if heartBeats.outgoing > 0, now >= lastSent.adding(milliseconds: max(1, heartBeats.outgoing / 2)) {
            return .beat
        }
        return .nothing
    }
}
