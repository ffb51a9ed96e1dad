import Base
import BrokerCore
import Storage
import Synchronization

/// How a run ends.
extension World {
    /// All heals; then everyone must be answered (I5), everything that was promised must be there, and come.
    func end() {
        note("the run ends")
        disarm()
        disk.image.withLock { $0.capacity = 1 << 40 }
        disk.free.withLock { $0 = 1 << 40 }
        if broker == nil { start(afterCrash: true) }
        calm()
        if promises.violation != nil { return }
        for client in clients where client.isWaiting && client.isAlive {
            return promises.violated("I5: client \(client.number) is not answered: \(client.receipts)")
        }
        for client in clients { client.vanish() }
        calm()
        audit()
        if promises.violation != nil { return }
        // What is only in the broker's memory is seen to be there by not restarting it.
        if dice.oneIn(2) { crash(disk.copy(), isPowerCut: true) }
        disarm()
        drain()
    }

    /// Lets everything happen that is under way.
    func calm() {
        for _ in 0..<400 where promises.violation == nil {
            guard let broker else { return }
            for link in broker.links where link.mayRead && link.heldUntil == nil {
                broker.receive(link.toBroker.count, on: link)
            }
            for loop in 0..<SimulatedBroker.loops { broker.openMailbox(loop) }
            if !broker.commit() { keep() }
            broker.readPage()
            for loop in 0..<SimulatedBroker.loops { broker.openMailbox(loop) }
            for client in clients { client.link.map { client.read($0.outbox.count) } }
            pass(milliseconds: 20)
            if let failure = broker.failure {
                return promises.violated("I5: the storage fails without a fault: \(failure)")
            }
        }
        keep()
        broker?.sweep()
    }

    /// One client takes all that there is.
    func drain() {
        guard promises.violation == nil, let broker else { return }
        let client = SimulatedClient(clients.count, self)
        clients.append(client)
        let firstDelivery = promises.deliveries
        var dice = self.dice
        client.connect(&dice)
        calm()
        for family in 0..<Names.queues + durables.count {
            let isGone = family >= Names.queues && durables[family - Names.queues].state != .there
            for isDead in [false, true] where isDead || !isGone {
                client.subscribe(to: family, isDead: isDead, mode: "client-individual", prefetch: 1000)
            }
        }
        for _ in 0..<60 where promises.violation == nil {
            calm()
            client.acknowledgeAll()
            pass(milliseconds: 1000)
            if broker.core.queueTotals.messages == 0 { break }
        }
        calm()
        if let missing = promises.missing(since: firstDelivery, at: now.wall) {
            promises.violated("I1: \(missing) never comes")
        }
    }
}
