import Glibc

// Sets are iterated over in an order that differs from process to process, unless this is set before it starts:
// a seed must lead to the same run each time.
if getenv("SWIFT_DETERMINISTIC_HASHING") == nil {
    setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1)
    execv("/proc/self/exe", CommandLine.unsafeArgv)
}

do throws(Arguments.Mistake) {
    let arguments = try Arguments(Array(CommandLine.arguments.dropFirst()))
    if arguments.wantsHelp {
        print(Arguments.help)
        exit(0)
    }
    let first = arguments.seed ?? UInt64.random(in: 0..<1 << 32)
    exit(Campaign(arguments, first: first).run() ? 0 : 1)
} catch {
    print("brokersim: \(error.sentence)")
    exit(2)
}
