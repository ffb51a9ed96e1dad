import BrokerClient
import BrokerClientJSON
import FoundationEssentials

/// What a shop's programs say to each other, in the versions of some years.
enum Shop {
    struct OrderPlaced: JSONBody, Equatable {
        static let messageType = "shop.order-placed"
        static let schemaVersion = SchemaVersion(2, 1)
        var number: Int
        var note: String?
    }

    /// As a later program writes it, with more in it.
    struct OrderPlacedLater: JSONBody {
        static let messageType = "shop.order-placed"
        static let schemaVersion = SchemaVersion(2, 7)
        var number: Int
        var colour = "red"
        var lines = [["item": 1]]
    }

    struct OrderPlacedOne: JSONBody, Equatable {
        static let messageType = "shop.order-placed"
        static let schemaVersion = SchemaVersion(1)
        var id: String
    }

    struct OrderPlacedNine: JSONBody {
        static let messageType = "shop.order-placed"
        static let schemaVersion = SchemaVersion(9)
        var everything = "different"
    }

    struct Cancelled: JSONBody {
        static let messageType = "shop.order-cancelled"
        static let schemaVersion = SchemaVersion(1)
        var at: Date
        var proof: Data
    }

    /// With a form of its own, as generated code has one: both of its majors are read by one type.
    struct Position: MessageBody, Equatable {
        static let messageType = "fleet.position"
        static let schemaVersion = SchemaVersion(2)
        static let contentType = "application/x-position"
        static let understoodMajors: Set<UInt32> = [1, 2]
        var x: UInt8
        var y: UInt8

        func messageBody() throws -> [UInt8] { [x, y] }

        init(x: UInt8, y: UInt8) { (self.x, self.y) = (x, y) }

        init(messageBody: [UInt8], version: SchemaVersion) throws {
            guard messageBody.count == 2 else { throw Malformed() }
            // Version 1 had them the other way round.
            (x, y) = version.major == 1 ? (messageBody[1], messageBody[0]) : (messageBody[0], messageBody[1])
        }
    }

    struct Malformed: Error {}

    struct Unwritable: JSONBody {
        static let messageType = "shop.unwritable"
        static let schemaVersion = SchemaVersion(1)
        var number = Double.nan
    }
}
