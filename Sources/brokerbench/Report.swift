/// The figures of a run, in the order they are printed.
struct Report {
    private enum Value {
        case text(String)
        case count(UInt64)
        case number(Double, decimals: Int)
        case flag(Bool)
        case times(Histogram)
    }

    private var lines: [(name: String, value: Value)] = []
    /// Why the run counts as failed, although it could be measured.
    var complaint: String?

    init(_ options: Options) {
        lines.append(("work", .text(options.workload.rawValue)))
        if options.client.isLibrary { lines.append(("client", .text(options.client.rawValue))) }
        add("size", UInt64(options.size))
        add("producers", UInt64(options.producers))
        add("consumers", UInt64([.publish, .idle].contains(options.workload) ? 0 : options.consumers))
        if ![.rtt, .idle, .first].contains(options.workload) { add("window", UInt64(options.window)) }
    }

    mutating func add(_ name: String, _ count: UInt64) { lines.append((name, .count(count))) }
    mutating func add(_ name: String, _ flag: Bool) { lines.append((name, .flag(flag))) }
    mutating func add(_ name: String, _ times: Histogram) { lines.append((name, .times(times))) }
    mutating func add(_ name: String, _ number: Double, decimals: Int = 1) {
        lines.append((name, .number(number, decimals: decimals)))
    }

    mutating func addRate(messages: UInt64, seconds: Double, size: Int) {
        add("seconds", seconds, decimals: 3)
        add("rate", Double(messages) / seconds)
        add("mb_s", Double(messages) * Double(size) / seconds / 1e6)
    }

    mutating func add(_ verdict: Verdict) {
        add("confirmed", verdict.confirmed)
        add("received", verdict.received)
        add("lost", verdict.lost)
        add("duplicates", verdict.duplicates)
        add("out_of_order", verdict.outOfOrder)
        add("damaged", verdict.damaged)
        add("early", verdict.early)
        add("foreign", verdict.foreign)
    }

    /// What came out of the dead-letter queue, against what was refused.
    mutating func add(dead verdict: Verdict) {
        add("refused", verdict.confirmed)
        add("dead", verdict.received)
        add("dead_lost", verdict.lost)
        add("dead_duplicates", verdict.duplicates)
        let strange = verdict.received + verdict.lost - verdict.confirmed
        if let fault = verdict.complaint { complaint = complaint ?? "dead-letter queue: \(fault)" }
        if strange > 0 { complaint = complaint ?? "dead-letter queue: \(strange) messages that were not refused" }
    }

    mutating func add(_ use: ProcessorUse) {
        add("bench_cores", use.ownCores, decimals: 2)
        add("bench_rss_mib", use.ownResidentMiB)
        if let cores = use.serverCores { add("server_cores", cores, decimals: 2) }
        if let resident = use.serverResidentMiB { add("server_rss_mib", resident) }
    }

    /// One line of JSON. Times are microseconds.
    var json: String {
        "{" + lines.map { "\"\($0.name)\":\(Report.json($0.value))" }.joined(separator: ",") + "}"
    }

    /// One line for each figure, for people.
    var text: String {
        let width = lines.map(\.name.count).max() ?? 0
        return lines.map { line in
            String(repeating: " ", count: width - line.name.count) + line.name + "  " + Report.plain(line.value)
        }.joined(separator: "\n")
    }

    private static func json(_ value: Value) -> String {
        switch value {
        case .text(let text): return "\"\(text)\""
        case .count(let count): return String(count)
        case .number(let number, let decimals): return format(number, decimals)
        case .flag(let flag): return String(flag)
        case .times(let times):
            let fields = figures(of: times).map { "\"\($0.0)\":\(format($0.1, 1))" }
            return "{\"n\":\(times.count)," + fields.joined(separator: ",") + "}"
        }
    }

    private static func plain(_ value: Value) -> String {
        switch value {
        case .text(let text): text
        case .times(let times): figures(of: times).map { "\($0.0) \(format($0.1, 1))" }.joined(separator: "  ")
        default: json(value)
        }
    }

    private static func figures(of times: Histogram) -> [(String, Double)] {
        [
            ("mean", times.mean / 1000),
            ("p50", Double(times.quantile(0.50)) / 1000),
            ("p90", Double(times.quantile(0.90)) / 1000),
            ("p99", Double(times.quantile(0.99)) / 1000),
            ("p999", Double(times.quantile(0.999)) / 1000),
            ("max", Double(times.largest) / 1000),
        ]
    }

    /// Fixed decimals, without a locale.
    static func format(_ number: Double, _ decimals: Int) -> String {
        guard number.isFinite, abs(number) < 1e15 else { return "0" }
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let scaled = Int64((abs(number) * scale).rounded())
        let whole = scaled / Int64(scale)
        let fraction = String(scaled % Int64(scale))
        let sign = number < 0 && scaled > 0 ? "-" : ""
        if decimals == 0 { return sign + String(whole) }
        return sign + "\(whole)." + String(repeating: "0", count: decimals - fraction.count) + fraction
    }
}
