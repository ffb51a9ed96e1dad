import Glibc

/// What cannot be gone on from, as the one line that is printed.
struct Failure: Error, Equatable {
    let line: String

    init(_ line: String) { self.line = line }

    /// What the last system call said.
    static func system(_ doing: String, _ code: Int32 = errno) -> Failure {
        Failure("\(doing): \(String(cString: strerror(code)))")
    }
}

/// The program: reads its options, runs one workload, prints one report.
enum Bench {
    static func main(_ arguments: [String]) -> Int32 {
        signal(SIGPIPE, SIG_IGN)
        do {
            if arguments.count > 1, arguments[1] == "floor", !arguments.contains("--help") {
                try runFloor(FloorOptions(parsing: Array(arguments.dropFirst(2))))
            }
            guard let options = try Options(parsing: Array(arguments.dropFirst())) else {
                print(Options.help)
                return 0
            }
            return try run(options)
        } catch let failure as Options.Misuse {
            complain(failure.line)
            return 2
        } catch let failure as Failure {
            complain(failure.line)
            return 1
        } catch {
            complain("\(error)")
            return 1
        }
    }

    private static func run(_ options: Options) throws -> Int32 {
        let report =
            switch options.workload {
            case .publish: try PublishWorkload(options).run()
            case .e2e: try EndToEndWorkload(options).run()
            case .drain: try DrainWorkload(options).run()
            case .fanout: try FanoutWorkload(options).run()
            case .rtt: try RoundTripWorkload(options).run()
            case .idle: try IdleWorkload(options).run()
            case .first: try FirstWorkload(options).run()
            }
        print(options.json ? report.json : report.text)
        guard let complaint = report.complaint else { return 0 }
        complain(complaint)
        return 1
    }

    private static func runFloor(_ options: FloorOptions) throws -> Never {
        try OpenFiles.allow(FloorOptions.openFiles)
        var server = try FloorServer(options)
        print("floor: process \(getpid()) on 127.0.0.1:\(options.port)")
        fflush(nil)
        try server.serve()
    }

    static func complain(_ line: String) {
        let bytes = Array("brokerbench: \(line)\n".utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }
}
