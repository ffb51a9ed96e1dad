import Base

/// Topic messages for many at once. A subscriber that is told nothing but the message, has nothing waiting and reads
/// what it gets needs no queue: the message would be put in and taken out again.
extension Core {
    /// Sorts the subscribers of a topic into audiences, one for each loop, and the others.
    mutating func gatherAudiences(_ index: Int) {
        var byLoop: [Int: [Audience.Place]] = [:]
        var seen: Set<Int32> = []
        for match in topics[index].matches {
            let subscription = subscriptions[Int(match)]
            let session = subscription.session.index
            // Of several subscriptions of a session the first goes first, and each counts before the next.
            guard seen.insert(session).inserted, subscription.mode == .auto, subscription.selector == nil,
                !subscription.isNoLocal
            else { continue }
            byLoop[sessions[Int(session)].address.loop, default: []].append(
                Audience.Place(subscription: match, queue: subscription.queue, session: session))
        }
        var audiences: [Audience] = []
        for (loop, places) in byLoop.sorted(by: { $0.key < $1.key }) where places.count > 1 {
            let members = places.map {
                Audience.Member(
                    connection: sessions[Int($0.session)].address.connection,
                    slot: subscriptions[Int($0.subscription)].slot)
            }
            audienceNumber += 1
            audiences.append(Audience(number: audienceNumber, loop: loop, members, places))
        }
        let inAudiences = Set(audiences.flatMap { $0.places.map(\.subscription) })
        topics[index].audiences = audiences
        topics[index].others = topics[index].matches.filter { !inAudiences.contains($0) }
    }

    /// A message with no wishes, for a topic that has none either and of which nothing is stored. False, and nothing
    /// is done, if it is any other.
    mutating func publishPlain(_ send: Send, of session: Int32, into effects: inout Effects) -> Bool {
        guard send.memo >= 0, Int(send.memo) < sessions[Int(session)].memos.count,
            case .topic(let at, let generation) = sessions[Int(session)].memos[Int(send.memo)], Int(at) < topics.count
        else { return false }
        let index = Int(at)
        guard topics[index].generation == generation, topics[index].epoch == topicEpoch, topics[index].bound.isEmpty,
            topics[index].settings.timeToLive == 0
        else { return false }
        topics[index].inTotal &+= 1
        totals.messagesIn &+= 1
        handOut(send.content, headerBytes: send.headerBytes, behind: [], from: session, to: index, into: &effects)
        return true
    }

    /// One delivery for all of an audience. False, and nothing is done, if one of them may not have it at once.
    mutating func deliver(
        _ entry: borrowing QueueState.Entry, to audience: Audience, into effects: inout Effects
    ) -> Bool {
        // What has an end of its life is looked at again when its turn comes.
        guard entry.flags == 0, areIdle(audience.places) else { return false }
        Self.note(Int(entry.content.count) &+ 128, for: audience.places, &queues, &subscriptions, &sessions)
        let count = UInt64(audience.places.count)
        totals.acknowledged &+= count
        totals.messagesOut &+= count
        effects.hasDeliveries = true
        effects.deliveries[audience.loop].append(
            Delivery(
                connection: audience.number, slot: 0, count: 1, tag: 0, queue: 0, headerBytes: entry.headerBytes,
                sequence: entry.sequence, content: entry.content, audience: audience))
        return true
    }

    /// Nothing waits for any of them, and each reads what it gets. What has `ack:auto` leaves no bytes in its queue
    /// but those that wait.
    private func areIdle(_ places: [Audience.Place]) -> Bool {
        for place in places {
            if queues[Int(place.queue)].bytes > 0 { return false }
            if sessions[Int(place.session)].unflushed >= limits.unflushedBytes { return false }
        }
        return true
    }

    /// In one access for each table: every write looks whether the table is shared.
    private static func note(
        _ bytes: Int, for places: [Audience.Place], _ queues: inout [QueueState],
        _ subscriptions: inout [Subscription], _ sessions: inout [CoreSession]
    ) {
        queues.withUnsafeMutableBufferPointer { queues in
            for place in places {
                queues[Int(place.queue)].inTotal &+= 1
                queues[Int(place.queue)].outTotal &+= 1
            }
        }
        subscriptions.withUnsafeMutableBufferPointer { subscriptions in
            for place in places { subscriptions[Int(place.subscription)].noteAutomatic() }
        }
        sessions.withUnsafeMutableBufferPointer { sessions in
            for place in places { sessions[Int(place.session)].unflushed &+= bytes }
        }
    }
}
