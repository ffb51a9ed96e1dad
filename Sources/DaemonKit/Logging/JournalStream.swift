import Glibc

/// Whether somebody reads our standard error for journald: systemd then sets `JOURNAL_STREAM` to
/// the device and inode of that stream (systemd.exec(5)).
enum JournalStream {
    static func isBehind(_ descriptor: Int32) -> Bool {
        isBehind(descriptor, named: environmentValue("JOURNAL_STREAM"))
    }

    static func isBehind(_ descriptor: Int32, named stream: String?) -> Bool {
        guard let stream else { return false }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return false }
        return stream == "\(status.st_dev):\(status.st_ino)"
    }
}

/// What the process was started with; nil if it was not set or is no text.
func environmentValue(_ name: String) -> String? {
    getenv(name).flatMap { String(validatingCString: $0) }
}
