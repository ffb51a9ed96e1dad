import BrokerCore
import Net
import STOMP
import Sessions

/// The clients of a loop as operators see them.
extension ClientLoop {
    func connectionRows() -> [API.Connection] {
        let clients = all
        let views = broker.look { core in
            clients.map { client in client.coreID.map { core.sessionView($0) } }
        }
        return zip(clients, views).map { client, view in
            var row = API.Connection()
            row.id = client.connection.id
            row.peer = client.connection.peer.description
            if client.session.isConnected { row.stompVersion = client.session.version.text.description }
            row.login = client.session.login.isEmpty ? nil : client.session.login
            row.connectedUnixMilliseconds = client.since
            row.subscriptions = client.session.subscriptionCount
            row.inBytes = client.connection.bytesReceived
            row.outBytes = client.connection.bytesSent
            row.inMessages = client.session.sends
            row.outMessages = client.delivered
            row.unacked = UInt64(view?.unacknowledged ?? 0)
            row.outboxBytes = UInt64(client.connection.outbox.unsentBytes)
            return row
        }
    }

    /// True if the connection was one of ours.
    func close(connection id: UInt64) -> Bool {
        guard let client = all.first(where: { $0.connection.id == id }) else { return false }
        client.end(SessionError(Refusal(.closedByOperator, "an operator closed this connection")))
        return true
    }

    func rows(for views: [Core.SubscriptionView]) -> [API.Subscription] {
        views.compactMap { view in
            guard let client = client(view.address.connection) else { return nil }
            var row = API.Subscription()
            row.connectionID = client.connection.id
            row.id = client.session.subscriptionID(slot: view.slot) ?? ""
            row.destination = String(decoding: view.destination, as: UTF8.self)
            switch view.mode {
            case .auto: row.ack = "auto"
            case .cumulative: row.ack = "client"
            case .individual: row.ack = "client-individual"
            }
            row.prefetch = view.mode == .auto ? 0 : view.prefetchCount
            row.unacked = UInt64(view.unacknowledged)
            row.deliveredTotal = view.delivered
            (row.redeliveredTotal, row.droppedTotal) = (view.redelivered, view.dropped)
            row.selector = view.selector.isEmpty ? nil : String(decoding: view.selector, as: UTF8.self)
            row.exclusive = view.isExclusive
            return row
        }
    }
}
