import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// A session alone: what it makes of a frame, before any core has seen it.
final class Listener {
    var session: Session
    var batch = CommandBatch()
    private var bytes = UnsafeMutableBufferPointer<UInt8>(start: nil, count: 0)
    /// 1800000000000: what the tests call now.
    static let wall: UInt64 = 1_800_000_000_000

    init(_ version: Version = .v12, clientID: String? = nil, settings: SessionSettings = SessionSettings()) {
        session = Session(settings: settings, token: "t", now: Instant(nanoseconds: 0))
        let client = clientID.map { "client-id:\($0)\n" } ?? ""
        take("CONNECT\naccept-version:\(version.text)\nhost:h\n\(client)\n\0")
    }

    deinit { bytes.deallocate() }

    /// What its commands point to stays until the next one.
    func take(_ text: String) {
        batch.clear()
        bytes.deallocate()
        bytes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
        _ = bytes.initialize(fromContentsOf: text.utf8)
        let now = Moment(Instant(nanoseconds: 0), wall: Self.wall)
        _ = session.receive(bytes, received: UInt64(bytes.count), now: now, batch: &batch)
        let count = batch.commands.count
        var out = Buffer()
        session.commit(done: count, refusal: nil, batch: batch, required: 0, durable: 0, into: &out)
    }

    var failure: SessionError? { session.failure }
    var hasRewritten: Bool { !batch.held.isEmpty }
    var commands: [BrokerCore.Command] { batch.commands }

    /// What the SEND with these header lines asks for, in words; nil if it is refused.
    func asked(send headers: String, to destination: String = "/queue/a") -> String? {
        take(sendFrame("x", to: destination, headers: headers))
        guard case .send(let send) = batch.commands.last else { return nil }
        return send.extras < 0 ? "nothing" : spoken(batch.extras.sends[Int(send.extras)])
    }

    /// The same for SUBSCRIBE.
    func asked(subscribe headers: String, to destination: String = "/queue/a") -> String? {
        take(subscribeFrame("id", to: destination, headers: headers))
        guard case .subscribe(let subscribe) = batch.commands.last else { return nil }
        return subscribe.extras < 0 ? "nothing" : spoken(batch.extras.subscribes[Int(subscribe.extras)])
    }

    private func spoken(_ extras: SendExtras) -> String {
        var words: [String] = []
        if extras.priority != 4 { words.append("priority \(extras.priority)") }
        if extras.expires > 0 { words.append("expires \(extras.expires)") }
        if extras.timeToLive > 0 { words.append("lives \(extras.timeToLive)") }
        if extras.deliverAt > 0 { words.append("due \(extras.deliverAt)") }
        if extras.delay > 0 { words.append("waits \(extras.delay)") }
        if !extras.group.isEmpty { words.append("group \(String(decoding: extras.group, as: UTF8.self))") }
        if !extras.dedupID.isEmpty { words.append("once \(String(decoding: extras.dedupID, as: UTF8.self))") }
        if extras.retain != .no { words.append("retain \(extras.retain)") }
        return words.joined(separator: ", ")
    }

    private func spoken(_ extras: SubscribeExtras) -> String {
        var words: [String] = []
        if !extras.selector.isEmpty { words.append("where \(String(decoding: extras.selector, as: UTF8.self))") }
        if extras.isExclusive { words.append("exclusive") }
        if extras.isBrowser { words.append("browser") }
        if !extras.wantsBrowserEnd { words.append("no end") }
        if extras.noLocal { words.append("no local") }
        if !extras.wantsRetained { words.append("not retained") }
        if !extras.durableName.isEmpty {
            words.append("durable \(String(decoding: extras.durableName, as: UTF8.self))")
        }
        if !extras.clientID.isEmpty { words.append("of \(String(decoding: extras.clientID, as: UTF8.self))") }
        return words.joined(separator: ", ")
    }
}
