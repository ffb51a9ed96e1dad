/// When a verb that takes messages stops: `--count`, `--follow` and `--timeout`.
struct TakingLimits {
    let wanted: UInt64
    /// Without a message; nil: for ever.
    let seconds: UInt64?
    private let isEndless: Bool

    init(_ call: Invocation) throws(CtlFailure) {
        let follows = call.isGiven("--follow")
        let given = try call.number("--count", in: 1...UInt64.max)
        wanted = given ?? (follows ? UInt64.max : 1)
        seconds = try call.number("--timeout", in: 0...UInt64(1 << 32)) ?? (follows ? nil : 10)
        isEndless = follows && given == nil
    }

    /// Errors: `timedOut` if there are fewer than were wanted.
    func check(_ got: UInt64) throws(CtlFailure) {
        if got >= wanted || isEndless { return }
        let limit = counted(seconds ?? 0, "second")
        throw CtlFailure(
            .timedOut,
            got == 0 && wanted == 1
                ? "No message came within \(limit)"
                : "\(got) of \(counted(wanted, "message")) came; then none for \(limit)")
    }
}
