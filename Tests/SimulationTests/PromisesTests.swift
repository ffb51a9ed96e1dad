import Testing

@testable import Simulation

/// Goal: each promise that is broken is seen. Method: a short life in which one thing goes wrong; the same life
/// without it must be in order.
struct PromisesTests {
    private var promises = Promises()

    init() { promises.life = 1 }

    private mutating func send(to family: Int = 0, transaction: Int = -1, delay: UInt64 = 0) -> (
        message: Int, copy: Int
    ) {
        let message = promises.newMessage(
            producer: 0, bytes: 20, isPersistent: true, topic: -1, transaction: transaction, isDelayed: delay > 0)
        let copy = promises.send(
            message, to: family, transaction: transaction, isPlain: delay == 0, at: 1000, ttl: 0, delay: delay)
        return (message, copy)
    }

    private mutating func deliver(_ copy: Int, count: UInt32 = 1, at now: UInt64 = 2000) {
        promises.delivered(copy, on: 1, slot: 1, count: count, isDead: false, isAuto: false, at: now)
    }

    private func found(_ messages: Int..., in family: Int = 0) -> [Promises.Found] {
        messages.map { Promises.Found(family: family, message: $0) }
    }

    private mutating func crash(_ found: [Promises.Found]) {
        promises.compare(found, isAfterCrash: true, at: 3000)
        promises.life += 1
    }

    @Test mutating func whatWasConfirmedMustBeThere() {
        let (message, copy) = send()
        crash(found(message))
        #expect(promises.violation == nil)
        promises.confirm(copy)
        crash([])
        #expect(promises.violation?.contains("is lost") == true)
    }

    @Test mutating func whatWasShownMustBeThere() {
        let (_, copy) = send()
        deliver(copy)
        crash([])
        #expect(promises.violation?.contains("is lost") == true)
    }

    @Test mutating func whatWasNotConfirmedMayBeGoneAndThenStaysAway() {
        let (message, _) = send()
        crash([])
        #expect(promises.violation == nil)
        crash(found(message))
        #expect(promises.violation?.contains("though it was not before") == true)
    }

    @Test mutating func onlyADeletedQueueLetsAMessageBeThereTwice() {
        let (message, _) = send()
        _ = promises.send(message, to: 0, transaction: -1, isPlain: true, at: 1500, ttl: 0, delay: 0)
        var strict = promises
        strict.compare(found(message, message), isAfterCrash: false, at: 3000)
        #expect(strict.violation?.contains("2 times") == true)
        promises.forget(family: 0)
        promises.compare(found(message, message), isAfterCrash: false, at: 3000)
        #expect(promises.violation == nil)
    }

    /// It was shown when it fell due, and what was known of that went with the crash: it falls due again.
    @Test(arguments: [false, true]) mutating func onlyWhatNeedNotBeOnDiskFallsDueTwice(isPersistent: Bool) {
        let family = Names.queues
        let message = promises.newMessage(
            producer: 0, bytes: 20, isPersistent: isPersistent, topic: 0, transaction: -1, isDelayed: true)
        let copy = promises.send(message, to: family, transaction: -1, isPlain: false, at: 1000, ttl: 0, delay: 500)
        deliver(copy)
        crash([])
        crash(found(message, in: family))
        #expect((promises.violation == nil) == !isPersistent)
    }

    /// A client that lost a message, and does not know, acknowledges it in a transaction; the other one had its receipt.
    @Test(arguments: [false, true]) mutating func aTransactionOfWhoLostAMessageUndoesNoOthersACK(hasReceipt: Bool) {
        let (message, copy) = send()
        let late = promises.begin()
        deliver(copy)
        deliver(copy, count: 2)
        promises.acknowledge(copy, in: -1)
        promises.acknowledge(copy, in: late)
        if hasReceipt { promises.acknowledged(copy) }
        promises.askCommit(late)
        promises.undone(late)
        crash([])
        #expect(promises.violation == nil)
        crash(found(message))
        #expect(promises.violation != nil)
    }

    @Test mutating func nothingIsInvented() {
        let (message, _) = send()
        crash(found(message, in: 1))
        #expect(promises.violation?.contains("never sent there") == true)
    }

    @Test mutating func nothingIsThereTwice() {
        let (message, copy) = send()
        promises.confirm(copy)
        crash(found(message, message))
        #expect(promises.violation?.contains("2 times") == true)
    }

    @Test mutating func anAcknowledgementWithAReceiptIsForGood() {
        let (message, copy) = send()
        deliver(copy)
        promises.acknowledge(copy, in: -1)
        crash(found(message))
        #expect(promises.violation == nil)
        deliver(copy, count: 2)
        promises.acknowledge(copy, in: -1)
        promises.acknowledged(copy)
        #expect(promises.violation == nil)
        crash(found(message))
        #expect(promises.violation?.hasPrefix("I3") == true)
    }

    @Test mutating func halfATransactionIsSeen() {
        let number = promises.begin()
        let (first, _) = send(transaction: number)
        let (_, _) = send(transaction: number)
        promises.askCommit(number)
        crash(found(first))
        #expect(promises.violation?.contains("half a transaction") == true)
    }

    @Test mutating func anACKOfATransactionGoesWithItsMessages() {
        let (held, copy) = send()
        deliver(copy)
        let number = promises.begin()
        promises.acknowledge(copy, in: number)
        let (sent, _) = send(transaction: number)
        promises.askCommit(number)
        crash(found(held, sent))
        #expect(promises.violation?.contains("half a transaction") == true)
    }

    @Test mutating func withoutCommitThereIsNothing() {
        let number = promises.begin()
        let (message, _) = send(transaction: number)
        crash(found(message))
        #expect(promises.violation?.contains("without COMMIT") == true)
    }

    @Test mutating func orderIsSeen() {
        let (_, first) = send()
        let (_, second) = send()
        deliver(second)
        #expect(promises.violation == nil)
        deliver(first)
        #expect(promises.violation?.hasPrefix("I4") == true)
    }

    @Test mutating func whatComesAgainSaysSo() {
        let (_, copy) = send()
        deliver(copy)
        deliver(copy, count: 2)
        #expect(promises.violation == nil)
        deliver(copy)
        #expect(promises.violation?.contains("without redelivered") == true)
    }

    @Test mutating func aConfirmedRefusalCountsOverARestart() {
        let (message, copy) = send()
        deliver(copy)
        promises.returned(copy, count: 1)
        crash(found(message))
        deliver(copy, count: 1)
        #expect(promises.violation?.contains("were confirmed") == true)
    }

    @Test mutating func nothingComesBeforeItsTime() {
        let (_, copy) = send(delay: 5000)
        deliver(copy, at: 5999)
        #expect(promises.violation?.contains("before its time") == true)
    }

    @Test func bytesThatWereChangedAreSeen() {
        var promises = Promises()
        let message = promises.newMessage(
            producer: 0, bytes: 40, isPersistent: true, topic: -1, transaction: -1, isDelayed: false)
        var body = Payload.bytes(message, count: 40)
        #expect(promises.checked(message, body, nil) != nil)
        #expect(promises.checked(message, body, "c:1\\") == nil)
        body[39] ^= 1
        #expect(promises.checked(message, body, nil) == nil)
    }
}
