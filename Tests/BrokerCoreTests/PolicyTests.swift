import Base
import Testing

@testable import BrokerCore

/// Which settings a destination has, and why.
struct PolicyTests {
    private func policies(_ list: Policy...) throws -> Policies {
        var policies = Policies()
        policies.replace(.operator, with: try list.map { try $0.checked() })
        return policies
    }

    private func policy(
        _ name: String, _ pattern: String, _ priority: Int = 0, _ settings: [String: String] = ["delivery_limit": "5"]
    ) -> Policy {
        Policy(name: name, pattern: pattern, priority: priority, settings: settings)
    }

    private func limit(_ policies: Policies, _ name: String, own: [String: String] = [:]) -> UInt32 {
        policies.settings(for: bytes(name), own: own).deliveryLimit
    }

    // MARK: The table

    @Test func everyLineReadsWhatItWritesAndItsDefaultIsAllowed() {
        #expect(Set(QueueSetting.all.map(\.name)).count == QueueSetting.all.count)
        for setting in QueueSetting.all {
            var settings = QueueSettings()
            #expect(setting.write(setting.standard, &settings), "\(setting.name)")
            #expect(settings == QueueSettings(), "\(setting.name)")
            #expect(!setting.scopes.isEmpty && setting.why.hasSuffix("."), "\(setting.name)")
            #expect(setting.name.wholeMatch(of: /[a-z][a-z_]*/) != nil)
        }
    }

    /// Goal: nothing that the core goes by is out of reach. Method: every property of the settings changes
    /// with some line of the table.
    @Test func everyPropertyHasItsLine() {
        #expect(Mirror(reflecting: QueueSettings()).children.count == QueueSetting.all.count)
        for setting in QueueSetting.all {
            var settings = QueueSettings()
            for other in Self.others(setting) where other != setting.standard {
                #expect(setting.write(other, &settings), "\(setting.name) = \(other)")
                #expect(settings != QueueSettings(), "\(setting.name) = \(other)")
                #expect(setting.value(in: settings) == other, "\(setting.name)")
            }
        }
    }

    private static func others(_ setting: QueueSetting) -> [String] {
        switch setting.kind {
        case .number(let range): ["\(range.lowerBound)", "\(range.upperBound)"]
        case .bytes: ["1 MiB", "77"]
        case .flag: ["true", "false"]
        case .choice(let words): words
        case .deadLetterQueue: ["none", "/queue/dead"]
        }
    }

    @Test func whatIsOutOfRangeOrOfAnotherKindIsRefused() {
        for setting in QueueSetting.all {
            var wrong = ["", " ", "x y", "-1", "+1", "1.5", "\u{1}", "18446744073709551616"]
            switch setting.kind {
            case .number(let range):
                wrong += ["\(range.upperBound + 1)"] + (range.lowerBound > 0 ? ["\(range.lowerBound - 1)"] : [])
            case .bytes(let range): wrong += ["\(range.upperBound + 1)", "1 GB"]
            case .flag: wrong += ["yes", "1"]
            case .choice: wrong += ["Reject"]
            case .deadLetterQueue: wrong = ["", "\u{1}", "/topic/a", "/queue/", "a.*", "*", "/reply-queue/x"]
            }
            for value in wrong {
                var settings = QueueSettings()
                #expect(!setting.write(value, &settings), "\(setting.name) = \(value)")
                #expect(settings == QueueSettings(), "\(setting.name) = \(value)")
            }
        }
    }

    // MARK: Patterns

    @Test(arguments: [
        ("/queue/orders.*", "/queue/orders.eu", true), ("/queue/orders.*", "/queue/orders", false),
        ("/queue/orders.*", "/queue/orders.eu.de", false), ("/queue/orders.**", "/queue/orders.eu.de", true),
        ("/queue/orders.>", "/queue/orders", true), ("/queue/#", "/queue/a.b", true), ("*", "/queue/a", true),
        ("orders.eu", "/queue/orders.eu", true), ("/queue/*", "/topic/a", false), ("/topic/*.x", "/topic/a.x", true),
        ("/dsub/*", "/dsub/audit", true), ("/dsub/**", "/dsub/host.audit", true),
        ("/queue/a/b.*", "/queue/a/b.c", true),
    ]) func aPatternFitsWords(pattern: String, name: String, fits: Bool) throws {
        let split = try #require(DestinationPattern.Name(bytes(name)))
        #expect(try DestinationPattern(pattern).matches(split) == fits)
    }

    @Test(arguments: [
        ("/exchange/a", "must start with"), ("/queue/", "1 to 255"), ("", "1 to 255"), ("/queue/**.a", "last and once"),
        ("/queue/a\u{1}b", "none of control"), ("/queue/" + String(repeating: "a", count: 256), "1 to 255"),
    ]) func aBadPatternIsRefusedWithAReason(pattern: String, reason: String) {
        do throws(PolicyError) {
            _ = try policy("p", pattern).checked()
            Issue.record("\(pattern) was taken")
        } catch {
            #expect(error.description.contains(reason), "\(error)")
        }
    }

    @Test(arguments: [
        (["delivery_limits": "5"], "did you mean delivery_limit?"),
        (["colour": "red"], "docs/policies.md"), ([:], "at least one setting"),
        (["delivery_limit": "many"], "delivery_limit is many; it must be a whole number from 0 to 1000000"),
        (["overflow": "explode"], "one of reject, drop-head, block"),
        (["slow_subscriber": "disconnect"], "slow_subscriber means nothing to /queue/; it is a setting of /topic/"),
    ]) func aBadSettingIsRefusedWithWhatWouldBeRight(settings: [String: String], reason: String) {
        do throws(PolicyError) {
            _ = try policy("p", "/queue/a", 0, settings).checked()
            Issue.record("\(settings) was taken")
        } catch {
            #expect(error.description.contains(reason), "\(error)")
        }
    }

    @Test func aPolicyIsKeptInItsCanonicalForm() throws {
        let kept = try policy("p", "orders.*", 0, ["bytes_most": "1024 MiB", "dead_letter_queue": "dead"]).checked()
        #expect(kept.pattern == "/queue/orders.*")
        #expect(kept.settings == ["bytes_most": "1 GiB", "dead_letter_queue": "/queue/dead"])
        for name in ["", "a.b", "ä", String(repeating: "n", count: 65)] {
            #expect(throws: PolicyError.self) { try policy(name, "/queue/a").checked() }
        }
        #expect(throws: PolicyError.self) { try policy("p", "/queue/a", 1001).checked() }
    }

    // MARK: Which one wins

    @Test func theHigherPriorityThenTheNarrowerPatternThenTheNameWins() throws {
        let all = try policies(
            policy("wide", "/queue/**", 0, ["delivery_limit": "1"]),
            policy("rest", "/queue/orders.**", 0, ["delivery_limit": "2"]),
            policy("word", "/queue/orders.*", 0, ["delivery_limit": "3"]),
            policy("word2", "/queue/orders.*", 0, ["delivery_limit": "4"]),
            policy("exact", "/queue/orders.eu", 0, ["delivery_limit": "5"]),
            policy("vip", "/queue/**", 7, ["dedup_seconds": "6"]))
        #expect(limit(all, "/queue/other") == 1)
        #expect(limit(all, "/queue/orders.eu.de") == 2)
        #expect(limit(all, "/queue/orders.us") == 3)
        #expect(limit(all, "/queue/orders.eu") == 5)
        #expect(limit(all, "/queue/orders.eu", own: ["delivery_limit": "9"]) == 9)
        #expect(limit(all, "/topic/orders.eu") == 10)
        #expect(limit(all, "/reply-queue/x") == 10)
    }

    /// Goal: policies add up, each setting decided by itself.
    @Test func aPolicyThatWinsOneSettingLeavesTheOthers() throws {
        let all = try policies(
            policy("a", "/queue/**", 0, ["delivery_limit": "1", "length_most": "100"]),
            policy("b", "/queue/x", 5, ["delivery_limit": "2"]))
        let settings = all.settings(for: bytes("/queue/x"), own: ["dedup_seconds": "3"])
        #expect(settings.deliveryLimit == 2 && settings.lengthMost == 100 && settings.dedupSeconds == 3)
    }

    @Test func anExplanationNamesTheWinnerAndWhyOthersLost() throws {
        let all = try policies(
            policy("low", "/queue/**", 0, ["delivery_limit": "1"]), policy("high", "/queue/x", 5),
            policy("other", "/queue/y", 9))
        let explained = try #require(all.explain(bytes("/queue/x"), own: ["length_most": "7"]))
        let byName = Dictionary(uniqueKeysWithValues: explained.settings.map { ($0.name, $0) })
        #expect(byName["delivery_limit"]?.value == "5")
        #expect(byName["delivery_limit"]?.origin == .policy("high"))
        #expect(
            byName["delivery_limit"]?.passedOver
                == [.init(policy: "low", value: "1", why: "its priority 0 is lower than 5")])
        #expect(byName["length_most"]?.origin == .own)
        #expect(byName["dedup_seconds"]?.origin == .standard && byName["dedup_seconds"]?.value == "600")
        #expect(byName["slow_subscriber"] == nil)
        #expect(explained.verdicts.map(\.policy.name) == ["other", "high", "low"])
        #expect(explained.verdicts.map(\.matches) == [false, true, true])
        let own = try #require(all.explain(bytes("/queue/x"), own: ["delivery_limit": "3"])).settings[0]
        #expect(own.passedOver.map(\.policy) == ["high", "low"])
        #expect(own.passedOver[0].why == "the queue has a setting of its own")
        #expect(all.explain(bytes("/reply-queue/x"), own: [:]) == nil)
    }

    /// Goal: for every name and setting, what counts is what is explained. Method: random policies.
    @Test func whatIsExplainedIsWhatCounts() throws {
        var random = SplitMix64(seed: 11)
        let patterns = ["**", "a.*", "a.b", "*.b", "a.**", "*", "a", "*.*"]
        for _ in 0..<300 {
            var list: [Policy] = []
            for number in 0..<random.below(6) {
                list.append(
                    policy(
                        "p\(number)", patterns[random.below(patterns.count)], random.below(3),
                        random.below(2) == 0
                            ? ["delivery_limit": "\(number)"] : ["delivery_limit": "\(number)", "dedup_seconds": "7"]))
            }
            var all = Policies()
            all.replace(.configuration, with: try list.map { try $0.checked() })
            for name in ["a", "a.b", "b", "a.b.c", "c.b"] {
                let own = random.below(3) == 0 ? ["dedup_seconds": "9"] : [:]
                let settings = all.settings(for: bytes("/queue/" + name), own: own)
                let explained = try #require(all.explain(bytes("/queue/" + name), own: own))
                for row in explained.settings {
                    #expect(QueueSetting.named(row.name)?.value(in: settings) == row.value, "\(row.name) \(list)")
                }
            }
        }
    }

    @Test func theOperatorsPolicyStandsInForTheConfiguredOneOfItsName() throws {
        var all = Policies()
        all.replace(.configuration, with: [try policy("p", "/queue/a", 0, ["delivery_limit": "1"]).checked()])
        all.replace(.operator, with: [try policy("p", "/queue/b", 0, ["delivery_limit": "2"]).checked()])
        #expect(limit(all, "/queue/a") == 10)
        #expect(limit(all, "/queue/b") == 2)
        #expect(all.all.map(\.source) == [.operator, .configuration])
        #expect(all.all.map { all.isShadowed($0) } == [false, true])
    }

    // MARK: In the core

    @Test func aPolicyTakesHoldOfQueuesThatAreThereAndIsRememberedByTheBroker() throws {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.send("/queue/a", "x"), of: session)
        #expect(try rig.core.setPolicy(policy("p", "/queue/a"), into: &rig.effects) == false)
        rig.carryOut()
        #expect(rig.core.queues[0].settings.value.deliveryLimit == 5)
        #expect(try rig.core.setPolicy(policy("p", "/queue/*", 1), into: &rig.effects))
        rig.carryOut()
        rig.apply(.send("/queue/b", "x"), of: session)
        #expect(rig.core.queues[1].settings.value.deliveryLimit == 5)
        rig.settleDown()
        #expect(rig.storage.wrong == [])

        var later = Rig(recovered: rig.storage.durable)
        #expect(later.core.policies.operators == rig.core.policies.operators)
        #expect(later.core.queues.map(\.settings.value.deliveryLimit) == [5, 5])
        #expect(later.core.deletePolicy(named: "p", into: &later.effects))
        #expect(!later.core.deletePolicy(named: "p", into: &later.effects))
        later.carryOut()
        later.settleDown()
        #expect(
            later.core.queues.map(\.settings.value.deliveryLimit)
                == [UInt32](repeating: QueueSettings.calm.deliveryLimit, count: 2))
        #expect(later.storage.durable.note.isEmpty)
    }

    @Test func aNoteOfAnotherVersionCountsAsFarAsItIsUnderstood() throws {
        var text =
            "policy p\npattern /queue/a\npriority 3\nset delivery_limit 4\nset telepathy on\nset overflow explode\n"
        text += "moon full\npolicy q\npattern /elsewhere/x\nset delivery_limit 4\n"
        var rig = Rig()
        rig.core.restore(policies: [], note: bytes(text))
        let settings = rig.core.policies.settings(for: bytes("/queue/a"), own: [:])
        #expect(settings.deliveryLimit == 4 && settings.overflow == .reject)
        let rows = try #require(rig.core.explain(bytes("/queue/a"))).settings
        let overflow = try #require(rows.first { $0.name == "overflow" })
        #expect(overflow.origin == .standard && overflow.passedOver.map(\.value) == ["explode"])
    }

    @Test func notesComeBackAsTheyWere() throws {
        var note = BrokerNote()
        for number in 0..<50 {
            note.policies.append(
                policy("p\(number)", "/queue/ä %0A.\(number)", number - 25, ["dead_letter_queue": "/queue/a b%\u{7F}"]))
        }
        note.policies.sort { $0.name < $1.name }
        #expect(BrokerNote(decoding: note.encoded()) == note)
        var queue = QueueNote()
        queue.settings = ["delivery_limit": "5", "dead_letter_queue": "/queue/a b"]
        queue.isSendingPaused = true
        queue.binding = .init(topic: bytes("/topic/a.*"), name: bytes("x\ny"))
        #expect(QueueNote(decoding: queue.encoded()) == queue)
    }

    @Test func thereIsABoundOnPolicies() throws {
        var rig = Rig()
        for number in 0..<Policies.most {
            _ = try rig.core.setPolicy(policy("p\(number)", "/queue/a"), into: &rig.effects)
        }
        #expect(throws: PolicyError.self) { try rig.core.setPolicy(policy("q", "/queue/a"), into: &rig.effects) }
        #expect(try rig.core.setPolicy(policy("p0", "/queue/b"), into: &rig.effects))
        rig.core.limits.batchBytes = 100
        #expect(throws: PolicyError.self) { try rig.core.setPolicy(policy("p0", "/queue/c"), into: &rig.effects) }
    }

    @Test func aQueuesOwnSettingsAreRemembered() throws {
        var rig = Rig()
        #expect(try rig.core.createQueue(named: bytes("q"), settings: ["length_most": "5"], into: &rig.effects))
        #expect(try !rig.core.createQueue(named: bytes("q"), settings: ["length_most": "6"], into: &rig.effects))
        #expect(
            try rig.core.changeSettings(of: bytes("q"), set: ["bytes_most": "1024"], unset: [], into: &rig.effects))
        #expect(throws: PolicyError.self) {
            try rig.core.changeSettings(of: bytes("q"), set: ["length_most": "-"], unset: [], into: &rig.effects)
        }
        #expect(throws: PolicyError.self) {
            try rig.core.changeSettings(of: bytes("q"), set: [:], unset: ["lenght_most"], into: &rig.effects)
        }
        #expect(try !rig.core.changeSettings(of: bytes("r"), set: [:], unset: [], into: &rig.effects))
        rig.carryOut()
        rig.settleDown()
        var later = Rig(recovered: rig.storage.durable)
        #expect(later.core.ownSettings(of: bytes("q")) == ["length_most": "5", "bytes_most": "1 KiB"])
        #expect(later.core.queues[0].settings.value.lengthMost == 5)
        #expect(
            try later.core.changeSettings(
                of: bytes("q"), set: [:], unset: ["length_most", "bytes_most", "overflow"], into: &later.effects))
        later.carryOut()
        #expect(later.core.queues[0].settings.value == QueueSettings.calm)
        #expect(later.storage.appended.queues.values.map(\.note) == [[]])
    }
}
