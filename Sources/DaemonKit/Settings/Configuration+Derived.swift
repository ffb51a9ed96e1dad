import Base
import BrokerCore
import Glibc
import Net

/// What follows from the settings.
extension Configuration {
    /// Loops to start: the setting, or one for each core. Behind eight the core's lock would be what they wait for.
    public var loopCount: Int {
        io.loops > 0 ? io.loops : min(8, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    }

    /// Where to listen for administrators: the setting, or the socket in the data directory.
    public var adminAddresses: [SocketAddress] {
        admin.isEmpty ? [SocketAddress(.unix(path: standardSocket))] : admin
    }

    private var standardSocket: String { (data.hasSuffix("/") ? data : data + "/") + "admin.sock" }

    /// The system's own limit for the path of a socket, without its end mark.
    private static let socketPathBytes = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    /// Bytes of one message, head and body, that can come in at most.
    public var messageBytesMax: Int { limits.headBytes + limits.bodyBytes }

    /// Payload that one batch may hold at most, so that it fits into a journal segment and into
    /// `Batch.payloadLimit`. Who gathers commands of many clients into a batch stops here.
    public var batchPayloadBytes: Int {
        min(Batch.payloadLimit, journal.segmentBytes - Self.segmentOverheadBytes(records: limits.transactionOperations))
    }

    /// Room in a segment for what is not payload: its header, a batch's header, and its records.
    static func segmentOverheadBytes(records: Int) -> Int { (64 << 10) + records * 64 }

    /// What is wrong between settings that are right one by one: sentences, each naming the two.
    func contradictions() -> [String] {
        var found: [String] = []
        func require(_ holds: Bool, _ sentence: @autoclosure () -> String) {
            if !holds { found.append(sentence()) }
        }
        require(!listen.isEmpty, "listen is empty, so no client could connect")
        require(
            limits.headerLineBytes <= limits.headBytes,
            "limits.header_line_bytes is more than limits.head_bytes, which bounds all header lines together")
        require(
            limits.beforeLogin.headerLineBytes <= limits.beforeLogin.headBytes,
            "limits.before_login.header_line_bytes is more than limits.before_login.head_bytes")
        require(
            limits.beforeLogin.headBytes <= limits.headBytes && limits.beforeLogin.bodyBytes <= limits.bodyBytes
                && limits.beforeLogin.headers <= limits.headers,
            "a limit under limits.before_login is higher than the same limit after login")
        require(
            max(messageBytesMax, limits.transactionBytes) <= batchPayloadBytes,
            "journal.segment_bytes (\(ByteSize.text(journal.segmentBytes))) cannot hold the largest message "
                + "(limits.head_bytes + limits.body_bytes) or transaction (limits.transaction_bytes and 64 bytes "
                + "for each of limits.transaction_operations); raise it or lower those")
        require(
            journal.segmentBytes % 4096 == 0,
            "journal.segment_bytes is \(journal.segmentBytes); it must be a multiple of 4096")
        require(
            journal.segmentsMax > journal.segments,
            "journal.segments_max must be more than journal.segments, or nothing is left for a rush")
        require(
            disk.highBytes > disk.lowBytes,
            "disk.high_bytes must be more than disk.low_bytes, or sending would flicker on and off")
        require(
            topic.subscriberBacklogBytes >= limits.bodyBytes,
            "topic.subscriber_backlog_bytes is less than limits.body_bytes, so the largest message would "
                + "disconnect every subscriber")
        require(
            heartBeat.serverMilliseconds == 0 || heartBeat.serverMilliseconds >= heartBeat.minimumMilliseconds,
            "heart_beat.server_milliseconds is less than heart_beat.minimum_milliseconds")
        require(
            !admin.isEmpty || standardSocket.utf8.count <= Self.socketPathBytes,
            "data is too long for the socket admin.sock in it (\(Self.socketPathBytes) bytes in all); "
                + "set admin to a shorter unix:PATH")
        return found
    }
}
