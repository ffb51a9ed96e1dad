import DaemonKit
import FoundationEssentials
import LogStorage
import Storage

/// Verbs about the data directory of a broker that is stopped.
enum StoreVerbs {
    @Sendable static func check(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let directory = call.argument(0)
        let report = try attempt { () throws(StorageFailure) in try StoreCheck.run(directory: directory) }
        if call.wantsJSON {
            try console.printJSON(try encoded(StoreReportValue(report)))
        } else {
            try console.print(report.text(directory: directory))
        }
        if !report.isWhole {
            throw CtlFailure(
                .damaged,
                "\(directory) is damaged; put it back from a copy (brokerctl restore), or see brokerctl help store repair"
            )
        }
    }

    @Sendable static func repair(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let directory = call.argument(0)
        let isMeant = call.isGiven("--cut-what-is-damaged")
        let stamp = Self.stamp()
        let outcome = try attempt { () throws(StorageFailure) in
            try StoreRepair.run(directory: directory, saved: call.value("--save"), stamp: stamp, carryOut: isMeant)
        }
        if call.wantsJSON {
            var value = StoreReportValue(outcome.before)
            value.repaired = outcome.after.map(\.isWhole)
            value.folder = outcome.folder.map { "\(directory)/\($0)" }
            try console.printJSON(try encoded(value))
        } else {
            if outcome.hasFinishedAnother { try console.print("A repair that had been cut off is finished now.") }
            try console.print(text(of: outcome, directory, isMeant, saved: call.value("--save")))
        }
        if outcome.before.isWhole { return }
        guard let after = outcome.after else {
            throw CtlFailure(
                .damaged,
                "Nothing was changed; --cut-what-is-damaged carries the repair out, after saving what it replaces")
        }
        if !after.isWhole {
            throw CtlFailure(.damaged, "Something is still damaged after the repair: brokerctl store check says what")
        }
    }

    private static func text(
        of outcome: StoreRepair.Outcome, _ directory: String, _ isMeant: Bool, saved: String?
    ) -> String {
        if outcome.before.isWhole { return harmless("\(directory) is whole: there is nothing to repair.") }
        guard let folder = outcome.folder else { return outcome.before.text(directory: directory) }
        var lines = ["\(directory) is repaired."]
        lines += outcome.before.lossLines.isEmpty ? ["  nothing is lost"] : outcome.before.lossLines
        lines.append("What was replaced is saved in \(saved ?? "\(directory)/\(folder)/saved").")
        lines.append("The report is \(directory)/\(folder)/report.txt.")
        return lines.map { harmless($0) }.joined(separator: "\n")
    }

    /// `20261121-181503`, UTC: part of the name of a directory.
    private static func stamp() -> String {
        let style = Date.ISO8601FormatStyle(
            dateSeparator: .omitted, dateTimeSeparator: .standard, timeSeparator: .omitted)
        return String(Date.now.formatted(style).filter { $0.isNumber || $0 == "T" }.map { $0 == "T" ? "-" : $0 })
    }

    /// What storage throws, as an exit code and a sentence.
    static func attempt<Value>(_ work: () throws(StorageFailure) -> Value) throws(CtlFailure) -> Value {
        do throws(StorageFailure) { return try work() } catch { throw failure(error) }
    }

    static func failure(_ failure: StorageFailure) -> CtlFailure {
        let sentence = failure.description.prefix(1).uppercased() + failure.description.dropFirst()
        return CtlFailure(failure.kind == .unavailable ? .unavailable : .failed, sentence)
    }
}
