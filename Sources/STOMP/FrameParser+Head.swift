/// The header lines and what they decide.
extension FrameParser {
    /// True if the blank line was read; the phase is then that of the body.
    mutating func readHead(_ bytes: UnsafeBufferPointer<UInt8>) throws(FrameError) -> Bool {
        guard let base = bytes.baseAddress else { return false }
        var line = self.line
        while true {
            let cap = min(line.start &+ bounds.headerLineBytes, bounds.headerBytes) &+ 1
            let end = min(bytes.count, cap)
            let at = LineScanner.nextMark(base, from: line.position, to: end, high: &line.hasHigh)
            if at >= end {
                if at >= cap { throw tooLong(cap) }
                line.position = at
                break
            }
            switch base[at] {
            case .lineFeed:
                if at == line.start { return try finishHead(bytes, end: at, next: at &+ 1) }
                try finish(line, base, end: at, next: at &+ 1)
                line = Line(start: at &+ 1)
            case .colon:
                if line.nameEnd < 0 { line.nameEnd = at } else { line.isRewritten = true }
                line.position = at &+ 1
            case .backslash where isLiteral:
                line.isRewritten = true
                line.position = at &+ 1
            case .backslash:
                line.position = at
                if at &+ 1 == bytes.count {
                    self.line = line
                    return false
                }
                line.hasEscape = true
                line.position = at &+ (isEscape(base, at) ? 2 : 1)
            case .carriageReturn where version != .v11:
                line.position = at
                if at &+ 1 == bytes.count {
                    self.line = line
                    return false
                }
                line.isRewritten = true
                line.position = at &+ 1
                if base[at &+ 1] == .lineFeed {
                    if at == line.start { return try finishHead(bytes, end: at, next: at &+ 2) }
                    try finish(line, base, end: at, next: at &+ 2)
                    line = Line(start: at &+ 2)
                } else if version == .v12 {
                    note(.loneCarriageReturn(offset: at))
                }
            case .carriageReturn:
                line.isRewritten = true
                line.position = at &+ 1
            case 0:
                throw .nulInHead(offset: at)
            default:
                line.position = at &+ 1
            }
        }
        self.line = line
        return false
    }

    /// Whichever limit `cap` stands for.
    private func tooLong(_ cap: Int) -> FrameError {
        cap > bounds.headerBytes
            ? .headTooLong(limit: bounds.headerBytes) : .headerLineTooLong(limit: bounds.headerLineBytes)
    }

    /// Whether the two bytes at `at` are an escape of this version; notes the fault if not.
    private mutating func isEscape(_ base: UnsafePointer<UInt8>, _ at: Int) -> Bool {
        switch base[at &+ 1] {
        case .n, .c, .backslash: return true
        case .r where version == .v12: return true
        case .lineFeed, .carriageReturn: note(.unfinishedEscape(offset: at))
        default: note(.undefinedEscape(offset: at))
        }
        return false
    }

    /// Takes the line whose end of line is at `end`. What is wrong with it is noted and told with the head's end.
    @inline(__always)
    private mutating func finish(
        _ line: Line, _ base: UnsafePointer<UInt8>, end: Int, next: Int
    ) throws(FrameError) {
        if layout.headers.count >= bounds.headerCount { throw .tooManyHeaders(limit: bounds.headerCount) }
        guard line.nameEnd > line.start else {
            note(line.nameEnd < 0 ? .lineWithoutColon(offset: line.start) : .emptyHeaderName(offset: line.start))
            return
        }
        if line.hasHigh { checkUTF8(base, line.start..<end) }
        if line.isRewritten { layout.isPlain = false }
        layout.append(
            Header(
                nameStart: Int32(truncatingIfNeeded: line.start),
                nameEnd: Int32(truncatingIfNeeded: line.nameEnd),
                valueStart: Int32(truncatingIfNeeded: line.nameEnd &+ 1),
                valueEnd: Int32(truncatingIfNeeded: end),
                lineEnd: Int32(truncatingIfNeeded: next),
                known: KnownHeader(base + line.start, count: line.nameEnd &- line.start),
                isRepeat: false,
                hasEscape: line.hasEscape))
    }

    /// Headers are UTF-8 since 1.1. A frame that comes before the version is known has to wait for its end.
    private mutating func checkUTF8(_ base: UnsafePointer<UInt8>, _ range: Range<Int>) {
        guard let version else {
            hasHigh = true
            return
        }
        guard version > .v10 else { return }
        let bytes = UnsafeBufferPointer(start: base + range.lowerBound, count: range.count)
        if let offset = bytes.firstInvalidUTF8() { note(.invalidUTF8(offset: range.lowerBound + offset)) }
    }

    /// Takes the blank line, whose end of line begins at `end`.
    private mutating func finishHead(
        _ bytes: UnsafeBufferPointer<UInt8>, end: Int, next: Int
    ) throws(FrameError) -> Bool {
        layout.headersEnd = end
        bodyStart = next
        bodyPosition = next
        if let fault { throw fault }
        let rules = version ?? rulesBeforeAgreement(bytes)
        if rules == .v10 {
            trimKnownValues(bytes)
        } else if hasHigh, let base = bytes.baseAddress {
            let head = UnsafeBufferPointer(start: base + layout.headersStart, count: end - layout.headersStart)
            if let offset = head.firstInvalidUTF8() { throw .invalidUTF8(offset: layout.headersStart + offset) }
        }
        isBodyForbidden = rules > .v10 && !layout.command.mayHaveBody
        phase = .scannedBody
        if layout.has(.contentLength) { try takeContentLength(bytes) }
        return true
    }

    /// The rules for a frame that comes before a version is agreed on: those of the version it asks for or
    /// brings, since it is written by a peer that knows them.
    private func rulesBeforeAgreement(_ bytes: UnsafeBufferPointer<UInt8>) -> Version {
        let header: KnownHeader = role == .server ? .acceptVersion : .version
        return Version.negotiate(acceptVersion: layout.value(header, in: bytes)) ?? .v10
    }

    /// 1.0 is full of examples like `destination: /queue/a`; a blank at the ends of a value that we act on is
    /// padding there, and data since.
    private mutating func trimKnownValues(_ bytes: UnsafeBufferPointer<UInt8>) {
        for index in layout.headers.indices where layout.headers[index].known != .other {
            let header = layout.headers[index]
            var start = header.valueStart
            var end = header.valueEnd
            while start < end, bytes[Int(start)].isBlank { start &+= 1 }
            while end > start, bytes[Int(end &- 1)].isBlank { end &-= 1 }
            if start == header.valueStart, end == header.valueEnd { continue }
            layout.headers[index].valueStart = start
            layout.headers[index].valueEnd = end
            layout.isPlain = false
        }
    }

    /// Every frame of every version may announce its length, and a wrong announcement is never passed over: a
    /// reader that fell back on searching for NUL would take a body apart into frames.
    private mutating func takeContentLength(_ bytes: UnsafeBufferPointer<UInt8>) throws(FrameError) {
        var announced: UInt64?
        for header in layout.headers where header.known == .contentLength {
            let offset = Int(header.nameStart)
            guard let length = UnsafeBufferPointer(rebasing: bytes[header.value]).strictDecimal() else {
                throw .invalidContentLength(offset: offset)
            }
            if let announced, announced != length { throw .conflictingContentLength(offset: offset) }
            announced = length
        }
        guard let announced else { return }
        if isBodyForbidden, announced > 0 { throw .bodyNotAllowed(layout.command) }
        guard announced <= UInt64(bounds.bodyBytes) else { throw .bodyTooLong(limit: bounds.bodyBytes) }
        layout.contentLength = Int(announced)
        bodyPosition = bodyStart + Int(announced)
        phase = .countedBody
    }
}
