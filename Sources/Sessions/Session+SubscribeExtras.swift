import BrokerCore
import STOMP

/// What a SUBSCRIBE asks for beyond the messages of a destination.
extension Session {
    /// A SUBSCRIBE with none of these is a plain one. Those that are refused are here too.
    static let subscribeExtras: HeaderSet = [
        .selector, .exclusive, .activemqExclusive, .singleActiveConsumer, .browser, .browserEnd,
        .durableSubscriptionName, .durableSubscriberName, .activemqSubscriptionName, .durable, .persistent, .autoDelete,
        .queueName, .noLocal, .activemqNoLocal, .retained, .subscriptionType, .destinationType,
        .streamOffset, .fromSequence, .includeSequence, .streamFilter, .activemqRetroactive, .activemqPriority,
        .consumerPriority, .queueType, .messageTTL, .queueExpires, .maxLength, .maxLengthBytes, .maxAge, .overflow,
        .deliveryLimit, .deadLetterExchange, .deadLetterRoutingKey, .deadLetterStrategy,
    ]
    private static let ownedNames: [KnownHeader] = [
        .durableSubscriptionName, .durableSubscriberName, .activemqSubscriptionName,
    ]
    /// RabbitMQ's word, and its old one, which is Apollo's.
    private static let durableWords: [KnownHeader] = [.durable, .persistent]

    /// Reads them; nil if they ask for nothing.
    func subscribeExtras(
        _ frame: Frame, destination: [UInt8], id: [UInt8]
    ) throws(SessionError) -> SubscribeExtras? {
        if parser.layout.present.isDisjoint(with: Self.subscribeExtras) { return nil }
        try refuse([.streamOffset, .fromSequence, .includeSequence, .streamFilter], frame)
        try refuse([.activemqRetroactive], frame, asking: "true")
        for known in [KnownHeader.activemqPriority, .consumerPriority] {
            guard let value = header(known, frame), Self.decimal(value) != 0 else { continue }
            throw SessionError(
                .unsupportedHeader, "\(known.text) is not done here: consumers of a queue take turns; leave it out")
        }
        try refuseQueueArguments(frame)
        try checkKind(.subscriptionType, frame)
        try checkKind(.destinationType, frame)
        let isTopic = destination.starts(with: "/topic/".utf8)
        var extras = SubscribeExtras()
        extras.selector = try decoded(.selector, frame) ?? []
        extras.isExclusive = try isAsked([.exclusive, .activemqExclusive, .singleActiveConsumer], frame)
        extras.isBrowser = try isBrowser(frame)
        extras.wantsBrowserEnd = try flag(.browserEnd, frame) ?? true
        extras.noLocal = try isAsked([.noLocal, .activemqNoLocal], frame)
        extras.wantsRetained = try flag(.retained, frame) ?? true
        if let name = try durableName(frame, id: id, isTopic: isTopic) {
            extras.durableName = name.name
            extras.clientID = name.owner
        }
        try check(extras, isTopic: isTopic)
        let isAny =
            !extras.selector.isEmpty || extras.isExclusive || extras.isBrowser || extras.noLocal
            || !extras.wantsRetained || !extras.durableName.isEmpty
        return isAny ? extras : nil
    }

    private func isBrowser(_ frame: Frame) throws(SessionError) -> Bool {
        try flag(.browser, frame) ?? false
    }

    /// What makes no sense together would be done in one half only.
    private func check(_ extras: SubscribeExtras, isTopic: Bool) throws(SessionError) {
        func refuse(_ known: KnownHeader, _ reason: String) -> SessionError {
            SessionError(.unsupportedHeader, "\(known.text) \(reason); leave it out")
        }
        if isTopic, extras.isExclusive {
            throw refuse(.exclusive, "is for queues: each subscriber of a topic gets all")
        }
        if isTopic, extras.isBrowser { throw refuse(.browser, "is for queues: a topic keeps nothing to look at") }
        if extras.isBrowser, extras.isExclusive {
            throw SessionError(
                .contradictoryHeaders,
                "SUBSCRIBE has browser:true and exclusive:true, which contradict each other; a browser takes nothing")
        }
        if !isTopic, extras.noLocal { throw refuse(.noLocal, "is for topics: on a queue nobody might get the message") }
    }

    /// The durable subscription that a SUBSCRIBE or UNSUBSCRIBE names, and its owner (empty: shared by all
    /// who name it). nil if it names none.
    ///
    ///     ActiveMQ, Artemis: a name of its own, with the client-id of CONNECT as its owner
    ///     RabbitMQ, Apollo:  durable:true or persistent:true, and the id is the name
    func durableName(
        _ frame: Frame, id: [UInt8], isTopic: Bool
    ) throws(SessionError) -> (name: [UInt8], owner: [UInt8])? {
        let isDurable = try agreed(Self.durableWords, frame) { known throws(SessionError) in try flag(known, frame) }
        if let name = try ownedName(frame) {
            if let isDurable, !isDurable.value { throw contradiction(name.known, isDurable.known, frame) }
            if !isTopic {
                throw SessionError(
                    .unsupportedHeader,
                    "\(name.known.text) is for subscriptions of topics; a queue keeps its messages anyway")
            }
            return (name.value, clientID)
        }
        guard isTopic else { return nil }
        guard let isDurable, isDurable.value else {
            try refuse([.queueName], frame)
            return nil
        }
        if header(.autoDelete, frame)?.elementsEqual("true".utf8) == true {
            throw contradiction(isDurable.known, .autoDelete, frame)
        }
        guard parser.layout.has(.id) else {
            throw SessionError(.headerMissing, "a durable subscription needs the header id, which is its name")
        }
        let known: KnownHeader = parser.layout.has(.queueName) ? .queueName : .id
        let name = try decoded(known, frame) ?? id
        try checkName(name, known)
        return (name, [])
    }

    /// The name of a subscription that belongs to this client. It needs to have said who it is.
    func ownedName(_ frame: Frame) throws(SessionError) -> Named<[UInt8]>? {
        let name = try agreed(Self.ownedNames, frame) { known throws(SessionError) in
            let name = try decoded(known, frame) ?? []
            try checkName(name, known)
            return name
        }
        guard let name else { return nil }
        if clientID.isEmpty {
            throw SessionError(
                .headerMissing,
                "\(name.known.text) names a subscription of this client: CONNECT must say with client-id who that is")
        }
        try checkName(clientID, .clientID)
        if clientID.count + 1 + name.value.count > 255 {
            throw SessionError(.badHeader, "client-id and \(name.known.text) may have 254 bytes together")
        }
        return name
    }

    /// Whether an UNSUBSCRIBE is to end the durable subscription too, and not only this consumer of it. RabbitMQ
    /// and Apollo repeat the words of SUBSCRIBE, ActiveMQ and Artemis the name.
    func endsDurable(_ frame: Frame, _ subscription: SessionSubscription?) throws(SessionError) -> Bool {
        if let name = try ownedName(frame) {
            if let subscription, subscription.durableName != name.value {
                throw SessionError(
                    .contradictoryHeaders,
                    "the subscription \"\(Self.printable(subscription.id))\" is not that of "
                        + "\(name.known.text):\(Self.printable(name.value)); send the header of its SUBSCRIBE")
            }
            return true
        }
        return try isAsked(Self.durableWords, frame)
    }
}
