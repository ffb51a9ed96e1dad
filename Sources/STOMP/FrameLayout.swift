/// One header line, in offsets from the first byte of its frame.
public struct Header: Sendable, Equatable {
    public internal(set) var nameStart: Int32
    public internal(set) var nameEnd: Int32
    /// In a 1.0 frame the value of a known header lies inside its padding; otherwise blanks belong to it.
    public internal(set) var valueStart: Int32
    public internal(set) var valueEnd: Int32
    /// Behind the line feed.
    public internal(set) var lineEnd: Int32
    public internal(set) var known: KnownHeader
    /// An earlier header has the same known name, and that one counts.
    public internal(set) var isRepeat: Bool
    /// Name or value must go through `HeaderText.unescape` to be read. Never set where nothing is escaped:
    /// in 1.0, and in CONNECT, STOMP and CONNECTED.
    public internal(set) var hasEscape: Bool

    @inlinable public var name: Range<Int> { Int(nameStart)..<Int(nameEnd) }
    @inlinable public var value: Range<Int> { Int(valueStart)..<Int(valueEnd) }
}

/// Where the parts of a frame lie, in offsets from its first byte. It holds none of them.
///
///     SEND\n  destination:/queue/a\n  \n    hello   \0
///             ^ headersStart          ^     ^ body  ^     ^
///                            headersEnd             bodyEnd end
public struct FrameLayout: Sendable {
    /// Means nothing after `FrameError.unknownCommand`.
    public internal(set) var command: Command = .send
    /// In the order of the frame. Do not keep a copy beyond the next call of the parser: it uses the memory
    /// again, and would have to copy it.
    public internal(set) var headers: [Header] = []
    public internal(set) var headersStart = 0
    /// Where the end of line of the blank line begins.
    public internal(set) var headersEnd = 0
    public internal(set) var body: Range<Int> = 0..<0
    /// Behind the NUL.
    public internal(set) var end = 0
    /// As announced by the frame, nil if it is not.
    public internal(set) var contentLength: Int?
    /// The bytes `headersStart..<headersEnd` are header lines of 1.2 as we would write them, and can be
    /// stored and sent on as they are: every end of line is a bare LF, and what 1.2 escapes is escaped.
    public internal(set) var isPlain = true

    /// The known headers that the frame has; `places` is only valid for these.
    public internal(set) var present = HeaderSet()
    @usableFromInline var places = InlineArray<128, UInt16>(repeating: 0)

    public init() {}

    /// The first header of this name, which is the one that counts. In constant time; nil for `.other`.
    @inlinable public func first(_ known: KnownHeader) -> Header? {
        if !present.contains(known) { return nil }
        return headers[Int(places[Int(known.rawValue & 127)])]
    }

    @inlinable public func has(_ known: KnownHeader) -> Bool {
        present.contains(known)
    }

    /// The bytes of that header's value, as they stand in the frame at `bytes`: still escaped if its
    /// `hasEscape` says so.
    @inlinable public func value(
        _ known: KnownHeader, in bytes: UnsafeBufferPointer<UInt8>
    ) -> UnsafeBufferPointer<UInt8>? {
        guard let header = first(known) else { return nil }
        return UnsafeBufferPointer(rebasing: bytes[header.value])
    }

    @inline(__always)
    mutating func append(_ header: Header) {
        var header = header
        if header.known != .other {
            if present.contains(header.known) {
                header.isRepeat = true
            } else {
                present.insert(header.known)
                places[Int(header.known.rawValue & 127)] = UInt16(truncatingIfNeeded: headers.count)
            }
        }
        headers.append(header)
    }

    mutating func startOver() {
        command = .send
        headers.removeAll(keepingCapacity: true)
        headersStart = 0
        headersEnd = 0
        body = 0..<0
        end = 0
        contentLength = nil
        isPlain = true
        present = HeaderSet()
    }
}
