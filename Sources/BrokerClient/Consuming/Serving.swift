import Base
import STOMP
import Synchronization

/// What a service does with one request.
final class Serving: Sendable {
    private struct State {
        var clock = AskerClock()
        /// Requests whose reply the broker refused. They come again, since an ERROR ends the connection, and must not
        /// end the next one, too.
        var refused = Deque<String>()
    }

    private static let refusedKept = 100

    let tally: Tally
    private let name: String?
    private let handler: @Sendable (Message) async throws -> Answer
    private let state = Mutex(State())

    init(_ name: String?, _ tally: Tally, _ handler: @escaping @Sendable (Message) async throws -> Answer) {
        self.name = name
        self.tally = tally
        self.handler = handler
    }

    /// Returns what went wrong.
    func handle(_ request: Message) async -> (any Error)? {
        var failure: (any Error)?
        do throws(ClientError) {
            guard request.isHeld else { throw .subscriptionEnded }
            if hasExpired(request) {
                tally.count(.expired, request)
                try await request.acknowledge()
            } else if wasRefused(request) {
                tally.count(.deadLettered, request)
                try await request.reject(requeue: false)
            } else {
                let (answer, error) = await work(request)
                failure = error
                guard let answer else { throw .cancelled }
                try await reply(answer, to: request)
            }
            return failure
        } catch .alreadySettled {
            // The handler did it itself, which it may.
            return failure
        } catch {
            // Nothing to be done about it here: what was not settled comes again.
            tally.count(.lost, request)
            return failure ?? error
        }
    }

    /// The answer, and the error if it comes of one. No answer if the handler was cancelled: then somebody else is to
    /// answer.
    private func work(_ request: Message) async -> (Answer?, (any Error)?) {
        let began = request.engine.now
        do {
            let answer = try await handler(request)
            tally.ran(request, request.engine.now.duration(since: began), nil)
            return (answer, nil)
        } catch {
            tally.ran(request, request.engine.now.duration(since: began), error)
            if Task.isCancelled { return (nil, error) }
            let failure = (error as? RequestFailure) ?? RequestFailure(code: RequestFailure.internalError)
            return (Answer(failure), error)
        }
    }

    // MARK: The reply

    private func reply(_ answer: Answer, to request: Message) async throws(ClientError) {
        guard let address = ReplyAddress(request.replyTo), let frame = frame(answer, to: request, address) else {
            tally.count(.unanswered, request)
            return try await request.acknowledge()
        }
        if address.isChannel {
            try await request.acknowledge()
            // A reply that had to wait for another connection would find nobody.
            guard request.isHeld else { throw .subscriptionEnded }
            return try await request.engine.send(frame, .none, deadline: request.engine.deadline(nil))
        }
        do throws(ClientError) {
            try await request.engine.send(frame, .receipt, deadline: request.engine.deadline(nil))
        } catch {
            if case .refused(let reason) = error {
                tally.refused(request, reason)
                remember(refused: request)
            }
            throw error
        }
        try await request.acknowledge()
    }

    /// Nil if the headers of the answer cannot be sent.
    private func frame(_ answer: Answer, to request: Message, _ address: ReplyAddress) -> Frame? {
        var headers = answer.headers
        headers["correlation-id"] = request.headers["correlation-id"]
        if let name { headers["replied-by"] = name }
        do throws(ClientError) {
            return try Client.frame(
                answer.body, address.destination, headers,
                !address.isChannel && request.headers["persistent"] != "false")
        } catch {
            // Counted as unanswered: the asker's time-out says the rest.
            return nil
        }
    }

    // MARK: What is remembered

    private func hasExpired(_ request: Message) -> Bool {
        guard let expires = request.headers["expires"].flatMap({ Int64($0) }),
            let life = request.headers["ttl"].flatMap({ Int64($0) })
        else { return false }
        let received = request.delivery.receivedAt
        return state.withLock {
            $0.clock.isOver(expires: expires, life: life, receivedAt: received, now: request.engine.now)
        }
    }

    private func wasRefused(_ request: Message) -> Bool {
        let id = request.messageID
        return state.withLock { state in
            (0..<state.refused.count).contains { state.refused[$0] == id }
        }
    }

    private func remember(refused request: Message) {
        let id = request.messageID
        state.withLock { state in
            state.refused.append(id)
            if state.refused.count > Self.refusedKept { state.refused.popFirst() }
        }
    }
}

extension Answer {
    /// An error as a reply.
    init(_ failure: RequestFailure) {
        self.init(failure.detail, headers: failure.headers)
        headers[RequestFailure.codeHeader] = failure.code
    }
}

/// Where a reply goes.
package struct ReplyAddress: Equatable {
    package let destination: String
    /// It is in memory and of one connection: who waits there goes with it.
    package let isChannel: Bool

    static let channels = [
        "/reply-queue/", "/temp-queue/", "/temp-topic/", "/remote-temp-queue/", "/remote-temp-topic/",
    ]
    private static let others = ["/queue/", "/topic/", "/amq/queue/", "/exchange/"]

    /// Nil if there is none, or none that a broker would take: an ERROR would end the connection for all requests.
    package init?(_ text: String?) {
        guard let text, !text.isEmpty, text.utf8.count <= 1024, !text.utf8.contains(where: { $0 < 32 }) else {
            return nil
        }
        isChannel = Self.channels.contains { text.hasPrefix($0) }
        guard isChannel || !text.hasPrefix("/") || Self.others.contains(where: { text.hasPrefix($0) }) else {
            return nil
        }
        if text.hasPrefix("/topic/"), text.contains(where: { "*>#".contains($0) }) { return nil }
        destination = text
    }
}
