import Base
import BrokerCore
import STOMP

/// ACK, NACK and transactions.
extension Session {
    // MARK: Transactions

    mutating func begin(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) {
        let name = try required(.transaction, frame)
        try checkLength(of: name, .transaction)
        if transactions[name] != nil {
            throw SessionError(
                .transactionExists, "the transaction \"\(Self.printable(name))\" is open on this connection")
        }
        try checkTransactions()
        let number = freshTransaction()
        transactions[name] = number
        batch.commands.append(.begin(transaction: number))
    }

    /// Numbers of ended transactions may be used again; 0 means none.
    mutating func freshTransaction() -> UInt32 {
        repeat { lastTransaction &+= 1 } while lastTransaction == 0 || transactions.values.contains(lastTransaction)
        return lastTransaction
    }

    mutating func endTransaction(_ frame: Frame) throws(SessionError) -> UInt32 {
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

    mutating func settle(_ frame: Frame, accept: Bool, batch: inout CommandBatch) throws(SessionError) {
        if !accept, version == .v10 {
            throw SessionError(.nackNotInVersion, "a 1.0 client can only leave a message unacknowledged")
        }
        let verdict = accept ? Verdict.accept : try rejection(frame)
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
                    : .reject(slot: slot, tag: tag, transaction: transaction, verdict: verdict))
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
            .settleMessage(
                slot: slot, queue: queue, sequence: sequence, verdict: verdict,
                transaction: transaction))
    }

    /// What a NACK wants: back to the queue, at once or later, or out of it.
    private func rejection(_ frame: Frame) throws(SessionError) -> Verdict {
        let requeue = try flag(.requeue, frame)
        // A month in milliseconds: what the core keeps for a delivery is 32 bits.
        let delay = try number(.delay, in: 0...2_592_000_000, frame)
        if requeue == false {
            if delay != nil { throw contradiction(.requeue, .delay, frame) }
            return .deadLetter
        }
        return delay.map { .requeueAfter(milliseconds: UInt32(clamping: $0)) } ?? .requeue
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
