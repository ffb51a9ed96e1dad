import BrokerCore
import STOMP

/// What a SEND asks for beyond being stored: the words of several brokers for the few things there are.
extension Session {
    /// One look for each of those that a reader below is about; most SENDs with extras have one.
    private static let refusable: HeaderSet = [
        .amqScheduledPeriod, .amqScheduledRepeat, .amqScheduledCron, .lastValueName, .destinationType,
        .queueType, .queueName, .messageTTL, .queueExpires, .maxLength, .maxLengthBytes, .maxAge, .overflow,
        .deliveryLimit, .deadLetterExchange, .deadLetterRoutingKey, .deadLetterStrategy,
    ]
    private static let priorities: HeaderSet = [.priority, .jmsPriority]
    private static let lives: HeaderSet = [.expires, .jmsExpiration, .ttl, .expiration]
    private static let delays: HeaderSet = [
        .delay, .rabbitDelay, .amqScheduledDelay, .deliverAt, .amqScheduledTime, .artemisDeliveryTime,
    ]
    private static let groups: HeaderSet = [.messageGroup, .groupID, .apolloGroup, .artemisGroupID]
    private static let identities: HeaderSet = [.dedupID, .artemisDuplicateID, .natsMessageID]
    /// A SEND with none of these is only to be stored: one look says so.
    static let sendExtras = refusable | priorities | lives | delays | groups | identities | [.retain]

    /// Lines that are not the message's own: they say something about this SEND, or only the broker may set
    /// them. What a message waits for and how long it lives the core writes anew in front of it.
    static let droppedFromMessages: HeaderSet = [
        .receipt, .transaction, .messageID, .subscription, .ack, .redelivered, .deliveryCount,
        .expires, .deliverAt, .delay, .rabbitDelay, .amqScheduledDelay, .amqScheduledTime, .artemisDeliveryTime,
        .retain, .retained, .browser, .deadLetterReason, .deadLetterTime, .originalDestination, .originalMessageID,
        .refusedBy,
    ]

    /// How far ahead a message may be scheduled: a year of 365 days, in milliseconds.
    static var longestDelay: UInt64 { 365 * 86_400_000 }
    /// What `decimal` can read; beyond every life that a message may be given.
    static var longestNumber: UInt64 { 999_999_999_999_999_999 }

    /// Reads them, and returns where in the batch they are: -1 if they ask for nothing.
    mutating func sendExtras(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) -> Int32 {
        let present = parser.layout.present
        if !present.isDisjoint(with: Self.refusable) {
            try refuseSchedules(frame)
            try refuse([.lastValueName], frame)
            try refuseQueueArguments(frame)
            try checkKind(.destinationType, frame)
        }
        var extras = SendExtras()
        var isAny = false
        if !present.isDisjoint(with: Self.priorities) {
            let priority = try agreed([.priority, .jmsPriority], frame) { known throws(SessionError) in
                try number(known, in: 0...9, frame)
            }
            extras.priority = UInt8(priority?.value ?? 4)
            isAny = extras.priority != 4
        }
        if !present.isDisjoint(with: Self.lives) { try readLife(frame, into: &extras, &isAny) }
        if !present.isDisjoint(with: Self.delays) { try readDelay(frame, into: &extras, &isAny) }
        if !present.isDisjoint(with: Self.groups) { try readGroup(frame, into: &extras, &isAny) }
        if !present.isDisjoint(with: Self.identities) { try readIdentity(frame, into: &extras, &isAny) }
        if let value = header(.retain, frame) {
            extras.retain = try retain(value, frame)
            isAny = true
        }
        if !isAny { return -1 }
        batch.extras.sends.append(extras)
        return Int32(batch.extras.sends.count - 1)
    }

    private func readLife(_ frame: Frame, into extras: inout SendExtras, _ isAny: inout Bool) throws(SessionError) {
        // RabbitMQ means by 0: gone unless somebody takes it at once. Nobody else does.
        if let value = header(.expiration, frame), Self.decimal(value) == 0 {
            throw SessionError(.badHeader, "expiration:0 is not done here; leave it out for a message that stays")
        }
        let all = 0...Self.longestNumber
        let end = try agreed([.expires, .jmsExpiration], frame) { known throws(SessionError) in
            try number(known, in: all, frame)
        }
        let life = try agreed([.ttl, .expiration], frame) { known throws(SessionError) in
            try number(known, in: all, frame)
        }
        extras.expires = end?.value ?? 0
        extras.timeToLive = life?.value ?? 0
        isAny = isAny || extras.expires > 0 || extras.timeToLive > 0
    }

    private func readDelay(_ frame: Frame, into extras: inout SendExtras, _ isAny: inout Bool) throws(SessionError) {
        let delay = try agreed([.delay, .amqScheduledDelay, .rabbitDelay], frame) { known throws(SessionError) in
            try number(known, in: 0...Self.longestDelay, frame)
        }
        let latest = wall + Self.longestDelay
        let due = try agreed([.deliverAt, .amqScheduledTime, .artemisDeliveryTime], frame) {
            known throws(SessionError) in try number(known, in: 0...latest, frame)
        }
        if let delay, let due, delay.value > 0, due.value > 0 { throw contradiction(delay.known, due.known, frame) }
        extras.delay = delay?.value ?? 0
        extras.deliverAt = due?.value ?? 0
        isAny = isAny || extras.delay > 0 || extras.deliverAt > 0
    }

    private func readGroup(_ frame: Frame, into extras: inout SendExtras, _ isAny: inout Bool) throws(SessionError) {
        let group = try agreed([.messageGroup, .groupID, .apolloGroup, .artemisGroupID], frame) {
            known throws(SessionError) in try text(known, frame)
        }
        guard let group else { return }
        extras.group = group.value
        isAny = true
    }

    private func readIdentity(_ frame: Frame, into extras: inout SendExtras, _ isAny: inout Bool) throws(SessionError) {
        let identity = try agreed([.dedupID, .artemisDuplicateID, .natsMessageID], frame) {
            known throws(SessionError) in
            if let id = try text(known, frame) { return id }
            throw SessionError(.badHeader, "\(known.text) is empty; it must tell this message from all others")
        }
        guard let identity else { return }
        extras.dedupID = identity.value
        isAny = true
    }

    private func retain(
        _ value: UnsafeBufferPointer<UInt8>, _ frame: Frame
    ) throws(SessionError) -> SendExtras.Retain {
        for part in Self.parts(of: try required(.destination, frame)) where !part.starts(with: "/topic/".utf8) {
            throw SessionError(
                .unsupportedHeader,
                "retain is for topics; \"\(Self.printable(part))\" is a queue, which keeps messages anyway")
        }
        if value.elementsEqual("set".utf8) { return .set }
        if value.elementsEqual("remove".utf8) { return .remove }
        throw SessionError(.badHeader, "retain must be set or remove, not \"\(Self.printable(value))\"")
    }

    /// Messages that come again and again are for a scheduler; told to do it, a broker that sends one would
    /// be wrong in silence. A repetition of 0 is none.
    private func refuseSchedules(_ frame: Frame) throws(SessionError) {
        for known in [KnownHeader.amqScheduledPeriod, .amqScheduledRepeat, .amqScheduledCron] {
            guard let value = header(known, frame) else { continue }
            if known != .amqScheduledCron, Self.decimal(value) == 0 { continue }
            throw SessionError(
                .unsupportedHeader,
                "\(known.text) is not done here: a message is delivered once; delay or deliver-at say when")
        }
    }

    /// RabbitMQ makes a queue by what a client says of it. Here the operator says it.
    func refuseQueueArguments(_ frame: Frame) throws(SessionError) {
        if let type = header(.queueType, frame), !type.elementsEqual("classic".utf8), !type.elementsEqual("quorum".utf8)
        {
            throw SessionError(
                .unsupportedHeader,
                "x-queue-type:\(Self.printable(type)) is not there: queues are durable, and no streams")
        }
        for known in [
            KnownHeader.messageTTL, .queueExpires, .maxLength, .maxLengthBytes, .maxAge, .overflow, .deliveryLimit,
            .deadLetterExchange, .deadLetterRoutingKey, .deadLetterStrategy,
        ] where parser.layout.has(known) {
            throw SessionError(
                .unsupportedHeader,
                "\(known.text) is a property of the queue, which a client cannot set here; leave it out, and set it "
                    + "by a policy (brokerctl policy set)")
        }
        if parser.layout.has(.queueName), parser.layout.command == .send { try refuse([.queueName], frame) }
    }

    /// Artemis tells queues from topics by a header. It may say what the destination says.
    func checkKind(_ known: KnownHeader, _ frame: Frame) throws(SessionError) {
        guard let value = header(known, frame) else { return }
        let isMulticast = value.elementsEqual("MULTICAST".utf8)
        guard isMulticast || value.elementsEqual("ANYCAST".utf8) else {
            throw SessionError(
                .badHeader, "\(known.text) must be ANYCAST or MULTICAST, not \"\(Self.printable(value))\"")
        }
        for part in Self.parts(of: try required(.destination, frame))
        where part.starts(with: "/topic/".utf8) != isMulticast {
            throw SessionError(
                .contradictoryHeaders,
                "\(known.text):\(Self.printable(value)) and destination:\(Self.printable(part)) contradict each "
                    + "other; topics (MULTICAST) begin with /topic/, all else are queues (ANYCAST)")
        }
    }
}
