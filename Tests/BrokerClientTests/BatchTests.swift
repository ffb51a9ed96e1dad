import Base
import STOMP
import Testing

@testable import BrokerClient

extension Batch {
    /// What a broker reads of it.
    func frame(_ index: Int, version: Version = .v12) -> Frame {
        var out = Buffer()
        encode(index, version: version, into: &out)
        return Wire.frame(UnsafeBufferPointer(out.readable), version) ?? Frame(.error)
    }
}

@Suite struct BatchTests {
    private func unfinished(_ talk: Talk, _ batch: Batch) -> (outcomes: [BatchError.Outcome], cause: ClientError)? {
        guard case .success(.unfinished(let outcomes, let cause)) = talk.outcomes[batch.id] else { return nil }
        return (outcomes, cause)
    }

    private func expectNothingLeft(_ talk: Talk, at location: SourceLocation = #_sourceLocation) {
        #expect(talk.conversation.batches.isEmpty, sourceLocation: location)
        #expect(talk.conversation.unconfirmedMessages == 0, sourceLocation: location)
        #expect(talk.conversation.unconfirmedBytes == 0, sourceLocation: location)
    }

    /// Goal: it is on the wire what a send of one message is, in every version. Method: both are encoded.
    @Test(arguments: [Version.v10, .v11, .v12]) func aMessageIsWrittenAsBySendOfOne(version: Version) {
        let headers: Headers = ["a:b": "c\\d\ne\rf:g", "ü": "漢", "a:b": "again"]
        for extra: Headers in [[:], ["dedup-id": "mine:1"]] {
            let all = Headers(headers.map { $0 } + extra.map { $0 })
            var message = Outgoing([0, 1, 2], to: "/queue/a:\\b", headers: all)
            for persistent in [true, false] {
                message.persistent = persistent
                let id = RequestID(number: 1_234)
                let batch = Batch([Outgoing("", to: "/queue/x"), message], from: id.number - 1, identity: "me")
                var out = Buffer()
                batch.encode(1, version: version, into: &out)
                let frame = Frame.send([0, 1, 2], to: "/queue/a:\\b", headers: all, persistent: persistent)
                #expect(Array(out.readable) == frame.confirmable(as: id, "me").encoded(version: version))
            }
        }
    }

    @Test func allAreSentInOrderAndAnsweredByTheLastReceipt() {
        var talk = Talk.ready()
        let batch = talk.send(all: ["0", "1", "2"])
        #expect(talk.sentText == ["SEND 0", "SEND 1", "SEND 2"])
        #expect(talk.sent.map { $0["receipt"] } == batch.receipts.map { "\($0)" })
        #expect(talk.sent.map { $0["dedup-id"] } == batch.receipts.map { "me-\($0)" })
        for index in [2, 0] {
            talk.confirm(batch, index..<index + 1)
            #expect(talk.outcomes[batch.id] == nil)
        }
        // Twice is no more than once.
        talk.confirm(batch, 0..<1)
        #expect(talk.outcomes[batch.id] == nil)
        talk.confirm(batch, 1..<2)
        #expect(talk.outcomes[batch.id] == .success(.done))
        expectNothingLeft(talk)
    }

    @Test func receiptsFindTheirBatchAmongMany() {
        var talk = Talk.ready()
        var batches: [Batch] = []
        var sends: [RequestID] = []
        for count in 1...6 {
            batches.append(talk.send(all: (0..<count).map { "\($0)" }))
            sends.append(talk.send("one"))
        }
        for place in [3, 0, 5, 1, 4, 2] {
            #expect(talk.outcomes[batches[place].id] == nil)
            talk.confirm(batches[place], 0..<batches[place].count)
            #expect(talk.outcomes[batches[place].id] == .success(.done))
            talk.receipt(sends[place])
            #expect(talk.outcomes[sends[place]] == .success(.done))
        }
        expectNothingLeft(talk)
    }

    // MARK: Limits

    @Test func moreThanTheLimitGoesPartByPartAndNothingOvertakesIt() {
        var talk = Talk.ready { $0.unconfirmedMessages = 2 }
        let batch = talk.send(all: ["0", "1", "2", "3", "4"])
        let behind = talk.send("behind")
        #expect(talk.sentText == ["SEND 0", "SEND 1"])
        talk.confirm(batch, 0..<2)
        #expect(talk.sentText == ["SEND 0", "SEND 1", "SEND 2", "SEND 3"])
        talk.confirm(batch, 2..<4)
        #expect(talk.sentText.suffix(2) == ["SEND 4", "SEND behind"])
        talk.receipt(behind)
        talk.confirm(batch, 4..<5)
        #expect(talk.outcomes[batch.id] == .success(.done))
        expectNothingLeft(talk)
    }

    @Test func bytesCountAndOneThatIsTooLargeGoesAlone() {
        var talk = Talk.ready { $0.unconfirmedBytes = 1_000 }
        let long = String(repeating: "x", count: 5_000)
        let batch = talk.send(all: ["0", long, "2"])
        #expect(talk.sent.count == 1)
        talk.confirm(batch, 0..<1)
        #expect(talk.sent.count == 2)
        talk.confirm(batch, 1..<2)
        #expect(talk.sent.count == 3)
        talk.confirm(batch, 2..<3)
        #expect(talk.outcomes[batch.id] == .success(.done))
        expectNothingLeft(talk)
    }

    /// What comes in one read makes room at once.
    @Test func receiptsThatComeTogetherLetOutTogether() {
        var talk = Talk.ready { $0.unconfirmedMessages = 2 }
        let batch = talk.send(all: ["0", "1", "2", "3"])
        let link = talk.conversation.link
        for number in batch.receipts.prefix(2) {
            talk.event { $0.received(receipt: RequestID(number: number), on: link, at: $1) }
            #expect(talk.sent.count == 2)
        }
        talk.event { $0.admitAfterReceipts(at: $1) }
        #expect(talk.sent.count == 4)
    }

    // MARK: Over a reconnect

    @Test func afterACutWhatIsUnconfirmedGoesOutAgainUnderItsNames() {
        var talk = Talk.ready { $0.unconfirmedMessages = 4 }
        let first = talk.send("first")
        let batch = talk.send(all: ["0", "1", "2", "3", "4"])
        let before = talk.sent
        #expect(talk.sentText == ["SEND first", "SEND 0", "SEND 1", "SEND 2"])
        talk.confirm(batch, 1..<2)
        #expect(talk.sentText.last == "SEND 3")
        let third = talk.sent[4]
        talk.lose()
        #expect(talk.outcomes[batch.id] == nil)
        talk.reconnect()
        #expect(talk.sent == [before[0], before[1], before[3], third])
        #expect(talk.notes == [.resent(4)])
        talk.receipt(first)
        #expect(talk.sentText.last == "SEND 4")
        for index in [0, 2, 3, 4] { talk.confirm(batch, index..<index + 1) }
        #expect(talk.outcomes[batch.id] == .success(.done))
        expectNothingLeft(talk)
    }

    @Test func oneOfBeforeTheConnectionWaitsForIt() {
        var talk = Talk.ready()
        talk.lose()
        let batch = talk.send(all: ["0", "1"])
        talk.reconnect()
        #expect(talk.sentText == ["SEND 0", "SEND 1"])
        talk.confirm(batch, 0..<2)
        #expect(talk.outcomes[batch.id] == .success(.done))
    }

    // MARK: Refusals

    @Test func aRefusalInTheMiddleEndsItAndSaysWhatIsKnownOfEach() throws {
        var talk = Talk.ready { $0.unconfirmedMessages = 4 }
        let batch = talk.send(all: ["0", "1", "2", "3", "4", "5"])
        talk.confirm(batch, 0..<1)
        let other = talk.send(all: ["other"])
        talk.broker(.error, ["message": "queue full", "receipt-id": "\(batch.first + 2)"])
        let known = try #require(unfinished(talk, batch))
        #expect(known.outcomes == [.confirmed, .unknown, .refused, .unknown, .unknown, .notSent])
        guard case .refused(let error) = known.cause else { throw Talk.Nothing() }
        #expect(error.message == "queue full")
        // None of it is sent again, and others are.
        talk.reconnect()
        #expect(talk.sentText == ["SEND other"])
        talk.confirm(other, 0..<1)
        #expect(talk.outcomes[other.id] == .success(.done))
        expectNothingLeft(talk)
    }

    @Test func aBatchSuspectedThreeTimesIsGivenUp() throws {
        var talk = Talk.ready()
        let batch = talk.send(all: ["0", "1"])
        for _ in 1..<Conversation.suspicions {
            talk.broker(.error, ["message": "something is wrong"])
            talk.reconnect()
            #expect(talk.outcomes[batch.id] == nil)
            #expect(talk.sentText == ["SEND 0", "SEND 1"])
        }
        talk.broker(.error, ["message": "something is wrong"])
        let known = try #require(unfinished(talk, batch))
        #expect(known.outcomes == [.unknown, .unknown])
        talk.reconnect()
        #expect(talk.sent.isEmpty)
        expectNothingLeft(talk)
    }

    /// Goal: a batch that gets on is not given up for errors that were not its own, as those of a broker that is started anew.
    @Test func aBatchThatGetsOnIsNotSuspected() {
        var talk = Talk.ready()
        let batch = talk.send(all: (0...Conversation.suspicions).map { "\($0)" })
        for index in 0..<Conversation.suspicions {
            talk.confirm(batch, index..<index + 1)
            talk.broker(.error, ["message": "shutting down"])
            talk.reconnect()
            #expect(talk.outcomes[batch.id] == nil)
        }
        talk.confirm(batch, Conversation.suspicions..<Conversation.suspicions + 1)
        #expect(talk.outcomes[batch.id] == .success(.done))
        expectNothingLeft(talk)
    }

    /// Goal: an ERROR that names a confirmed message accuses nobody, whether it is the first or another.
    @Test(arguments: [0, 1]) func anErrorAboutAConfirmedOneSuspectsAll(index: Int) throws {
        var talk = Talk.ready()
        let batch = talk.send(all: ["0", "1", "2"])
        talk.confirm(batch, 0..<2)
        for _ in 0..<Conversation.suspicions {
            #expect(talk.outcomes[batch.id] == nil)
            talk.broker(.error, ["message": "late", "receipt-id": "\(batch.first + UInt64(index))"])
            talk.reconnect()
        }
        #expect(try #require(unfinished(talk, batch)).outcomes == [.confirmed, .confirmed, .unknown])
        expectNothingLeft(talk)
    }

    // MARK: Giving up

    @Test func theDeadlineSaysWhatIsKnownAndMakesRoom() throws {
        var talk = Talk.ready { $0.unconfirmedMessages = 2 }
        let batch = talk.send(all: ["0", "1", "2", "3"], within: 100)
        let next = talk.send("next", within: 1_000)
        talk.confirm(batch, 0..<1)
        talk.pass(milliseconds: 100)
        let known = try #require(unfinished(talk, batch))
        #expect(known.cause == .timedOut)
        #expect(known.outcomes == [.confirmed, .unknown, .unknown, .notSent])
        #expect(talk.sentText.last == "SEND next")
        // Too late, and no harm.
        talk.confirm(batch, 1..<4)
        talk.receipt(next)
        #expect(talk.outcomes[next] == .success(.done))
        expectNothingLeft(talk)
    }

    @Test func oneThatIsCancelledIsNotSentOn() throws {
        var talk = Talk.ready { $0.unconfirmedMessages = 2 }
        let batch = talk.send(all: ["0", "1", "2"])
        talk.cancel(batch.id)
        let known = try #require(unfinished(talk, batch))
        #expect(known.cause == .cancelled && known.outcomes == [.unknown, .unknown, .notSent])
        #expect(talk.sent.count == 2)
        talk.lose()
        talk.reconnect()
        #expect(talk.sent.isEmpty)
        expectNothingLeft(talk)
    }

    @Test func closingWaitsForWhatIsOutAndNotForTheRest() throws {
        var talk = Talk.ready { $0.unconfirmedMessages = 2 }
        let out = talk.send(all: ["0"])
        let partly = talk.send(all: ["1", "2"])
        _ = talk.close()
        let known = try #require(unfinished(talk, partly))
        #expect(known.cause == .outcomeUnknown && known.outcomes == [.unknown, .notSent])
        #expect(talk.outcomes[out.id] == nil)
        talk.confirm(out, 0..<1)
        #expect(talk.outcomes[out.id] == .success(.done))
        let late = talk.send(all: ["3"])
        #expect(unfinished(talk, late)?.cause == .closed)
        expectNothingLeft(talk)
    }

    @Test func theEndOfTheConnectionForGoodEndsIt() throws {
        var talk = Talk.ready {
            $0.reconnect = .never
            $0.unconfirmedMessages = 2
        }
        let batch = talk.send(all: ["0", "1"])
        let waiting = talk.send(all: ["2"])
        talk.confirm(batch, 0..<1)
        #expect(talk.sentText.last == "SEND 2")
        let behind = talk.send(all: ["3"])
        talk.lose()
        let known = try #require(unfinished(talk, batch))
        #expect(known.cause == .outcomeUnknown && known.outcomes == [.confirmed, .unknown])
        #expect(unfinished(talk, waiting)?.outcomes == [.unknown])
        #expect(unfinished(talk, behind)?.outcomes == [.notSent])
        #expect(unfinished(talk, behind)?.cause == .connectionLost(.ended(reason: "peer-closed")))
        expectNothingLeft(talk)
    }
}
