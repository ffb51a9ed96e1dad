/// Why a text is no selector.
public struct SelectorError: Error, Equatable, Sendable {
    /// Where, in characters from 1; one behind the last if the text ends too early.
    public let column: Int
    /// What was found there and what may stand there: `found "=", expected a value`.
    public let reason: String

    /// `offset` in bytes of `text`.
    init(at offset: Int, of text: [UInt8], _ reason: String) {
        // A character of UTF-8 has one byte that does not continue another.
        column = text[..<min(offset, text.count)].count { $0 & 0xC0 != 0x80 } + 1
        self.reason = reason
    }
}

extension Refusal {
    init(_ error: SelectorError) {
        self.init(.badSelector, "the selector is wrong at character \(error.column): \(error.reason)")
    }
}
