import BrokerCore
import LogStorage
import STOMP
import Sessions

/// What each part goes by, out of the settings.
extension CoreLimits {
    init(_ configuration: Configuration) {
        self.init()
        queues = configuration.limits.queues
        holdSeconds = UInt64(configuration.limits.holdSeconds)
        diskShortBytes = min(64 << 20, configuration.disk.lowBytes / 2)
        windowBytes = max(64 << 10, min(4 << 20, configuration.memory.messagesBytes / 8))
        backlogBytes = configuration.topic.subscriberBacklogBytes
        unflushedBytes = configuration.consumer.outboxBytes
        transactionBytes = configuration.limits.transactionBytes
        transactionOperations = configuration.limits.transactionOperations
        transactionSeconds =
            configuration.limits.transactionSeconds == 0 ? .max / 1000 : UInt64(configuration.limits.transactionSeconds)
        batchBytes = min(8 << 20, configuration.batchPayloadBytes)
    }
}

extension ClientLimits {
    init(_ configuration: Configuration) {
        let limits = configuration.limits
        ofConnection.messages = UInt64(limits.sendsPerSecond)
        ofConnection.bytes = UInt64(limits.sendBytesPerSecond)
        ofUser.messages = UInt64(limits.sendsPerSecondPerUser)
        ofUser.bytes = UInt64(limits.sendBytesPerSecondPerUser)
        ofAddress.messages = UInt64(limits.sendsPerSecondPerAddress)
        ofAddress.bytes = UInt64(limits.sendBytesPerSecondPerAddress)
        connectionsOfUser = limits.connectionsPerUser
        subscriptionsOfUser = limits.subscriptionsPerUser
        transactionsOfUser = limits.transactionsPerUser
    }
}

extension SessionSettings {
    init(_ configuration: Configuration, ids: BrokerIdentity) {
        self.init()
        let after = configuration.limits
        limits.headerLineBytes = after.headerLineBytes
        limits.headerCount = after.headers
        limits.headerBytes = after.headBytes
        limits.bodyBytes = after.bodyBytes
        let before = configuration.limits.beforeLogin
        limitsBeforeLogin.headerLineBytes = before.headerLineBytes
        limitsBeforeLogin.headerCount = before.headers
        limitsBeforeLogin.headerBytes = before.headBytes
        limitsBeforeLogin.bodyBytes = before.bodyBytes
        subscriptions = after.subscriptionsPerConnection
        transactions = after.transactionsPerConnection
        memos = after.destinationsPerConnection
        prefetchCount = UInt32(clamping: configuration.consumer.prefetchCount)
        prefetchBytes = UInt64(configuration.consumer.prefetchBytes)
        heartBeat = UInt64(configuration.heartBeat.serverMilliseconds)
        heartBeatMinimum = UInt64(configuration.heartBeat.minimumMilliseconds)
        heartBeatTolerance = 100 + UInt64(configuration.heartBeat.tolerancePercent)
        loginMilliseconds = UInt64(after.loginSeconds) * 1000
        frameMilliseconds = UInt64(after.frameSeconds) * 1000
        hosts = configuration.stomp.hosts
        strictHost = configuration.stomp.strictHost
        server = "\(Product.name)/\(Product.version)"
        storeTag = ids.storeTag
        bootTag = ids.bootTag
    }
}

extension LogSettings {
    init(_ configuration: Configuration) {
        self.init()
        segmentBytes = configuration.journal.segmentBytes
        journalSegments = configuration.journal.segments
        journalSegmentsMax = ProcessRules.journalSegmentsMax(
            configuration.journal.segmentsMax, least: journalSegments + 1, openFilesMax: ProcessRules.openFilesMax)
        queueFileBytes = configuration.queueFile.bytes
        scrubBytesPerSecond = configuration.storage.scrubBytesPerSecond
        scrubIntervalSeconds = configuration.storage.scrubIntervalHours * 3600
        lowWatermark = UInt64(configuration.disk.lowBytes)
        highWatermark = UInt64(configuration.disk.highBytes)
    }
}
