import Base
import BrokerCore
import STOMP

/// Frames become commands.
extension Session {
    typealias Frame = UnsafeMutableBufferPointer<UInt8>

    mutating func carryOut(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) {
        let command = parser.layout.command
        if state == .expectingConnect {
            guard command == .connect || command == .stomp else {
                throw SessionError(.connectExpected, "the first frame must be CONNECT or STOMP, not \(command.text)")
            }
            return try connect(frame)
        }
        switch command {
        case .send: try send(frame, batch: &batch)
        case .ack: try settle(frame, accept: true, batch: &batch)
        case .nack: try settle(frame, accept: false, batch: &batch)
        case .subscribe: try subscribe(frame, batch: &batch)
        case .unsubscribe: try unsubscribe(frame, batch: &batch)
        case .begin: try begin(frame, batch: &batch)
        case .commit: batch.commands.append(.commit(transaction: try endTransaction(frame)))
        case .abort: batch.commands.append(.abort(transaction: try endTransaction(frame)))
        case .disconnect: disconnect(batch: &batch)
        case .connect, .stomp:
            throw SessionError(.alreadyConnected, "CONNECT is the first frame of a connection and no other")
        case .connected, .message, .receipt, .error:
            throw SessionError(.connectExpected, "\(command.text) is sent by servers only")
        }
        if command != .send { stageReceipt(frame) }
    }

    /// RECEIPT for the frame just taken, if it asks for one. The id goes back as it was written.
    @inline(__always)
    mutating func stageReceipt(_ frame: Frame) {
        guard let header = parser.layout.first(.receipt) else { return }
        stageReceipt(UnsafeBufferPointer(rebasing: UnsafeBufferPointer(frame)[header.value]))
        if parser.layout.command == .subscribe { stagedHold = true }
    }

    @inline(__always)
    mutating func stageReceipt(_ id: UnsafeBufferPointer<UInt8>) {
        staged.append("RECEIPT\nreceipt-id:", id, "\n\n\0\n")
    }

    // MARK: Reading headers

    @inline(__always)
    func header(_ known: KnownHeader, _ frame: Frame) -> UnsafeBufferPointer<UInt8>? {
        parser.layout.value(known, in: UnsafeBufferPointer(frame))
    }

    /// The value with its escapes undone.
    func decoded(_ known: KnownHeader, _ frame: Frame) throws(SessionError) -> [UInt8]? {
        guard let header = parser.layout.first(known) else { return nil }
        return try decode(header, frame)
    }

    func decode(_ header: Header, _ frame: Frame) throws(SessionError) -> [UInt8] {
        let value = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(frame)[header.value])
        guard header.hasEscape else { return Array(value) }
        var plain = Buffer()
        do throws(FrameError) {
            try HeaderText.unescape(value, version: version, into: &plain)
        } catch {
            throw SessionError(error)
        }
        return Array(plain.readable)
    }

    func required(_ known: KnownHeader, _ frame: Frame) throws(SessionError) -> [UInt8] {
        guard let value = try decoded(known, frame) else {
            throw SessionError(.headerMissing, "\(parser.layout.command.text) needs the header \(known.text)")
        }
        return value
    }

    func checkLength(of id: [UInt8], _ known: KnownHeader) throws(SessionError) {
        if id.count <= settings.idBytes { return }
        throw SessionError(.badHeader, "\(known.text) may have \(settings.idBytes) bytes, this one has \(id.count)")
    }

    /// A header that must be a number, if it is there.
    func number(_ known: KnownHeader, _ frame: Frame) throws(SessionError) -> UInt64? {
        guard let value = header(known, frame) else { return nil }
        guard let number = Self.decimal(value) else {
            throw SessionError(
                .badHeader, "\(known.text) must be a whole number, not \"\(Self.printable(value))\"")
        }
        return number
    }

    /// Digits only, at most 18 of them.
    @inline(__always)
    static func decimal(_ digits: UnsafeBufferPointer<UInt8>) -> UInt64? {
        if digits.isEmpty || digits.count > 18 { return nil }
        var value: UInt64 = 0
        for digit in digits {
            let figure = digit &- UInt8(ascii: "0")
            if figure > 9 { return nil }
            value = value &* 10 &+ UInt64(figure)
        }
        return value
    }

    /// At most 64 bytes, without what a log or terminal would act on.
    static func printable(_ bytes: some Collection<UInt8>) -> String {
        String(decoding: bytes.prefix(64).map { $0 < 0x20 || $0 >= 0x7F ? UInt8(ascii: "?") : $0 }, as: UTF8.self)
    }

    /// Features that are not there must not be asked for in vain.
    func refuse(_ unsupported: [KnownHeader], _ frame: Frame) throws(SessionError) {
        for known in unsupported where parser.layout.has(known) {
            throw SessionError(
                .unsupportedHeader, "this broker does not act on the header \(known.text); leave it out")
        }
    }

    /// The same for headers that ask for nothing with another value.
    func refuse(_ unsupported: [KnownHeader], _ frame: Frame, asking value: String) throws(SessionError) {
        for known in unsupported where header(known, frame)?.elementsEqual(value.utf8) == true {
            throw SessionError(
                .unsupportedHeader, "this broker does not act on \(known.text):\(value); leave it out")
        }
    }
}
