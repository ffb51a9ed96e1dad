import BrokerCore
import DaemonKit
import Foundation
import Synchronization
import Testing

@testable import brokerctl

/// Policies, settings and pauses through the admin interface, from the words of brokerctl to the backend.
@Suite struct AdminPolicyTests {
    let server: AdminServer

    init() throws { server = try AdminServer() }

    private func run(_ words: String...) async -> CtlRun {
        await CtlRun.of(["--admin", "unix:\(server.path)"] + words)
    }

    @Test func aPolicyIsSetListedExplainedAndDeleted() async {
        let set = await run(
            "policy", "set", "orders", "--pattern", "orders.*", "--priority", "-5", "--set", "delivery_limit=5",
            "--set=bytes_most=1024 MiB")
        #expect(set.code == 0, "\(set.complaint)")
        #expect(set.output == "orders counts for /queue/orders.*: bytes_most=1 GiB delivery_limit=5\n")
        _ = await run("policy", "set", "all", "--pattern", "**", "--set", "delivery_limit=7", "--priority=-9")
        let list = await run("policy", "list").output.split(separator: "\n")
        #expect(list.count == 3)
        #expect(list[2].hasPrefix("orders  /queue/orders.*        -5  operator  bytes_most=1 GiB delivery_limit=5"))
        let explained = await run("policy", "explain", "/queue/orders.eu").output
        let line = explained.split(separator: "\n").first { $0.hasPrefix("delivery_limit") }
        #expect(
            line?.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
                == "delivery_limit 5 policy orders policy all says 7: its priority -9 is lower than -5")
        #expect(await run("policy", "delete", "orders").output == "orders is gone.\n")
        #expect(await run("policy", "delete", "orders").code == 4)
    }

    @Test func aQueueIsMadeWithSettingsAndGetsOthers() async {
        #expect(await run("queue", "create", "x", "--set", "length_most=5", "--set", "overflow=drop-head").code == 0)
        #expect(server.backend.world.withLock { $0.own["x"] } == ["length_most": "5", "overflow": "drop-head"])
        let changed = await run("queue", "settings", "x", "--set", "delivery_limit=0", "--unset", "overflow")
        #expect(changed.code == 0, "\(changed.complaint)")
        #expect(server.backend.world.withLock { $0.own["x"] } == ["length_most": "5", "delivery_limit": "0"])
        let rows = changed.output.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        #expect(rows.contains("delivery_limit 0 own") && rows.contains("overflow reject default"))
    }

    @Test func aPauseIsOfBothOrOfOne() async {
        #expect(await run("queue", "pause", "orders").output == "orders: durable, paused.\n")
        #expect(await run("queue", "resume", "orders", "--sending").output == "orders: durable, delivery paused.\n")
        #expect(await run("queue", "resume", "orders", "--delivery").output == "orders: durable.\n")
        #expect(await run("queue", "pause", "orders", "--sending", "--delivery").output == "orders: durable, paused.\n")
        #expect(await run("queue", "show", "orders").output.contains("durable, paused"))
        #expect(await run("queue", "list").output.contains("durable, paused"))
        #expect(await run("queue", "pause", "none").code == 4)
    }

    @Test(
        arguments: [
            (["policy", "set", "p", "--set", "a=1"], 2, "--pattern is missing"),
            (["policy", "set", "p", "--pattern", "a", "--set", "delivery_limit"], 2, "KEY=VALUE"),
            (["policy", "set", "p", "--pattern", "a", "--priority", "x", "--set", "a=1"], 2, "whole number"),
            (["policy", "set", "p", "--pattern", "a", "--set", "delivery_limi=1"], 1, "did you mean delivery_limit?"),
            (["policy", "set", "p.q", "--pattern", "a", "--set", "delivery_limit=1"], 1, "letters, digits"),
            (["policy", "set", "p", "--pattern", "a", "--set", "expired=drop", "--set", "expired=drop"], 1, "once"),
            (["policy", "explain", "/exchange/x"], 1, "no policy is about"),
            (["queue", "settings", "x", "--set", "=1"], 2, "KEY=VALUE"),
            (["queue", "settings", "orders", "--set", "expired=drop", "--unset", "expired"], 1, "both set and unset"),
        ] as [([String], Int32, String)])
    func whatIsWrongIsSaid(words: [String], code: Int32, sentence: String) async {
        let run = await CtlRun.of(["--admin", "unix:\(server.path)"] + words)
        #expect(run.code == code && run.complaint.contains(sentence), "\(run.complaint)")
    }
}
