/// What the command line asks for.
struct Options: Sendable {
    enum Workload: String, Sendable, CaseIterable { case publish, e2e, drain, fanout, rtt, idle, first }

    /// What speaks with the broker: a client of this program that does no more than it must, or `BrokerClient`.
    enum ClientKind: String, Sendable, CaseIterable {
        case wire
        case brokerClient = "library"
        /// The same, which sends messages one by one.
        case brokerClientOneByOne = "library-one-by-one"

        var isLibrary: Bool { self != .wire }
    }

    /// The command line cannot be understood; says which word and why.
    struct Misuse: Error, Equatable { let line: String }

    struct HeaderLine: Sendable, Equatable {
        let name: String
        let value: String
    }

    var workload = Workload.publish
    var client = ClientKind.wire
    var host = "127.0.0.1"
    var port: UInt16 = 61613
    var login: String?
    var passcode: String?
    var virtualHost = "/"
    /// Nil: a new queue or topic for each run, so that nothing of an earlier one is in the way. `{0..9}` in it
    /// stands for ten of them, one after the other.
    var destination: String?
    /// Bytes of a message body.
    var size = 1024
    var producers = 1
    var consumers = 1
    /// Unconfirmed messages of one producer, at most.
    var window = 1000
    /// Free places in the window before a producer writes again; 0: a tenth of the window.
    var batch = 0
    var warmupSeconds = 1.0
    var seconds = 5.0
    /// Messages in all, over every producer; 0: until the time is over.
    var messages: UInt64 = 0
    /// Messages a second in all, at fixed times; 0: as fast as the window lets.
    var rate = 0.0
    /// Seconds to wait for what is still owed when the sending is over.
    var graceSeconds = 30.0
    /// Nil: the workload's own habit (publish and e2e store, rtt does not).
    var persistent: Bool?
    var sendHeaders: [HeaderLine] = []
    var subscribeHeaders: [HeaderLine] = []
    /// Messages that are stored before the consumers come, over every producer.
    var backlog: UInt64 = 0
    /// Only the backlog is consumed, nothing is sent behind it.
    var drains = false
    /// Order is not looked at.
    var isAnyOrder = false
    /// Each consumer refuses every message of this number; 0: none.
    var refusesEvery: UInt64 = 0
    /// Where refused messages go; nil: the destination with `.dlq` behind it.
    var deadDestination: String?
    /// Of drain: what is in the queue is consumed, nothing is stored before.
    var fills = true
    /// Where publish leaves what was confirmed, and drain finds what must come.
    var stateOut: String?
    var stateIn: String?
    /// Of idle.
    var connections = 2000
    /// The broker's process, for its CPU time and memory; 0: unknown.
    var serverPID = 0
    var json = false

    init() {}

    /// Nil when help is asked for.
    init?(parsing words: [String]) throws {
        self.init()
        guard let first = words.first else { return nil }
        if words.contains(where: { ["--help", "-h", "help"].contains($0) }) { return nil }
        guard let workload = Workload(rawValue: first) else {
            let known = Workload.allCases.map(\.rawValue).joined(separator: ", ")
            throw Misuse(line: "unknown workload '\(first)': want one of \(known); see --help")
        }
        self.workload = workload
        var rest = OptionWords(Array(words.dropFirst()))
        while let name = rest.next() { try take(name, from: &rest) }
        try check()
    }

    var isStored: Bool { persistent ?? (workload != .rtt && workload != .fanout) }
    /// Consumers acknowledge each message by itself.
    var acknowledges: Bool { workload != .fanout }
    var batchSize: Int { min(max(batch > 0 ? batch : window / 10, 1), window) }
    var address: String { "\(host):\(port)" }

    /// How many of `messages` producer number `index` sends.
    func quota(ofProducer index: Int) -> UInt64 {
        messages > 0 ? share(of: messages, index) : drains ? 0 : .max
    }

    /// How many of `backlog` are of producer number `index`.
    func backlog(ofProducer index: Int) -> UInt64 { share(of: backlog, index) }

    /// True: from the first to the last message. False: for a time.
    var goesByCount: Bool { messages > 0 || drains || workload == .drain }

    /// The headers of SEND with the destination, for the destination may change like any of them.
    func allSendHeaders(_ usual: String) -> [HeaderLine] {
        [HeaderLine(name: "destination", value: destination ?? usual)] + sendHeaders
    }

    private func share(of count: UInt64, _ index: Int) -> UInt64 {
        count / UInt64(producers) + (UInt64(index) < count % UInt64(producers) ? 1 : 0)
    }

    private mutating func take(_ name: String, from words: inout OptionWords) throws {
        switch name {
        case "--client": client = try words.choice(of: name)
        case "--host": host = try words.value(of: name)
        case "--port": port = try words.number(of: name, in: 1...UInt16.max)
        case "--login": login = try words.value(of: name)
        case "--passcode": passcode = try words.value(of: name)
        case "--vhost": virtualHost = try words.value(of: name)
        case "--dest": destination = try words.value(of: name)
        case "--size": size = try words.number(of: name, in: Stamp.leastSize...(256 << 20))
        case "--producers": producers = try words.number(of: name, in: 1...10_000)
        case "--consumers": consumers = try words.number(of: name, in: 0...10_000)
        case "--window": window = try words.number(of: name, in: 1...10_000_000)
        case "--batch": batch = try words.number(of: name, in: 1...10_000_000)
        case "--warmup": warmupSeconds = try words.decimal(of: name)
        case "--seconds": seconds = try words.decimal(of: name)
        case "--messages": messages = try words.number(of: name, in: 1...1_000_000_000_000)
        case "--rate": rate = try words.decimal(of: name)
        case "--grace": graceSeconds = try words.decimal(of: name)
        case "--persistent": persistent = true
        case "--no-persistent": persistent = false
        case "--header": sendHeaders.append(try words.header(of: name))
        case "--sub-header": subscribeHeaders.append(try words.header(of: name))
        case "--backlog": backlog = try words.number(of: name, in: 1...1_000_000_000_000)
        case "--drain": drains = true
        case "--no-fill": fills = false
        case "--state-out": stateOut = try words.value(of: name)
        case "--state-in": stateIn = try words.value(of: name)
        case "--connections": connections = try words.number(of: name, in: 1...1_000_000)
        case "--any-order": isAnyOrder = true
        case "--nack": refusesEvery = try words.every(of: name)
        case "--dead": deadDestination = try words.value(of: name)
        case "--pid": serverPID = try words.number(of: name, in: 1...4_194_304)
        case "--json": json = true
        default: throw Misuse(line: "unknown option '\(name)'; see --help")
        }
    }

    private mutating func check() throws {
        if client.isLibrary {
            guard [.publish, .e2e].contains(workload) else {
                throw Misuse(line: "--client \(client.rawValue) is for publish and e2e")
            }
            // Tasks are overtaken by others between taking a number and sending.
            isAnyOrder = true
            guard rate == 0, backlog == 0, refusesEvery == 0, stateOut == nil else {
                throw Misuse(line: "--client \(client.rawValue) goes without --rate, --backlog, --nack and --state-out")
            }
        }
        if !goesByCount, seconds <= 0 { throw Misuse(line: "--seconds must be above 0") }
        if [.rtt, .fanout].contains(workload), messages > 0 {
            throw Misuse(line: "\(workload.rawValue) goes by --seconds, not by --messages")
        }
        if workload == .drain, fills, stateIn == nil, messages == 0 {
            throw Misuse(line: "drain wants --messages, --state-in or --no-fill")
        }
        if workload != .drain, !fills || stateIn != nil { throw Misuse(line: "--no-fill and --state-in are for drain") }
        if workload != .publish, stateOut != nil { throw Misuse(line: "--state-out is for publish") }
        if consumers == 0, workload != .first { throw Misuse(line: "--consumers 0 is for first") }
        if workload == .first, consumers > 0, destination == nil { throw Misuse(line: "first wants --dest") }
        if workload == .idle, serverPID == 0 { throw Misuse(line: "idle wants --pid") }
        if workload != .e2e, backlog > 0 || refusesEvery > 0 {
            throw Misuse(line: "--backlog and --nack are for e2e")
        }
        if drains, backlog == 0 || messages > 0 { throw Misuse(line: "--drain wants --backlog and no --messages") }
        _ = try HeaderCycle(allSendHeaders("/queue/q"), now: 0)
        _ = try HeaderCycle(subscribeHeaders, now: 0)
    }
}
