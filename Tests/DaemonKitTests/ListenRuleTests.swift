import Testing

@testable import DaemonKit

@Suite struct ListenRuleTests {
    @Test(arguments: ["127.0.0.1:61613", "127.9.9.9:0", "[::1]:61613", "localhost:65535"])
    func addressesOfThisMachineAreAllowed(text: String) {
        #expect(ListenRule.refusal(ofClientAddress: text) == nil)
        #expect(ListenRule.refusal(ofAdminAddress: text) == nil)
    }

    /// As long as there is no login: fault case S47.
    @Test(arguments: ["0.0.0.0:61613", "*:61613", "[::]:61613", "10.0.0.1:61613", "[fe80::1]:1", "[::ffff:127.0.0.1]:1", "128.0.0.1:1"])
    func addressesThatOthersReachAreRefusedWithTheReason(text: String) throws {
        let sentence = try #require(ListenRule.refusal(ofClientAddress: text))
        #expect(sentence.contains("has no login"))
        #expect(ListenRule.refusal(ofAdminAddress: text) == sentence)
    }

    @Test(arguments: [
        "", "127.0.0.1", "61613", ":61613", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1:1x", "::1:61613", "[::1]",
        "[127.0.0.1]:1", "[::1:1", "example.org:61613", "127.1:1", " 127.0.0.1:1", "localhost.:1", "LOCALHOST:1",
    ])
    func malformedAddressesAreRefused(text: String) {
        #expect(ListenRule.refusal(ofClientAddress: text) != nil)
    }

    @Test func socketsAreForAdministratorsOnlyAndTheirPathsAreBounded() {
        #expect(ListenRule.refusal(ofAdminAddress: "unix:/run/brokerd/admin.sock") == nil)
        #expect(ListenRule.refusal(ofAdminAddress: "unix:" + String(repeating: "p", count: 107)) == nil)
        #expect(ListenRule.refusal(ofAdminAddress: "unix:" + String(repeating: "p", count: 108)) != nil)
        #expect(ListenRule.refusal(ofAdminAddress: "unix:") != nil)
        #expect(ListenRule.refusal(ofClientAddress: "unix:/run/brokerd/stomp.sock") != nil)
    }
}
