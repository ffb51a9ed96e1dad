import BrokerClient
import BrokerClientJSON

/// An event: somebody has ordered something, at this price.
public struct OrderPlaced: JSONBody {
    public static let messageType = "shop.order-placed"
    public static let schemaVersion = SchemaVersion(1)
    public static let topic = "/topic/shop.order-placed"

    public var number: Int
    public var article: String
    public var price: Int

    public init(number: Int, article: String, price: Int) {
        self.number = number
        self.article = article
        self.price = price
    }
}
