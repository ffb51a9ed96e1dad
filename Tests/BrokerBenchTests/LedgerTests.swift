import Testing

@testable import brokerbench

private func stamp(_ sequence: UInt64, producer: UInt32 = 0) -> Stamp.Reading {
    .ours(Stamp(producer: producer, sequence: sequence, nanoseconds: 0))
}

@Suite struct LedgerTests {
    @Test func countsWhatIsLostDoubledAndOutOfOrder() {
        var confirmed = SequenceSet()
        for sequence in UInt64(0)..<100 { _ = confirmed.insert(sequence) }
        var first = Seen(producers: 1)
        var second = Seen(producers: 1)
        for sequence in UInt64(0)..<50 { first.note(stamp(sequence)) }
        first.note(stamp(49))  // twice at one consumer
        for sequence: UInt64 in [50, 60, 55, 10] { second.note(stamp(sequence)) }  // 55 and 10 late, 10 seen by both
        first.note(.damaged)
        second.note(.foreign)
        let verdict = Verdict(confirmed: [confirmed], seen: [first, second])
        #expect(verdict.confirmed == 100)
        #expect(verdict.received == 53)
        #expect(verdict.lost == 47)
        #expect(verdict.duplicates == 2)
        #expect(verdict.outOfOrder == 2)
        #expect(verdict.damaged == 1)
        #expect(verdict.foreign == 1)
        #expect(
            verdict.complaint == "messages: 47 lost, 2 doubled, 2 out of order, 1 changed, 1 not of this run")
    }

    @Test func hasNothingToSayWhenAllCameOnce() {
        var confirmed = SequenceSet()
        var seen = Seen(producers: 2)
        for sequence in UInt64(0)..<5000 {
            _ = confirmed.insert(sequence)
            seen.note(stamp(sequence))
            seen.note(stamp(sequence, producer: 1))
        }
        let verdict = Verdict(confirmed: [confirmed, confirmed], seen: [seen])
        #expect(verdict.complaint == nil)
        #expect(verdict.received == 10_000)
    }

    @Test func orderCountsWithinEachKindOrNotAtAll() {
        var kinds = Seen(producers: 1, kinds: 2)
        for sequence: UInt64 in [1, 3, 5, 0, 2, 7, 4] { kinds.note(stamp(sequence)) }
        #expect(kinds.outOfOrder == 0)
        kinds.note(stamp(6))
        #expect(kinds.outOfOrder == 0)
        kinds.note(stamp(9))
        kinds.note(stamp(8))
        kinds.note(stamp(13))
        kinds.note(stamp(11))
        #expect(kinds.outOfOrder == 1)
        var any = Seen(producers: 1, isOrdered: false)
        for sequence: UInt64 in [3, 1, 2] { any.note(stamp(sequence)) }
        #expect(any.outOfOrder == 0)
        any.note(stamp(1))
        #expect(any.duplicates == 1)
    }

    @Test func whatComesEarlyIsAFault() {
        var seen = Seen(producers: 1)
        seen.note(stamp(0))
        seen.early += 1
        var confirmed = SequenceSet()
        _ = confirmed.insert(0)
        #expect(Verdict(confirmed: [confirmed], seen: [seen]).complaint == "messages: 1 early")
    }

    /// Goal: a message that was refused and vanished, and one that was not refused and died, are both told.
    @Test func theDeadMustBeTheRefused() {
        var refused = SequenceSet()
        for sequence: UInt64 in [1, 2] { _ = refused.insert(sequence) }
        for (came, complaint): ([UInt64], String?) in [
            ([2, 1], nil), ([1], "dead-letter queue: messages: 1 lost"),
            ([1, 2, 3], "dead-letter queue: 1 messages that were not refused"),
        ] {
            var seen = Seen(producers: 1, isOrdered: false)
            for sequence in came { seen.note(stamp(sequence)) }
            var report = Report(Options())
            report.add(dead: Verdict(confirmed: [refused], seen: [seen]))
            #expect(report.complaint == complaint)
        }
    }

    /// A broker that changes bytes must not make us index out of bounds or allocate without end.
    @Test func anImpossibleStampCountsAsChanged() {
        var seen = Seen(producers: 1)
        seen.note(stamp(0, producer: 1))
        seen.note(stamp(.max))
        #expect(seen.damaged == 2)
    }
}

@Suite struct FlightTests {
    @Test func confirmsOnceInAnyOrder() {
        var flight = Flight(window: 4)
        for time in UInt64(1)...5000 { flight.add(sentAt: time) }  // more than it was made for
        #expect(flight.open == 5000)
        #expect(flight.confirm(4999) == 5000)
        #expect(flight.confirm(4999) == nil)
        #expect(flight.confirm(0) == 1)
        #expect(flight.confirm(0) == nil)
        #expect(flight.confirm(5000) == nil)
        for sequence in UInt64(1)..<4999 { #expect(flight.confirm(sequence) == sequence + 1) }
        #expect(flight.open == 0)
    }
}

@Suite struct SavedRunTests {
    @Test func comesBackFromItsText() throws {
        var some = SequenceSet()
        for sequence: UInt64 in [0, 3, 64, 70_000] { _ = some.insert(sequence) }
        let saved = SavedRun(id: 0xBEEF, size: 100, confirmed: [some, SequenceSet()])
        #expect(try SavedRun(text: saved.text) == saved)
    }

    @Test(arguments: [
        "", "brokerbench 1 100", "brokerbench 1 100\n", "brokerbench x 100\n\n", "brokerbench 1 -4\n\n",
        "other 1 100\n\n",
        "brokerbench 1 100\nff fg\n",
    ])
    func refusesWhatItDidNotWrite(text: String) {
        #expect(throws: Failure.self) { _ = try SavedRun(text: text) }
    }

    @Test func allUpToANumberAreInASet() {
        for end: UInt64 in [0, 1, 63, 64, 65, 1000] {
            var set = SequenceSet(upTo: end)
            #expect(set.count == end)
            let isNew = set.insert(end)
            #expect(isNew)
        }
    }
}
