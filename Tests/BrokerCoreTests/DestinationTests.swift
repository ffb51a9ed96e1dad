import Base
import Testing

@testable import BrokerCore

/// Names of destinations, and patterns over topics.
struct DestinationTests {
    private func understand(_ name: String) -> String {
        bytes(name).withUnsafeBufferPointer { bytes in
            do throws(Refusal) {
                let destination = try Destination(bytes)
                return "\(destination.kind) \(String(decoding: destination.name, as: UTF8.self))"
            } catch {
                return error.message
            }
        }
    }

    @Test(arguments: [
        ("/queue/a", "queue /queue/a"), ("a", "queue /queue/a"), ("queue/a", "queue /queue/queue/a"),
        ("/queue//a", "queue /queue//a"), ("/queue/ä ö", "queue /queue/ä ö"), ("/topic/a.b", "topic /topic/a.b"),
        ("/topic/>", "topic /topic/>"), ("/reply-queue/x", "reply /reply-queue/x"), ("topic/a", "queue /queue/topic/a"),
        (" a", "queue /queue/ a"), ("a.*", "queue /queue/a.*"),
    ])
    func aNameIsUnderstood(_ name: String, _ expected: String) {
        #expect(understand(name) == expected)
    }

    @Test(arguments: [
        "/stream/a", "/", "/queue", "/topic", "/exchange/a/b", "/temp-queue/a", "/amq/queue/a", "//queue/a", "/Queue/a",
    ])
    func aPrefixThatIsNotOursIsRefused(_ name: String) {
        #expect(understand(name) == "unsupported destination")
    }

    @Test(arguments: ["", "/queue/", "/topic/", "/reply-queue/", "a\nb", "/queue/a\u{0}", "/topic/\u{7F}", "\t"])
    func aNameThatIsEmptyOrHasControlCharactersIsRefused(_ name: String) {
        #expect(understand(name) == "bad destination")
    }

    @Test(arguments: ["", "/queue/", "/topic/", "/reply-queue/"])
    func aNameHas255BytesBehindItsPrefixAtMost(_ prefix: String) {
        let fits = prefix + String(repeating: "x", count: 255)
        #expect(understand(fits).hasSuffix(fits))
        #expect(understand(fits + "x") == "bad destination")
        #expect(understand(fits + String(repeating: "x", count: 100)) == "bad destination")
    }

    @Test(arguments: [
        ("a", "a", true), ("a", "b", false), ("a.b", "a.b", true), ("a.b", "a", false), ("a", "a.b", false),
        ("*", "a", true), ("*", "a.b", false), ("a.*", "a.b", true), ("a.*", "a", false), ("a.*", "a.b.c", false),
        ("*.b", "a.b", true), ("a.*.c", "a.b.c", true), ("a.*.c", "a.b.d", false), (">", "a", true),
        (">", "a.b.c", true),
        ("a.>", "a", true), ("a.>", "a.b", true), ("a.>", "ab", false), ("a.**", "a.b.c", true), ("a.#", "a.b.c", true),
        ("*.>", "a", true), ("*.>", "a.b", true), ("a.*.>", "a.b", true), ("a.*.>", "a", false), ("a..b", "a..b", true),
        ("a.*.b", "a..b", true), ("a*", "ab", false), ("a*", "a*", true), ("**", "a", true), ("#", "a.b", true),
    ])
    func aPatternMatchesByWords(_ pattern: String, _ topic: String, _ expected: Bool) throws {
        let compiled = try TopicPattern(bytes("/topic/" + pattern))
        #expect(compiled.matches(TopicPattern.split(bytes("/topic/" + topic))) == expected)
    }

    @Test(arguments: [">.a", "a.**.b", "#.#", "a.>.>"])
    func theWildcardForTheRestMustBeLast(_ pattern: String) {
        let refusal = #expect(throws: Refusal.self) { try TopicPattern(bytes("/topic/" + pattern)) }
        #expect(refusal?.kind == .badDestination)
    }

    @Test(arguments: ["/topic/*", "/topic/a.>", "/topic/a.#", "/topic/**", "/topic/*.b"])
    func wildcardsAreForSubscribersOnly(_ name: String) {
        var rig = Rig()
        let session = rig.open()
        #expect(rig.apply(.send(name, "x"), of: session) == .wildcardInSend)
        #expect(rig.apply(.subscribe(1, name, .auto), of: session) == nil)
    }
}
