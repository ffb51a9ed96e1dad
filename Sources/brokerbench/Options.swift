/// What the command line asks for.
struct Options: Sendable {
    enum Workload: String, Sendable, CaseIterable { case publish, e2e, rtt }

    /// The command line cannot be understood; says which word and why.
    struct Misuse: Error, Equatable { let line: String }

    struct HeaderLine: Sendable, Equatable {
        let name: String
        let value: String
    }

    var workload = Workload.publish
    var host = "127.0.0.1"
    var port: UInt16 = 61613
    var login: String?
    var passcode: String?
    var virtualHost = "/"
    /// Nil: a new queue for each run, so that nothing of an earlier one is in the way.
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
        var rest = Words(Array(words.dropFirst()))
        while let name = rest.next() { try take(name, from: &rest) }
        try check()
    }

    var isStored: Bool { persistent ?? (workload != .rtt) }
    var batchSize: Int { min(max(batch > 0 ? batch : window / 10, 1), window) }
    var address: String { "\(host):\(port)" }

    /// How many of `messages` producer number `index` sends.
    func quota(ofProducer index: Int) -> UInt64 {
        messages > 0 ? share(of: messages, index) : drains ? 0 : .max
    }

    /// How many of `backlog` are of producer number `index`.
    func backlog(ofProducer index: Int) -> UInt64 { share(of: backlog, index) }

    /// True: from the first to the last message. False: for a time.
    var goesByCount: Bool { messages > 0 || drains }

    private func share(of count: UInt64, _ index: Int) -> UInt64 {
        count / UInt64(producers) + (UInt64(index) < count % UInt64(producers) ? 1 : 0)
    }

    private mutating func take(_ name: String, from words: inout Words) throws {
        switch name {
        case "--host": host = try words.value(of: name)
        case "--port": port = try words.number(of: name, in: 1...UInt16.max)
        case "--login": login = try words.value(of: name)
        case "--passcode": passcode = try words.value(of: name)
        case "--vhost": virtualHost = try words.value(of: name)
        case "--dest": destination = try words.value(of: name)
        case "--size": size = try words.number(of: name, in: Stamp.size...(256 << 20))
        case "--producers": producers = try words.number(of: name, in: 1...10_000)
        case "--consumers": consumers = try words.number(of: name, in: 1...10_000)
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
        case "--any-order": isAnyOrder = true
        case "--nack": refusesEvery = try words.every(of: name)
        case "--dead": deadDestination = try words.value(of: name)
        case "--pid": serverPID = try words.number(of: name, in: 1...4_194_304)
        case "--json": json = true
        default: throw Misuse(line: "unknown option '\(name)'; see --help")
        }
    }

    private func check() throws {
        if !goesByCount, seconds <= 0 { throw Misuse(line: "--seconds must be above 0") }
        if workload == .rtt, messages > 0 { throw Misuse(line: "rtt goes by --seconds, not by --messages") }
        if workload != .e2e, backlog > 0 || refusesEvery > 0 {
            throw Misuse(line: "--backlog and --nack are for e2e")
        }
        if drains, backlog == 0 || messages > 0 { throw Misuse(line: "--drain wants --backlog and no --messages") }
        _ = try HeaderCycle(sendHeaders, now: 0)
        _ = try HeaderCycle(subscribeHeaders, now: 0)
    }
}

/// The words of a command line, taken from the front.
private struct Words {
    private var rest: ArraySlice<String>

    init(_ words: [String]) { rest = words[...] }

    mutating func next() -> String? { rest.popFirst() }

    mutating func value(of name: String) throws -> String {
        guard let value = rest.popFirst() else { throw Options.Misuse(line: "\(name) needs a value") }
        return value
    }

    mutating func number<Number: FixedWidthInteger>(of name: String, in range: ClosedRange<Number>) throws -> Number {
        let text = try value(of: name)
        guard let number = Number(text), range.contains(number) else {
            let allowed = "\(range.lowerBound) to \(range.upperBound)"
            throw Options.Misuse(line: "\(name): want a number from \(allowed), got '\(text)'")
        }
        return number
    }

    /// Seconds or messages a second: finite, not negative, small enough to count in nanoseconds.
    mutating func decimal(of name: String) throws -> Double {
        let text = try value(of: name)
        guard let number = Double(text), number >= 0, number <= 1e9 else {
            throw Options.Misuse(line: "\(name): want a number from 0 to 1000000000, got '\(text)'")
        }
        return number
    }

    mutating func every(of name: String) throws -> UInt64 {
        let text = try value(of: name)
        guard text.hasPrefix("every:"), let count = UInt64(text.dropFirst(6)), count > 0 else {
            throw Options.Misuse(line: "\(name): want every:N, got '\(text)'")
        }
        return count
    }

    mutating func header(of name: String) throws -> Options.HeaderLine {
        let text = try value(of: name)
        guard let colon = text.firstIndex(of: ":"), colon > text.startIndex, !text.contains("\n") else {
            throw Options.Misuse(line: "\(name): want name:value, got '\(text)'")
        }
        return Options.HeaderLine(name: String(text[..<colon]), value: String(text[text.index(after: colon)...]))
    }
}

extension Options {
    static let help = """
        usage: brokerbench publish|e2e|rtt [options]

        Puts load on a STOMP 1.2 broker and checks every message that comes back.

        Workloads
          publish   producers send messages, each confirmed by RECEIPT; figure: confirmed messages a second
          e2e       the same, while consumers take from the queue and acknowledge each message by itself;
                    figure: messages a second received and acknowledged, latency from SEND to MESSAGE
          rtt       one message in flight, from one client to another and back; figure: round-trip time

        Where
          --host H --port P          the broker (127.0.0.1, 61613)
          --login L --passcode P     (none)
          --vhost V                  value of the host header (/)
          --dest D                   destination (a new queue for each run)

        How much
          --size N                   bytes of a body, at least 32 (1024)
          --producers N              (1)
          --consumers N              for e2e (1)
          --window N                 unconfirmed messages of one producer, at most (1000)
          --batch N                  free places in the window before writing again (a tenth of the window)
          --seconds S                measured time (5) ...
          --messages N               ... or messages in all, measured from the first to the last
          --warmup S                 before the measured time (1)
          --rate R                   messages a second in all, at fixed times; latency then counts from the
                                     time a message was due
          --grace S                  wait this long for what is owed at the end (30)
          --backlog N                for e2e: so many are stored before the consumers come, and about so many
                                     stay, as producers go at the speed of the consumers (or of --rate)
          --drain                    with --backlog: nothing is sent behind it; measured from the first to
                                     the last, or from the time that all have with deliver-at:{now+MS}

        How
          --persistent               stored and confirmed (the habit of publish and e2e)
          --no-persistent            with persistent:false (the habit of rtt, which then asks for no RECEIPT)
          --header name:value        also on each SEND; may be repeated. The value may change: {1..9} counts
                                     and begins again, {a,b,} goes through the words (an empty one leaves the
                                     header out). {now+MS} is a time, the same for all of the run. Order is
                                     then looked at among messages with the same values. With delay or
                                     deliver-at no message may come early, and latency counts from its time
          --sub-header name:value    also on each SUBSCRIBE; may be repeated. {...} changes from consumer to
                                     consumer
          --any-order                order is not looked at
          --nack every:N             for e2e: each consumer refuses every Nth (NACK with requeue:false). When
                                     all is over these must be in the dead-letter queue, and no others
          --dead D                   that queue (the destination with .dlq behind it)
          --pid PID                  report the CPU time and memory of this process too
          --json                     one line of JSON

        Exit status: 0 all is well; 1 with one line on standard error when the broker answers ERROR, closes,
        cannot be reached, or a message was lost, doubled, changed, out of order, early or not ours; 2 wrong usage.

        Examples
          brokerbench publish --size 100 --producers 4
          brokerbench e2e --producers 2 --consumers 2 --rate 1000 --pid "$(pidof brokerd)"
          brokerbench e2e --messages 1000000 --sub-header prefetch-count:500 --json
          brokerbench e2e --backlog 1000000 --header 'priority:{0..9}' --pid "$(pidof brokerd)"
          brokerbench e2e --backlog 1000000 --drain --header 'deliver-at:{now+30000}' --grace 60
          brokerbench e2e --header 'half:{0..1}' --consumers 2 --sub-header 'selector:{half = 1,}'
          brokerbench rtt --persistent --seconds 3
        """
}
