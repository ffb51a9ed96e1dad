import BrokerCore

/// Durable subscriptions as operators see them.
extension BrokerBackend {
    private static func durable(_ name: String) -> [UInt8] {
        Array((name.hasPrefix("/dsub/") ? name : "/dsub/\(name)").utf8)
    }

    private static func row(_ view: Core.DurableView) -> API.DurableSubscription {
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        var row = API.DurableSubscription()
        row.destination = text(view.destination)
        row.name = text(view.name)
        row.clientID = view.clientID.isEmpty ? nil : text(view.clientID)
        row.topic = text(view.topic)
        row.selector = view.selector.isEmpty ? nil : text(view.selector)
        (row.consumers, row.messages, row.bytes) = (view.consumers, view.messages, view.bytes)
        row.lastUsedUnixSeconds = view.lastUsed > 0 ? view.lastUsed : nil
        row.orphan = view.isOrphan
        return row
    }

    private func noSubscription(_ name: String) -> AdminError {
        AdminError(
            .notFound,
            "there is no durable subscription \(name); brokerctl subscription list --durable shows those that exist")
    }

    func durableSubscriptions(_ query: ListQuery) async -> API.DurableSubscriptionList {
        API.DurableSubscriptionList(of: broker.look { $0.durableViews() }.map(Self.row), query)
    }

    func durableSubscription(named name: String) async throws(AdminError) -> API.DurableSubscription {
        guard let view = broker.look({ $0.durableView(named: Self.durable(name)) }) else { throw noSubscription(name) }
        return Self.row(view)
    }

    func deleteDurableSubscription(named name: String, force: Bool) async throws(AdminError) -> API.MessageCount {
        let result = await durably { core, effects -> Result<UInt64, Core.DeleteObstacle> in
            do throws(Core.DeleteObstacle) {
                return .success(try core.deleteDurable(named: Self.durable(name), force: force, into: &effects))
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let messages): return API.MessageCount(messages: messages)
        case .failure(.consumers(let count)):
            throw AdminError(.inUse, "\(name) has \(count) consumers; stop them, or delete it with force")
        case .failure: throw noSubscription(name)
        }
    }
}
