import Base
import Glibc
import STOMP

/// The head of the SEND before, with gaps for what changes from one to the next: receipt and length. A client
/// that sends a lot repeats all else, byte for byte, and so what was found out about the first holds for all.
///
///     SEND\ndestination:/queue/a\nreceipt:17\ncontent-length:100\n\n
///     `---------- text -----------------'  `--- text ------'   `-- text
struct SendPattern: ~Copyable {
    /// A SEND that fits, in offsets from its first byte.
    struct Match {
        var receipt = 0..<0
        var destination = 0
        /// Behind the blank line.
        var body = 0
        /// Behind NUL.
        var end = 0
    }

    /// The longest head that is remembered, in bytes: each connection keeps one.
    private static var headMost: Int { 1024 }
    /// The longest receipt that is looked at here.
    static var receiptMost: Int { 64 }
    /// Digits of a length that is looked at here.
    private static var digitsMost: Int { 9 }

    /// What stands between the gaps, one behind the other.
    private var text = Buffer()
    /// Where in `text` the gaps are; without a receipt the first is the length, and both are the same.
    private var firstGap = 0
    private var secondGap = 0
    private(set) var hasReceipt = false
    private var receiptIsFirst = false
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
    /// something that only counts once.
    mutating func remember(
        _ frame: UnsafeBufferPointer<UInt8>, _ layout: borrowing FrameLayout, _ limits: FrameLimits, memo: Int32,
        flags: UInt8
    ) {
        text.clear()
        guard layout.body.lowerBound <= Self.headMost, let length = layout.first(.contentLength),
            let name = layout.first(.destination),
            layout.headersEnd + 2 * Self.receiptMost <= limits.headerBytes,
            limits.headerLineBytes >= 2 * Self.receiptMost
        else { return }
        let receipt = layout.first(.receipt)
        hasReceipt = receipt != nil
        receiptIsFirst = receipt.map { $0.valueStart < length.valueStart } ?? false
        let gaps = receipt.map { receiptIsFirst ? ($0.value, length.value) : (length.value, $0.value) }
        let first = gaps?.0 ?? length.value
        let second = gaps?.1 ?? length.value
        text.append(UnsafeBufferPointer(rebasing: frame[..<first.lowerBound]))
        firstGap = text.count
        if hasReceipt { text.append(UnsafeBufferPointer(rebasing: frame[first.upperBound..<second.lowerBound])) }
        secondGap = text.count
        text.append(UnsafeBufferPointer(rebasing: frame[second.upperBound..<layout.body.lowerBound]))
        let at = name.value.lowerBound
        destination = at
        gapsBeforeDestination = 0
        if at > first.lowerBound {
            destination -= first.count
            gapsBeforeDestination = 1
        }
        if hasReceipt, at > second.lowerBound {
            destination -= second.count
            gapsBeforeDestination = 2
        }
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
        guard memcmp(base, text, firstGap) == 0 else { return nil }
        var found = Match()
        var length = 0
        var at = firstGap
        var last = 0
        if hasReceipt {
            guard let end = Self.gap(base, at, count, isReceipt: receiptIsFirst, &found.receipt, &length) else {
                return nil
            }
            last = end &- at
            at = end
            let between = secondGap &- firstGap
            guard count &- at > between, memcmp(base + at, text + firstGap, between) == 0 else { return nil }
            at &+= between
        }
        let isReceipt = hasReceipt && !receiptIsFirst
        guard let end = Self.gap(base, at, count, isReceipt: isReceipt, &found.receipt, &length) else { return nil }
        let behind = size &- secondGap
        guard count &- end > behind, memcmp(base + end, text + secondGap, behind) == 0 else { return nil }
        found.body = end &+ behind
        found.end = found.body &+ length &+ 1
        guard length <= bodyMost, found.end <= count, base[found.end &- 1] == 0 else { return nil }
        found.destination = destination
        if gapsBeforeDestination > 0 { found.destination &+= hasReceipt ? last : end &- at }
        if gapsBeforeDestination > 1 { found.destination &+= end &- at }
        nextPause = 0
        pause = 0
        return found
    }

    /// Where the value at `start` ends: before a line feed, with nothing in it that would have to be looked at.
    @inline(__always)
    private static func gap(
        _ base: UnsafePointer<UInt8>, _ start: Int, _ count: Int, isReceipt: Bool, _ receipt: inout Range<Int>,
        _ length: inout Int
    ) -> Int? {
        var at = start
        if isReceipt {
            let most = min(count, start &+ receiptMost)
            guard let end = HeaderText.endOfPlainValue(base, from: start, to: most) else { return nil }
            receipt = start..<end
            return end
        }
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
