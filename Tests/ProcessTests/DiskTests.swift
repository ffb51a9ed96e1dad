import Foundation
import Glibc
import Testing

extension ProcessTests {
    /// Disks that are full, fail, or come back different.
    @Suite struct DiskTests {
        @Test func aFullDiskRefusesMessagesLetsConsumersGoOnAndRecoversWithoutARestart() throws {
            let home = try Home()
            guard let disk = try SmallDisk(home, megabytes: 120) else { return }
            // Segments so small that the one made ready in the background fits as well.
            let settings = [
                "--set", "disk.low_bytes=8 MiB", "--set", "disk.high_bytes=12 MiB", "--set", "journal.segments=2",
                "--set", "journal.segments_max=4", "--set", "journal.segment_bytes=20 MiB",
                "--set", "limits.transaction_operations=1000", "--set", "limits.hold_seconds=1",
            ]
            let broker = try BrokerProcess(home, data: disk.path + "/data", settings)
            let first = try broker.connect()
            for number in 0..<20 { try first.publish("\(number)", to: "q") }
            // What the keeper makes in the background must be there: half made, it would be given back again and again.
            try eventually("the next segment and the reserve") {
                let files = FileManager.default
                let reserve = try? files.attributesOfItem(atPath: disk.path + "/data/reserve")[.size] as? Int
                return files.fileExists(atPath: disk.path + "/data/journal/00000002.seg") && reserve == 16 << 20
            }
            try disk.fill()
            try broker.waitForLog("disk is short")

            let sender = try broker.connect()
            // The first is taken, and its sender held; what it sends then is not looked at for a second.
            let began = ContinuousClock.now
            try sender.publish("still", to: "q")
            try sender.say("SEND", [("destination", "/queue/q"), ("receipt", "r")], "too much")
            let error = try sender.expect("ERROR")
            #expect(error["message"] == "disk is short" && error["receipt-id"] == "r", "\(error)")
            #expect(ContinuousClock.now - began > .milliseconds(900))
            let consumer = try broker.connect()
            try consumer.subscribe("q")
            for number in 0..<10 {
                let message = try consumer.message()
                #expect(message.text == "\(number)")
                try consumer.acknowledge(message)
            }
            #expect(
                try Child.run(Control.command(broker, ["status"])).code == 1,
                "a broker that refuses messages is not ready")

            try disk.empty()
            try broker.waitForLog("disk has room again")
            let again = try broker.connect()
            try again.publish("after", to: "q")
            broker.child.signal(SIGKILL)
            _ = try broker.child.exitCode()
            let next = try BrokerProcess(home, data: broker.data, settings)
            #expect(try next.drain("q") == (10..<20).map(String.init) + ["still", "after"])
            #expect(try next.stop() == 0)
        }

        /// The kernel says EIO to a sync: nothing more is confirmed, the process ends, a restart has it all.
        @Test func aFailedSyncEndsTheBrokerWithThreeAndNothingIsConfirmedAfterIt() throws {
            guard let strace = Programs.found("strace") else {
                if isCI { Issue.record("strace is missing: scripts/setup installs it") }
                print("left out: strace is not installed")
                return
            }
            let home = try Home()
            let trace = home.path + "/trace"
            let broker = try BrokerProcess(
                home,
                under: [
                    strace, "-f", "-q", "-o", trace, "-e", "trace=fdatasync", "-e",
                    "inject=fdatasync:error=EIO:when=40+",
                ])
            let client = try broker.connect()
            var confirmed = 0
            do {
                while confirmed < 10_000 {
                    try client.publish("\(confirmed)", to: "q")
                    confirmed += 1
                }
            } catch let problem as Problem {
                #expect(
                    ["ERROR", "closed the connection", "sending: "].contains { problem.description.contains($0) },
                    "\(problem)")
            }
            #expect(try broker.child.exitCode(within: .seconds(10)) == 3)
            #expect(broker.log.contains("storage failed: nothing more is confirmed"), "\(broker.log)")
            // One receipt needs one sync that succeeded.
            let syncs = try String(contentsOfFile: trace, encoding: .utf8).split(separator: "\n")
            let failed = syncs.count { $0.contains("EIO") }
            let succeeded = syncs.count { $0.hasSuffix("= 0") }
            #expect(failed == 1, "a failed sync is not tried again")
            #expect(confirmed > 0 && confirmed <= succeeded, "\(confirmed) receipts with \(succeeded) syncs")
            let next = try BrokerProcess(home)
            let bodies = try next.drain("q")
            #expect(bodies.count >= confirmed && bodies.count <= confirmed + 1)
            #expect(bodies == (0..<bodies.count).map(String.init))
            #expect(try next.stop() == 0)
        }

        @Test func aDamagedJournalIsRefusedWithFileAndOffsetAndLeftAsItIs() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try broker.connect()
            for number in 0..<50 { try client.publish("message \(number) of many", to: "q") }
            broker.kill()
            let segment = broker.data + "/journal/00000001.seg"
            var bytes = try Data(contentsOf: URL(fileURLWithPath: segment))
            let place = try #require(bytes.range(of: Data("message 25 of".utf8))).lowerBound
            bytes[place] ^= 1
            try bytes.write(to: URL(fileURLWithPath: segment))
            let before = try home.contents()
            let ended = try BrokerProcess.refusal(data: broker.data)
            #expect(ended.code == 3)
            let said = try #require(
                ended.errors.firstMatch(of: /journal\/00000001\.seg is damaged at offset (\d+)/), "\(ended.errors)")
            let offset = try #require(Int(said.1))
            #expect(offset <= place && place - offset < 4096, "\(offset), but the damage is at \(place)")
            #expect(try home.contents() == before)
            // Put back, it is all there.
            bytes[place] ^= 1
            try bytes.write(to: URL(fileURLWithPath: segment))
            #expect(try BrokerProcess(home).drain("q").count == 50)
        }

        @Test func aRestartBringsAHundredThousandMessagesBackInOrder() throws {
            let home = try Home()
            let count = 100_000
            let broker = try BrokerProcess(home)
            let client = try broker.connect()
            for start in stride(from: 0, to: count, by: 1000) {
                let frames = (start..<start + 1000).map {
                    RawClient.frame("SEND", [("destination", "/queue/q")], "\($0)")
                }
                try client.send(frames.joined())
            }
            try client.publish("last", to: "q")
            broker.kill()
            let next = try BrokerProcess(home)
            #expect(next.log.contains("messages=\(count + 1)"), "\(next.log)")
            let reader = try next.connect()
            try reader.subscribe("q", ack: "auto", prefetch: 10_000)
            for number in 0..<count {
                let text = try reader.message().text
                if text != "\(number)" { throw Problem("\(text) instead of \(number)") }
            }
            #expect(try reader.message().text == "last")
            try reader.ask("UNSUBSCRIBE", [("id", "1")])
            #expect(try next.stop() == 0)
        }
    }
}

/// A file system of its own with little room.
private final class SmallDisk {
    let path: String
    private let filler: String
    /// Must not go before the file system in it.
    private let home: Home

    /// nil, with a printed reason, where this process may not mount.
    init?(_ home: Home, megabytes: Int) throws {
        self.home = home
        path = home.path + "/disk"
        filler = path + "/filler"
        if mkdir(path, 0o700) != 0 { throw Problem.system("mkdir") }
        if mount("tmpfs", path, "tmpfs", 0, "size=\(megabytes)m") != 0 {
            print("left out: mounting a small disk is refused: \(String(cString: strerror(errno)))")
            rmdir(path)
            return nil
        }
    }

    /// Nothing may be in it any more but a broker that was killed.
    deinit { umount2(path, Int32(MNT_DETACH)) }

    func fill() throws {
        let descriptor = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        if descriptor < 0 { throw Problem.system("making \(filler)") }
        defer { close(descriptor) }
        let zeros = [UInt8](repeating: 1, count: 64 << 10)
        while write(descriptor, zeros, zeros.count) > 0 {}
        if errno != ENOSPC { throw Problem.system("filling the disk") }
    }

    func empty() throws {
        if unlink(filler) != 0 { throw Problem.system("removing \(filler)") }
    }
}
