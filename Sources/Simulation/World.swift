import Base
import BrokerCore
import Glibc
import LogStorage
import STOMP
import Sessions
import Storage

/// A broker, its clients, the network and the disk between them, in one thread under virtual time. Each step is
/// one thing that happens, chosen by the dice of that step: so a step that is left out changes no other choice.
package final class World {
    package struct Options: Sendable {
        package var seed: UInt64
        package var steps: Int
        /// Steps that do not happen, from shrinking.
        package var without: Set<Int> = []
        /// Kinds of steps that do not happen.
        package var muted: Set<StepKind> = []
        package var traces = false

        package init(seed: UInt64, steps: Int) {
            self.seed = seed
            self.steps = steps
        }
    }

    struct Durable {
        enum State { case asked, there, going, gone }
        var topic: Int
        var state: State

        /// The RECEIPT of SUBSCRIBE came.
        mutating func made() { if state == .asked { state = .there } }
    }

    let options: Options
    let habits: Habits
    var promises = Promises()
    var durables: [Durable] = []
    var now: Moment
    var broker: SimulatedBroker?
    var clients: [SimulatedClient] = []
    var disk: SimulatedDisk
    package private(set) var trace: [String] = []
    package internal(set) var counts = Counts()
    var step = 0
    var life = 0
    private var nextLink: UInt64 = 1
    var dice: SplitMix64
    var faults = Faults()
    /// There was no room for it when this life began, which the start has said.
    var lacksSecondCheckpoint = false

    /// What a run did, for the report.
    package struct Counts: Sendable {
        package var steps = 0
        package var powerCuts = 0
        package var kills = 0
        package var stops = 0
        package var failures = 0
        package var flips = 0
        package var flipsReported = 0
        /// Times that all on disk was read again.
        package var scrubs = 0
        package var messages = 0
        package var deliveries = 0
        package var recoveries = 0

        package init() {}

        package static func + (a: Counts, b: Counts) -> Counts {
            var sum = a
            sum.steps += b.steps
            sum.powerCuts += b.powerCuts
            sum.kills += b.kills
            sum.stops += b.stops
            sum.failures += b.failures
            sum.flips += b.flips
            sum.flipsReported += b.flipsReported
            sum.scrubs += b.scrubs
            sum.messages += b.messages
            sum.deliveries += b.deliveries
            sum.recoveries += b.recoveries
            return sum
        }
    }

    package init(_ options: Options) {
        self.options = options
        var dice = SplitMix64(seed: options.seed)
        habits = Habits(&dice)
        now = Moment(Instant(nanoseconds: 1_000_000_000), wall: 1_800_000_000_000)
        disk = SimulatedDisk(seed: options.seed)
        self.dice = dice
        for number in 0..<habits.clients { clients.append(SimulatedClient(number, self)) }
    }

    /// Runs to the end, or to the first violation. Returns what was violated, and at which step.
    package func run() -> (step: Int, sentence: String)? {
        install()
        start(afterCrash: false)
        while step < options.steps, promises.violation == nil {
            step += 1
            if options.without.contains(step) { continue }
            var dice = SplitMix64(seed: options.seed &+ UInt64(step) &* 0xD1B5_4A32_D192_ED03)
            let kind = habits.choose(&dice)
            if options.muted.contains(kind) { continue }
            counts.steps += 1
            self.dice = dice
            carryOut(kind)
            checkLife()
        }
        if promises.violation == nil { end() }
        counts.messages = promises.messages.count
        return promises.violation.map { (step, $0) }
    }

    func note(_ sentence: @autoclosure () -> String) {
        if options.traces { trace.append("\(step) at \(now.wall % 1_000_000_000) ms: \(sentence())") }
    }

    // MARK: What clients see

    /// Enough is stored for a run of this length.
    var isCrowded: Bool { promises.backlog > habits.backlog }

    func accept() -> SimulatedLink? {
        guard let broker else { return nil }
        nextLink += 1
        return broker.accept(id: nextLink)
    }

    /// The queues that a SEND reaches, and whether each is sure to be reached.
    func families(of target: SimulatedClient.Target) -> [(Int, Bool)] {
        switch target {
        case .queue(let queue): [(queue, !promises.isLoose(queue))]
        case .topic(let topic): durableFamilies(topic)
        case .both(let queue, let topic): [(queue, !promises.isLoose(queue))] + durableFamilies(topic)
        }
    }

    private func durableFamilies(_ topic: Int) -> [(Int, Bool)] {
        durables.indices.filter { durables[$0].topic == topic && durables[$0].state != .gone }
            .map { (Names.durable($0), durables[$0].state == .there) }
    }

    func destination(of target: SimulatedClient.Target) -> String {
        switch target {
        case .queue(let queue): Names.family(queue)
        case .topic(let topic): Names.topic(topic)
        case .both(let queue, let topic): Names.family(queue) + "," + Names.topic(topic)
        }
    }

    /// Somebody takes from a queue without acknowledging.
    func loosen(_ family: Int) { promises.loosen(family) }

    // MARK: Steps

    private func carryOut(_ kind: StepKind) {
        guard let broker else { return start(afterCrash: true) }
        switch kind {
        case .act: clients[dice.roll(0..<clients.count)].act(&dice)
        case .arrive: arrive()
        case .read: read()
        case .commit: if !broker.commit(dice.oneIn(3) ? dice.roll(1..<4) : .max) { broker.keep() }
        case .mark: broker.mark()
        case .keep: keep()
        case .page: broker.readPage()
        case .mailbox: broker.openMailbox(dice.roll(0..<SimulatedBroker.loops))
        case .time: pass(milliseconds: habits.stride(&dice))
        case .vanish: clients[dice.roll(0..<clients.count)].vanish()
        case .halfClose: clients[dice.roll(0..<clients.count)].halfClose()
        case .kill: crash(disk.copy(), isPowerCut: false)
        case .powerCut: crash(disk.copy(), isPowerCut: true)
        case .crashAtOperation: armCrash()
        case .stop: stop()
        case .diskError: armFault()
        case .diskFull: changeRoom()
        case .damage: tryDamage()
        case .memory: broker.relieveMemory()
        case .operate: operate()
        case .audit: audit()
        }
        if step % 4 == 0 { scrub() }
        broker.sweep()
    }

    /// What is on disk is read again, a little at a time. Nothing was damaged here, so nothing may be found. It has dice of
    /// its own, and does not count where a certain operation is to go wrong: so no other step goes otherwise because of it, but
    /// for the checkpoint that is due again where the second one is missing.
    func scrub() {
        guard let broker, broker.failure == nil, faults.errorAt == nil, faults.crashAt == nil, faults.picture == nil
        else {
            return
        }
        var dice = SplitMix64(seed: options.seed &+ UInt64(disk.operations))
        let slice = broker.store.scrub(1 << dice.roll(8..<16))
        if slice.isPassDone { counts.scrubs += 1 }
        let findings = slice.findings.filter {
            !lacksSecondCheckpoint || $0.file != "checkpoint.2" || $0.problem != "it is missing"
        }
        guard let finding = findings.first else { return }
        promises.violated(
            "damage was found where there is none: \(finding.file), at \(finding.offset): \(finding.problem)")
    }

    /// Bytes of a client arrive, in pieces of any size.
    private func arrive() {
        guard let broker else { return }
        let links = broker.links.filter {
            $0.mayRead && $0.heldUntil == nil && (!$0.toBroker.isEmpty || $0.clientIsDone)
        }
        guard let link = links.randomElement(using: &dice) else { return }
        broker.receive(
            dice.oneIn(2) ? link.toBroker.count : dice.roll(0..<min(400, link.toBroker.count + 1)) + 1, on: link)
        if dice.oneIn(4) { broker.commitHere(link.loop) }
    }

    private func read() {
        let readers = clients.filter { $0.link.map { !$0.outbox.isEmpty || $0.isFinished } ?? false }
        guard let client = readers.randomElement(using: &dice), let link = client.link else { return }
        client.read(dice.oneIn(2) ? link.outbox.count : dice.roll(0..<min(500, link.outbox.count + 1)) + 1)
    }

    /// A round of the keeper, with commits and pages in between its operations on the disk.
    func keep() {
        faults.isInKeeper = true
        broker?.keep(isBusy: dice.oneIn(3))
        faults.isInKeeper = false
    }

    func pass(milliseconds: UInt64) {
        now.monotonic = now.monotonic.adding(milliseconds: milliseconds)
        now.wall += milliseconds
        broker?.pass(to: now)
    }

    private func operate() {
        guard let broker else { return }
        let family = dice.roll(0..<Names.queues)
        let name = Array(Names.family(family).utf8)
        promises.release(family: family)
        if dice.oneIn(2) {
            note("an operator purges \(Names.family(family))")
            broker.enterFromOutside { core, effects in _ = core.purgeQueue(named: name, into: &effects) }
        } else {
            note("an operator deletes \(Names.family(family))")
            promises.forget(family: family)
            for client in clients { client.forgetUnconfirmed() }
            broker.enterFromOutside { core, effects in
                do throws(Core.DeleteObstacle) {
                    _ = try core.deleteQueue(named: name, force: true, into: &effects)
                } catch {
                    // It was not there.
                    return
                }
            }
        }
    }

}
