import Base
import BrokerCore
import CSystem
import Dispatch
import Glibc
import LogStorage
import Net
import STOMP
import Sessions
import Storage
import Synchronization

/// The running broker: what was opened, in the order in which it is closed again.
final class Service: Sendable {
    let log: Log
    let broker: Broker
    let engine: LogEngine
    /// Of clients.
    let loops: [IOLoop]
    /// Accepts, and serves administrators: a loop that waits for no disk and computes for no client.
    let frontDoor: IOLoop
    let notify = Notify()
    let recovery: Recovery
    let started = wallClockMilliseconds()
    let startedAt: Instant
    let recoveryMilliseconds: UInt64
    private let arguments: Arguments
    private let current: Mutex<EffectiveConfiguration>
    /// Of clients, over all listeners.
    let admission: Admission
    let turnedAway = Atomic<UInt64>(0)
    private let doors = Mutex(Doors())
    /// Stop, reload and the clock: nothing that a client waits for.
    let chores = DispatchQueue(label: "brokerd.chores")
    let rates = Mutex(Rates())
    let backups = BackupLease()

    struct Doors {
        var listeners: [Listener] = []
        var admin: [Listener] = []
        var timer: (any DispatchSourceTimer)?
        var isStopping = false
    }

    /// Messages per second, over the last full second.
    struct Rates {
        var totals = Core.Totals()
        var inPerSecond = 0.0
        var outPerSecond = 0.0
        var isClockOff = false
        var disk = DiskWatch()
        /// Queues that had come to rest when memory was last given back.
        var rested: UInt64 = 0
        var gaveBackAt: Instant?
    }

    var configurationFile: String? { arguments.configPath }
    var configuration: Configuration { current.withLock { $0.configuration } }
    var effective: EffectiveConfiguration { current.withLock { $0 } }
    var listeners: [Listener] { doors.withLock { $0.listeners } }
    var adminListeners: [Listener] { doors.withLock { $0.admin } }
    var isStopping: Bool { doors.withLock { $0.isStopping } }

    /// Recovers what is in the data directory. The ports are still closed.
    init(_ arguments: Arguments, _ effective: EffectiveConfiguration, log: Log) throws(StartFailure) {
        self.arguments = arguments
        self.log = log
        current = Mutex(effective)
        let configuration = effective.configuration
        let (most, perAddress) = Self.connectionLimits(configuration)
        admission = Admission(maxConnections: most, maxPerAddress: perAddress)
        startedAt = .now
        do throws(StorageFailure) {
            (engine, recovery) = try LogEngine.open(directory: configuration.data, settings: LogSettings(configuration))
        } catch {
            let code: ExitCode = error.kind == .unavailable ? .couldNotStart : .storageFailed
            throw StartFailure(description: error.description, code: code)
        }
        recoveryMilliseconds = Instant.now.milliseconds(since: startedAt)
        for sentence in recovery.report { log.info(sentence) }
        var core = Core(limits: CoreLimits(configuration), nextQueueID: recovery.nextQueueID)
        let ids = BrokerIdentity(
            storeTag: String(UInt32(truncatingIfNeeded: recovery.storeID ^ recovery.storeID >> 32), radix: 16),
            bootTag: String(UInt32.random(in: .min ... .max), radix: 16))
        core.storeTag = ids.storeTag
        core.restore(policies: configuration.policies, note: recovery.note)
        core.dedupKey = Core.dedupKey(storeID: recovery.storeID)
        for queue in recovery.queues {
            core.restore(
                queue: queue.id, name: queue.name, head: queue.head, next: queue.next, messages: queue.messages,
                bytes: queue.bytes, attempts: queue.attempts, note: queue.note, dedup: queue.dedup)
        }
        for (name, reason) in core.deafSubscriptions {
            log.error(
                "durable subscription gets nothing: delete it and subscribe again",
                ["subscription": .text(String(decoding: name, as: UTF8.self)), "reason": .text(reason)])
        }
        var settings = LoopSettings()
        settings.outboxHighBytes = max(64 << 10, configuration.consumer.outboxBytes / 4)
        settings.outboxLowBytes = settings.outboxHighBytes
        do throws(NetError) {
            var made: [IOLoop] = []
            while made.count < configuration.loopCount {
                made.append(try IOLoop(index: made.count, settings: settings))
            }
            loops = made
            frontDoor = try IOLoop(index: made.count, settings: settings)
        } catch {
            throw StartFailure(description: "\(error)", code: .couldNotStart)
        }
        broker = Broker(
            core: core, storage: engine, loops: loops, ids: ids, memoryLimit: configuration.memory.messagesBytes,
            log: log)
        let sessionSettings = SessionSettings(configuration, ids: ids)
        let clientLimits = ClientLimits(configuration)
        let unflushed = configuration.consumer.outboxBytes
        for loop in loops {
            loop.submit { [broker] loop in
                loop.context = ClientLoop(
                    broker: broker, loop: loop, settings: sessionSettings, limits: clientLimits,
                    unflushedLimit: unflushed)
            }
        }
        broker.onFailure { [unowned self] in self.fail($0) }
        engine.start(broker)
    }

    /// Opens the ports: from here on the broker is ready.
    func open() throws(StartFailure) {
        let configuration = configuration
        // What topics retain is read back from here on, before anybody asks for it.
        broker.enterFromOutside { [broker] core, effects in core.tick(now: broker.clock.now, into: &effects) }
        var opened: [Listener] = []
        for address in configuration.listen {
            opened.append(
                try listen(address, loops, ListenerLimits(), admission) { connection in
                    guard let home = connection.loop.context as? ClientLoop else {
                        preconditionFailure("a loop accepts before its clients have a place")
                    }
                    return home.welcome(connection, token: Self.token())
                })
        }
        let admin = try openAdmin(configuration.adminAddresses)
        doors.withLock {
            $0.listeners = opened
            $0.admin = admin
            $0.timer = startClock()
        }
        for listener in opened + admin { listener.start() }
        let addresses = opened.flatMap(\.boundAddresses).map(\.description).joined(separator: " ")
        let adminAddresses = admin.flatMap(\.boundAddresses).map(\.description).joined(separator: " ")
        let took = Instant.now.milliseconds(since: startedAt)
        log.info(
            "ready",
            [
                "listen": .text(addresses), "admin": .text(adminAddresses), "queues": .number(recovery.queues.count),
                "messages": .number(recovery.queues.reduce(0) { $0 + $1.messages }), "milliseconds": .number(took),
            ])
        notify.ready("serving on \(addresses)")
    }

    func listen(
        _ address: SocketAddress, _ loops: [IOLoop], _ limits: ListenerLimits, _ admission: Admission? = nil,
        makeHandler: @escaping @Sendable (Connection) -> any ConnectionHandler
    ) throws(StartFailure) -> Listener {
        var lastWord: (@Sendable (PeerAddress, Admission.Refusal) -> [UInt8])?
        if admission != nil { lastWord = { [unowned self] peer, reason in turnAway(peer, reason) } }
        do throws(NetError) {
            return try Listener(
                address: address, loops: loops, home: frontDoor, limits: limits, admission: admission,
                onPause: { [log] in
                    log.warning("accepting pauses: the system has no more descriptors", ["reason": .describing($0)])
                },
                lastWord: lastWord,
                makeHandler: makeHandler)
        } catch {
            throw StartFailure(description: "cannot listen on \(address): \(error)", code: .couldNotStart)
        }
    }

    /// 128 random bits: nobody can guess the name of another's reply channel.
    private static func token() -> String {
        String(UInt64.random(in: .min ... .max), radix: 16) + String(UInt64.random(in: .min ... .max), radix: 16)
    }

    // MARK: The clock

    private func startClock() -> any DispatchSourceTimer {
        let timer = DispatchSource.makeTimerSource(queue: chores)
        timer.schedule(deadline: .now() + 1, repeating: 1, leeway: .milliseconds(50))
        timer.setEventHandler { [unowned self] in tick() }
        timer.activate()
        return timer
    }

    /// Queues that are looked at while nobody else can do anything: some 0.3 ms.
    private static let queuesPerLook = 1000

    private func tick() {
        while broker.enterFromOutside({ core, effects in
            core.tick(now: broker.clock.now, most: Self.queuesPerLook, into: &effects)
        }) {}
        engine.rest()
        giveBackMemory()
        followWallClock()
        endForgottenBackup()
        watchDisk()
        let totals = broker.look { $0.totals }
        rates.withLock { rates in
            rates.inPerSecond = Double(totals.messagesIn - rates.totals.messagesIn)
            rates.outPerSecond = Double(totals.messagesOut - rates.totals.messagesOut)
            rates.totals = totals
        }
        if notify.watchdogMilliseconds != nil { askLoopsAndTellWatchdog() }
    }

    /// When very many queues have come to rest, what they had lies in small pieces between what stays, and would stay
    /// with the process for good. That it is looked for takes some milliseconds for each 100 MB: once a minute at the most.
    private func giveBackMemory() {
        let (rested, queues) = broker.look { ($0.rested, $0.places) }
        let isDue = rates.withLock { rates in
            guard rested - rates.rested >= UInt64(max(1000, queues / 4)),
                rates.gaveBackAt.map({ Instant.now.milliseconds(since: $0) >= 60_000 }) ?? true
            else { return false }
            rates.rested = rested
            rates.gaveBackAt = .now
            return true
        }
        if isDue { csystem_give_back_memory() }
    }

    /// A clock that jumped is said once, when it begins and when it is over.
    private func followWallClock() {
        let off = broker.clock.follow()
        let isOff = abs(off) > BrokerClock.jump
        let changed = rates.withLock { rates in
            defer { rates.isClockOff = isOff }
            return rates.isClockOff != isOff
        }
        if !changed { return }
        if isOff {
            log.warning(
                "the wall clock jumped: expiry and delays follow it slowly", ["milliseconds": .number(off)])
        } else {
            log.info("expiry and delays are back in step with the wall clock")
        }
    }

    /// So is a disk that does not answer. Where batches wait for room, that was said instead.
    private func watchDisk() {
        let isWaiting = engine.backlogBytes > 0 && broker.room.withLock { $0 } == .enough
        switch rates.withLock({ $0.disk.look(durable: broker.durable, isWaiting: isWaiting) }) {
        case .silent(let seconds):
            log.warning(
                "the disk does not answer: nothing is confirmed meanwhile, senders wait", ["seconds": .number(seconds)])
        case .answers: log.info("the disk answers again")
        case nil: break
        }
    }

    /// Whether a word was said of the disk, and none since that it answers.
    var isDiskSilent: Bool { rates.withLock { $0.disk.isSilent } }

    /// The service manager hears from us only if every loop still turns.
    private func askLoopsAndTellWatchdog() {
        // A disk that does not answer is said by `watchDisk`; it is no reason to be killed.
        if broker.loopsAtTheDisk.load(ordering: .relaxed) > 0 {
            notify.watchdog()
            return
        }
        let all = loops + [frontDoor]
        let box = Counter(Atomic(all.count))
        for loop in all {
            loop.submit { [notify] _ in
                if box.count.subtract(1, ordering: .relaxed).newValue == 0 { notify.watchdog() }
            }
        }
    }

    private final class Counter: Sendable {
        let count: Atomic<Int>
        init(_ count: consuming Atomic<Int>) { self.count = count }
    }

    // MARK: Reload

    func reload() {
        notify.reloading()
        switch reloaded() {
        case .failure(let error):
            log.error("the configuration is refused and stays as it was", ["reason": .text(error.description)])
        case .success(let changes):
            if changes.isEmpty { log.info("the configuration has not changed") }
            for name in changes.live { log.info("setting changed", ["name": .text(name)]) }
            for name in changes.needsRestart { log.warning("setting needs a restart", ["name": .text(name)]) }
        }
        notify.ready("serving")
    }

    /// Reads the configuration again and applies what can change now.
    func reloaded() -> Result<Configuration.Changes, ConfigurationError> {
        do throws(ConfigurationError) {
            let fresh = try arguments.load()
            let changes = Configuration.changes(from: configuration, to: fresh.configuration)
            let next = configuration.takingLive(from: fresh.configuration)
            // What cannot change now may not fit what can.
            let contradictions = next.contradictions()
            if !contradictions.isEmpty {
                return .failure(
                    ConfigurationError(
                        problems: contradictions.map { .init(place: "until a restart", text: $0) }))
            }
            current.withLock { $0.replaceConfiguration(with: next) }
            apply(next)
            return .success(changes)
        } catch {
            return .failure(error)
        }
    }

    private func apply(_ configuration: Configuration) {
        log.setLevel(configuration.log.level)
        let settings = SessionSettings(configuration, ids: broker.ids)
        let clientLimits = ClientLimits(configuration)
        for loop in loops { loop.submit { ($0.context as? ClientLoop)?.take(settings, clientLimits) } }
        let (most, perAddress) = Self.connectionLimits(configuration)
        admission.setLimits(maxConnections: most, maxPerAddress: perAddress)
        let limits = CoreLimits(configuration)
        broker.enterFromOutside { core, effects in
            core.limits = limits
            core.setConfiguredPolicies(configuration.policies, into: &effects)
        }
    }

    // MARK: Stopping

    /// Ends well: no new clients, what is owed goes out, everything is synced; exit code 0.
    func stop() {
        let isFirst = doors.withLock { doors in
            defer { doors.isStopping = true }
            return !doors.isStopping
        }
        if !isFirst { return }
        log.info("stopping")
        notify.stopping("finishing what is in hand")
        for listener in listeners { listener.stop() }
        for loop in loops { loop.submit { ($0.context as? ClientLoop)?.stop() } }
        let grace = UInt64(max(1, configuration.shutdown.graceSeconds)) * 1000
        awaitClients(until: Instant.now.adding(milliseconds: grace * 7 / 10))
        // On a queue that never enters the core: whatever holds that up, the end comes in time.
        DispatchQueue(label: "brokerd.deadline").asyncAfter(deadline: .now() + .milliseconds(Int(grace) * 95 / 100)) {
            [self] in
            let waiting = engine.backlogBytes
            if waiting > 0 {
                log.warning(
                    "the disk has not taken everything: what it has not was never confirmed",
                    ["bytes": .number(waiting)])
            }
            leave(.stopped, "stopped before all clients had closed")
        }
    }

    private func awaitClients(until deadline: Instant) {
        let open = listeners.reduce(0) { $0 + $1.counters().current }
        if open > 0, Instant.now < deadline {
            chores.asyncAfter(deadline: .now() + .milliseconds(10)) { [self] in awaitClients(until: deadline) }
            return
        }
        for listener in adminListeners { listener.stop() }
        engine.close { [self] in chores.async { [self] in leave(.stopped, "stopped") } }
    }

    /// Storage can promise nothing more: say so and end, so that a restart recovers from the disk.
    private func fail(_ failure: StorageFailure) {
        notify.stopping("storage failed: \(failure)")
        chores.async { [self] in leave(.storageFailed, "ending after a storage failure; what was confirmed is on disk")
        }
    }

    private func leave(_ code: ExitCode, _ sentence: String) -> Never {
        log.info(sentence, ["code": .number(code.rawValue)])
        log.close(within: 200)
        exit(code.rawValue)
    }
}
