import BrokerClient
import BrokerClientJSON
import BrokerTesting
import FoundationEssentials
import Testing

@Suite(.timeLimit(.minutes(2))) struct TypedMessageTests {
    let broker = TestBroker()

    /// As it arrives.
    private func pass(
        _ send: (Client, String) async throws -> Void
    ) async throws -> Message {
        let client = try await broker.connect()
        let messages = try await client.subscribe(to: "/queue/q", acknowledgement: .automatic)
        try await send(client, "/queue/q")
        let message = try #require(try await messages.next())
        try await client.close()
        return message
    }

    @Test func aValueArrivesAsItWasSent() async throws {
        let message = try await pass { client, queue in
            try await client.send(Shop.OrderPlaced(number: 7, note: "ring/twice"), to: queue, headers: ["a": "b"])
        }
        #expect(message.messageType == "shop.order-placed")
        #expect(message.schemaVersion == SchemaVersion(2, 1))
        #expect(message.contentType == "application/json")
        #expect(message.headers["a"] == "b")
        #expect(message.text == #"{"note":"ring/twice","number":7}"#)
        #expect(try message.decode(Shop.OrderPlaced.self) == Shop.OrderPlaced(number: 7, note: "ring/twice"))
    }

    @Test func whatANewerMinorVersionHasAddedIsPassedOver() async throws {
        let message = try await pass { try await $0.send(Shop.OrderPlacedLater(number: 7), to: $1) }
        #expect(try message.decode(Shop.OrderPlaced.self) == Shop.OrderPlaced(number: 7))
    }

    @Test func datesAndDataAreTexts() async throws {
        let sent = Shop.Cancelled(at: Date(timeIntervalSince1970: 1_800_000_000), proof: Data([0, 255]))
        let message = try await pass { try await $0.send(sent, to: $1) }
        #expect(message.text == #"{"at":"2027-01-15T08:00:00Z","proof":"AP8="}"#)
        let read = try message.decode(Shop.Cancelled.self)
        #expect(read.at == sent.at && read.proof == sent.proof)
    }

    @Test func otherMajorsAreNotGuessedAt() async throws {
        let message = try await pass { try await $0.send(Shop.OrderPlacedNine(), to: $1) }
        let expected = BodyError.majorUnknown(
            type: "shop.order-placed", version: SchemaVersion(9), understood: [2])
        #expect(throws: expected) { try message.decode(Shop.OrderPlaced.self) }
        #expect("\(expected)" == "shop.order-placed has version 9.0.0; understood: 2.x")
    }

    @Test func generatedCodePlugsIn() async throws {
        let position = Shop.Position(x: 1, y: 2)
        let message = try await pass { try await $0.send(position, to: $1) }
        #expect(message.body == [1, 2])
        #expect(message.contentType == "application/x-position")
        #expect(try message.decode() == position)
        let older = try await pass { client, queue in
            try await client.send(
                [2, 1], to: queue,
                headers: [
                    "message-type": "fleet.position", "schema-version": "1.4.2",
                    "content-type": "Application/X-Position ; v=1",
                ])
        }
        #expect(try older.decode() == position)
    }

    private static let foreign: [(Headers, BodyError)] = [
        (Headers(), BodyError.headerMissing("message-type")),
        (["message-type": "fleet.position"], .headerMissing("schema-version")),
        (
            ["message-type": "fleet.position", "schema-version": "2"],
            .headerMalformed(name: "schema-version", value: "2")
        ),
        (["message-type": "fleet.plan", "schema-version": "2.0.0"], .typeUnknown("fleet.plan")),
        (["message-type": "fleet.position", "schema-version": "2.0.0"], .headerMissing("content-type")),
        (
            ["message-type": "fleet.position", "schema-version": "2.0.0", "content-type": "text/plain"],
            .contentTypeUnknown("text/plain", understood: ["application/x-position"])
        ),
        (
            ["message-type": "fleet.position", "schema-version": "2.0.0", "content-type": "application/x-position"],
            .malformed(type: "fleet.position", reason: "Malformed()")
        ),
    ]

    @Test(arguments: foreign) func whatIsNotOneSaysWhy(headers: Headers, error: BodyError) async throws {
        let message = try await pass { try await $0.send([1, 2, 3], to: $1, headers: headers) }
        #expect(throws: error) { try message.decode(Shop.Position.self) }
    }

    @Test func whatHasNoFormIsNotSent() async throws {
        let client = try await broker.connect()
        do {
            try await client.send(Shop.Unwritable(), to: "/queue/q")
            Issue.record("NaN was sent")
        } catch let error as BodyError {
            guard case .notEncodable("shop.unwritable", _) = error else { throw error }
        }
        await #expect(throws: ClientError.self) {
            try await client.send(
                Shop.OrderPlaced(number: 1), to: "/queue/q", headers: ["schema-version": "7.0.0"])
        }
        #expect(await broker.queue("/queue/q").received == 0)
        try await client.close()
    }

    @Test func transactionsSendValuesToo() async throws {
        let message = try await pass { client, queue in
            try await client.transaction { try await $0.send(Shop.Position(x: 3, y: 4), to: queue) }
        }
        #expect(try message.decode() == Shop.Position(x: 3, y: 4))
    }

    @Test(arguments: ["1.2.3", "0.0.0", "999999999.0.10"]) func versionsAreRead(text: String) {
        #expect(SchemaVersion(text)?.description == text)
    }

    @Test(arguments: [
        "", "1", "1.2", "1.2.3.4", "01.2.3", "1..3", "1.2.-3", "+1.2.3", " 1.2.3", "1.2.x", "1.2.3-rc1",
        "1.2.1000000000",
        "١.٢.٣",
    ]) func whatIsNoVersionIsNotRead(text: String) { #expect(SchemaVersion(text) == nil) }

    @Test func versionsHaveAnOrder() {
        #expect(SchemaVersion(1, 9, 9) < SchemaVersion(2))
        #expect(SchemaVersion(1, 2, 9) < SchemaVersion(1, 10))
    }
}
