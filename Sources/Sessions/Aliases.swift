import BrokerCore
import STOMP

/// Several names for one thing: those of other brokers are as good as ours. Whoever sends two of them
/// must mean the same by both.
extension Session {
    typealias Named<Value> = (known: KnownHeader, value: Value)

    /// What the frame says by any of `names`, each read by `read` (nil: it says nothing).
    func agreed<Value: Equatable>(
        _ names: [KnownHeader], _ frame: Frame, _ read: (KnownHeader) throws(SessionError) -> Value?
    ) throws(SessionError) -> Named<Value>? {
        var found: Named<Value>?
        for known in names where parser.layout.has(known) {
            guard let value = try read(known) else { continue }
            if let found, found.value != value { throw contradiction(found.known, known, frame) }
            if found == nil { found = (known, value) }
        }
        return found
    }

    func contradiction(_ first: KnownHeader, _ second: KnownHeader, _ frame: Frame) -> SessionError {
        func said(_ known: KnownHeader) -> String {
            "\(known.text):\(Self.printable(header(known, frame) ?? UnsafeBufferPointer(start: nil, count: 0)))"
        }
        return SessionError(
            .contradictoryHeaders,
            "\(parser.layout.command.text) has \(said(first)) and \(said(second)), which contradict each other; "
                + "send one of them")
    }

    /// A whole number in `range`, if the header is there.
    func number(
        _ known: KnownHeader, in range: ClosedRange<UInt64>, _ frame: Frame
    ) throws(SessionError) -> UInt64? {
        guard let value = header(known, frame) else { return nil }
        if let number = Self.decimal(value), range.contains(number) { return number }
        throw SessionError(
            .badHeader,
            "\(known.text) must be a whole number from \(range.lowerBound) to \(range.upperBound), "
                + "not \"\(Self.printable(value))\"")
    }

    /// `true` or `false`, if the header is there.
    func flag(_ known: KnownHeader, _ frame: Frame) throws(SessionError) -> Bool? {
        guard let value = header(known, frame) else { return nil }
        if value.elementsEqual("true".utf8) { return true }
        if value.elementsEqual("false".utf8) { return false }
        throw SessionError(.badHeader, "\(known.text) must be true or false, not \"\(Self.printable(value))\"")
    }

    /// True if the frame says so by any of `names`; contradictions are refused.
    func isAsked(_ names: [KnownHeader], _ frame: Frame) throws(SessionError) -> Bool {
        try agreed(names, frame) { known throws(SessionError) in try flag(known, frame) }?.value ?? false
    }

    /// A text of 1 to `idBytes` bytes, if the header is there and not empty.
    func text(_ known: KnownHeader, _ frame: Frame) throws(SessionError) -> [UInt8]? {
        guard let value = try decoded(known, frame), !value.isEmpty else { return nil }
        try checkLength(of: value, known)
        return value
    }

    /// Names of durable subscriptions and their owners become part of the name of a queue.
    func checkName(_ name: [UInt8], _ known: KnownHeader) throws(SessionError) {
        let most = 255
        if (1...most).contains(name.count), !name.contains(where: { $0 < 0x20 || $0 == 0x7F }) { return }
        throw SessionError(
            .badHeader,
            "\(known.text) names a durable subscription here and must be 1 to \(most) bytes without control "
                + "characters, not \"\(Self.printable(name))\"")
    }
}
