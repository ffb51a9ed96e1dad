extension API {
    public struct Status: APISchema {
        public var version = ""
        public var processID = 0
        public var startedUnixMilliseconds: UInt64 = 0
        public var uptimeSeconds: UInt64 = 0
        public var health = Health()
        public var addresses: [Address] = []
        public var dataDirectory = ""
        public var connections = ConnectionTotals()
        public var queues = 0
        public var topics = 0
        public var subscriptions = 0
        public var messages = MessageTotals()
        public var memory = Memory()
        public var disk = Disk()
        public var journal = Journal()

        public init() {}

        public static let summary = "How the broker is doing."
        public static let notes = [
            "version": "of brokerd",
            "process_id": "of brokerd",
            "started_unix_milliseconds": "when it started, in milliseconds since 1970",
            "uptime_seconds": "how long it has been running",
            "health": "whether it can do its work",
            "addresses": "where it listens, with the ports that are really open",
            "data_directory": "where its data is",
            "connections": "of STOMP clients",
            "queues": "how many queues there are",
            "topics": "how many topics have subscribers or have seen messages",
            "subscriptions": "how many there are on all connections",
            "messages": "of all queues and topics",
            "memory": "of the process",
            "disk": "room on the file system of the data directory",
            "journal": "what the storage has done",
        ]
    }

    public struct Health: APISchema {
        /// False only when nothing more can be confirmed and the process is about to end.
        public var live = true
        /// False while starting, stopping, or refusing messages.
        public var ready = true
        /// Sentences: why not ready, or what is going to be a trouble.
        public var reasons: [String] = []

        public init() {}

        public static let summary = "Whether the broker can do its work."
        public static let notes = [
            "live": "false when it has failed for good and must be started again",
            "ready": "whether it takes and delivers messages now",
            "reasons": "one sentence for each thing that is wrong",
        ]
    }

    public struct Address: APISchema {
        /// `stomp` or `admin`.
        public var service = ""
        /// `127.0.0.1:61613` or `unix:/run/brokerd/admin.sock`.
        public var address = ""

        public init() {}

        public init(service: String, address: String) {
            self.service = service
            self.address = address
        }

        public static let summary = "An address that the broker listens on."
        public static let notes = [
            "service": "`stomp` or `admin`",
            "address": "`HOST:PORT`, `[HOST]:PORT` for IPv6, or `unix:PATH`",
        ]
    }

    public struct ConnectionTotals: APISchema {
        public var current = 0
        public var acceptedTotal: UInt64 = 0
        public var refusedTotal: UInt64 = 0

        public init() {}

        public static let summary = "Connections of STOMP clients."
        public static let notes = [
            "current": "open now",
            "accepted_total": "since the broker started",
            "refused_total": "over the limit of connections, since the broker started",
        ]
    }

    public struct MessageTotals: APISchema {
        public var inTotal: UInt64 = 0
        public var outTotal: UInt64 = 0
        public var acknowledgedTotal: UInt64 = 0
        public var redeliveredTotal: UInt64 = 0
        public var deadLetteredTotal: UInt64 = 0
        public var expiredTotal: UInt64 = 0
        public var duplicatesTotal: UInt64 = 0
        public var inPerSecond: Double = 0
        public var outPerSecond: Double = 0
        public var stored: UInt64 = 0
        public var storedBytes: UInt64 = 0
        public var unacked: UInt64 = 0

        public init() {}

        public static let summary = "Messages of all queues and topics; totals since the broker started."
        public static let notes = [
            "in_total": "taken from producers",
            "out_total": "delivered to consumers, redeliveries included",
            "acknowledged_total": "done with",
            "redelivered_total": "delivered more than once",
            "dead_lettered_total": "given up and put into a dead-letter queue",
            "expired_total": "taken out because their time was over",
            "duplicates_total": "confirmed and not taken, since they had been sent before",
            "in_per_second": "taken, in the last seconds",
            "out_per_second": "delivered, in the last seconds",
            "stored": "in all queues now",
            "stored_bytes": "their size, headers included",
            "unacked": "delivered and not yet acknowledged",
        ]
    }

    public struct Memory: APISchema {
        public var residentBytes: UInt64 = 0
        public var messageBytes: UInt64 = 0
        public var messageBytesLimit: UInt64 = 0
        public var indexBytes: UInt64 = 0

        public init() {}

        public static let summary = "Memory of the broker's process."
        public static let notes = [
            "resident_bytes": "of the process, as the kernel counts it",
            "message_bytes": "held for messages on their way",
            "message_bytes_limit": "the setting that bounds them; 0 when there is none",
            "index_bytes": "held to find stored messages, about",
        ]
    }

    public struct Disk: APISchema {
        public var freeBytes: UInt64 = 0
        public var lowBytes: UInt64 = 0
        public var highBytes: UInt64 = 0
        /// New messages are refused.
        public var short = false

        public init() {}

        public static let summary = "Room on the file system of the data directory."
        public static let notes = [
            "free_bytes": "free for the broker",
            "low_bytes": "with less free, new messages are refused",
            "high_bytes": "with this much free again, they are taken again",
            "short": "whether new messages are refused now for want of room",
        ]
    }

    /// `StorageStatistics` in the words of the interface.
    public struct Journal: APISchema {
        public var batchesTotal: UInt64 = 0
        public var syncsTotal: UInt64 = 0
        public var writtenBytesTotal: UInt64 = 0
        public var syncMicrosecondsMean: UInt64 = 0
        public var syncMicrosecondsMax: UInt64 = 0
        public var segments = 0
        public var segmentBytes: UInt64 = 0
        public var backlogBytes: UInt64 = 0
        public var queueFiles = 0
        public var queueFileBytes: UInt64 = 0
        public var checkpointsTotal: UInt64 = 0
        public var scrubbedBytesTotal: UInt64 = 0
        public var scrubPassesTotal: UInt64 = 0
        public var scrubFindings = 0

        public init() {}

        public static let summary = "What the storage has done; totals since the broker started."
        public static let notes = [
            "batches_total": "groups of changes made durable together",
            "syncs_total": "calls of fdatasync that made them durable",
            "written_bytes_total": "to the journal",
            "sync_microseconds_mean": "a usual sync of late",
            "sync_microseconds_max": "the longest sync of late",
            "segments": "files of the journal in use",
            "segment_bytes": "their size",
            "backlog_bytes": "waiting to be written",
            "queue_files": "files of messages that outlived the journal",
            "queue_file_bytes": "their size",
            "checkpoints_total": "written",
            "scrubbed_bytes_total": "read again to see whether they are as they were written",
            "scrub_passes_total": "how often everything stored was read again",
            "scrub_findings": "files in which damage was found that stands; the reasons of the health name them",
        ]
    }
}
