import Base
import Dispatch
import Foundation
import Glibc
import Testing

@testable import brokerbench

private func scan(_ text: String) -> (ClientFrame.Kind, count: Int)? {
    Array(text.utf8).withUnsafeBytes { ClientFrame.scan($0).map { ($0.kind, count: $0.count) } }
}

private func bytes(_ text: String, _ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
    try Array(text.utf8).withUnsafeBytes(body)
}

@Suite struct FloorFrameTests {
    private static let send = "SEND\ndestination:/queue/q\npersistent:true\nreceipt:7\ncontent-length:3\n\na\0b\0"

    /// Goal: TCP may cut a frame anywhere. Method: offer every prefix.
    @Test func findsAFrameOnlyWhenItIsWhole() {
        for count in 1..<Self.send.utf8.count {
            #expect(scan(String(decoding: Self.send.utf8.prefix(count), as: UTF8.self)) == nil, "\(count) bytes")
        }
        bytes(Self.send + "SEND") { bytes in
            let frame = ClientFrame.scan(bytes)
            #expect(frame?.kind == .send)
            #expect(frame?.destination.equals("/queue/q") == true)
            #expect(frame?.receipt.decimal == 7)
            #expect(frame?.isPersistent == true)
            #expect(frame.map { Array($0.body) } == Array("a\0b".utf8))
            #expect(frame?.count == Self.send.utf8.count)
        }
    }

    @Test(arguments: [
        ("CONNECT\n\n\0", ClientFrame.Kind.connect), ("STOMP\r\n\r\n\0", .connect), ("ACK\nid:1-2\n\n\0", .ack),
        ("SUBSCRIBE\n\n\0", .subscribe), ("DISCONNECT\n\n\0", .disconnect), ("SENT\n\n\0", .unknown),
    ])
    func knowsTheFrames(text: String, kind: ClientFrame.Kind) {
        #expect(scan(text)?.0 == kind)
    }

    @Test func aSubscriptionSaysWhetherItAcknowledges() {
        for (ack, wants) in [
            ("ack:auto\n", false), ("", false), ("ack:client\n", true), ("ack:client-individual\n", true),
        ] {
            bytes("SUBSCRIBE\nid:0\n\(ack)\n\0") { #expect(ClientFrame.scan($0)?.wantsAcks == wants, "\(ack)") }
        }
    }
}

@Suite struct FloorQueueTests {
    /// Goal: what is longer than a piece, or fills one, comes back whole and in order.
    @Test func aBacklogGivesBackWhatItTook() throws {
        var backlog = FloorBacklog()
        let sizes = [0, 1, 600_000, 600_000, 3 << 20, 5, (1 << 20) - 8, 1]
        for (number, size) in sizes.enumerated() {
            let body = [UInt8](repeating: UInt8(number), count: size)
            try body.withUnsafeBytes { bytes in try backlog.append(bytes) }
        }
        let count = backlog.count
        #expect(count == sizes.count)
        for (number, size) in sizes.enumerated() {
            let first = backlog.first
            let body = try #require(first)
            #expect(body.count == size && body.allSatisfy { $0 == UInt8(number) })
            backlog.dropFirst()
        }
        let isEmpty = backlog.count == 0 && backlog.first == nil
        #expect(isEmpty)
    }

    @Test func queuesAreFoundByTheirName() {
        var queues = FloorQueues()
        var numbers: [Int] = []
        for name in ["/queue/a", "/topic/a", "/queue/b", "/queue/a", "/queue/b"] {
            bytes(name) { numbers.append(queues.index(of: $0)) }
        }
        #expect(numbers == [0, 1, 2, 0, 2])
        let topics = [queues[0].pointee.isTopic, queues[1].pointee.isTopic]
        #expect(topics == [false, true])
    }

    @Test func aSubscriptionIsFullUntilItsAcksCome() {
        var out = Buffer()
        bytes("id") { name in
            bytes("/queue/q") { destination in
                var one = FloorSubscription(
                    number: 3, client: 0, queue: 0, id: name, destination: destination, wantsAcks: true)
                for number in 1...UInt64(FloorSubscription.prefetch) {
                    let isOpen = one.isOpen
                    #expect(isOpen)
                    out.clear()
                    one.deliver(destination, number: number, to: &out)
                }
                let isOpen = one.isOpen
                #expect(!isOpen)
            }
        }
        #expect(
            String(decoding: Array(out.readable), as: UTF8.self)
                == "MESSAGE\nsubscription:id\ndestination:/queue/q\nmessage-id:1000\nack:3-1000\n"
                + "content-length:8\n\n/queue/q\0")
        bytes("3-1000") { #expect(FloorSubscription.number(inAck: $0) == 3) }
        bytes("nonsense") { #expect(FloorSubscription.number(inAck: $0) == nil) }
    }
}

@Suite struct FloorOptionsTests {
    private func parse(_ line: String) throws -> FloorOptions {
        try FloorOptions(parsing: line.split(separator: " ").map(String.init))
    }

    @Test func readsAWholeCommandLine() throws {
        let plain = try parse("--port 7 --dir d")
        #expect(plain.storing == .beside && plain.port == 7 && plain.directory == "d" && plain.preallocatedMiB == 0)
        #expect(try parse("--dir d --port 7 --inline --prealloc 3").storing == .inline)
        #expect(try parse("--dir d --port 7 --inline --prealloc 3").preallocatedMiB == 3)
        #expect(try parse("--dir d --port 7 --no-sync").storing == .unsynced)
    }

    @Test(arguments: [
        "", "--port 7", "--dir d", "--port 0 --dir d", "--port 7 --dir d --no-sync --inline", "--port 7 --dir",
    ])
    func refusesWhatItDoesNotUnderstand(line: String) {
        #expect(throws: Options.Misuse.self) { _ = try parse(line) }
    }
}

/// The built floor as a process would be another's test; here the server runs on a thread of this one.
@Suite struct FloorServerTests {
    private static func start(_ storing: FloorOptions.Storing) throws -> Options {
        var options = FloorOptions()
        options.directory = try temporaryDirectory()
        options.storing = storing
        options.preallocatedMiB = storing == .inline ? 1 : 0
        let floor = options
        let port = try freePort()
        let isListening = DispatchSemaphore(value: 0)
        _ = try Worker { () -> String in
            var mine = floor
            mine.port = port
            do {
                var server = try FloorServer(mine)
                isListening.signal()
                try server.serve()
            } catch {
                return "\(error)"
            }
        }
        guard isListening.wait(timeout: .now() + 20) == .success else { throw Failure("the floor does not listen") }
        // It has its file open, and keeps it for as long as the tests run.
        try FileManager.default.removeItem(atPath: options.directory)
        var client = Options()
        client.port = port
        client.size = 100
        client.graceSeconds = 20
        return client
    }

    private static func temporaryDirectory() throws -> String {
        let path = NSTemporaryDirectory() + "/floor-test-\(UUID())"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        return path
    }

    /// Below those that outgoing connections get.
    private static func freePort() throws -> UInt16 {
        for _ in 0..<100 {
            let port = UInt16.random(in: 12_000..<30_000)
            guard let listener = try? FloorListener(port: port) else { continue }
            close(listener.descriptor)
            return port
        }
        throw Failure("no free port between 12000 and 30000")
    }

    /// Goal: a floor that loses, doubles or reorders would be too low. Method: the load generator's own checks.
    @Test(arguments: [FloorOptions.Storing.beside, .inline, .unsynced])
    func everyMessageComesOnceAndInOrder(storing: FloorOptions.Storing) throws {
        var options = try Self.start(storing)
        options.messages = 3000
        options.producers = 2
        options.consumers = 2
        options.workload = .e2e
        #expect(try EndToEndWorkload(options).run().complaint == nil)
        options.workload = .drain
        options.consumers = 1
        #expect(try DrainWorkload(options).run().complaint == nil)
        options.workload = .publish
        #expect(try PublishWorkload(options).run().complaint == nil)
        options.messages = 0
        options.seconds = 0.05
        options.warmupSeconds = 0
        options.workload = .fanout
        options.consumers = 3
        #expect(try FanoutWorkload(options).run().complaint == nil)
        options.workload = .rtt
        options.persistent = true
        options.consumers = 1
        #expect(try RoundTripWorkload(options).run().complaint == nil)
    }

    @Test func aBacklogSurvivesItsProducerInManyQueues() throws {
        var options = try Self.start(.beside)
        options.workload = .e2e
        options.destination = "/queue/many.{0..49}"
        options.messages = 1000
        options.consumers = 3
        #expect(try EndToEndWorkload(options).run().complaint == nil)
        options.size = 16
        options.destination = "/queue/small"
        #expect(try EndToEndWorkload(options).run().complaint == nil)
    }
}
