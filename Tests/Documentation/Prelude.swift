// What the examples in comments and guides take for granted: names of the reader's own program. Only compiled, never run.

import BrokerClient
import BrokerClientJSON
import BrokerClientSQLite
import BrokerTesting

func some<Value>() -> Value { preconditionFailure("only compiled") }

nonisolated(unsafe) var options = ClientOptions()
let client: Client = some()
let broker: TestBroker = some()
let store: SQLiteOnceStore = some()
let breaker: CircuitBreaker = some()
let router: MessageRouter = some()
let orders: Subscription = some()
let subscription: Subscription = some()
let order: Message = some()
let message: Message = some()
let database: SQLiteTransaction = some()
let picture: [UInt8] = []
let prices = ["bicycle": "890"]
let invoices: [Outgoing] = []

func handle(_ message: Message) async throws {}
func save(_ messages: [Message]) async throws {}
func invoice(_ order: Message) async throws -> String { some() }
func log(_ error: any Error) {}

let yesterday = 890
struct Rates {
    func today() async throws -> Int { some() }
}
let rates = Rates()
struct Vault {
    func token() async throws -> String { some() }
}
let vault = Vault()

struct OrderPlaced: JSONBody {
    static let messageType = "shop.order-placed"
    static let schemaVersion = SchemaVersion(2, 1)
    var number: Int
}
struct OrderPlacedV1: JSONBody {
    static let messageType = "shop.order-placed"
    static let schemaVersion = SchemaVersion(1)
}
struct OrderCancelled: JSONBody {
    static let messageType = "shop.order-cancelled"
    static let schemaVersion = SchemaVersion(1)
}

struct Shop {
    init(_ client: Client) {}
    func run() async throws {}
}

// As protoc writes them.
struct Shop_OrderPlaced: Sendable {
    func serializedBytes() throws -> [UInt8] { some() }
    init(serializedBytes: [UInt8]) throws {}
}
struct Shop_Refund: Sendable {
    func serializedBytes() throws -> [UInt8] { some() }
    init(serializedBytes: [UInt8]) throws {}
}
