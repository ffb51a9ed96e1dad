import Foundation
import Testing

@testable import DaemonKit

/// The documents that are made from tables. `UPDATE_DOCS=1 swift test --filter AdminOpenAPITests`
/// writes them again.
@Suite struct AdminOpenAPITests {
    static let docs = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().appending(path: "docs")

    static func isUpToDate(_ name: String, _ text: String) throws -> Bool {
        let file = docs.appending(path: name)
        if ProcessInfo.processInfo.environment["UPDATE_DOCS"] != nil {
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        return try String(contentsOf: file, encoding: .utf8) == text
    }

    @Test func theOpenAPIDocumentIsWhatTheRoutesAre() throws {
        let text = String(decoding: try OpenAPI.document(), as: UTF8.self)
        #expect(try Self.isUpToDate("openapi.json", text))
    }

    @Test func theTableInTheGuideIsWhatTheRoutesAre() throws {
        let name = "admin-api.md"
        let guide = try String(contentsOf: Self.docs.appending(path: name), encoding: .utf8)
        let pieces = guide.split(separator: AdminGuide.mark, omittingEmptySubsequences: false)
        try #require(pieces.count == 3)
        let made = [String(pieces[0]), try AdminGuide.tables(), String(pieces[2])].joined(separator: AdminGuide.mark)
        #expect(try Self.isUpToDate(name, made))
    }

    @Test func everyPropertyOfEveryValueIsDescribed() throws {
        var probe = SchemaProbe()
        for route in Route.all {
            if let type = route.response { try probe.add(type) }
            if let type = route.body { try probe.add(type) }
        }
        #expect(probe.schemas.count > 20)
        for (name, schema) in probe.schemas {
            let properties = Set(schema.properties.map(\.name))
            #expect(properties == Set(schema.type.notes.keys), "\(name)")
        }
    }

    @Test func theProbeFindsKindsAndOptionals() throws {
        var probe = SchemaProbe()
        try probe.add(API.QueueList.self)
        let list = try #require(probe.schemas["QueueList"]?.properties)
        #expect(
            list == [
                .init(name: "queues", kind: .list(.object("Queue")), isOptional: false),
                .init(name: "total", kind: .integer, isOptional: false),
                .init(name: "next", kind: .text, isOptional: true),
            ])
        let queue = try #require(probe.schemas["Queue"]?.properties)
        #expect(queue.contains(.init(name: "storage_id", kind: .integer, isOptional: true)))
        #expect(queue.contains(.init(name: "durable", kind: .boolean, isOptional: false)))
    }

    @Test func everyPieceInBracesIsAParameter() {
        for route in Route.all {
            let braces = route.pattern.split(separator: "/").filter { $0.hasPrefix("{") }.map {
                $0.dropFirst().dropLast()
            }
            #expect(
                braces.map(String.init) == route.parameters.filter { $0.place == .path }.map(\.name), "\(route.pattern)"
            )
        }
    }

    @Test func noRouteStandsTwice() {
        let keys = Route.all.map { "\($0.method) \($0.pattern)" }
        #expect(Set(keys).count == keys.count)
    }
}
