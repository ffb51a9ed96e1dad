import BrokerCore
import Testing

@testable import DaemonKit

/// The section `policies` of the configuration file.
@Suite struct PolicySectionTests {
    private func judge(_ text: String, set: [(String, String)] = []) throws -> EffectiveConfiguration {
        try EffectiveConfiguration.judge(
            text: text, file: "f", overrides: set.map { .init(name: $0.0, value: .text($0.1), option: "--set \($0.0)") }
        )
    }

    private func problems(_ text: String) -> [String] {
        do {
            _ = try judge(text)
            return []
        } catch {
            return (error as? ConfigurationError)?.problems.map(\.description) ?? ["\(error)"]
        }
    }

    private let good = """
        {
            policies: {
                zoo: { pattern: "zoo.*", settings: { auto_create: false, bytes_most: "2048 KiB" } },
                orders: {
                    pattern: "/queue/orders.**", priority: -3,
                    settings: { delivery_limit: 5, overflow: "drop-head" },
                },
            },
        }
        """

    @Test func policiesAreReadByNameInTheirCanonicalForm() throws {
        let policies = try judge(good).configuration.policies
        #expect(
            policies == [
                Policy(
                    name: "orders", pattern: "/queue/orders.**", priority: -3,
                    settings: ["delivery_limit": "5", "overflow": "drop-head"], source: .configuration),
                Policy(
                    name: "zoo", pattern: "/queue/zoo.*", settings: ["auto_create": "false", "bytes_most": "2 MiB"],
                    source: .configuration),
            ])
        #expect(try judge("{ policies: {} }").configuration == Configuration())
    }

    @Test func anOptionGoesBeforeTheFile() throws {
        let set = [("policies.orders.priority", "4"), ("policies.orders.settings.delivery_limit", "9")]
        let orders = try #require(try judge(good, set: set).configuration.policies.first)
        #expect(orders.priority == 4 && orders.settings["delivery_limit"] == "9")
        #expect(orders.settings["overflow"] == "drop-head")
    }

    @Test func whatIsPrintedIsReadAsTheSame() throws {
        let effective = try judge(good)
        let printed = SettingsText.configuration(effective)
        #expect(try judge(printed).configuration == effective.configuration)
    }

    @Test(arguments: [
        ("{ policies: { p: { pattern: 'a', settings: { delivery_limits: 5 } } } }", "did you mean delivery_limit?"),
        ("{ policies: { p: { pattern: 'a', settings: { delivery_limit: 'x' } } } }", "it must be a whole number"),
        ("{ policies: { p: { pattern: 'a', settings: { delivery_limit: [] } } } }", "number, text or flag"),
        ("{ policies: { p: { pattern: '/x/a', settings: { delivery_limit: 5 } } } }", "must start with /queue/"),
        ("{ policies: { p: { pattern: 5, settings: { delivery_limit: 5 } } } }", "the pattern must be a text"),
        ("{ policies: { p: { settings: { delivery_limit: 5 } } } }", "a pattern is missing"),
        ("{ policies: { p: { pattern: 'a' } } }", "at least one setting"),
        ("{ policies: { p: { pattern: 'a', settings: {} } } }", "at least one setting"),
        ("{ policies: { p: { patern: 'a', pattern: 'a', settings: { expired: 'drop' } } } }", "did you mean pattern?"),
        ("{ policies: { p: { pattern: 'a', priority: 1.5, settings: { expired: 'drop' } } } }", "a whole number"),
        ("{ policies: { p: { pattern: 'a', priority: 1001, settings: { expired: 'drop' } } } }", "-1000 to 1000"),
        ("{ policies: { 'ä': { pattern: 'a', settings: { expired: 'drop' } } } }", "letters, digits"),
        ("{ policies: 5 }", "it is a section"), ("{ policies: { p: 5 } }", "a policy is an object"),
        (
            "{ policies: { p: { pattern: 'a', settings: { expired: 'drop' } },\n p: { pattern: 'b' } } }",
            "policies.p.pattern was already set (f:1)"
        ),
    ]) func whatIsWrongIsSaidWithItsPlaceAndWhatWouldBeRight(text: String, wanted: String) {
        let found = problems(text)
        #expect(found.contains { $0.contains(wanted) && $0.hasPrefix("f:") }, "\(found)")
    }

    @Test func allThatIsWrongIsSaidAtOnce() {
        let found = problems(
            "{ policies: {\n p: { pattern: 'a',\n settings: { expired: 'x',\n overflow: 'y' } },\n q: {} } }")
        #expect(found.count == 3, "\(found)")
        #expect(found.map { $0.prefix(3) } == ["f:3", "f:4", "f:5"], "\(found)")
    }

    @Test func thereIsABoundOnTheirNumber() {
        let policies = (0...Policies.most).map { "p\($0): { pattern: 'a', settings: { expired: 'drop' } }" }
        #expect(
            problems("{ policies: { \(policies.joined(separator: ",")) } }").contains { $0.contains("256 are allowed") }
        )
    }

    @Test func aReloadTakesThem() throws {
        let old = try judge("{ data: 'x' }").configuration
        let new = try judge(good).configuration
        let changes = Configuration.changes(from: old, to: new)
        #expect(changes.live == ["policies"] && changes.needsRestart == ["data"])
        #expect(old.takingLive(from: new).policies == new.policies)
    }
}
