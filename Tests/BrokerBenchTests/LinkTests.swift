import Glibc
import Testing

@testable import brokerbench

/// A broker of one connection that says prepared bytes: one piece for each thing it is told.
private struct Script {
    let port: UInt16
    let thread: Worker<Int>

    init(_ answers: [String]) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, length) == 0 && listen(listener, 1) == 0
                    && getsockname(listener, address, &length) == 0
            }
        }
        try #require(bound)
        port = UInt16(bigEndian: address.sin_port)
        thread = try Worker {
            let connection = accept(listener, nil, nil)
            var heard = [UInt8](repeating: 0, count: 4096)
            var answered = 0
            for answer in answers {
                guard recv(connection, &heard, heard.count, 0) > 0 else { break }
                let bytes = Array(answer.utf8)
                guard send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { break }
                answered += 1
            }
            close(connection)
            close(listener)
            return answered
        }
    }

    func options() -> Options {
        var options = Options()
        options.port = port
        return options
    }
}

@Suite struct LinkTests {
    private static let connected = "CONNECTED\nversion:1.2\n\n\0\n"

    /// Goal: no message is passed over because it came in one packet with the RECEIPT of SUBSCRIBE.
    @Test func messagesRightBehindAReceiptAreKept() throws {
        let script = try Script([
            Self.connected, "RECEIPT\nreceipt-id:ready\n\n\0\nMESSAGE\nack:1\n\none\0\nMESSAGE\nack:2\n\ntwo\0\n",
        ])
        let link = try Link(script.options())
        try link.subscribe(to: ["/queue/q"], ack: "client", headers: [])
        var bodies: [String] = []
        try link.takeFrames { bodies.append(String(decoding: $0.body, as: UTF8.self)) }
        #expect(bodies == ["one", "two"])
        #expect(try script.thread.join() == 2)
    }

    @Test func anErrorIsOneLine() throws {
        let script = try Script(["ERROR\nmessage:go\taway\n\nnot\nhere\0"])
        let failure = #expect(throws: Failure.self) { _ = try Link(script.options()) }
        #expect(failure?.line == "the broker said ERROR: ERROR message:go?away  not here ")
    }

    @Test func aBrokerThatClosesIsAFailure() throws {
        let script = try Script([])
        #expect(throws: Failure.self) { _ = try Link(script.options()) }
        #expect(try script.thread.join() == 0)
    }
}
