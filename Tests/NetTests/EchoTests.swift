import Base
import Dispatch
import Glibc
import Net
import Testing

@Suite struct EchoTests {
    static let places = ["127.0.0.1:0", "[::1]:0", "unix:PATH"]

    /// Goal: TCP may cut the stream anywhere, and a handler may take any part of it. Method: records of
    /// seven bytes, taken only whole, sent in chunks of every size up to three records.
    @Test(arguments: places) func echoesHoweverItIsCut(place: String) throws {
        let path = temporaryPath("echo")
        let house = try House(place == "unix:PATH" ? "unix:\(path)" : place) { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    let whole = bytes.count / 7 * 7
                    connection.outbox.append(UnsafeBufferPointer(rebasing: bytes[..<whole]))
                    connection.markDirty()
                    return whole
                }
            }
        }
        let sent = pattern(7 * 120)
        for size in 1...21 {
            let peer = try Peer(house.address)
            for start in stride(from: 0, to: sent.count, by: size) {
                try peer.send(Array(sent[start..<min(sent.count, start + size)]))
            }
            #expect(try peer.receive(sent.count) == sent, "chunks of \(size) bytes")
        }
    }

    @Test(arguments: places) func sixteenMebibytesComeBack(place: String) throws {
        let path = temporaryPath("big")
        let house = try House(place == "unix:PATH" ? "unix:\(path)" : place) { _ in Script.echo() }
        let peer = try Peer(house.address)
        let sent = pattern(16 << 20)
        let isSent = Watched(false)
        DispatchQueue.global().async {
            do { try peer.send(sent) } catch { Issue.record(error) }
            isSent.change { $0 = true }
        }
        let back = try peer.receive(sent.count)
        #expect(isSent.wait { $0 })
        #expect(back == sent)
    }

    /// Goal: a frame of 16 MiB is not copied once for each read. Method: the handler waits for the whole
    /// frame and notes where the bytes lie; each move is a copy, and there must be only a few.
    @Test func aLongFrameStaysWhereItIs() throws {
        let moves = Watched(0)
        let calls = Watched(0)
        let frame = pattern(16 << 20)
        let house = try House { _ in
            var last: UnsafeMutablePointer<UInt8>?
            return Script { script in
                script.onReceived = { bytes, connection in
                    if bytes.count >= 256 << 10, bytes.baseAddress != last {
                        last = bytes.baseAddress
                        moves.change { $0 += 1 }
                    }
                    calls.change { $0 += 1 }
                    if bytes.count < frame.count { return 0 }
                    let isSame = frame.withUnsafeBytes { memcmp($0.baseAddress!, bytes.baseAddress!, frame.count) == 0 }
                    connection.outbox.withTail { $0.append(isSame ? 1 : 0) }
                    connection.markDirty()
                    return frame.count
                }
            }
        }
        let peer = try Peer(house.address)
        try peer.send(frame)
        #expect(try peer.receive(1) == [1])
        #expect(calls.current > 16)
        #expect(moves.current <= 9, "\(calls.current) reads")
        // And what follows a long frame is read as usual.
        try peer.send(frame)
        #expect(try peer.receive(1) == [1])
    }

    @Test func theScratchIsSharedButNotMixedUp() throws {
        let house = try House { _ in
            Script { script in
                script.onReceived = { bytes, connection in
                    if bytes.count < 3_000 { return 0 }
                    connection.outbox.append(UnsafeBufferPointer(bytes))
                    connection.markDirty()
                    return bytes.count
                }
            }
        }
        let peers = try (0..<20).map { _ in try Peer(house.address) }
        for part in 0..<6 {
            for (index, peer) in peers.enumerated() { try peer.send(pattern(500, from: index * 10_000 + part * 500)) }
        }
        for (index, peer) in peers.enumerated() {
            #expect(try peer.receive(3_000) == pattern(3_000, from: index * 10_000))
        }
    }

    @Test func answersStillGoOutAfterThePeersEnd() throws {
        let house = try House { _ in
            var all: [UInt8] = []
            return Script { script in
                script.onReceived = { bytes, _ in
                    all += bytes
                    return bytes.count
                }
                script.onEnd = { connection in
                    all.withUnsafeBufferPointer { connection.outbox.append($0) }
                    connection.finish(.peerClosed)
                }
            }
        }
        let peer = try Peer(house.address)
        let sent = pattern(300_000)
        try peer.send(sent)
        peer.endWriting()
        #expect(try peer.receiveToEnd() == sent)
    }

    /// Goal: the kernel's keep-alive is on for accepted connections, though it was only ever set on the
    /// listening socket. Method: the kernel's own table says which timer a connection runs.
    @Test func keepAliveIsInherited() throws {
        let house = try House { _ in Script.echo() }
        let peer = try Peer(house.address)
        try peer.send([1])
        #expect(try peer.receive(1) == [1])
        let port = String(house.address.port ?? 0, radix: 16, uppercase: true)
        let table = try readAll("/proc/self/net/tcp").split(separator: "\n").map { $0.split(separator: " ") }
        // sl local remote state queues timer:when …; state 01 is ESTABLISHED, timer 02 is keep-alive.
        let row = table.first { $0.count > 5 && $0[1].hasSuffix(":" + port) && $0[3] == "01" }
        #expect(row?[5].hasPrefix("02:") == true, "\(String(describing: row))")
    }

    private func readAll(_ path: String) throws -> String {
        guard let file = fopen(path, "r") else { throw Peer.Failure(call: "fopen \(path)") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&room, 1, room.count, file)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += room[..<count]
        }
    }
}
