import BrokerCore
import DaemonKit
import Synchronization

/// A broker of two queues that exists only for the tests of the admin interface.
final class FakeBackend: AdminBackend {
    struct World {
        var health = API.Health()
        var queues: [API.Queue] = []
        var topics: [API.Topic] = []
        var connections: [API.Connection] = []
        var subscriptions: [API.Subscription] = []
        var browsed: BrowseQuery?
        /// Of purges, moves and retries.
        var choices: [MessageChoice] = []
        var durables: [API.DurableSubscription] = []
        var reloadError: AdminError?
        var uptime: UInt64 = 5
        /// Most messages that one call moves.
        var moveStep: UInt64 = 1000
        var policies = Policies()
        var own: [String: [String: String]] = [:]
    }

    let world: Mutex<World>

    init() {
        var world = World()
        world.queues = ["orders", "a/b ä", "mail"].map { name in
            var queue = API.Queue()
            queue.name = name
            return queue
        }
        world.queues[0].messages = 2500
        world.queues[0].ready = 2500
        world.queues[1].consumers = 1
        for id: UInt64 in [1, 2, 3] {
            var connection = API.Connection()
            connection.id = id
            connection.peer = "127.0.0.1:4000\(id)"
            world.connections.append(connection)
            for subscription in ["b", "a"] {
                var row = API.Subscription()
                row.connectionID = id
                row.id = subscription
                row.destination = "/queue/orders"
                world.subscriptions.append(row)
            }
        }
        var durable = API.DurableSubscription()
        (durable.destination, durable.name, durable.topic) = ("/dsub/billing.prices", "prices", "/topic/prices.>")
        (durable.messages, durable.orphan, durable.clientID) = (3, true, "billing")
        world.durables = [durable]
        var topic = API.Topic()
        topic.name = "news"
        world.topics = [topic]
        self.world = Mutex(world)
    }

    func status() async -> API.Status {
        var status = API.Status()
        status.version = "1.2.3"
        status.uptimeSeconds = world.withLock { $0.uptime }
        status.health = world.withLock { $0.health }
        status.addresses = [API.Address(service: "stomp", address: "127.0.0.1:61613")]
        return status
    }

    func health() async -> API.Health { world.withLock { $0.health } }

    func queues(_ query: ListQuery) async -> API.QueueList {
        API.QueueList(of: world.withLock { $0.queues }, query)
    }

    func queue(named name: String) async throws(AdminError) -> API.Queue {
        guard let queue = world.withLock({ $0.queues.first { $0.name == name } }) else { throw noQueue(name) }
        return queue
    }

    private func noQueue(_ name: String) -> AdminError { AdminError(.notFound, "There is no queue \(name)") }

    func createQueue(named name: String, settings: [String: String]) async throws(AdminError) -> API.QueueCreation {
        world.withLock { $0.own[name] = settings }
        var creation = API.QueueCreation()
        creation.queue.name = name
        creation.created = world.withLock { world in
            if world.queues.contains(where: { $0.name == name }) { return false }
            world.queues.append(creation.queue)
            return true
        }
        return creation
    }

    func deleteQueue(named name: String, force: Bool) async throws(AdminError) -> API.MessageCount {
        let queue = try await queue(named: name)
        if !force {
            guard queue.consumers == 0 else { throw AdminError(.inUse, "\(name) has consumers; use force") }
            guard queue.messages == 0 else { throw AdminError(.notEmpty, "\(name) has messages; use force") }
        }
        world.withLock { $0.queues.removeAll { $0.name == name } }
        return API.MessageCount(messages: queue.messages)
    }

    func purgeQueue(named name: String, _ choice: MessageChoice) async throws(AdminError) -> API.Purge {
        let count = try await queue(named: name).messages
        world.withLock { $0.choices.append(choice) }
        guard choice.selector != nil else { return API.Purge(messages: count) }
        return API.Purge(messages: 10, next: choice.from == nil ? "1:11:20:1" : nil)
    }

    func browseQueue(named name: String, _ query: BrowseQuery) async throws(AdminError) -> API.MessageList {
        _ = try await queue(named: name)
        world.withLock { $0.browsed = query }
        var message = API.Message()
        message.sequence = 7
        message.place = "1:7"
        message.headers = [API.Header(name: "colour", value: "red\u{1B}[2J")]
        Array("hello".utf8).withUnsafeBufferPointer { message.show(body: $0, limit: query.bodyBytes) }
        var list = API.MessageList()
        list.messages = [message]
        return list
    }

    func moveMessages(
        from source: String, to target: String, _ choice: MessageChoice
    ) async throws(AdminError) -> API.Move {
        let there = try await queue(named: source).messages
        return world.withLock { world in
            world.choices.append(choice)
            let moved = min(there, choice.limit, world.moveStep)
            for index in world.queues.indices where world.queues[index].name == source {
                world.queues[index].messages -= moved
            }
            let next = there > moved ? "1:\(2501 - there + moved):2501:1" : nil
            return API.Move(moved: moved, remaining: there - moved, next: next)
        }
    }

    func retryMessages(from source: String, _ choice: MessageChoice) async throws(AdminError) -> API.Move {
        var move = try await moveMessages(from: source, to: "", choice)
        move.skipped = 2
        return move
    }

    func pauseQueue(named name: String, delivery: Bool?, sending: Bool?) async throws(AdminError) -> API.Queue {
        _ = try await queue(named: name)
        return world.withLock { world in
            for index in world.queues.indices where world.queues[index].name == name {
                if let delivery { world.queues[index].deliveryPaused = delivery }
                if let sending { world.queues[index].sendingPaused = sending }
            }
            return world.queues.first { $0.name == name } ?? API.Queue()
        }
    }

    func changeSettings(
        ofQueue name: String, set: [String: String], unset: [String]
    ) async throws(AdminError) -> API.Explanation {
        _ = try await queue(named: name)
        world.withLock { world in
            for setting in unset { world.own[name]?[setting] = nil }
            world.own[name, default: [:]].merge(set) { $1 }
        }
        return try await explain(destination: "/queue/\(name)")
    }

    func policies() async -> API.PolicyList {
        var list = API.PolicyList()
        list.policies = world.withLock { $0.policies.all }.map { Self.row($0) }
        return list
    }

    private static func row(_ policy: Policy) -> API.Policy {
        var row = API.Policy()
        (row.name, row.pattern, row.priority) = (policy.name, policy.pattern, policy.priority)
        row.settings = API.DestinationSetting.list(policy.settings)
        return row
    }

    func setPolicy(
        named name: String, pattern: String, priority: Int, settings: [String: String]
    ) async throws(AdminError) -> API.PolicyChange {
        let policy: Policy
        do throws(PolicyError) {
            policy = try Policy(name: name, pattern: pattern, priority: priority, settings: settings).checked()
        } catch {
            throw AdminError(.invalid, error.description)
        }
        var change = API.PolicyChange()
        change.policy = Self.row(policy)
        change.created = world.withLock { world in
            let isNew = world.policies.operators[name] == nil
            world.policies.replace(
                .operator, with: world.policies.operators.values.filter { $0.name != name } + [policy])
            return isNew
        }
        return change
    }

    func deletePolicy(named name: String) async throws(AdminError) -> API.PolicyRemoval {
        guard let policy = world.withLock({ $0.policies.operators[name] }) else {
            throw AdminError(.notFound, "There is no policy \(name)")
        }
        world.withLock { world in
            world.policies.replace(.operator, with: world.policies.operators.values.filter { $0.name != name })
        }
        var removal = API.PolicyRemoval()
        removal.policy = Self.row(policy)
        return removal
    }

    func explain(destination: String) async throws(AdminError) -> API.Explanation {
        var explanation = API.Explanation()
        explanation.destination = destination
        let name = String(destination.dropFirst("/queue/".count))
        let found = world.withLock { $0.policies.explain(Array(destination.utf8), own: $0.own[name] ?? [:]) }
        guard let found else { throw AdminError(.invalid, "no policy is about \(destination)") }
        explanation.settings = found.settings.map { setting in
            var row = API.ExplainedSetting()
            (row.name, row.value) = (setting.name, setting.value)
            switch setting.origin {
            case .own: row.source = "own"
            case .policy(let policy): (row.source, row.policy) = ("policy", policy)
            case .standard: break
            }
            row.passedOver = setting.passedOver.map { passed in
                var value = API.PassedOverValue()
                (value.policy, value.value, value.why) = (passed.policy, passed.value, passed.why)
                return value
            }
            return row
        }
        explanation.policies = found.verdicts.map { verdict in
            var match = API.PolicyMatch()
            (match.name, match.pattern) = (verdict.policy.name, verdict.policy.pattern)
            match.matches = verdict.matches
            return match
        }
        return explanation
    }

    func topics(_ query: ListQuery) async -> API.TopicList { API.TopicList(of: world.withLock { $0.topics }, query) }

    func connections(_ query: ListQuery) async throws(AdminError) -> API.ConnectionList {
        try API.ConnectionList(of: world.withLock { $0.connections }, query)
    }

    func connection(id: UInt64) async throws(AdminError) -> API.Connection {
        guard let connection = world.withLock({ $0.connections.first { $0.id == id } }) else {
            throw AdminError(.notFound, "There is no connection \(id)")
        }
        return connection
    }

    func closeConnection(id: UInt64) async throws(AdminError) -> API.Connection {
        let connection = try await connection(id: id)
        world.withLock { $0.connections.removeAll { $0.id == id } }
        return connection
    }

    func subscriptions(_ query: ListQuery, connection: UInt64?) async throws(AdminError) -> API.SubscriptionList {
        let rows = world.withLock { $0.subscriptions }.filter { connection == nil || $0.connectionID == connection }
        return try API.SubscriptionList(of: rows, query)
    }

    func durableSubscriptions(_ query: ListQuery) async -> API.DurableSubscriptionList {
        API.DurableSubscriptionList(of: world.withLock { $0.durables }, query)
    }

    func durableSubscription(named name: String) async throws(AdminError) -> API.DurableSubscription {
        guard let row = world.withLock({ $0.durables.first { $0.destination == "/dsub/\(name)" } }) else {
            throw AdminError(.notFound, "There is no durable subscription \(name)")
        }
        return row
    }

    func deleteDurableSubscription(named name: String, force: Bool) async throws(AdminError) -> API.MessageCount {
        let row = try await durableSubscription(named: name)
        guard force || row.consumers == 0 else { throw AdminError(.inUse, "\(name) has consumers") }
        world.withLock { world in world.durables.removeAll { $0.destination == row.destination } }
        return API.MessageCount(messages: row.messages)
    }

    func settings() async -> API.SettingList { API.SettingList() }
    func store() async -> API.Store { API.Store() }

    private func backup(_ id: String) throws(AdminError) -> API.Backup {
        guard id == "2" else { throw AdminError(.notFound, "There is no copy \(id)") }
        var backup = API.Backup()
        (backup.id, backup.directory, backup.leaseSeconds) = (id, "/nonexistent", 60)
        return backup
    }

    func beginBackup() async throws(AdminError) -> API.Backup { try backup("2") }
    func renewBackup(id: String) async throws(AdminError) -> API.Backup { try backup(id) }
    func endBackup(id: String) async throws(AdminError) -> API.Backup { try backup(id) }

    func reload() async throws(AdminError) -> API.Reload {
        if let error = world.withLock({ $0.reloadError }) { throw error }
        return API.Reload()
    }
}
