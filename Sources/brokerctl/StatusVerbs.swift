import DaemonKit

/// Verbs about the broker as a whole.
enum StatusVerbs {
    @Sendable static func status(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let status = try AdminClient(call, console).ask(API.Status.self, "GET", "/v1/status")
        if call.wantsJSON {
            try console.printJSON(try encoded(status))
        } else {
            try console.print(text(of: status))
        }
        guard status.health.live, status.health.ready else {
            throw CtlFailure(.failed, "The broker is not ready" + (status.health.reasons.first.map { ": \($0)" } ?? ""))
        }
    }

    static func text(of status: API.Status) -> String {
        var facts = Facts()
        let health = status.health
        facts.add("Broker", "brokerd \(status.version), process \(status.processID)")
        facts.add("State", !health.live ? "failed" : health.ready ? "ready" : "not ready")
        for reason in health.reasons { facts.add("", reason) }
        facts.add("Running for", humanDuration(seconds: status.uptimeSeconds))
        for (index, address) in status.addresses.enumerated() {
            facts.add(index == 0 ? "Addresses" : "", "\(address.service) \(address.address)")
        }
        facts.add("Data", status.dataDirectory)
        facts.add(
            "Connections",
            "\(status.connections.current) now, \(status.connections.acceptedTotal) accepted, "
                + "\(status.connections.refusedTotal) refused")
        facts.add(
            "Destinations",
            "\(counted(UInt64(clamping: status.queues), "queue")), "
                + "\(counted(UInt64(clamping: status.topics), "topic")), "
                + "\(counted(UInt64(clamping: status.subscriptions), "subscription"))")
        let messages = status.messages
        facts.add("Messages in", "\(messages.inTotal), \(humanRate(messages.inPerSecond))/s")
        facts.add(
            "Messages out",
            "\(messages.outTotal), \(humanRate(messages.outPerSecond))/s, "
                + "\(messages.redeliveredTotal) redelivered")
        facts.add(
            "Acknowledged",
            "\(messages.acknowledgedTotal), \(messages.deadLetteredTotal) dead-lettered, "
                + "\(messages.expiredTotal) expired, \(messages.duplicatesTotal) duplicates")
        facts.add(
            "Stored",
            "\(counted(messages.stored, "message")), \(humanBytes(messages.storedBytes)), "
                + "\(messages.unacked) unacknowledged")
        facts.add(
            "Memory",
            "\(humanBytes(status.memory.residentBytes)) in all, "
                + "\(humanBytes(status.memory.messageBytes)) of messages")
        facts.add("Disk", disk(status.disk))
        facts.add("Journal", journal(status.journal))
        return facts.text
    }

    private static func disk(_ disk: API.Disk) -> String {
        "\(humanBytes(disk.freeBytes)) free" + (disk.short ? ", too little: new messages are refused" : "")
    }

    private static func journal(_ journal: API.Journal) -> String {
        "\(counted(journal.syncsTotal, "sync")), \(journal.syncMicrosecondsMean) µs each, "
            + "\(journal.syncMicrosecondsMax) µs at most, \(humanBytes(journal.writtenBytesTotal)) written"
    }

    @Sendable static func store(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let store = try AdminClient(call, console).ask(API.Store.self, "GET", "/v1/store")
        if call.wantsJSON { return try console.printJSON(try encoded(store)) }
        var facts = Facts()
        let journal = store.journal
        facts.add("Directory", store.directory)
        facts.add("Store", "\(store.storeID), format \(store.formatVersion)")
        facts.add("Recovery", "\(store.recoveryMilliseconds) ms")
        for sentence in store.recovery { facts.add("", sentence) }
        facts.add(
            "Disk",
            "\(disk(store.disk)); messages are refused below \(humanBytes(store.disk.lowBytes)), "
                + "taken again above \(humanBytes(store.disk.highBytes))")
        facts.add("Journal", self.journal(journal))
        facts.add(
            "",
            "\(counted(UInt64(clamping: journal.segments), "segment")), \(humanBytes(journal.segmentBytes)), "
                + "\(humanBytes(journal.backlogBytes)) waiting")
        facts.add("Batches", "\(journal.batchesTotal)")
        facts.add("Queue files", "\(journal.queueFiles), \(humanBytes(journal.queueFileBytes))")
        facts.add("Checkpoints", "\(journal.checkpointsTotal)")
        facts.add(
            "Scrubbing",
            "\(humanBytes(journal.scrubbedBytesTotal)) read again, \(counted(journal.scrubPassesTotal, "whole pass")), "
                + (journal.scrubFindings == 0
                    ? "no damage" : "damage in \(counted(UInt64(clamping: journal.scrubFindings), "file"))"))
        facts.add("Index", "\(humanBytes(store.indexBytes)) of memory")
        try console.print(facts.text)
    }

    @Sendable static func settings(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        var list = try AdminClient(call, console).ask(API.SettingList.self, "GET", "/v1/config")
        if call.isGiven("--changed") { list.settings.removeAll { $0.source == "default" && $0.pending == nil } }
        if call.wantsJSON { return try console.printJSON(try encoded(list)) }
        var table = Table([.left("SETTING"), .left("VALUE"), .left("FROM"), .left("CHANGES BY")])
        for setting in list.settings {
            let value = setting.value + (setting.pending.map { ", then \($0)" } ?? "")
            table.add([setting.name, value, setting.source, setting.live ? "reload" : "restart"])
        }
        try console.print(table.text)
    }

    @Sendable static func reload(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let reload = try AdminClient(call, console).ask(API.Reload.self, "POST", "/v1/reload")
        if call.wantsJSON { return try console.printJSON(try encoded(reload)) }
        let changed = reload.changed.map { harmless($0) }.joined(separator: ", ")
        try console.print(changed.isEmpty ? "Nothing changed." : "Changed: \(changed)")
        let restart = reload.needsRestart.map { harmless($0) }.joined(separator: ", ")
        if !restart.isEmpty { try console.print("Needs a restart: \(restart)") }
    }
}

/// A value as the JSON that `--json` prints: the same as the admin interface's.
func encoded(_ value: some APISchema) throws(CtlFailure) -> [UInt8] {
    do throws(AdminError) { return try APICoding.encode(value) } catch { throw CtlFailure(.failed, error.message) }
}
