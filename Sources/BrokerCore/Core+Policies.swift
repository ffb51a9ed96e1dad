import Base

/// Policies, and what queues are told themselves.
extension Core {
    // MARK: Policies

    /// At start, before the first queue is restored: the policies of the file, and those that operators have set,
    /// as `BrokerNote` kept them.
    public mutating func restore(policies configured: [Policy], note: [UInt8]) {
        policies.replace(.configuration, with: configured)
        policies.replace(.operator, with: BrokerNote(decoding: note).policies)
    }

    /// After a reload. The policies are taken as checked.
    public mutating func setConfiguredPolicies(_ configured: [Policy], into effects: inout Effects) {
        let old = policies
        policies.replace(.configuration, with: configured)
        applyPolicies(instead: old, into: &effects)
    }

    /// Sets a policy in the place of the operators' one of that name. Returns false if it is new. Durable with the
    /// batch that this seals. Errors: what is wrong with it.
    public mutating func setPolicy(_ policy: Policy, into effects: inout Effects) throws(PolicyError) -> Bool {
        let checked = try policy.checked()
        var operators = policies.operators
        let isNew = operators.updateValue(checked, forKey: checked.name) == nil
        if isNew, operators.count + policies.configured.count > Policies.most {
            throw PolicyError("the broker holds its limit of \(Policies.most) policies; delete some, or join them")
        }
        let note = BrokerNote(policies: Array(operators.values)).encoded()
        let most = min(BrokerNote.most, limits.batchBytes)
        guard note.count <= most else {
            throw PolicyError("the policies of operators would come to more than \(ByteSize.text(most))")
        }
        keepOperators(Array(operators.values), note: note, into: &effects)
        return !isNew
    }

    /// Takes back a policy that an operator has set; one of the configuration file that has its name counts again.
    /// Returns false if no operator has set such a one.
    public mutating func deletePolicy(named name: String, into effects: inout Effects) -> Bool {
        var operators = policies.operators
        guard operators.removeValue(forKey: name) != nil else { return false }
        keepOperators(
            Array(operators.values), note: BrokerNote(policies: Array(operators.values)).encoded(), into: &effects)
        return true
    }

    private mutating func keepOperators(_ operators: [Policy], note: [UInt8], into effects: inout Effects) {
        let old = policies
        policies.replace(.operator, with: operators)
        append(note: note, of: QueueID(rawValue: 0), into: &effects)
        applyPolicies(instead: old, into: &effects)
    }

    /// Looks at every queue and topic subscription that a changed policy is about.
    private mutating func applyPolicies(instead old: Policies, into effects: inout Effects) {
        let changed = policies.changed(from: old)
        for index in queues.indices where !changed.isEmpty && queues[index].lane == .main {
            guard let name = DestinationPattern.Name(queues[index].name) else { continue }
            if changed.contains(where: { $0.matches(name) }) { changeSettings(of: index, into: &effects) }
        }
        seal(into: &effects)
    }

    // MARK: Settings of one queue

    /// What a queue is told from now on; no message is touched.
    mutating func resolveSettings(of index: Int) {
        let settings = policies.settings(for: queues[index].name, own: queues[index].rare.note.settings)
        queues[index].settings = settingsPool.shared(settings)
        watchIdle(index)
    }

    private mutating func changeSettings(of index: Int, into effects: inout Effects) {
        let old = queues[index].settings.value
        resolveSettings(of: index)
        if queues[index].settings.value != old { dispatch(index, into: &effects) }
    }

    /// The settings that a queue was given itself; nil if there is no such stored queue.
    public func ownSettings(of name: [UInt8]) -> [String: String]? {
        storedQueue(named: name).map { queues[$0].rare.note.settings }
    }

    /// Gives a queue settings of its own and takes others back. Returns false if there is no such stored queue.
    /// Errors: what is wrong with one; then nothing has changed.
    public mutating func changeSettings(
        of name: [UInt8], set: [String: String], unset: [String], into effects: inout Effects
    ) throws(PolicyError) -> Bool {
        guard let index = storedQueue(named: name) else { return false }
        let scope = DestinationPattern.Name(queues[index].name)?.scope ?? .queues
        var own = queues[index].rare.note.settings
        for name in unset {
            // One that only another version of the broker knows can be taken back too.
            if own.removeValue(forKey: name) == nil, QueueSetting.named(name) == nil {
                _ = try Policy.checked(name, "", for: scope)
            }
        }
        own.merge(try Policy.checked(set, for: scope)) { $1 }
        if own == queues[index].rare.note.settings { return true }
        queues[index].rare.note.settings = own
        writeNote(of: index, into: &effects)
        changeSettings(of: index, into: &effects)
        seal(into: &effects)
        return true
    }

    /// Why a destination is as it is, whether it exists or not. Nil for what no policy can be about.
    public func explain(_ name: [UInt8]) -> Policies.Explanation? {
        policies.explain(name, own: ownSettings(of: name) ?? [:])
    }

    func storedQueue(named name: [UInt8]) -> Int? {
        guard let canonical = canonicalQueue(name), let found = queueByName[canonical], queues[Int(found)].isStored
        else { return nil }
        return Int(found)
    }

    // MARK: Notes

    /// Has storage remember what is to be remembered of a queue. The caller seals.
    mutating func writeNote(of index: Int, into effects: inout Effects) {
        append(note: queues[index].rare.note.encoded(), of: queues[index].id, into: &effects)
    }

    private mutating func append(note: [UInt8], of queue: QueueID, into effects: inout Effects) {
        makeRoom(for: note.count, into: &effects)
        guard !note.isEmpty else { return records.append(Record(kind: .note, queue: queue)) }
        let (_, offset) = note.withUnsafeBufferPointer { keep($0) }
        records.append(Record(kind: .note, queue: queue, bytes: UInt64(note.count), offset: offset))
    }

    // MARK: Coming to be

    /// The queue of that canonical name, for a client; made if it may be.
    mutating func clientQueue(named name: [UInt8], into effects: inout Effects) throws(Refusal) -> Int {
        if let index = queueByName[name] { return Int(index) }
        if !policies.settings(for: name, own: [:]).autoCreate {
            let text = String(decoding: name, as: UTF8.self)
            throw Refusal(
                .noSuchQueue,
                "there is no queue \(text), and auto_create is false for it; "
                    + "`brokerctl queue create \(text)` makes it")
        }
        return try queue(named: name, into: &effects)
    }
}
