import BrokerClient
import BrokerClientSQLite
import Foundation
import Testing

extension ProcessTests {
    /// The programs in Examples, with the real broker.
    @Suite struct ExamplesTests {
        private static let styles = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Examples/Styles")

        /// The lines that the comment above an example promises, indented as an example is.
        private static func promise(of file: String) throws -> String {
            let text = try String(contentsOf: styles.appendingPathComponent(file), encoding: .utf8)
            let mark = "///     "
            return text.split(separator: "\n").filter { $0.hasPrefix(mark) }
                .map { $0.dropFirst(mark.count) + "\n" }.joined()
        }

        @Test func eachStylePrintsWhatItSays() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let files = try FileManager.default.contentsOfDirectory(atPath: Self.styles.path)
                .filter { $0 != "Styles.swift" }.sorted()
            #expect(files.count >= 10)
            // All at once: none of them touches what another has.
            let running = try files.map { file in
                let name = file.dropLast(".swift".count).lowercased()
                return (file, try Child([Programs.path("Styles"), name, "127.0.0.1:\(broker.port)"]))
            }
            for (file, child) in running {
                let code = try child.exitCode(within: .seconds(60))
                let output = String(decoding: child.outputText, as: UTF8.self)
                let errors = String(decoding: child.errorText, as: UTF8.self)
                #expect(try output == Self.promise(of: file) && code == 0, "\(file)\n\(errors)")
            }
        }

        /// The shop of the tutorial: the broker is killed while orders are on their way through all of it.
        @Test func noOrderIsLostOrBilledTwiceWhenTheBrokerIsKilled() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let address = "127.0.0.1:\(broker.port)"
            let database = home.path + "/billing.sqlite"
            let billing = try Child([Programs.path("Billing"), address, database])
            try billing.readOutput { $0.contains("billing orders\n") }
            let service = try Child([Programs.path("OrderService"), address])
            let prices = try Child([Programs.path("PriceService"), address])

            let customer = try await Client.connect(to: [address])
            func order(_ numbers: ClosedRange<Int>) async throws {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in numbers {
                        let headers: Headers = ["order-number": "\(number)", "dedup-id": "\(number)"]
                        group.addTask { try await customer.send("bell", to: "/queue/orders", headers: headers) }
                    }
                    try await group.waitForAll()
                }
            }
            try await order(1...100)
            try billing.readOutput { $0.contains("invoice for order") }
            broker.kill()
            let next = try BrokerProcess(home, listen: [address])
            try await order(101...120)
            try billing.readOutput { output in (1...120).allSatisfy { output.contains("invoice for order \($0)\n") } }

            // Both have noticed, and come back by themselves.
            for child in [billing, service] {
                try child.readOutput { $0.components(separatedBy: "connected\n").count > 2 }
                #expect(String(decoding: child.outputText, as: UTF8.self).contains("not connected: "))
            }
            #expect(prices.isRunning)
            // The last one says so before it is committed.
            let deadline = Deadline(.seconds(60))
            while try await Self.invoices(in: database).total < 120, !deadline.isOver {
                try await Task.sleep(for: .milliseconds(20))
            }
            billing.end()
            let invoices = try await Self.invoices(in: database)
            #expect(invoices.total == 120 && invoices.orders == 120, "\(next.log)")
            try await customer.close()
        }

        private static func invoices(in database: String) async throws -> (total: Int64, orders: Int64) {
            let store = try await SQLiteOnceStore(path: database)
            let key = MessageKey(consumer: "test", destination: "", id: UUID().uuidString)
            let rows = try await store.once(key) {
                try await $0.query("SELECT count(*), count(DISTINCT number) FROM invoices")
            }
            guard let row = rows?.first, case (.integer(let total), .integer(let orders)) = (row[0], row[1]) else {
                throw Problem("no count of invoices")
            }
            return (total, orders)
        }
    }
}

extension Child {
    /// Reads until its standard output says what is waited for.
    fileprivate func readOutput(within duration: Duration = .seconds(60), until isEnough: (String) -> Bool) throws {
        let isThere = try readErrors(within: duration) { _ in isEnough(String(decoding: outputText, as: UTF8.self)) }
        if !isThere { throw Problem("it ended after: \(String(decoding: outputText, as: UTF8.self))") }
    }
}
