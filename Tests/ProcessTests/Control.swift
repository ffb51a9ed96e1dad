import Foundation

/// brokerctl against a broker of ours.
enum Control {
    static func command(_ broker: BrokerProcess, _ words: [String]) throws -> [String] {
        try [Programs.path("brokerctl")] + words + ["--data", broker.data]
    }

    /// What it printed; it must end with `code`.
    static func say(_ broker: BrokerProcess, _ words: String..., code: Int32 = 0) throws -> String {
        let ended = try Child.run(command(broker, words))
        if ended.code != code {
            throw Problem("brokerctl \(words) ended with \(ended.code): \(ended.output) \(ended.errors)")
        }
        return code == 0 ? ended.output : ended.errors
    }

    /// The same with `--json`.
    static func json(_ broker: BrokerProcess, _ words: String...) throws -> Any {
        let ended = try Child.run(command(broker, words + ["--json"]))
        if ended.code != 0 { throw Problem("brokerctl \(words) ended with \(ended.code): \(ended.errors)") }
        return try JSONSerialization.jsonObject(with: Data(ended.output.utf8))
    }
}
