import Testing

@testable import DaemonKit

@Suite struct ListenRuleTests {
    /// What the setting says about a list with this address in it.
    private func refusal(_ setting: String, _ address: String) -> String? {
        do throws(Setting.Refusal) {
            var configuration = Configuration()
            try Settings.named(setting)?.write(.list([address]), &configuration)
            return nil
        } catch { return error.text }
    }

    @Test(arguments: ["127.0.0.1:61613", "127.9.9.9:0", "[::1]:61613", "localhost:65535"])
    func addressesOfThisMachineAreAllowed(text: String) {
        #expect(refusal("listen", text) == nil)
        #expect(refusal("admin", text) == nil)
    }

    /// As long as there is no login: fault case S47.
    @Test(arguments: [
        "0.0.0.0:61613", "*:61613", "[::]:61613", "10.0.0.1:61613", "[fe80::1]:1", "128.0.0.1:1", "example.org:1",
    ])
    func addressesThatOthersReachAreRefusedWithTheReason(text: String) throws {
        for setting in ["listen", "admin"] {
            let sentence = try #require(refusal(setting, text))
            #expect(sentence.contains("has no login"))
        }
    }

    @Test(arguments: [
        "", "127.0.0.1", "61613", ":61613", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
        "127.0.0.1:1x", "::1:61613", "[::1]",
        "[127.0.0.1]:1", "[::1:1", "127.1:1", " 127.0.0.1:1",
    ])
    func malformedAddressesAreRefused(text: String) {
        #expect(refusal("listen", text) != nil)
        #expect(refusal("admin", text) != nil)
    }

    @Test func socketsAreForAdministratorsOnlyAndTheirPathsAreBounded() {
        #expect(refusal("admin", "unix:/run/brokerd/admin.sock") == nil)
        #expect(refusal("admin", "unix:" + String(repeating: "p", count: 107)) == nil)
        #expect(refusal("admin", "unix:" + String(repeating: "p", count: 108)) != nil)
        #expect(refusal("admin", "unix:") != nil)
        #expect(refusal("listen", "unix:/run/brokerd/stomp.sock") != nil)
    }
}
