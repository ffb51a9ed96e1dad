import CSystem
import Glibc

/// What the process asks of the system before it opens anything.
public enum ProcessRules {
    /// Sentences for the log about what could not be had.
    ///
    /// * Nobody but the user of the daemon may read what it makes (umask 077).
    /// * No core dump and no debugger of another user sees messages and secrets. It also makes
    ///   `/proc/PID` readable for root only.
    /// * As many open files as the system allows.
    /// * SIGPIPE and SIGXFSZ do not end it.
    public static func apply() -> [String] {
        umask(0o077)
        Signals.ignoreThoseThatErrorsTell()
        var complaints: [String] = []
        if csystem_forbid_dumps() != 0 { complaints.append("core dumps cannot be forbidden: \(systemError())") }
        if let complaint = raiseOpenFiles() { complaints.append(complaint) }
        return complaints
    }

    /// Open files that the process may have. 0 if the system does not tell.
    public static var openFilesMax: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        return Int(clamping: limit.rlim_cur)
    }

    /// Files that the broker itself needs beside connections: journal, queue files, sockets.
    private static let openFilesOfOurOwn = 256

    /// With fewer the broker can neither keep its files open nor answer who asks why.
    private static let openFilesLeast = 64

    /// A sentence when the system allows too few open files to start at all.
    public static func refusal(openFilesMax: Int) -> String? {
        if openFilesMax == 0 || openFilesMax >= openFilesLeast { return nil }
        return "the system allows only \(openFilesMax) open files, and \(openFilesLeast) is the least; "
            + "raise LimitNOFILE (or ulimit -n)"
    }

    /// A sentence when the system allows fewer open files than `configuration` may come to need.
    public static func complaint(about configuration: Configuration, openFilesMax: Int) -> String? {
        let wanted = configuration.limits.connections + openFilesOfOurOwn
        if openFilesMax == 0 || openFilesMax >= wanted { return nil }
        return "limits.connections is \(configuration.limits.connections), but the system allows only "
            + "\(openFilesMax) open files, so fewer are taken; raise LimitNOFILE (or ulimit -n) to \(wanted), or lower the limit"
    }

    /// Connections that can be taken without a lack of files for journal and queues: less than what is
    /// configured where the system allows fewer open files. Half of few files is kept back.
    public static func connectionsMax(_ configured: Int, openFilesMax: Int) -> Int {
        if openFilesMax == 0 { return configured }
        return max(1, min(configured, openFilesMax - min(openFilesOfOurOwn, openFilesMax / 2)))
    }

    /// Files of the journal that there can be without a lack of files for the rest: fewer than what is configured where
    /// few files are kept back. Then messages are moved out of the journal sooner.
    public static func journalSegmentsMax(_ configured: Int, least: Int, openFilesMax: Int) -> Int {
        if openFilesMax == 0 || openFilesMax >= 2 * openFilesOfOurOwn { return configured }
        return min(configured, max(least, openFilesMax / 16))
    }

    private static func raiseOpenFiles() -> String? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return "the limit of open files cannot be read: \(systemError())"
        }
        limit.rlim_cur = limit.rlim_max
        guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return "the limit of open files cannot be raised: \(systemError())"
        }
        return nil
    }

    private static func systemError() -> String { String(cString: strerror(errno)) }
}
