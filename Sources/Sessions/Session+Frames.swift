import Base
import BrokerCore
import STOMP

/// Frames become commands.
extension Session {
    typealias Frame = UnsafeMutableBufferPointer<UInt8>

    mutating func carryOut(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) {
        let command = parser.layout.command
        if state == .expectingConnect {
            guard command == .connect || command == .stomp else {
                throw SessionError(.connectExpected, "the first frame must be CONNECT or STOMP, not \(command.text)")
            }
            return try connect(frame)
        }
        switch command {
        case .send: try send(frame, batch: &batch)
        case .ack: try settle(frame, accept: true, batch: &batch)
        case .nack: try settle(frame, accept: false, batch: &batch)
        case .subscribe: try subscribe(frame, batch: &batch)
        case .unsubscribe: try unsubscribe(frame, batch: &batch)
        case .begin: try begin(frame, batch: &batch)
        case .commit: batch.commands.append(.commit(transaction: try endTransaction(frame)))
        case .abort: batch.commands.append(.abort(transaction: try endTransaction(frame)))
        case .disconnect: disconnect(batch: &batch)
        case .connect, .stomp:
            throw SessionError(.alreadyConnected, "CONNECT is the first frame of a connection and no other")
        case .connected, .message, .receipt, .error:
            throw SessionError(.connectExpected, "\(command.text) is sent by servers only")
        }
        if command != .send { stageReceipt(frame) }
    }

    /// RECEIPT for the frame just taken, if it asks for one. The id goes back as it was written.
    @inline(__always)
    mutating func stageReceipt(_ frame: Frame) {
        guard let header = parser.layout.first(.receipt) else { return }
        staged.append("RECEIPT\nreceipt-id:")
        staged.append(UnsafeBufferPointer(rebasing: UnsafeBufferPointer(frame)[header.value]))
        staged.append("\n\n\0\n")
        if parser.layout.command == .subscribe { stagedHold = true }
    }

    // MARK: Reading headers

    @inline(__always)
    func header(_ known: KnownHeader, _ frame: Frame) -> UnsafeBufferPointer<UInt8>? {
        parser.layout.value(known, in: UnsafeBufferPointer(frame))
    }

    /// The value with its escapes undone.
    func decoded(_ known: KnownHeader, _ frame: Frame) throws(SessionError) -> [UInt8]? {
        guard let header = parser.layout.first(known) else { return nil }
        return try decode(header, frame)
    }

    func decode(_ header: Header, _ frame: Frame) throws(SessionError) -> [UInt8] {
        let value = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(frame)[header.value])
        guard header.hasEscape else { return Array(value) }
        var plain = Buffer()
        do throws(FrameError) {
            try HeaderText.unescape(value, version: version, into: &plain)
        } catch {
            throw SessionError(error)
        }
        return Array(plain.readable)
    }

    func required(_ known: KnownHeader, _ frame: Frame) throws(SessionError) -> [UInt8] {
        guard let value = try decoded(known, frame) else {
            throw SessionError(.headerMissing, "\(parser.layout.command.text) needs the header \(known.text)")
        }
        return value
    }

    func checkLength(of id: [UInt8], _ known: KnownHeader) throws(SessionError) {
        if id.count <= settings.idBytes { return }
        throw SessionError(.badHeader, "\(known.text) may have \(settings.idBytes) bytes, this one has \(id.count)")
    }

    /// A header that must be a number, if it is there.
    func number(_ known: KnownHeader, _ frame: Frame) throws(SessionError) -> UInt64? {
        guard let value = header(known, frame) else { return nil }
        guard let number = Self.decimal(value) else {
            throw SessionError(
                .badHeader, "\(known.text) must be a whole number, not \"\(Self.printable(value))\"")
        }
        return number
    }

    /// Digits only, at most 18 of them.
    @inline(__always)
    static func decimal(_ digits: UnsafeBufferPointer<UInt8>) -> UInt64? {
        if digits.isEmpty || digits.count > 18 { return nil }
        var value: UInt64 = 0
        for digit in digits {
            let figure = digit &- UInt8(ascii: "0")
            if figure > 9 { return nil }
            value = value &* 10 &+ UInt64(figure)
        }
        return value
    }

    /// At most 64 bytes, without what a log or terminal would act on.
    static func printable(_ bytes: some Collection<UInt8>) -> String {
        String(decoding: bytes.prefix(64).map { $0 < 0x20 || $0 >= 0x7F ? UInt8(ascii: "?") : $0 }, as: UTF8.self)
    }

    /// Features that are not there must not be asked for in vain.
    func refuse(_ unsupported: [KnownHeader], _ frame: Frame) throws(SessionError) {
        for known in unsupported where parser.layout.has(known) {
            throw SessionError(
                .unsupportedHeader, "this broker does not act on the header \(known.text) yet; leave it out")
        }
    }

    /// The same for headers that ask for nothing with another value.
    func refuse(_ unsupported: [KnownHeader], _ frame: Frame, asking value: String) throws(SessionError) {
        for known in unsupported where header(known, frame)?.elementsEqual(value.utf8) == true {
            throw SessionError(
                .unsupportedHeader, "this broker does not act on \(known.text):\(value) yet; leave it out")
        }
    }

    // MARK: CONNECT

    private mutating func connect(_ frame: Frame) throws(SessionError) {
        let accepted = header(.acceptVersion, frame)
        guard let version = Version.negotiate(acceptVersion: accepted) else {
            throw SessionError(
                .unsupportedVersion,
                "this broker speaks 1.0, 1.1 and 1.2; the client accepts \(Self.printable(accepted ?? .init(start: nil, count: 0)))"
            )
        }
        try checkHost(frame, version: version)
        var offered = HeartBeat.none
        if version != .v10, let value = header(.heartBeat, frame) {
            guard let parsed = HeartBeat(parsing: value) else {
                throw SessionError(
                    .badHeartBeat,
                    "heart-beat is two whole numbers of milliseconds with a comma between, as in 10000,10000")
            }
            offered = parsed
        }
        self.version = version
        parser.version = version
        parser.limits = settings.limits
        login = header(.login, frame).map { Self.printable($0) } ?? ""
        let ours = HeartBeat(
            sends: max(settings.heartBeat, settings.heartBeatMinimum),
            wants: max(settings.heartBeat, settings.heartBeatMinimum))
        let answer = settings.heartBeat == 0 ? HeartBeat.none : answering(offered, with: ours)
        heartBeats = answer.intervals(with: offered)
        state = .connected
        staged.append("CONNECTED\nversion:")
        staged.append(version.text)
        staged.append("\nsession:")
        staged.append(utf8: token)
        staged.append("\nserver:")
        staged.append(utf8: settings.server)
        if version != .v10 {
            staged.append("\nheart-beat:")
            staged.append(decimal: answer.sends)
            staged.append(",")
            staged.append(decimal: answer.wants)
        }
        staged.append("\nmax-body-bytes:")
        staged.append(decimal: UInt64(settings.limits.bodyBytes))
        staged.append("\nmax-head-bytes:")
        staged.append(decimal: UInt64(settings.limits.headerBytes))
        staged.append("\n\n\0\n")
    }

    /// We can be as quick as the client wishes, down to our minimum, and ask no more often than it offers.
    private func answering(_ peer: HeartBeat, with ours: HeartBeat) -> HeartBeat {
        func agree(_ wish: UInt64) -> UInt64 {
            wish == 0 ? ours.sends : max(settings.heartBeatMinimum, min(wish, ours.sends))
        }
        return HeartBeat(sends: agree(peer.wants), wants: agree(peer.sends))
    }

    private func checkHost(_ frame: Frame, version: Version) throws(SessionError) {
        guard let host = header(.host, frame) else {
            if settings.strictHost, version != .v10 {
                throw SessionError(
                    .hostMissing,
                    "STOMP 1.1 and 1.2 ask for a host header; this broker insists on it (stomp.strict_host)")
            }
            return
        }
        if settings.hosts.isEmpty { return }
        if !settings.hosts.contains(where: { host.elementsEqual($0.utf8) }) {
            throw SessionError(.unknownHost, "there is no virtual host \"\(Self.printable(host))\" here")
        }
    }

    // MARK: SUBSCRIBE and UNSUBSCRIBE

    private mutating func subscribe(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) {
        try refuse(
            [
                .selector, .durableSubscriptionName, .activemqSubscriptionName, .streamOffset, .fromSequence,
            ], frame)
        try refuse([.exclusive, .activemqExclusive, .noLocal], frame, asking: "true")
        if header(.browser, frame)?.elementsEqual("true".utf8) == true {
            throw SessionError(.unsupportedHeader, "browsing by SUBSCRIBE is not there yet; use brokerctl queue browse")
        }
        let destination = try required(.destination, frame)
        if destination.starts(with: "/topic/".utf8) { try refuse([.durable, .persistent], frame, asking: "true") }
        var id = try decoded(.id, frame)
        let isNamed = id != nil
        if id == nil {
            guard version == .v10 else { throw SessionError(.headerMissing, "SUBSCRIBE needs the header id") }
            id = destination
        }
        let mode = try acknowledgeMode(frame)
        let count = try prefetchCount(frame)
        let bytes = try prefetchBytes(frame)
        let name = id ?? destination
        try checkLength(of: name, .id)
        takeOver(destination, batch: &batch)
        if slots[name] != nil {
            throw SessionError(
                .subscriptionExists, "the subscription id \"\(Self.printable(name))\" is in use on this connection")
        }
        if slots.count >= settings.subscriptions {
            throw SessionError(
                .tooManySubscriptions,
                "a connection may have \(settings.subscriptions) subscriptions (limits.subscriptions_per_connection)")
        }
        let global = try reach(destination, batch: &batch)
        let slot = try addSlot(name, mode: mode, isNamed: isNamed)
        batch.commands.append(
            .subscribe(
                Subscribe(
                    slot: slot, destination: hold(global, batch: &batch), mode: mode,
                    prefetchCount: min(UInt32(clamping: max(1, count)), settings.prefetchCountMost),
                    prefetchBytes: min(max(1, bytes), settings.prefetchBytesMost))))
    }

    private mutating func addSlot(_ id: [UInt8], mode: AcknowledgeMode, isNamed: Bool) throws(SessionError) -> UInt32 {
        // A number is never given twice, or an old ACK could hit a new delivery.
        guard nextSlot < .max else {
            throw SessionError(
                .tooManySubscriptions, "this connection has made \(nextSlot - 1) subscriptions; connect again")
        }
        let slot = nextSlot
        nextSlot += 1
        slots[id] = slot
        subscriptions[slot] = SessionSubscription(id: id, mode: mode, slot: slot, isNamed: isNamed)
        return slot
    }

    func hold(_ bytes: [UInt8], batch: inout CommandBatch) -> Bytes {
        bytes.withUnsafeBufferPointer { batch.hold($0) }
    }

    /// A count of 0 means no wish in RabbitMQ, and one at a time elsewhere.
    private func prefetchCount(_ frame: Frame) throws(SessionError) -> UInt64 {
        let standard = UInt64(settings.prefetchCount)
        if let count = try number(.prefetchCount, frame) { return count == 0 ? standard : count }
        if let count = try number(.activemqPrefetchSize, frame) { return count }
        return try creditCount(frame) ?? standard
    }

    /// In Artemis a window of 0 means one at a time, and -1 no wish.
    private func prefetchBytes(_ frame: Frame) throws(SessionError) -> UInt64 {
        if let bytes = try number(.prefetchSize, frame) { return bytes == 0 ? settings.prefetchBytes : bytes }
        if let window = header(.consumerWindowSize, frame), window.elementsEqual("-1".utf8) {
            return settings.prefetchBytes
        }
        return try number(.consumerWindowSize, frame) ?? settings.prefetchBytes
    }

    /// Apollo's `credit:count[,bytes]`; only the count is looked at.
    private func creditCount(_ frame: Frame) throws(SessionError) -> UInt64? {
        guard let value = header(.credit, frame) else { return nil }
        let count = value.firstIndex(of: UInt8(ascii: ",")).map { UnsafeBufferPointer(rebasing: value[..<$0]) } ?? value
        guard let number = Self.decimal(count) else {
            throw SessionError(
                .badHeader, "credit must be a whole number of messages, not \"\(Self.printable(value))\"")
        }
        return number
    }

    private func acknowledgeMode(_ frame: Frame) throws(SessionError) -> AcknowledgeMode {
        guard let value = header(.ack, frame) else { return .auto }
        if value.elementsEqual("auto".utf8) { return .auto }
        if value.elementsEqual("client".utf8) { return .cumulative }
        if value.elementsEqual("client-individual".utf8) { return .individual }
        throw SessionError(
            .badHeader, "ack must be auto, client or client-individual, not \"\(Self.printable(value))\"")
    }

    private mutating func unsubscribe(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) {
        var id = try decoded(.id, frame)
        if id == nil, version == .v10 { id = try decoded(.destination, frame) }
        guard let id else {
            throw SessionError(.headerMissing, "UNSUBSCRIBE needs the header id")
        }
        guard let slot = slots.removeValue(forKey: id) else {
            throw SessionError(.noSuchSubscription, "this connection has no subscription \"\(Self.printable(id))\"")
        }
        ended.append(slot)
        retire(id, slot)
        for (name, replySlot) in replySlots where replySlot == slot { replySlots[name] = nil }
        batch.commands.append(.unsubscribe(slot: slot))
    }

    private mutating func retire(_ id: [UInt8], _ slot: UInt32) {
        if version == .v12 { return }
        if retired.count >= settings.subscriptions { retired.removeAll() }
        retired[id] = slot
    }

    /// Nothing more is given to subscriptions that would lose it.
    private mutating func disconnect(batch: inout CommandBatch) {
        stagedEnd = "disconnected"
        for slot in slots.values.sorted() where subscriptions[slot]?.mode == .auto {
            batch.commands.append(.unsubscribe(slot: slot))
        }
    }

    // MARK: Reply channels

    static var temporaryPrefix: String { "/temp-queue/" }

    /// What a destination is called inside the broker: `/temp-queue/X` is a name of this connection
    /// only and stands for a channel with a name that nobody can guess. Makes it on SUBSCRIBE.
    private mutating func reach(_ destination: [UInt8], batch: inout CommandBatch) throws(SessionError) -> [UInt8] {
        guard destination.starts(with: Self.temporaryPrefix.utf8) else { return destination }
        return try temporary(destination, batch: &batch)
    }

    /// An explicit SUBSCRIBE takes over from the one that a `reply-to` made, be it under the same id.
    private mutating func takeOver(_ destination: [UInt8], batch: inout CommandBatch) {
        guard let slot = replySlots.removeValue(forKey: destination) else { return }
        slots[destination] = nil
        ended.append(slot)
        batch.commands.append(.unsubscribe(slot: slot))
    }

    /// The global name of a reply channel of this connection; made if it is not there.
    mutating func temporary(_ name: [UInt8], batch: inout CommandBatch) throws(SessionError) -> [UInt8] {
        if let known = temporaries[name] { return known }
        if name.count == Self.temporaryPrefix.utf8.count {
            throw SessionError(.badHeader, "/temp-queue/ needs a name behind it")
        }
        if temporaries.count >= settings.temporaries {
            throw SessionError(.tooManyTemporaries, "a connection may have \(settings.temporaries) temporary queues")
        }
        let global = Array("/reply-queue/\(token).\(nextTemporary)".utf8)
        nextTemporary += 1
        temporaries[name] = global
        batch.commands.append(.createTemporary(name: hold(global, batch: &batch)))
        return global
    }

    /// RabbitMQ's way: a `reply-to:/temp-queue/X` makes the channel and subscribes to it, with the name
    /// as subscription id, unless the client has subscribed to it itself (ActiveMQ's way).
    mutating func expectReplies(_ name: [UInt8], batch: inout CommandBatch) throws(SessionError) -> [UInt8] {
        if let known = temporaries[name] { return known }
        let global = try temporary(name, batch: &batch)
        if slots[name] != nil { return global }
        let slot = try addSlot(name, mode: .auto, isNamed: true)
        replySlots[name] = slot
        batch.commands.append(
            .subscribe(
                Subscribe(
                    slot: slot, destination: hold(global, batch: &batch), mode: .auto,
                    prefetchCount: settings.prefetchCount,
                    prefetchBytes: settings.prefetchBytes)))
        return global
    }

    // MARK: Transactions

    private mutating func begin(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) {
        let name = try required(.transaction, frame)
        try checkLength(of: name, .transaction)
        if transactions[name] != nil {
            throw SessionError(
                .transactionExists, "the transaction \"\(Self.printable(name))\" is open on this connection")
        }
        if transactions.count >= settings.transactions {
            throw SessionError(
                .tooManyTransactions,
                "a connection may have \(settings.transactions) open transactions (limits.transactions_per_connection)")
        }
        // Numbers of ended transactions may be used again; 0 means none.
        repeat { lastTransaction &+= 1 } while lastTransaction == 0 || transactions.values.contains(lastTransaction)
        transactions[name] = lastTransaction
        batch.commands.append(.begin(transaction: lastTransaction))
    }

    private mutating func endTransaction(_ frame: Frame) throws(SessionError) -> UInt32 {
        let name = try required(.transaction, frame)
        guard let number = transactions.removeValue(forKey: name) else { throw unknown(transaction: name) }
        return number
    }

    func unknown(transaction name: [UInt8]) -> SessionError {
        SessionError(.noSuchTransaction, "no transaction \"\(Self.printable(name))\" is open on this connection")
    }

    /// The number of the transaction that the frame belongs to, 0 for none.
    @inline(__always)
    func transaction(_ frame: Frame) throws(SessionError) -> UInt32 {
        if !parser.layout.has(.transaction) { return 0 }
        guard let name = try decoded(.transaction, frame) else { return 0 }
        guard let number = transactions[name] else { throw unknown(transaction: name) }
        return number
    }

    // MARK: ACK and NACK

    private mutating func settle(_ frame: Frame, accept: Bool, batch: inout CommandBatch) throws(SessionError) {
        if !accept, version == .v10 {
            throw SessionError(.nackNotInVersion, "a 1.0 client can only leave a message unacknowledged")
        }
        if !accept {
            try refuse([.delay], frame)
            try refuse([.requeue], frame, asking: "false")
        }
        let transaction = try self.transaction(frame)
        if version == .v12 {
            guard let id = header(.id, frame) else {
                throw SessionError(
                    .headerMissing, "\(parser.layout.command.text) needs the header id: the ack header of the MESSAGE")
            }
            let (slot, tag) = try deliveryID(id)
            batch.commands.append(
                accept
                    ? .acknowledge(slot: slot, tag: tag, transaction: transaction)
                    : .reject(slot: slot, tag: tag, transaction: transaction))
            return
        }
        guard let message = header(.messageID, frame) else {
            throw SessionError(.headerMissing, "\(parser.layout.command.text) needs the header message-id")
        }
        let slot = try messageSlot(frame)
        guard let (queue, sequence) = parse(messageID: message) else {
            throw SessionError(
                Refusal(.unknownDelivery, "\"\(Self.printable(message))\" is not a message id of this broker"))
        }
        batch.commands.append(
            .settleMessage(slot: slot, queue: queue, sequence: sequence, accept: accept, transaction: transaction))
    }

    /// `slot-tag`, as MESSAGE has it in `ack`.
    @inline(__always)
    private func deliveryID(_ id: UnsafeBufferPointer<UInt8>) throws(SessionError) -> (UInt32, UInt64) {
        var dash = 0
        while dash < id.count, id[dash] != UInt8(ascii: "-") { dash &+= 1 }
        guard dash < id.count, let slot = Self.decimal(UnsafeBufferPointer(rebasing: id[..<dash])), slot <= UInt32.max,
            let tag = Self.decimal(UnsafeBufferPointer(rebasing: id[(dash + 1)...]))
        else {
            throw SessionError(
                Refusal(.unknownDelivery, "\"\(Self.printable(id))\" is not the ack header of a message sent here"))
        }
        return (UInt32(slot), tag)
    }

    /// The subscription that an ACK of 1.0 or 1.1 is about, one that has ended too: such an ACK is late, not
    /// wrong. 0 stands for any.
    private func messageSlot(_ frame: Frame) throws(SessionError) -> UInt32 {
        guard let id = try decoded(.subscription, frame) else {
            if version == .v10 { return 0 }
            throw SessionError(.headerMissing, "\(parser.layout.command.text) needs the header subscription")
        }
        if let slot = slots[id] ?? retired[id] { return slot }
        throw SessionError(.noSuchSubscription, "this connection has no subscription \"\(Self.printable(id))\"")
    }

    /// `tag-queue-sequence`, as MESSAGE has it in `message-id`.
    private func parse(messageID: UnsafeBufferPointer<UInt8>) -> (queue: UInt32, sequence: UInt64)? {
        let parts = messageID.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard parts.count == 3, let queue = Self.decimal(UnsafeBufferPointer(rebasing: parts[1])), queue <= UInt32.max,
            let sequence = Self.decimal(UnsafeBufferPointer(rebasing: parts[2]))
        else { return nil }
        let tag = queue == 0 ? settings.bootTag : settings.storeTag
        return parts[0].elementsEqual(tag.utf8) ? (UInt32(queue), sequence) : nil
    }
}
