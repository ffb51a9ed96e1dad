import Foundation
import Testing

@testable import DaemonKit

extension String {
    fileprivate func count(of word: String) -> Int { components(separatedBy: word).count - 1 }
}

@Suite struct AdminHandlerTests {
    static let get = "GET /v1/queues/orders HTTP/1.1\r\nHost: localhost\r\n\r\n"

    @Test func aRequestOverAUnixSocketIsAnswered() async throws {
        let (text, closed) = try await AdminServer().talk { wire in
            wire.send(Self.get.replacing("\r\n\r\n", with: "\r\nConnection: close\r\n\r\n"))
            return wire.receiveAll()
        }
        #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(text.contains("\"name\":\"orders\""))
        #expect(text.contains("X-Content-Type-Options: nosniff\r\n") && text.contains("Cache-Control: no-store\r\n"))
        #expect(closed)
    }

    /// Goal: pipelined requests are answered in order, all of them, though each waits for the backend.
    @Test func pipelinedRequestsAreAnsweredInOrder() async throws {
        let names = (0..<50).map { "q\($0)" }
        let (text, _) = try await AdminServer().talk { wire in
            wire.send(names.map { "PUT /v1/queues/\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
            return wire.receive { $0.count(of: "HTTP/1.1 201") == names.count && $0.hasSuffix("}") }
        }
        let found = text.components(separatedBy: "\"name\":\"").dropFirst().map { $0.prefix { $0 != "\"" } }
        #expect(found.map(String.init) == names)
    }

    @Test func aRequestMayComeByteByByte() async throws {
        let (text, _) = try await AdminServer().talk { wire in
            for character in Self.get.unicodeScalars { wire.send(String(character)) }
            return wire.receive { $0.hasSuffix("}") }
        }
        #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
    }

    @Test func theAnswerComesEvenIfTheClientHasShutDownItsSide() async throws {
        let (text, closed) = try await AdminServer().talk { wire in
            wire.send(Self.get + Self.get)
            wire.shutDownWriting()
            return wire.receiveAll()
        }
        #expect(text.count(of: "HTTP/1.1 200 OK") == 2)
        #expect(closed)
    }

    @Test func whatIsNoHTTPIsAnsweredOnceAndClosed() async throws {
        let (text, closed) = try await AdminServer().talk { wire in
            wire.send("CONNECT\naccept-version:1.2\n\n\0" + Self.get)
            return wire.receiveAll()
        }
        #expect(text.count(of: "HTTP/1.1 400 Bad Request\r\n") == 1)
        #expect(text.count(of: "Date: ") == 1)
        #expect(text.contains("Connection: close\r\n"))
        #expect(closed)
    }

    /// Goal: nobody holds a connection by sending slowly. Method: a head that never ends, under a short limit.
    @Test func aSlowRequestIsEnded() async throws {
        let settings = AdminHandlerSettings(requestMilliseconds: 50)
        let (text, closed) = try await AdminServer(settings).talk { wire in
            wire.send("GET / HTTP/1.1\r\nHost: a\r\n")
            return wire.receiveAll()
        }
        #expect(text.hasPrefix("HTTP/1.1 408 "))
        #expect(closed)
    }

    @Test func aSilentConnectionIsClosedWithoutAWord() async throws {
        let (text, closed) = try await AdminServer(AdminHandlerSettings(requestMilliseconds: 50)).talk {
            $0.receiveAll()
        }
        #expect(text == "" && closed)
    }

    @Test func anIdleConnectionIsClosedWithoutAWord() async throws {
        let (text, closed) = try await AdminServer(AdminHandlerSettings(idleMilliseconds: 50)).talk { wire in
            wire.send(Self.get)
            return wire.receiveAll()
        }
        #expect(text.count(of: "HTTP/1.1") == 1 && closed)
    }

    @Test func headIsAnsweredWithoutABody() async throws {
        let (text, _) = try await AdminServer().talk { wire in
            wire.send("HEAD /v1/status HTTP/1.0\r\n\r\n")
            return wire.receiveAll()
        }
        #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n") && text.hasSuffix("\r\n\r\n"))
        #expect(!text.contains("Content-Length: 0\r\n"))
    }

    @Test func aBodyIsAskedForWhenTheClientWaits() async throws {
        let (first, second) = try await AdminServer().talk { wire in
            wire.send(
                "POST /v1/queues/orders/move HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                    + "Content-Length: 14\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
            let first = wire.receive { $0.hasSuffix("\r\n\r\n") }.text
            wire.send(#"{"to": "mail"}"#)
            return (first, wire.receiveAll().text)
        }
        #expect(first == "HTTP/1.1 100 Continue\r\n\r\n")
        #expect(second.contains("\"moved\":1000"))
    }

    @Test(arguments: [
        ("Host: localhost", "200"), ("Host: 127.0.0.1:9", "200"), ("Host: rebound.example", "403"),
        ("Host: localhost\r\nOrigin: http://localhost", "403"),
    ])
    func overTCPAWebPageIsRefused(head: String, status: String) async throws {
        let (text, _) = try await AdminServer().talk(overTCP: true) { wire in
            wire.send("GET /v1/health HTTP/1.1\r\n\(head)\r\nConnection: close\r\n\r\n")
            return wire.receiveAll()
        }
        #expect(text.hasPrefix("HTTP/1.1 \(status) "))
    }

    @Test func whatChangesSomethingIsToldForTheLog() async throws {
        let server = try AdminServer()
        _ = try await server.talk { wire in
            wire.send(Self.get + "POST /v1/queues/orders/purge HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return wire.receiveAll()
        }
        #expect(
            server.seen == [
                AdminEvent(peer: "unix", method: "POST", target: "/v1/queues/orders/purge", status: 200)
            ])
    }
}
