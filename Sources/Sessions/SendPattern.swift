import Base
import Glibc
import STOMP

/// The head of the SEND before, with gaps for what changes from one to the next: receipt, length and `dedup-id`. A client
/// that sends a lot repeats all else, byte for byte, and so what was found out about the first holds for all.
///
///     SEND\ndestination:/queue/a\nreceipt:17\ncontent-length:100\n\n
///     `---------- text -----------------'  `--- text ------'   `-- text
struct SendPattern: ~Copyable {
    /// A SEND that fits, in offsets from its first byte.
    struct Match {
        var receipt = 0..<0
        var dedupID = 0..<0
        var destination = 0
        /// Behind the blank line.
        var body = 0
        /// Behind NUL.
        var end = 0
    }

    /// What stands in a gap.
    private enum Gap { case length, receipt, dedupID }

    /// The longest head that is remembered, in bytes: each connection keeps one.
    private static var headMost: Int { 1024 }
    /// The longest receipt, and `dedup-id`, that is looked at here, with its line feed.
    static var valueMost: Int { 64 }
    /// Digits of a length that is looked at here.
    private static var digitsMost: Int { 9 }

    /// What stands between the gaps, one behind the other.
    private var text = Buffer()
    /// The gaps, in order; only the first `gapCount` count.
    private var gaps: InlineArray<3, Gap> = [.length, .length, .length]
    private var gapCount = 0
    /// Where in `text` the piece in front of each gap ends, and where the last piece does.
    private var ends: InlineArray<4, Int> = [0, 0, 0, 0]
    private(set) var hasReceipt = false
    /// Where in `text` the destination begins, and how many gaps lie before it.
    private var destination = 0
    private var gapsBeforeDestination = 0
    private(set) var destinationCount = 0
    private var bodyMost = 0
    private(set) var memo: Int32 = -1
    private(set) var flags: UInt8 = 0

    /// SENDs that are passed over before the next one is remembered, since the last ones did not come again.
    private var pause: UInt8 = 0
    private var nextPause: UInt8 = 0

    // MARK: Remembering

    /// Whether the SEND that did not fit should be remembered in the place of what is.
    mutating func mayChange() -> Bool {
        if pause > 0 {
            pause &-= 1
            return false
        }
        pause = nextPause
        nextPause = nextPause << 1 | 1
        return true
    }

    /// Remembers the head of a frame that is stored as it came but for its receipt. Nothing in it may ask for
    /// something that only counts once, but for being stored once.
    mutating func remember(
        _ frame: UnsafeBufferPointer<UInt8>, _ layout: borrowing FrameLayout, _ limits: FrameLimits, memo: Int32,
        flags: UInt8
    ) {
        text.clear()
        guard layout.body.lowerBound <= Self.headMost, let length = layout.first(.contentLength),
            let name = layout.first(.destination),
            layout.headersEnd + 3 * Self.valueMost <= limits.headerBytes,
            limits.headerLineBytes >= 2 * Self.valueMost
        else { return }
        var found = [(Gap.length, length.value)]
        if let receipt = layout.first(.receipt) { found.append((.receipt, receipt.value)) }
        if let id = layout.first(.dedupID) { found.append((.dedupID, id.value)) }
        found.sort { $0.1.lowerBound < $1.1.lowerBound }
        hasReceipt = layout.has(.receipt)
        gapCount = found.count
        gapsBeforeDestination = 0
        destination = name.value.lowerBound
        var start = 0
        for (index, (gap, value)) in found.enumerated() {
            text.append(UnsafeBufferPointer(rebasing: frame[start..<value.lowerBound]))
            gaps[index] = gap
            ends[index] = text.count
            if value.lowerBound < name.value.lowerBound {
                gapsBeforeDestination = index + 1
                destination -= value.count
            }
            start = value.upperBound
        }
        text.append(UnsafeBufferPointer(rebasing: frame[start..<layout.body.lowerBound]))
        ends[gapCount] = text.count
        destinationCount = name.value.count
        bodyMost = limits.bodyBytes
        self.memo = memo
        self.flags = flags
    }

    // MARK: Comparing

    /// The frame at `base`, if it fits and is there as a whole.
    @inline(__always)
    mutating func match(_ base: UnsafePointer<UInt8>, count: Int) -> Match? {
        let size = text.count
        guard size > 0, count > size, let text = UnsafePointer(self.text.readable.baseAddress) else { return nil }
        var at = ends[0]
        guard memcmp(base, text, at) == 0 else { return nil }
        var found = Match()
        found.destination = destination
        var length = 0
        for index in 0..<gapCount {
            guard let end = Self.gap(base, at, count, gaps[index], &found, &length) else { return nil }
            if index < gapsBeforeDestination { found.destination &+= end &- at }
            at = end
            let start = ends[index]
            let between = ends[index &+ 1] &- start
            guard count &- at > between, memcmp(base + at, text + start, between) == 0 else { return nil }
            at &+= between
        }
        found.body = at
        found.end = at &+ length &+ 1
        guard length <= bodyMost, found.end <= count, base[found.end &- 1] == 0 else { return nil }
        nextPause = 0
        pause = 0
        return found
    }

    /// Where the value at `start` ends: before a line feed, with nothing in it that would have to be looked at.
    @inline(__always)
    private static func gap(
        _ base: UnsafePointer<UInt8>, _ start: Int, _ count: Int, _ gap: Gap, _ found: inout Match, _ length: inout Int
    ) -> Int? {
        if gap != .length {
            let most = min(count, start &+ valueMost)
            guard let end = HeaderText.endOfPlainValue(base, from: start, to: most) else { return nil }
            if gap == .receipt {
                found.receipt = start..<end
                return end
            }
            // An empty one is refused.
            found.dedupID = start..<end
            return end > start ? end : nil
        }
        var at = start
        let most = min(count, start &+ digitsMost)
        while at < most {
            let digit = base[at] &- UInt8(ascii: "0")
            if digit > 9 { break }
            length = length &* 10 &+ Int(digit)
            at &+= 1
        }
        return at > start ? at : nil
    }
}
