import Foundation
import Testing

@testable import DaemonKit

@Suite struct NotifyTests {
    /// A service manager: a datagram socket that remembers nothing.
    private final class Manager {
        let name: String
        private let descriptor: Int32

        init(_ name: String) throws {
            self.name = name
            descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            var address = try #require(UnixAddress(name))
            let bound = address.withPointer { bind(descriptor, $0, $1) }
            try #require(bound == 0, "\(String(cString: strerror(errno)))")
        }

        deinit {
            close(descriptor)
            if name.hasPrefix("/") { unlink(name) }
        }

        func heard() -> String {
            var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 10_000) == 1 else { return "" }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            return String(decoding: buffer[..<max(0, count)], as: UTF8.self)
        }
    }

    @Test(arguments: ["/tmp/brokerd-notify-", "@brokerd-notify-"])
    func theManagerHearsEverything(prefix: String) throws {
        let manager = try Manager(prefix + UUID().uuidString)
        let notify = Notify(environment: ["NOTIFY_SOCKET": manager.name], process: 1)
        #expect(notify.ready("listening on 127.0.0.1:61613"))
        #expect(manager.heard() == "READY=1\nSTATUS=listening on 127.0.0.1:61613\n")
        #expect(notify.reloading())
        #expect(manager.heard().wholeMatch(of: /RELOADING=1\nMONOTONIC_USEC=[0-9]+\n/) != nil)
        #expect(notify.watchdog())
        #expect(manager.heard() == "WATCHDOG=1\n")
        #expect(notify.stopping("on request\nREADY=1"))
        #expect(manager.heard() == "STOPPING=1\nSTATUS=on request\\nREADY=1\n")
    }

    @Test(arguments: ["", "relative/path", "/nowhere/notify", "@", "/" + String(repeating: "p", count: 200), nil])
    func withoutAManagerNothingHappens(socket: String?) {
        let environment = socket.map { ["NOTIFY_SOCKET": $0] } ?? [:]
        #expect(!Notify(environment: environment, process: 1).ready("x"))
    }

    @Test(
        arguments: [
            (["WATCHDOG_USEC": "30000000"], 15_000), (["WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"], 15_000),
            (["WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"], nil), (["WATCHDOG_USEC": "0"], nil),
            (["WATCHDOG_USEC": "-5"], nil),
            (["WATCHDOG_USEC": "soon"], nil), (["WATCHDOG_USEC": "5"], 1), ([:], nil),
        ] as [([String: String], Int?)])
    func theWatchdogIsFedTwiceAsOftenAsWanted(environment: [String: String], milliseconds: Int?) {
        #expect(Notify(environment: environment, process: 7).watchdogMilliseconds == milliseconds)
    }
}

@Suite struct ProcessRulesTests {
    @Test func tooFewOpenFilesAreSaidWithTheNumberThatIsWanted() throws {
        var configuration = Configuration()
        configuration.limits.connections = 1000
        #expect(ProcessRules.complaint(about: configuration, openFilesMax: 1256) == nil)
        let sentence = try #require(ProcessRules.complaint(about: configuration, openFilesMax: 1255))
        #expect(sentence.contains("LimitNOFILE") && sentence.contains("1256"))
        #expect(ProcessRules.complaint(about: configuration, openFilesMax: 0) == nil)
    }

    @Test func withNextToNoOpenFilesThereIsNoStart() throws {
        let sentence = try #require(ProcessRules.refusal(openFilesMax: 63))
        #expect(sentence.contains("LimitNOFILE") && sentence.contains("63") && sentence.contains("64"))
        #expect(ProcessRules.refusal(openFilesMax: 64) == nil)
        #expect(ProcessRules.refusal(openFilesMax: 0) == nil)
    }

    @Test func connectionsLeaveFilesForStorage() {
        #expect(ProcessRules.connectionsMax(1000, openFilesMax: 0) == 1000)
        #expect(ProcessRules.connectionsMax(1000, openFilesMax: 1256) == 1000)
        #expect(ProcessRules.connectionsMax(1000, openFilesMax: 1024) == 768)
        #expect(ProcessRules.connectionsMax(1000, openFilesMax: 80) == 40)
        #expect(ProcessRules.connectionsMax(1000, openFilesMax: 1) == 1)
    }

    @Test func theJournalLeavesFilesForTheRest() {
        #expect(ProcessRules.journalSegmentsMax(16, least: 5, openFilesMax: 0) == 16)
        #expect(ProcessRules.journalSegmentsMax(16, least: 5, openFilesMax: 512) == 16)
        #expect(ProcessRules.journalSegmentsMax(16, least: 5, openFilesMax: 160) == 10)
        #expect(ProcessRules.journalSegmentsMax(16, least: 5, openFilesMax: 64) == 5)
        #expect(ProcessRules.journalSegmentsMax(5, least: 5, openFilesMax: 200) == 5)
    }

    @Test func theLimitOfOpenFilesIsKnown() {
        #expect(ProcessRules.openFilesMax > 0)
    }
}

@Suite struct SignalsTests {
    /// Goal: a signal is an event whichever thread the system picks for it. Method: Dispatch's signal
    /// sources, made on a thread like the one of this test, never saw what was sent to the process.
    @Test(.timeLimit(.minutes(1))) func signalsOfTheProcessAreEventsInTheirOrder() async throws {
        let (events, continuation) = AsyncStream.makeStream(of: Signals.Event.self)
        let signals = try #require(Signals { continuation.yield($0) })
        var iterator = events.makeAsyncIterator()
        for (number, event) in [(SIGHUP, Signals.Event.reload), (SIGTERM, .stop), (SIGINT, .stop), (SIGHUP, .reload)] {
            kill(getpid(), number)
            #expect(await iterator.next() == event)
        }
        withExtendedLifetime(signals) {}
    }

    /// Goal: what nohup asks for is done. Method: a process of its own ignores SIGHUP, listens, and gets SIGHUP and SIGTERM;
    /// only the second may be heard, and afterwards SIGHUP must still be ignored.
    @Test func whatWasIgnoredBeforeStaysIgnored() async {
        await #expect(processExitsWith: .exitCode(7)) {
            signal(SIGHUP, SIG_IGN)
            let (events, continuation) = AsyncStream.makeStream(of: Signals.Event.self)
            var signals = Signals(leavingIgnored: true) { continuation.yield($0) }
            var iterator = events.makeAsyncIterator()
            kill(getpid(), SIGHUP)
            kill(getpid(), SIGTERM)
            let first = await iterator.next()
            withExtendedLifetime(signals) {}
            signals = nil
            kill(getpid(), SIGHUP)
            if first == .stop { exit(7) }
        }
    }

    /// A process whose signals nobody hears could not be stopped.
    @Test func withoutAListenerASignalEndsTheProcessAgain() async {
        await #expect(processExitsWith: .signal(SIGTERM)) {
            _ = Signals { _ in }
            kill(getpid(), SIGTERM)
        }
    }
}
