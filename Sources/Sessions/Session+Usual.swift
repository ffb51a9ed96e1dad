import Base
import BrokerCore
import Glibc
import STOMP

/// Frames of which nearly all there are consist, each compared with what it is expected to be: an ACK that has an
/// id and nothing else, and a SEND that is like the one before. What is there only in part, or is odd in any way, is
/// left to the parser, which would make the same of these too.
extension Session {
    /// Whether the limits of the client allow what is not measured here.
    static func allowsUsual(_ limits: FrameLimits, _ version: Version) -> Bool {
        version == .v12 && limits.commandBytes >= 4 && limits.headerLineBytes >= 64 && limits.headerCount >= 1
            && limits.headerBytes >= 64
    }

    /// Bytes of the frame at the start of `frame`, which has been taken; 0 if it is for the parser.
    @inline(__always)
    mutating func takeUsual(_ frame: Frame, batch: inout CommandBatch) -> Int {
        guard let base = frame.baseAddress, frame.count >= 13, parser.isBetweenFrames else { return 0 }
        let start = UnsafeRawPointer(base).loadUnaligned(as: UInt64.self).littleEndian
        if start & Self.acknowledgementMask == Self.acknowledgementStart {
            return takesUsual ? takeAcknowledgement(base, frame.count, batch: &batch) : 0
        }
        guard state == .connected, let found = pattern.match(base, count: frame.count) else { return 0 }
        takeSend(base, found, batch: &batch)
        return found.end
    }

    // MARK: ACK

    /// `ACK\nid:`, seven bytes as a number.
    private static var acknowledgementStart: UInt64 { 0x00_3A64_690A_4B43_41 }
    private static var acknowledgementMask: UInt64 { 0x00FF_FFFF_FFFF_FFFF }

    /// `ACK\nid:SLOT-TAG\n\n` and NUL.
    @inline(__always)
    private mutating func takeAcknowledgement(
        _ base: UnsafePointer<UInt8>, _ count: Int, batch: inout CommandBatch
    ) -> Int {
        var at = 7
        guard let slot = Self.digits(base, &at, count), slot <= UInt32.max, at < count, base[at] == UInt8(ascii: "-")
        else { return 0 }
        at &+= 1
        guard let tag = Self.digits(base, &at, count), count &- at >= 3, base[at] == 0x0A, base[at &+ 1] == 0x0A,
            base[at &+ 2] == 0
        else { return 0 }
        batch.commands.append(.acknowledge(slot: UInt32(truncatingIfNeeded: slot), tag: tag, transaction: 0))
        batch.marks.append(CommandBatch.Mark(stagedBefore: Int32(staged.count), hasReceipt: false))
        return at &+ 3
    }

    /// The number at `at`, of 1 to 18 digits.
    @inline(__always)
    private static func digits(_ base: UnsafePointer<UInt8>, _ at: inout Int, _ count: Int) -> UInt64? {
        let start = at
        let most = min(count, start &+ 18)
        var value: UInt64 = 0
        while at < most {
            let digit = base[at] &- UInt8(ascii: "0")
            if digit > 9 { break }
            value = value &* 10 &+ UInt64(digit)
            at &+= 1
        }
        return at > start ? value : nil
    }

    // MARK: SEND

    /// Does what `send` does with a frame of which is known what it says. The line of the receipt is cut out: what
    /// stands in front of it moves over it.
    @inline(__always)
    private mutating func takeSend(
        _ base: UnsafeMutablePointer<UInt8>, _ found: SendPattern.Match, batch: inout CommandBatch
    ) {
        let stagedBefore = staged.count
        var start = Self.sendCommandBytes
        var name = found.destination
        if pattern.hasReceipt {
            stageReceipt(UnsafeBufferPointer(start: base + found.receipt.lowerBound, count: found.receipt.count))
            let line = found.receipt.lowerBound &- Self.receiptNameBytes
            let cut = found.receipt.upperBound &+ 1 &- line
            memmove(base + start + cut, base + start, line &- start)
            if name < line { name &+= cut }
            start &+= cut
        }
        var dedupStart = 0
        if !found.dedupID.isEmpty {
            dedupStart = found.dedupID.lowerBound &- start
            // It has moved, too.
            if found.dedupID.lowerBound < found.receipt.lowerBound { dedupStart &+= start &- Self.sendCommandBytes }
        }
        sends &+= 1
        sendBytes &+= UInt64(truncatingIfNeeded: found.end)
        batch.commands.append(
            .send(
                Send(
                    memo: pattern.memo, destination: Bytes(start: base + name, count: pattern.destinationCount),
                    content: Bytes(start: base + start, count: found.end &- start),
                    headerBytes: UInt32(truncatingIfNeeded: found.body &- start), flags: pattern.flags,
                    dedupStart: UInt16(truncatingIfNeeded: dedupStart),
                    dedupCount: UInt16(truncatingIfNeeded: found.dedupID.count))))
        batch.marks.append(
            CommandBatch.Mark(stagedBefore: Int32(stagedBefore), hasReceipt: staged.count > stagedBefore))
    }

    /// `SEND` and its line feed.
    private static var sendCommandBytes: Int { 5 }
    /// `receipt:`
    private static var receiptNameBytes: Int { 8 }

    /// The SEND has a `dedup-id`, of which no length that is looked at here is too much, and wishes nothing else.
    private var asksOnlyForOnce: Bool {
        parser.layout.present.intersection(extrasOfSend) == [.dedupID] && settings.idBytes >= SendPattern.valueMost
    }

    /// Has the SEND just taken as it came remembered, if others may be like it.
    @inline(__always)
    mutating func rememberSend(_ frame: Frame, memo: Int32, flags: UInt8, transaction: UInt32, extras: Int32) {
        if transaction != 0 || (extras >= 0 && !asksOnlyForOnce) || parser.layout.has(.replyTo)
            || parser.layout.headersStart != Self.sendCommandBytes || !pattern.mayChange()
        {
            return
        }
        for header in parser.layout.headers
        where header.isRepeat || (header.known != .receipt && droppedOfSend.contains(header.known)) { return }
        pattern.remember(UnsafeBufferPointer(frame), parser.layout, parser.limits, memo: memo, flags: flags)
    }
}
