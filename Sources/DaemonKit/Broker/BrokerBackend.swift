import Base
import BrokerCore
import Glibc
import LogStorage
import Net
import Storage
import Synchronization

/// The running broker as its operators see it.
struct BrokerBackend: AdminBackend {
    let service: Service
    var broker: Broker { service.broker }

    init(_ service: Service) { self.service = service }

    // MARK: Status

    func status() async -> API.Status {
        var status = API.Status()
        let configuration = service.configuration
        let statistics = service.engine.statistics
        let (totals, queues, topics, subscriptions, views) = broker.look { core in
            (core.totals, core.queueCount, core.topicCount, core.subscriptionCount, core.queueTotals)
        }
        status.version = Product.version
        status.processID = Int(getpid())
        status.startedUnixMilliseconds = service.started
        status.uptimeSeconds = Instant.now.milliseconds(since: service.startedAt) / 1000
        status.health = await health()
        status.addresses = addresses()
        status.dataDirectory = configuration.data
        status.connections = connectionTotals()
        status.queues = queues
        status.topics = topics
        status.subscriptions = subscriptions
        status.messages = messageTotals(totals, views)
        status.memory = memory(configuration, statistics)
        status.disk = disk(configuration, statistics)
        status.journal = journal(statistics)
        return status
    }

    private func addresses() -> [API.Address] {
        func rows(_ service: String, _ listeners: [Listener]) -> [API.Address] {
            listeners.flatMap(\.boundAddresses).map { bound in
                var row = API.Address()
                row.service = service
                row.address = bound.description
                return row
            }
        }
        return rows("stomp", service.listeners) + rows("admin", service.adminListeners)
    }

    private func connectionTotals() -> API.ConnectionTotals {
        var totals = API.ConnectionTotals()
        for listener in service.listeners {
            let counters = listener.counters()
            totals.current += counters.current
            totals.acceptedTotal += counters.accepted
            totals.refusedTotal += counters.refused
        }
        return totals
    }

    private func messageTotals(_ totals: Core.Totals, _ queues: Core.QueueTotals) -> API.MessageTotals {
        var messages = API.MessageTotals()
        messages.inTotal = totals.messagesIn
        messages.outTotal = totals.messagesOut
        messages.acknowledgedTotal = totals.acknowledged
        messages.redeliveredTotal = totals.redelivered
        messages.deadLetteredTotal = totals.deadLettered
        messages.expiredTotal = totals.expired
        messages.duplicatesTotal = totals.duplicates
        (messages.inPerSecond, messages.outPerSecond) = service.rates.withLock { ($0.inPerSecond, $0.outPerSecond) }
        messages.stored = queues.messages
        messages.storedBytes = queues.bytes
        messages.unacked = queues.inFlight
        return messages
    }

    private func memory(_ configuration: Configuration, _ statistics: StorageStatistics) -> API.Memory {
        var memory = API.Memory()
        memory.residentBytes = Self.residentBytes()
        memory.messageBytes = UInt64(Chunk.liveBytes)
        memory.messageBytesLimit = UInt64(configuration.memory.messagesBytes)
        memory.indexBytes = statistics.indexBytes
        return memory
    }

    /// From /proc/self/statm, whose second number counts resident pages.
    private static func residentBytes() -> UInt64 {
        let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 128)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        let pages = text.split(separator: " ").dropFirst().first.flatMap { UInt64($0) } ?? 0
        return pages * UInt64(sysconf(Int32(_SC_PAGESIZE)))
    }

    private func disk(_ configuration: Configuration, _ statistics: StorageStatistics) -> API.Disk {
        var disk = API.Disk()
        disk.freeBytes = statistics.freeBytes
        disk.lowBytes = UInt64(configuration.disk.lowBytes)
        disk.highBytes = UInt64(configuration.disk.highBytes)
        disk.short = broker.room.withLock { $0 } != .enough
        return disk
    }

    private func journal(_ statistics: StorageStatistics) -> API.Journal {
        var journal = API.Journal()
        journal.batchesTotal = statistics.batches
        journal.syncsTotal = statistics.syncs
        journal.writtenBytesTotal = statistics.writtenBytes
        journal.syncMicrosecondsMean = statistics.syncMicrosecondsMean
        journal.syncMicrosecondsMax = statistics.syncMicrosecondsMax
        journal.segments = statistics.journalSegments
        journal.segmentBytes = statistics.journalBytes
        journal.backlogBytes = UInt64(broker.storage.backlogBytes)
        journal.queueFiles = statistics.queueFiles
        journal.queueFileBytes = statistics.queueFileBytes
        journal.checkpointsTotal = statistics.checkpoints
        journal.scrubbedBytesTotal = statistics.scrubbedBytes
        journal.scrubPassesTotal = statistics.scrubPasses
        journal.scrubFindings = statistics.scrubFindings
        return journal
    }

    func health() async -> API.Health {
        var health = API.Health()
        if service.isStopping {
            health.ready = false
            health.reasons.append("the broker is stopping")
        }
        if case .short(let sentence) = broker.room.withLock({ $0 }) {
            health.ready = false
            health.reasons.append(sentence)
        }
        if service.isDiskSilent {
            health.ready = false
            health.reasons.append("the disk does not answer: nothing is confirmed meanwhile, senders wait")
        }
        for name in broker.look({ $0.unreadableQueues }) {
            health.reasons.append("queue \(String(decoding: name, as: UTF8.self)) cannot be read and stands still")
        }
        for finding in service.engine.findings {
            let names = finding.queues.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
            health.reasons.append("\(finding)" + (names.isEmpty ? "" : " (\(names))"))
        }
        for (name, reason) in broker.look({ $0.deafSubscriptions }) {
            health.reasons.append(
                "durable subscription \(String(decoding: name, as: UTF8.self)) gets nothing: \(reason)")
        }
        return health
    }

    // MARK: Queues

    func queues(_ query: ListQuery) async -> API.QueueList {
        API.QueueList(of: broker.look { $0.queueViews() }.map(Self.row), query)
    }

    private static func row(_ view: Core.QueueView) -> API.Queue {
        var row = API.Queue()
        row.name = shortName(view.name, prefix: "/queue/")
        row.durable = view.isStored
        row.messages = view.messages
        row.ready = view.ready
        row.unacked = view.unacknowledged
        row.bytes = view.bytes
        row.consumers = view.consumers
        row.inTotal = view.inTotal
        row.outTotal = view.outTotal
        row.redeliveredTotal = view.redeliveredTotal
        (row.delayed, row.waiting, row.lanes) = (view.delayed, view.waiting, view.lanes)
        row.expiredTotal = view.counts.expired
        row.deadLetteredTotal = view.counts.deadLettered
        row.duplicatesTotal = view.counts.duplicates
        row.rejectedTotal = view.counts.rejected
        row.droppedTotal = view.counts.dropped
        row.oldestAgeMs = view.oldestMilliseconds
        (row.inPerSecond, row.outPerSecond) = (view.inRate, view.outRate)
        row.memoryBytes = UInt64(view.memoryBytes)
        row.deliveryPaused = view.isDeliveryPaused
        row.sendingPaused = view.isSendingPaused
        row.storageID = view.isStored ? view.id.rawValue : nil
        return row
    }

    private static func shortName(_ name: [UInt8], prefix: String) -> String {
        let text = String(decoding: name, as: UTF8.self)
        return text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : text
    }

    static func full(_ name: String) -> [UInt8] { Array("/queue/\(name)".utf8) }

    func missing(_ name: String) -> AdminError {
        AdminError(.notFound, "there is no queue \(name); brokerctl queue list shows those that exist")
    }

    func queue(named name: String) async throws(AdminError) -> API.Queue {
        guard let view = broker.look({ $0.queueView(named: Self.full(name)) }) else { throw missing(name) }
        return Self.row(view)
    }

    func createQueue(
        named name: String, settings: [String: String]
    ) async throws(AdminError) -> API.QueueCreation {
        let own: [String: String]
        do throws(PolicyError) {
            own = try Policy.checked(settings, for: .queues)
        } catch {
            throw AdminError(.invalid, error.description)
        }
        let result = await durably { core, effects -> Result<Bool, Refusal> in
            do throws(Refusal) {
                return .success(try core.createQueue(named: Self.full(name), settings: own, into: &effects))
            } catch {
                return .failure(error)
            }
        }
        var creation = API.QueueCreation()
        switch result {
        case .success(let created): creation.created = created
        case .failure(let refusal):
            throw AdminError(refusal.kind == .tooManyQueues ? .limitReached : .invalid, refusal.detail)
        }
        creation.queue = try await queue(named: name)
        return creation
    }

    func deleteQueue(named name: String, force: Bool) async throws(AdminError) -> API.MessageCount {
        let result = await durably { core, effects -> Result<UInt64, Core.DeleteObstacle> in
            do throws(Core.DeleteObstacle) {
                return .success(try core.deleteQueue(named: Self.full(name), force: force, into: &effects))
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let messages): return API.MessageCount(messages: messages)
        case .failure(.missing): throw missing(name)
        case .failure(.consumers(let count)):
            throw AdminError(.inUse, "queue \(name) has \(count) consumers; stop them, or delete it with force")
        case .failure(.messages(let count)):
            throw AdminError(.notEmpty, "queue \(name) holds \(count) messages; purge it, or delete it with force")
        }
    }

    /// Enters the core and returns when what it did is on disk.
    func durably<R: Sendable>(_ body: @Sendable (inout Core, inout Effects) -> R) async -> R {
        let (result, batch) = broker.enterFromOutside { core, effects in
            let result = body(&core, &effects)
            return (result, effects.batches.last?.number ?? 0)
        }
        await broker.reached(batch)
        return result
    }

    // MARK: Topics, connections, subscriptions

    func topics(_ query: ListQuery) async -> API.TopicList {
        let rows = broker.look { $0.topicViews() }.map { view in
            var row = API.Topic()
            row.name = Self.shortName(view.name, prefix: "/topic/")
            row.subscribers = view.subscribers
            row.durableSubscribers = view.durableSubscribers
            row.retaining = view.isRetaining
            row.droppedTotal = view.droppedTotal
            row.inTotal = view.inTotal
            row.outTotal = view.outTotal
            row.droppedTotal = view.droppedTotal
            return row
        }
        return API.TopicList(of: rows, query)
    }

    func connections(_ query: ListQuery) async throws(AdminError) -> API.ConnectionList {
        try API.ConnectionList(of: await connectionRows(), query)
    }

    private func connectionRows() async -> [API.Connection] {
        var rows: [API.Connection] = []
        for loop in service.loops { rows += await onLoop(loop) { $0.connectionRows() } }
        return rows
    }

    /// Asks the clients of one loop, on that loop.
    private func onLoop<R: Sendable>(_ loop: IOLoop, _ body: @escaping @Sendable (ClientLoop) -> R) async -> R {
        await withCheckedContinuation { continuation in
            loop.submit { loop in
                guard let home = loop.context as? ClientLoop else {
                    preconditionFailure("the loops are set up before the ports open")
                }
                continuation.resume(returning: body(home))
            }
        }
    }

    func connection(id: UInt64) async throws(AdminError) -> API.Connection {
        guard let row = await connectionRows().first(where: { $0.id == id }) else { throw noConnection(id) }
        return row
    }

    private func noConnection(_ id: UInt64) -> AdminError {
        AdminError(.notFound, "there is no connection \(id); brokerctl connection list shows those that exist")
    }

    func closeConnection(id: UInt64) async throws(AdminError) -> API.Connection {
        let row = try await connection(id: id)
        for loop in service.loops where await onLoop(loop, { $0.close(connection: id) }) { return row }
        throw noConnection(id)
    }

    func subscriptions(_ query: ListQuery, connection: UInt64?) async throws(AdminError) -> API.SubscriptionList {
        let views = broker.look { $0.subscriptionViews() }
        var rows: [API.Subscription] = []
        for loop in service.loops {
            let mine = views.filter { $0.address.loop == loop.index }
            rows += await onLoop(loop) { $0.rows(for: mine) }
        }
        if let connection { rows.removeAll { $0.connectionID != connection } }
        return try API.SubscriptionList(of: rows, query)
    }

    // MARK: Settings and store

    func settings() async -> API.SettingList {
        let effective = service.effective
        var list = API.SettingList()
        list.file = service.configurationFile
        list.settings = Settings.all.map { setting in
            var row = API.Setting()
            row.name = setting.name
            row.value = setting.value(in: effective.configuration).described
            row.source = effective.origin(of: setting.name).description
            row.live = setting.effect != .restart
            return row
        }.sorted { $0.name < $1.name }
        return list
    }

    func store() async -> API.Store {
        let statistics = service.engine.statistics
        let configuration = service.configuration
        var store = API.Store()
        store.directory = configuration.data
        let digits = String(service.recovery.storeID, radix: 16)
        store.storeID = String(repeating: "0", count: 16 - digits.count) + digits
        store.formatVersion = LogEngine.formatVersion
        store.recovery = service.recovery.report
        store.recoveryMilliseconds = service.recoveryMilliseconds
        store.journal = journal(statistics)
        store.disk = disk(configuration, statistics)
        store.indexBytes = statistics.indexBytes
        return store
    }

    func reload() async throws(AdminError) -> API.Reload {
        switch service.reloaded() {
        case .failure(let error): throw AdminError(.invalid, error.description)
        case .success(let changes):
            var reload = API.Reload()
            reload.changed = changes.live
            reload.needsRestart = changes.needsRestart
            return reload
        }
    }
}
