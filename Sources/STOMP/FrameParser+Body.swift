/// The body and the NUL behind it.
extension FrameParser {
    /// True if the frame is complete: as many bytes as announced, then NUL.
    mutating func readCountedBody(_ bytes: UnsafeBufferPointer<UInt8>) throws(FrameError) -> Bool {
        guard bytes.count > bodyPosition else { return false }
        guard bytes[bodyPosition] == 0 else { throw .missingNUL(offset: bodyPosition) }
        finishFrame(bodyEnd: bodyPosition)
        return true
    }

    /// True if the frame is complete: the first NUL ends the body.
    mutating func readScannedBody(_ bytes: UnsafeBufferPointer<UInt8>) throws(FrameError) -> Bool {
        let cap = bodyStart + bounds.bodyBytes + 1
        let end = min(bytes.count, cap)
        if bodyPosition >= cap { throw .bodyTooLong(limit: bounds.bodyBytes) }
        guard bodyPosition < end else { return false }
        if isBodyForbidden, bytes[bodyPosition] != 0 { throw .bodyNotAllowed(layout.command) }
        let searched = UnsafeBufferPointer(rebasing: bytes[..<end])
        guard let found = searched.firstIndex(of: 0, from: bodyPosition) else {
            bodyPosition = end
            if end == cap { throw .bodyTooLong(limit: bounds.bodyBytes) }
            return false
        }
        finishFrame(bodyEnd: found)
        return true
    }

    private mutating func finishFrame(bodyEnd: Int) {
        layout.body = bodyStart..<bodyEnd
        layout.end = bodyEnd + 1
        consumed = bodyEnd + 1
        isFirst = false
        phase = .found
    }
}
