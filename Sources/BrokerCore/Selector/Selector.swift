/// A condition over the headers of a message, in the selector language of JMS (Jakarta Messaging 3.1,
/// section 3.8; after SQL-92). Read once, asked for every message; a copy is one reference.
///
///     or         = and *( "OR" and )
///     and        = not *( "AND" not )
///     not        = "NOT" not / predicate
///     predicate  = sum [ ( "=" / "<>" / "<" / "<=" / ">" / ">=" ) sum
///                      / ["NOT"] "BETWEEN" sum "AND" sum
///                      / ["NOT"] "IN" "(" literal *( "," literal ) ")"
///                      / ["NOT"] "LIKE" string ["ESCAPE" string]
///                      / "IS" ["NOT"] "NULL" ]
///     sum        = product *( ( "+" / "-" ) product )
///     product    = signed *( ( "*" / "/" ) signed )
///     signed     = ( "+" / "-" ) signed / primary
///     primary    = header / number / string / "TRUE" / "FALSE" / "(" or ")"
///
/// Headers are text and become what they are compared with: a number if all of the text is one, `true` or
/// `false`. What cannot be compared so is unknown, like a header that is not there. Unknown is neither true
/// nor false, and a message matches if the whole is true.
public struct Selector: Sendable {
    /// Longest text, in bytes.
    public static let longestText = 4096
    /// Most instructions that a text may become.
    static let mostInstructions = 256
    /// How deep parentheses, NOT and signs may stand in one another.
    static let deepest = 64
    /// Bytes that the patterns of LIKE may look at for one message; what needs more is unknown. A plain
    /// pattern looks at each byte of the header about once.
    static let mostSteps = 1 << 20

    /// As the client wrote it.
    public let text: [UInt8]
    let program: SelectorProgram

    /// Reads UTF-8 text of 1 to `longestText` bytes.
    public init(_ text: [UInt8]) throws(SelectorError) {
        self.text = text
        program = try SelectorParser.read(text)
    }

    /// Whether a message is selected. `head`: its stored header block, lines `NAME:VALUE` with LF in the
    /// escaping of STOMP 1.2, with or without the blank line. Of a name that repeats the first line counts.
    public func matches(_ head: UnsafeBufferPointer<UInt8>) -> Bool { program.matches(head) }
}

/// Two selectors are the same if their texts are.
extension Selector: Hashable {
    public static func == (left: Selector, right: Selector) -> Bool { left.text == right.text }
    public func hash(into hasher: inout Hasher) { hasher.combine(text) }
}
