import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// Goal: nothing that a client writes ends the process, breaks a frame that we write, or reorders our answers.
/// Method: seeded conversations of several clients, half right and half wrong, over a disk that is now and then slow.
@Suite struct RandomTests {
    private static let names = ["1", "2", "s", "/queue/a", "a\\cb", "/temp-queue/r"]
    private static let destinations = [
        "/queue/a", "/queue/b", "c", "/topic/x", "/topic/x.y", "/queue/a\\cb",
    ]
    private static let several = ["/queue/a,/topic/x", "/topic/x,/queue/b,/queue/a\\cb", "c,/queue/a"]
    private static let wrong = [
        "/elsewhere", "", "/queue/", "/topic/**.x", "/temp-queue/", "\\t", "é", "\u{1}", "/temp-queue/q",
    ]
    private static let extras = [
        "persistent:false\n", "reply-to:/temp-queue/r\n", "reply-to:/queue/b\n", "x:\\c\\n\\\\\n", "x:raw:colon\n",
        "content-type:text/plain\n", "message-id:m\n", "ack:client\n", "redelivered:true\n", "prefetch-count:1\n",
        "credit:2,9\n", "priority:7\n", "ttl:100000\n", "delay:5\n", "message-group:g\n", "requeue:true\n",
        "exclusive:false\n",
    ]

    /// What one client wrote and read so far, so that most of what it writes makes sense.
    struct Memory {
        var receipt = 0
        var lastReceipt = 0
        var hasEnded = false
        var subscriptions: [String] = []
        /// Header lines that an ACK of its version needs.
        var deliveries: [String] = []
        var transactions: Set<Int> = []
        var hasReplyChannel = false
        /// A byte was changed: its receipts may be any text.
        var isSpoilt = false
        var version = Version.v12
    }

    private func frame(_ dice: inout SplitMix64, _ memory: inout Memory) -> String {
        var head = ""
        if dice.chance(40) {
            memory.receipt += 1
            head = "receipt:\(memory.receipt)\n"
        }
        while dice.chance(25) { head += dice.pick(Self.extras) }
        let good = Self.destinations + (memory.hasReplyChannel ? ["/temp-queue/r", "/reply-queue/token0.1"] : [])
        let to = dice.pick(dice.chance(99) ? good : Self.wrong)
        switch dice.next() % 20 {
        case 0..<8:
            let body = String(repeating: "x", count: Int(dice.next() % 20))
            let length = dice.chance(60) ? "content-length:\(body.count)\n" : ""
            if let open = memory.transactions.min(), dice.chance(30) { head += "transaction:\(open)\n" }
            if head.contains("reply-to:/temp") { memory.hasReplyChannel = true }
            let target = dice.chance(10) ? dice.pick(Self.several) : to
            return "SEND\n\(head)destination:\(target)\n\(length)\n\(body)\0"
        case 8..<11:
            let id = dice.pick(Self.names) + "\(dice.next() % 50)"
            if memory.subscriptions.count > 4 { return "\n" }
            memory.subscriptions.append(id)
            let source = dice.pick(dice.chance(99) ? Self.destinations + ["/topic/*", "/temp-queue/r"] : Self.wrong)
            let ack = dice.pick(["auto", "client", "client-individual"])
            return "SUBSCRIBE\nid:\(id)\ndestination:\(source)\nack:\(ack)\n\(head)\n\0"
        case 11..<13:
            if memory.subscriptions.isEmpty || dice.chance(2) { return "UNSUBSCRIBE\nid:?\n\(head)\n\0" }
            let id = memory.subscriptions.remove(at: Int(dice.next() % UInt64(memory.subscriptions.count)))
            return "UNSUBSCRIBE\nid:\(id)\n\(head)\n\0"
        case 13..<17:
            let number = "\(dice.next() % 4)-\(dice.next() % 6)"
            let wild = "id:\(number)\nmessage-id:0-\(number)\nsubscription:\(dice.pick(Self.names))"
            let id = memory.deliveries.isEmpty || dice.chance(3) ? wild : memory.deliveries.removeLast()
            return "\(dice.chance(70) ? "ACK" : "NACK")\n\(id)\n\(head)\n\0"
        case 17..<19:
            let number = Int(dice.next() % 3)
            let isOpen = memory.transactions.contains(number) != dice.chance(3)
            memory.transactions.formSymmetricDifference([number])
            let command = isOpen ? dice.pick(["COMMIT", "ABORT"]) : "BEGIN"
            return "\(command)\ntransaction:\(number)\n\(head)\n\0"
        default: return dice.chance(5) ? "DISCONNECT\n\(head)\n\0" : "\n\r\n"
        }
    }

    private func bytes(_ dice: inout SplitMix64, _ memory: inout Memory) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<Int(dice.next() % 6 + 1) {
            var frame = Array(frame(&dice, &memory).utf8)
            if dice.chance(1) {
                // What 1.0 sends in another encoding goes to all as it is (codec decision): ASCII only there.
                memory.isSpoilt = true
                let byte = UInt8(truncatingIfNeeded: dice.next())
                frame[Int(dice.next() % UInt64(frame.count))] = memory.version == .v10 ? byte & 0x7F : byte
            }
            if dice.chance(1) { frame = Array(frame.flatMap { $0 == 0x0A ? [0x0D, 0x0A] : [$0] }) }
            bytes += frame
        }
        return bytes
    }

    /// Receipts rise, an ERROR is the last word, and everything can be read. Returns the messages seen.
    private func check(_ client: TestClient, _ memory: inout Memory, seed: UInt64) -> Int {
        var messages = 0
        for frame in client.frames() {
            #expect(!memory.hasEnded, "seed \(seed): something follows an ERROR")
            switch frame.command {
            case .receipt:
                guard let id = frame["receipt-id"].flatMap({ Int($0) }), !memory.isSpoilt else { continue }
                #expect(id > memory.lastReceipt, "seed \(seed): RECEIPT \(id) behind \(memory.lastReceipt)")
                memory.lastReceipt = id
            case .error: memory.hasEnded = true
            case .message:
                messages += 1
                memory.deliveries.append(acknowledgement(of: frame, client.version))
            default: continue
            }
        }
        return messages
    }

    private func acknowledgement(of message: Frame, _ version: Version) -> String {
        if let ack = message["ack"], version == .v12 { return "id:\(ack)" }
        let escaped = (message["subscription"] ?? "").replacing(":", with: version == .v10 ? ":" : "\\c")
        return
            "message-id:\(message["message-id"] ?? "")\nsubscription:\(escaped)"
    }

    /// Returns how many messages were delivered.
    private func run(seed: UInt64) -> Int {
        var dice = SplitMix64(seed: seed)
        var limits = CoreLimits()
        limits.backlogBytes = 2000
        limits.windowBytes = Int(dice.next() % 400)
        limits.idleWindowBytes = Int(dice.next() % 200)
        limits.pageCount = 1 + Int(dice.next() % 4)
        limits.transactionOperations = 8
        limits.queues = 4 + Int(dice.next() % 3)
        var settings = SessionSettings()
        settings.memos = 2
        settings.subscriptions = 6
        settings.temporaries = 2
        let broker = TestBroker(core: limits, settings)
        var clients: [TestClient] = []
        var memories = Array(repeating: Memory(), count: 5)
        var messages = 0
        for round in 0..<30 {
            if clients.count < 5, dice.chance(clients.isEmpty ? 100 : 20) {
                clients.append(broker.connected(Version.allCases[Int(dice.next() % 3)]))
                memories[clients.count - 1].version = clients[clients.count - 1].version
            }
            let at = Int(dice.next() % UInt64(clients.count))
            let all = bytes(&dice, &memories[at])
            let cut = dice.chance(30) ? Int(dice.next() % UInt64(all.count + 1)) : all.count
            clients[at].send(Array(all[..<cut]))
            if cut < all.count { clients[at].send(Array(all[cut...])) }
            if dice.chance(20) { broker.isDiskQuick.toggle() }
            if dice.chance(20) { broker.isMailSlow.toggle() }
            if dice.chance(30) { broker.openMailbox() }
            if dice.chance(30) { broker.sync() }
            if dice.chance(2) { clients[at].vanish() }
            if clients[at].isGone || clients[at].isEnding {
                _ = check(clients[at], &memories[at], seed: seed)
                clients[at].vanish()
                clients[at] = broker.connected(Version.allCases[Int(dice.next() % 3)])
                memories[at] = Memory(version: clients[at].version)
            }
            if dice.chance(3) { broker.core.relieveMemory(now: Instant(nanoseconds: UInt64(round + 1) << 32)) }
            for index in clients.indices { messages += check(clients[index], &memories[index], seed: seed) }
        }
        broker.isDiskQuick = true
        broker.isMailSlow = false
        broker.openMailbox()
        broker.sync()
        for index in clients.indices {
            messages += check(clients[index], &memories[index], seed: seed)
            #expect(clients[index].isGone || !clients[index].waitsForDisk, "seed \(seed): something is owed for ever")
            clients[index].vanish()
        }
        return messages
    }

    @Test(arguments: 0..<8)
    func conversationsStayInOrder(part: UInt64) {
        var messages = 0
        for seed in part * 250..<(part + 1) * 250 { messages += run(seed: seed) }
        #expect(messages > 1000, "the conversations say too little")
    }
}

extension SplitMix64 {
    mutating func pick(_ words: [String]) -> String { words[below(words.count)] }
    mutating func chance(_ percent: UInt64) -> Bool { next() % 100 < percent }
}
