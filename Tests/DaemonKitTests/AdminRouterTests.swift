import Foundation
import Synchronization
import Testing

@testable import DaemonKit

@Suite struct AdminRouterTests {
    let backend = FakeBackend()

    func ask(
        _ method: String, _ target: String, headers: [HTTPHeader] = [], body: String = "",
        through door: AdminRouter.Door = .unixSocket
    ) async -> HTTPResponse {
        var headers = headers
        if !headers.contains(where: { $0.name == "Host" }) { headers.append(HTTPHeader("Host", "localhost")) }
        if !body.isEmpty, !headers.contains(where: { $0.name == "Content-Type" }) {
            headers.append(HTTPHeader("Content-Type", "application/json"))
        }
        let request = HTTPRequest(method, target, headers: headers, body: Array(body.utf8))
        return await AdminRouter(backend: backend).answer(request, through: door)
    }

    func value<Value: APISchema>(_ type: Value.Type, _ response: HTTPResponse) throws -> Value {
        try APICoding.decode(type, from: response.body)
    }

    func code(_ response: HTTPResponse) throws -> String {
        try value(API.Failure.self, response).error.code
    }

    /// Goal: every line of the table answers. Method: ask each with values that exist; the answer
    /// must have a status and a body that the table promises.
    @Test(arguments: Route.all.indices) func everyRouteAnswersAsItsTableSays(index: Int) async throws {
        let route = Route.all[index]
        let target = route.pattern
            .replacing("durable-subscriptions/{name}", with: "durable-subscriptions/billing.prices")
            .replacing("{name}", with: route.method == "DELETE" ? "mail" : "orders").replacing("{id}", with: "2")
            .replacing("{policy}", with: "p").replacing("{destination}", with: "%2Fqueue%2Forders")
        if route.method == "DELETE" {
            _ = try await backend.setPolicy(
                named: "p", pattern: "a", priority: 0, settings: ["delivery_limit": "5"])
        }
        let settings = #"[{"name": "delivery_limit", "value": "5"}]"#
        let bodies = [
            "MoveRequest": #"{"to": "mail"}"#, "RetryRequest": #"{"selector": "n > 5", "limit": 3}"#,
            "QueueRequest": #"{"settings": \#(settings)}"#,
            "PolicyRequest": #"{"pattern": "a", "settings": \#(settings)}"#,
            "SettingsChange": #"{"set": \#(settings), "unset": ["overflow"]}"#,
        ]
        let body = try route.body.map { try #require(bodies[$0.schemaName]) } ?? ""
        let response = await ask(route.method, target, body: body)
        #expect(route.statuses.contains(response.status), "\(route.method) \(target): \(response.status)")
        #expect(response.headers == [HTTPHeader("Content-Type", "application/json")])
        guard let type = route.response else { return }
        let again = try APICoding.encode(try APICoding.decode(type, from: response.body))
        #expect(again == response.body)
    }

    @Test func namesOfValuesAreInSnakeCaseWithUnits() async throws {
        let response = await ask("GET", "/v1/status")
        let object = try JSONSerialization.jsonObject(with: Data(response.body)) as? [String: Any]
        #expect(object?["uptime_seconds"] as? Int == 5)
        #expect(object?["process_id"] as? Int == 0)
        #expect((object?["messages"] as? [String: Any])?["stored_bytes"] as? Int == 0)
    }

    @Test func aQueueIsFoundByItsPercentEncodedName() async throws {
        for target in ["/v1/queues/a%2Fb%20%C3%A4", "/v1/queues/%2Fqueue%2Fa%2Fb%20%C3%A4"] {
            let queue = try value(API.Queue.self, await ask("GET", target))
            #expect(queue.name == "a/b ä")
        }
    }

    @Test(arguments: [
        ("GET", "/v1/queues/none", 404, "not_found"), ("DELETE", "/v1/queues/none", 404, "not_found"),
        ("POST", "/v1/queues/none/purge", 404, "not_found"), ("GET", "/v1/queues/none/messages", 404, "not_found"),
        ("GET", "/v1/connections/9", 404, "not_found"), ("DELETE", "/v1/connections/9", 404, "not_found"),
        ("DELETE", "/v1/queues/orders", 409, "not_empty"), ("DELETE", "/v1/queues/a%2Fb%20%C3%A4", 409, "in_use"),
        ("GET", "/v1/none", 404, "no_such_route"), ("GET", "/", 404, "no_such_route"),
        ("GET", "/v1/queues/", 404, "no_such_route"), ("GET", "/v1//queues", 404, "no_such_route"),
        ("GET", "/v1/queues/../status", 404, "no_such_route"), ("GET", "/v1/queues/%zz", 400, "invalid"),
        ("GET", "/v1/connections/abc", 400, "invalid"), ("GET", "/v1/connections/-1", 400, "invalid"),
        ("GET", "/v1/connections/99999999999999999999", 400, "invalid"),
        ("GET", "/v1/queues?limit=0", 400, "invalid"), ("GET", "/v1/queues?limit=10001", 400, "invalid"),
        ("GET", "/v1/queues?limit=5&limit=5", 400, "invalid"), ("GET", "/v1/queues?lmit=5", 400, "invalid"),
        ("GET", "/v1/connections?after=x", 400, "invalid"), ("GET", "/v1/subscriptions?after=x", 400, "invalid"),
        ("DELETE", "/v1/queues/mail?force=yes", 400, "invalid"), ("GET", "/v1/queues/mail?name=x", 400, "invalid"),
        ("GET", "/v1/queues/orders/messages?body_bytes=1048577", 400, "invalid"),
    ])
    func whatCannotBeDoneIsSaidWithStatusAndCode(method: String, target: String, status: Int, code: String) async throws
    {
        let response = await ask(method, target)
        #expect(response.status == status)
        let failure = try value(API.Failure.self, response).error
        #expect(failure.code == code)
        #expect(failure.message.count > 10)
    }

    @Test func anotherMethodIsRefusedWithTheOnesThereAre() async throws {
        let response = await ask("PATCH", "/v1/queues/orders")
        #expect(response.status == 405)
        #expect(response.headers.contains(HTTPHeader("Allow", "GET, HEAD, PUT, DELETE")))
    }

    @Test func aQueueIsMadeOnce() async throws {
        let first = await ask("PUT", "/v1/queues/new")
        let second = await ask("PUT", "/v1/queues/new", body: "{}")
        #expect(first.status == 201 && second.status == 200)
        #expect(try value(API.QueueCreation.self, first).created)
        #expect(try !value(API.QueueCreation.self, second).created)
    }

    @Test func forceDeletesAQueueWithMessages() async throws {
        let response = await ask("DELETE", "/v1/queues/orders?force=true")
        #expect(try value(API.MessageCount.self, response).messages == 2500)
    }

    @Test func aMoveSaysHowMuchIsLeft() async throws {
        let first = await ask("POST", "/v1/queues/orders/move", body: #"{"to": "/queue/mail"}"#)
        let one = try value(API.Move.self, first)
        #expect((one.moved, one.remaining) == (1000, 1500))
        let second = await ask("POST", "/v1/queues/orders/move", body: #"{"to": "mail", "limit": 3}"#)
        let two = try value(API.Move.self, second)
        #expect((two.moved, two.remaining) == (3, 1497))
    }

    @Test(arguments: [
        "", "{}", "[]", "3", "{", #"{"to": 3}"#, #"{"to": ""}"#, #"{"to": "orders"}"#, #"{"to": "/queue/orders"}"#,
        #"{"to": "mail", "limit": 0}"#, #"{"to": "mail", "limit": -1}"#, #"{"to": "mail", "limit": "3"}"#,
        #"{"to": "mail", "lmit": 3}"#, String(repeating: "[", count: 100_000),
    ])
    func aBadBodyOfAMoveIsRefused(body: String) async throws {
        let response = await ask("POST", "/v1/queues/orders/move", body: body)
        #expect(response.status == 400)
        #expect(try code(response) == "invalid")
    }

    @Test func aBodyWhereNoneBelongsIsRefused() async throws {
        let response = await ask("POST", "/v1/queues/orders/purge", body: #"{"force": true}"#)
        #expect(response.status == 400)
    }

    @Test func browsingPassesItsParametersOn() async throws {
        let response = await ask("GET", "/v1/queues/orders/messages?from=5&limit=2&body_bytes=3")
        #expect(
            backend.world.withLock { $0.browsed }
                == BrowseQuery(from: QueuePlace(lane: 0, sequence: 5), limit: 2, bodyBytes: 3))
        let message = try value(API.MessageList.self, response).messages.first
        #expect(message?.body == "hel" && message?.bodyTruncated == true && message?.bodyBytes == 5)
        _ = await ask("GET", "/v1/queues/orders/messages")
        #expect(backend.world.withLock { $0.browsed } == BrowseQuery())
    }

    @Test func notReadyIs503AndLiveIsNot() async {
        backend.world.withLock {
            $0.health.ready = false
            $0.health.reasons = ["The disk is full"]
        }
        let ready = await ask("GET", "/v1/ready")
        let live = await ask("GET", "/v1/health")
        #expect(ready.status == 503 && live.status == 200)
        backend.world.withLock { $0.health.live = false }
        let dead = await ask("GET", "/v1/health")
        #expect(dead.status == 503)
    }

    @Test func aReloadThatIsRefusedSaysWhy() async throws {
        backend.world.withLock { $0.reloadError = AdminError(.invalid, "line 3: no setting `foo`") }
        let response = await ask("POST", "/v1/reload")
        #expect(response.status == 400)
        #expect(try value(API.Failure.self, response).error.message == "line 3: no setting `foo`")
    }

    // MARK: Web pages are kept out

    @Test(arguments: [
        ("localhost", true), ("localhost:9000", true), ("LOCALHOST:1", true), ("127.0.0.1:80", true),
        ("[::1]:9000", true), ("[::1]", true), ("evil.example", false), ("localhost.evil.example", false),
        ("localhost:", false), ("localhost:99999", false), ("localhost:+1", false), ("127.0.0.1.evil", false),
        ("127.0.0.2", false), ("::1", false), ("", false), ("evil@localhost", false), ("localhost:80@evil", false),
    ])
    func overTCPOnlyNamesOfThisMachineAreServed(host: String, isServed: Bool) async {
        let headers = [HTTPHeader("Host", host)]
        let tcp = await ask("GET", "/v1/health", headers: headers, through: .tcp)
        let unix = await ask("GET", "/v1/health", headers: headers, through: .unixSocket)
        #expect(tcp.status == (isServed ? 200 : 403))
        #expect(unix.status == 200)
    }

    @Test func aRequestOfAWebPageIsRefused() async throws {
        let response = await ask("GET", "/v1/status", headers: [HTTPHeader("origin", "null")])
        #expect(response.status == 403)
        #expect(try code(response) == "refused")
    }

    @Test(arguments: [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json2", "",
    ])
    func aFormOfAWebPageChangesNothing(type: String) async throws {
        let headers = [HTTPHeader("Content-Type", type)]
        for body in ["", "{}"] {
            let response = await ask("POST", "/v1/queues/orders/purge", headers: headers, body: body)
            #expect(response.status == 415)
        }
    }

    @Test func aBodyWithoutATypeIsRefused() async {
        let request = HTTPRequest("PUT", "/v1/queues/x", headers: [HTTPHeader("Host", "a")], body: Array("{}".utf8))
        let response = await AdminRouter(backend: backend).answer(request, through: .unixSocket)
        #expect(response.status == 415)
    }

    @Test func aCharsetInTheContentTypeIsFine() async {
        let headers = [HTTPHeader("Content-Type", "Application/JSON; charset=utf-8")]
        let response = await ask("PUT", "/v1/queues/x", headers: headers, body: "{}")
        #expect(response.status == 201)
    }

    @Test func whatGETAnswersChangesNothing() {
        for route in Route.all where route.method == "GET" {
            #expect(route.body == nil, "\(route.pattern)")
        }
        for verb in ["purge", "move", "reload"] {
            #expect(Route.all.filter { $0.pattern.hasSuffix(verb) }.allSatisfy { $0.method == "POST" })
        }
    }
}
