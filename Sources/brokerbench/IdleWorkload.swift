import Base
import Glibc

/// Connections that log in and do nothing: what each of them costs the broker in memory.
struct IdleWorkload {
    private let options: Options

    init(_ options: Options) { self.options = options }

    func run() throws -> Report {
        try OpenFiles.allow(options.connections + 64)
        // The first one makes the broker set up what it has only once.
        var links = [try Link(options)]
        links.reserveCapacity(options.connections + 1)
        usleep(500_000)
        let before = ProcessorUse.residentMiB(of: options.serverPID)
        let from = Instant.now.nanoseconds
        for number in 1...options.connections {
            do {
                let link = try Link(options)
                link.rest()
                links.append(link)
            } catch let failure as Failure {
                throw Failure("connection \(number): \(failure.line)")
            }
        }
        let seconds = Double(Instant.now.nanoseconds - from) / 1e9
        sleep(2)  // buffers that were needed for logging in are given back with some delay
        let after = ProcessorUse.residentMiB(of: options.serverPID)
        var report = Report(options)
        report.add("connections", UInt64(options.connections))
        report.add("connects_per_s", Double(options.connections) / max(seconds, 1e-9))
        report.add("rss_before_mib", before)
        report.add("rss_after_mib", after)
        report.add("kib_per_connection", (after - before) * 1024 / Double(options.connections), decimals: 2)
        return report
    }
}

/// How many files this process may have open.
enum OpenFiles {
    static func allow(_ count: Int) throws(Failure) {
        var limit = rlimit()
        let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(kind, &limit) == 0 else { throw Failure.system("getrlimit") }
        guard limit.rlim_cur < UInt(count) else { return }
        limit.rlim_cur = min(UInt(count), limit.rlim_max)
        guard setrlimit(kind, &limit) == 0 else { throw Failure.system("setrlimit") }
        guard limit.rlim_cur == UInt(count) else {
            throw Failure("\(count) open files are needed, \(limit.rlim_max) are allowed")
        }
    }
}
