import Base
import BrokerClient
import BrokerCore
import Testing

@testable import BrokerTesting

/// Subscribers that get a topic's message alike have one delivery between them: it must come to each.
@Suite struct AudienceTests {
    private final class Reader: CarriedHandler {
        private(set) var text = ""

        func received(_ bytes: UnsafeBufferPointer<UInt8>, on connection: any CarriedConnection) -> Int {
            text += String(decoding: bytes, as: UTF8.self)
            return bytes.count
        }
        func outboxDrained(on connection: any CarriedConnection) {}
        func deadlineReached(on connection: any CarriedConnection) {}
        func ended(code: String) {}
    }

    private func write(_ text: String, to connection: MemoryConnection) {
        Array(text.utf8).withUnsafeBufferPointer { connection.write($0) }
    }

    @Test func aMessageForSeveralComesToEach() {
        let broker = MemoryBroker(memoryBytes: 1 << 20, now: Moment(.now, wall: 1_800_000_000_000))
        let readers = (0..<4).map { _ in Reader() }
        let connections = readers.map { broker.accept($0) }
        for connection in connections { write("CONNECT\naccept-version:1.2\nhost:test\n\n\0", to: connection) }
        for connection in connections.dropLast() {
            write("SUBSCRIBE\nid:s\ndestination:/topic/prices\nack:auto\n\n\0", to: connection)
        }
        broker.carry()
        write("SEND\ndestination:/topic/prices\nreceipt:r\n\nmilk 2\0", to: connections[3])
        broker.carry()
        for reader in readers.dropLast() {
            #expect(reader.text.ranges(of: "milk 2").count == 1, "\(reader.text)")
        }
        #expect(readers[3].text.contains("RECEIPT") && !readers[3].text.contains("milk 2"))
    }
}
