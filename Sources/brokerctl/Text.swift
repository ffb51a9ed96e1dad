/// `text` as it may stand on a terminal: control characters, marks that change the direction of
/// writing and other invisible ones become `\u{1b}`. Quotes and backslashes stay, since bodies are
/// often JSON.
func harmless(_ text: String, keepsLines: Bool = false) -> String {
    var safe = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\n", "\t":
            safe += keepsLines ? String(scalar) : scalar == "\n" ? "\\n" : "\\t"
        case _ where isVisible(scalar):
            safe.unicodeScalars.append(scalar)
        default:
            safe += "\\u{\(String(scalar.value, radix: 16))}"
        }
    }
    return safe
}

private func isVisible(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return scalar.value >= 0x20 && scalar.value != 0x7F }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned: return false
    default: return true
    }
}

/// At most `limit` characters, with `…` in place of the rest.
func shortened(_ text: String, to limit: Int) -> String {
    text.count <= limit ? text : text.prefix(max(0, limit - 1)) + "…"
}

/// `1.5 MiB`: three digits or so, in steps of 1024.
func humanBytes(_ bytes: UInt64) -> String {
    if bytes < 1024 { return "\(bytes) B" }
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var unit = 0
    var divisor: UInt64 = 1024
    while unit + 1 < units.count, bytes / divisor >= 1024 {
        divisor *= 1024
        unit += 1
    }
    let whole = bytes / divisor
    // Cut, not rounded, so that 1023.99 KiB are not written as 1024.0. The largest product is 10 EiB.
    let tenths = bytes % divisor * 10 / divisor
    return whole >= 100 ? "\(whole) \(units[unit])" : "\(whole).\(tenths) \(units[unit])"
}

/// `3 d 4 h`: the two largest units.
func humanDuration(seconds: UInt64) -> String {
    let parts = [
        (seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s"),
    ]
    let first = parts.firstIndex { $0.0 > 0 } ?? parts.count - 1
    return parts[first...].prefix(2).filter { $0.0 > 0 || seconds == 0 }.map { "\($0.0) \($0.1)" }.joined(
        separator: " ")
}

/// One digit behind the point below 100, none from there on.
func humanRate(_ rate: Double) -> String {
    guard rate.isFinite, rate >= 0, rate < 1e15 else { return "?" }
    let tenths = UInt64((rate * 10).rounded())
    return tenths >= 1000 ? String((tenths + 5) / 10) : "\(tenths / 10).\(tenths % 10)"
}

/// `1 message`, `2 messages`.
func counted(_ count: UInt64, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
