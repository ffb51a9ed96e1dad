import Base

/// Every limit and knob of the daemon, one line each. `brokerd --help`, `brokerd --print-config`,
/// docs/configuration.md and Config/brokerd.json5 are made from this table, so none of them can
/// say something else. (The idea of one table is that of redis' `config.c`.)
public enum Settings {
    /// In the order in which people read them.
    public static let all: [Setting] =
        places + connections + frames + work + rates + consumers + heartBeats + storage + process

    private static let byName: [String: Setting] = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    public static func named(_ name: String) -> Setting? { byName[name] }

    /// The known name that a wrong one was probably meant to be.
    public static func nearest(to name: String) -> String? { nearestWord(to: name, among: all.map(\.name)) }

    // MARK: The table

    private static let places: [Setting] = [
        .addresses(
            "listen", \.listen, of: "HOST:PORT", .restart,
            "Where STOMP clients connect. Only addresses of this machine are taken as long as nobody has to log in.",
            check: ListenRule.refusal(ofClientAddress:)),
        .addresses(
            "admin", \.admin, of: "unix:PATH or HOST:PORT", .restart,
            "Where brokerctl connects. An empty list means the socket admin.sock in the data directory.",
            check: ListenRule.mayListen(on:)),
        .text(
            "data", \.data, .restart,
            "The directory that holds everything durable. Only one broker at a time can have it.",
            check: { $0.isEmpty || $0.utf8.contains(0) ? "a path is wanted" : nil }),
        .number(
            "io.loops", \.io.loops, 0...256, .restart,
            "Threads that talk to clients. 0 means one for each core, at most eight."),
    ]

    private static let connections: [Setting] = [
        .number(
            "limits.connections", \.limits.connections, 1...1_000_000, .atOnce,
            "Connections at the same time, over all addresses of listen. More get an ERROR and are closed. Each needs an open file."
        ),
        .number(
            "limits.connections_per_address", \.limits.connectionsPerAddress, 0...1_000_000, .atOnce,
            "Connections at the same time from one IPv4 address or one IPv6 network of 64 bits. 0 means no limit."),
        .number(
            "limits.connections_per_user", \.limits.connectionsPerUser, 0...1_000_000, .atOnce,
            "Connections at the same time with one login. 0 means no limit; without a login there is none."),
        .number(
            "limits.login_seconds", \.limits.loginSeconds, 1...300, .newConnections,
            "How long a client may take from connecting to the end of its CONNECT frame."),
        .number(
            "limits.frame_seconds", \.limits.frameSeconds, 1...3600, .newConnections,
            "How long a client may take for one frame, from its first byte to its last."),
    ]

    private static let frames: [Setting] = [
        .bytes(
            "limits.header_line_bytes", \.limits.headerLineBytes, 256...1 << 20, .newConnections,
            "The longest header line of a frame."),
        .number(
            "limits.headers", \.limits.headers, 8...4096, .newConnections,
            "Headers of one frame, repeated ones counted."),
        .bytes(
            "limits.head_bytes", \.limits.headBytes, 1 << 10...1 << 20, .newConnections,
            "The command and all headers of one frame."),
        .bytes(
            "limits.body_bytes", \.limits.bodyBytes, 1 << 10...32 << 20, .newConnections,
            "The largest message body."),
        .bytes(
            "limits.before_login.header_line_bytes", \.limits.beforeLogin.headerLineBytes, 256...1 << 20,
            .newConnections, "The longest header line before a client has logged in."),
        .number(
            "limits.before_login.headers", \.limits.beforeLogin.headers, 8...4096, .newConnections,
            "Headers of the CONNECT frame."),
        .bytes(
            "limits.before_login.head_bytes", \.limits.beforeLogin.headBytes, 1 << 10...1 << 20, .newConnections,
            "The whole head of the CONNECT frame. What strangers can make the broker keep is bounded by this."),
        .bytes(
            "limits.before_login.body_bytes", \.limits.beforeLogin.bodyBytes, 0...1 << 20, .newConnections,
            "The body of a frame before login. CONNECT has none, so this only bounds nonsense."),
    ]

    private static let work: [Setting] = [
        .number(
            "limits.subscriptions_per_connection", \.limits.subscriptionsPerConnection, 1...100_000, .newConnections,
            "Subscriptions that one connection may hold."),
        .number(
            "limits.destinations_per_connection", \.limits.destinationsPerConnection, 1...1_000_000, .newConnections,
            "Different destinations that one connection may send to before the oldest name is looked up anew."),
        .number(
            "limits.transactions_per_connection", \.limits.transactionsPerConnection, 1...1000, .newConnections,
            "Transactions that one connection may have open."),
        .number(
            "limits.subscriptions_per_user", \.limits.subscriptionsPerUser, 0...1_000_000, .atOnce,
            "Subscriptions that all connections with one login may hold together. 0 means no limit."),
        .number(
            "limits.transactions_per_user", \.limits.transactionsPerUser, 0...1_000_000, .atOnce,
            "Transactions that all connections with one login may have open together. 0 means no limit."),
        .bytes(
            "limits.transaction_bytes", \.limits.transactionBytes, 1 << 10...32 << 20, .newConnections,
            "Headers and bodies of all messages of one transaction. It is kept in memory until COMMIT."),
        .number(
            "limits.transaction_operations", \.limits.transactionOperations, 1...100_000, .newConnections,
            "Frames in one transaction."),
        .number(
            "limits.transaction_seconds", \.limits.transactionSeconds, 0...86_400, .newConnections,
            "How long a transaction may stay open before it is aborted with an ERROR. 0 means no limit."),
        .number(
            "limits.queues", \.limits.queues, 1...10_000_000, .restart,
            "Queues in all. They come to be by being named, so this bounds what clients can make."),
    ]

    private static let rates: [Setting] = [
        .number(
            "limits.sends_per_second", \.limits.sendsPerSecond, 0...100_000_000, .atOnce,
            "SEND frames of one connection. Above it, after a second's worth at once, it is read more slowly. 0 means no limit."
        ),
        .bytes(
            "limits.send_bytes_per_second", \.limits.sendBytesPerSecond, 0...1 << 40, .atOnce,
            "The same in bytes of SEND frames."),
        .number(
            "limits.sends_per_second_per_user", \.limits.sendsPerSecondPerUser, 0...100_000_000, .atOnce,
            "The same for all connections with one login together."),
        .bytes(
            "limits.send_bytes_per_second_per_user", \.limits.sendBytesPerSecondPerUser, 0...1 << 40, .atOnce,
            "The same in bytes."),
        .number(
            "limits.sends_per_second_per_address", \.limits.sendsPerSecondPerAddress, 0...100_000_000, .atOnce,
            "The same for all connections from one address together."),
        .bytes(
            "limits.send_bytes_per_second_per_address", \.limits.sendBytesPerSecondPerAddress, 0...1 << 40, .atOnce,
            "The same in bytes."),
        .number(
            "limits.hold_seconds", \.limits.holdSeconds, 0...3600, .atOnce,
            "While the disk is short: how long a sender is not read from before it gets an ERROR. 0 means at once."),
    ]

    private static let consumers: [Setting] = [
        .number(
            "consumer.prefetch_count", \.consumer.prefetchCount, 1...1_000_000, .newConnections,
            "Messages that a subscription may have unacknowledged, unless it asks for another number."),
        .bytes(
            "consumer.prefetch_bytes", \.consumer.prefetchBytes, 1 << 10...1 << 30, .newConnections,
            "Bytes that a subscription may have unacknowledged; one message is always let through."),
        .bytes(
            "consumer.outbox_bytes", \.consumer.outboxBytes, 64 << 10...64 << 20, .restart,
            "Bytes waiting for a client that does not read before deliveries to it pause."),
        .bytes(
            "topic.subscriber_backlog_bytes", \.topic.subscriberBacklogBytes, 64 << 10...1 << 30, .newConnections,
            "Topic messages waiting for a slow subscriber before it is disconnected."),
        .bytes(
            "memory.messages_bytes", \.memory.messagesBytes, 1 << 20...1 << 40, .restart,
            "Message bytes kept in memory for delivery. What is beyond is read back from disk."),
    ]

    private static let heartBeats: [Setting] = [
        .number(
            "heart_beat.server_milliseconds", \.heartBeat.serverMilliseconds, 0...3_600_000, .newConnections,
            "The interval offered in both directions. A client that asks for none gets none; 0 offers none."),
        .number(
            "heart_beat.minimum_milliseconds", \.heartBeat.minimumMilliseconds, 10...60_000, .newConnections,
            "The shortest interval that is agreed on, whatever a client asks for."),
        .number(
            "heart_beat.tolerance_percent", \.heartBeat.tolerancePercent, 0...1000, .newConnections,
            "Lateness forgiven before a silent client is given up; 100 waits twice the interval."),
        .flag(
            "stomp.strict_host", \.stomp.strictHost, .newConnections,
            "Refuse a CONNECT of 1.1 or 1.2 without the header host, as the specification allows."),
        .list(
            "stomp.hosts", \.stomp.hosts, of: "virtual host names", .newConnections,
            "Values of the header host that are served. An empty list means any.",
            check: { $0.isEmpty || $0.utf8.count > 255 ? "a name of 1 to 255 bytes is wanted" : nil }),
    ]

    private static let storage: [Setting] = [
        .bytes(
            "journal.segment_bytes", \.journal.segmentBytes, 1 << 20...1 << 30, .restart,
            "Size of one journal file. It must hold the largest message and the largest transaction."),
        .number(
            "journal.segments", \.journal.segments, 2...59, .restart,
            "Journal files in use before the oldest is emptied. Fewer mean a faster start, more mean fewer copies. While messages "
                + "come very fast, two thirds of the way to segments_max are used first."),
        .number(
            "journal.segments_max", \.journal.segmentsMax, 3...60, .restart,
            "Journal files at most, when messages come faster than old ones can be emptied. Then senders wait. Two thirds of the way "
                + "from segments to here are kept on the disk for the next such time, until the disk is short. Fewer where the system "
                + "allows less than 512 open files."),
        .bytes(
            "queue_file.bytes", \.queueFile.bytes, 1 << 20...1 << 30, .restart,
            "Size at which a queue's file is closed. A file goes when all in it is acknowledged."),
        .bytes(
            "storage.scrub_bytes_per_second", \.storage.scrubBytesPerSecond, 0...1 << 30, .restart,
            "How fast what is stored is read again in the background, to find damage while a copy still helps. 0 means not at all."
        ),
        .number(
            "storage.scrub_interval_hours", \.storage.scrubIntervalHours, 1...8760, .restart,
            "The pause after all that is stored was read again."),
        .bytes(
            "disk.low_bytes", \.disk.lowBytes, 1 << 20...1 << 44, .restart,
            "Free space below which senders are held and then refused. Consumers go on."),
        .bytes(
            "disk.high_bytes", \.disk.highBytes, 1 << 20...1 << 44, .restart,
            "Free space above which messages are taken again."),
    ]

    private static let process: [Setting] = [
        .number(
            "shutdown.grace_seconds", \.shutdown.graceSeconds, 0...300, .atOnce,
            "How long a stopping broker waits until what it owes to clients has reached them."),
        .choice(
            "log.level", \.log.level, .atOnce,
            "What is worth a line. debug tells every connection's frames apart and is not for every day."),
        .choice(
            "log.format", \.log.format, .restart,
            "text is for people, json for collectors; auto is text, in journald's own form under systemd."),
    ]
}
