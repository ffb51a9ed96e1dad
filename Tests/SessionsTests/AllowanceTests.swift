import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// What a client's user leaves it, and clients that are not let in.
@Suite struct AllowanceTests {
    @Test func subscriptionsAboveTheAllowanceAreRefusedAndItCanGrow() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        var allowance = Allowance()
        allowance.subscriptions = 1
        allowance.subscriptionsOfUser = 7
        client.session.allow(allowance)
        client.send(subscribeFrame("1"))
        #expect(client.story() == [])
        allowance.subscriptions = 2
        client.session.allow(allowance)
        client.send(subscribeFrame("2"))
        #expect(client.story() == [])
        client.send("UNSUBSCRIBE\nid:1\n\n\0" + subscribeFrame("3"))
        #expect(client.story() == [])
        client.send(subscribeFrame("4", headers: "receipt:r\n"))
        let error = client.frames().first
        #expect(error?["message"] == "too many subscriptions" && error?["receipt-id"] == "r")
        #expect(error?.text == "a user may have 7 subscriptions (limits.subscriptions_per_user)\n")
    }

    @Test func transactionsAboveTheAllowanceAreRefused() {
        let client = TestBroker().connected(.v12)
        var allowance = Allowance()
        allowance.transactions = 1
        allowance.transactionsOfUser = 3
        client.session.allow(allowance)
        client.send("BEGIN\ntransaction:a\n\n\0ABORT\ntransaction:a\n\n\0BEGIN\ntransaction:b\n\n\0")
        #expect(client.story() == [])
        let count = client.session.transactionCount
        #expect(count == 1)
        client.send("BEGIN\ntransaction:c\n\n\0")
        let error = client.frames().first
        #expect(error?["message"] == "too many transactions")
        #expect(error?.text == "a user may have 3 open transactions (limits.transactions_per_user)\n")
    }

    /// Goal: nothing of what came with CONNECT is done before it is known whose client this is.
    @Test func whatComesBehindConnectIsABatchOfItsOwn() {
        var session = Session(settings: SessionSettings(), token: "t", now: Moment.start.monotonic)
        var bytes = Array(("CONNECT\naccept-version:1.2\nhost:h\nlogin:ada\n\n\0" + sendFrame("x")).utf8)
        var batch = CommandBatch()
        let total = bytes.count
        let used = bytes.withUnsafeMutableBufferPointer {
            session.receive($0, received: UInt64(total), now: .start, batch: &batch)
        }
        let (hasMore, isConnected, login) = (session.hasMore, session.isConnected, session.login)
        #expect(used < total && hasMore && isConnected && login == "ada")
        let hasCommands = !batch.isEmpty
        #expect(!hasCommands)
        session.refuse(SessionError(.tooManyConnections, "one is enough"))
        let willEnd = session.willEnd
        #expect(willEnd)
        var out = Buffer()
        session.commit(done: 0, refusal: nil, batch: batch, required: 0, durable: 0, into: &out)
        #expect(Array(out.readable) == SessionError(.tooManyConnections, "one is enough").frame, "and no CONNECTED")
        let isOver = session.isOver
        #expect(isOver)
    }

    @Test func bytesOfSendFramesAreCounted() {
        let client = TestBroker().connected(.v12)
        let frame = sendFrame("hello")
        client.send("\n\n" + frame + subscribeFrame() + frame)
        let (count, bytes) = (client.session.sends, client.session.sendBytes)
        #expect(count == 2 && bytes == UInt64(2 * frame.utf8.count))
    }
}

extension Moment {
    fileprivate static let start = Moment(Instant(nanoseconds: 1), wall: 1)
}
