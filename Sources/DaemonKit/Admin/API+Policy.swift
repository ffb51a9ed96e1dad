extension API {
    public struct DestinationSetting: APISchema {
        public var name = ""
        public var value = ""

        public init() {}

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }

        /// In order of name.
        public static func list(_ settings: [String: String]) -> [DestinationSetting] {
            settings.sorted { $0.key < $1.key }.map { DestinationSetting(name: $0.key, value: $0.value) }
        }

        public static let summary = "A setting of destinations; docs/policies.md lists them."
        public static let notes = [
            "name": "in snake case, `delivery_limit`",
            "value": "as a text: `5`, `true`, `drop-head`, `1 GiB`",
        ]
    }

    public struct Policy: APISchema {
        public var name = ""
        public var pattern = ""
        public var priority = 0
        public var settings: [DestinationSetting] = []
        public var source = "operator"
        public var shadowed = false

        public init() {}

        public static let summary = "Settings for all destinations whose names fit a pattern."
        public static let notes = [
            "name": "1 to 64 letters, digits, `_` and `-`",
            "pattern": "over names with their prefix: `/queue/orders.*`",
            "priority": "the highest goes first",
            "settings": "what it sets, by name",
            "source": "`operator` or `configuration`",
            "shadowed": "whether one of the same name that an operator has set stands in for it",
        ]
    }

    public struct PolicyList: APISchema {
        public var policies: [Policy] = []

        public init() {}

        public static let summary = "All policies by name, those of the configuration file and those of operators."
        public static let notes = ["policies": "at most 512"]
    }

    /// The body of a PUT.
    public struct PolicyRequest: APISchema {
        public var pattern = ""
        public var priority: Int?
        public var settings: [DestinationSetting] = []

        public init() {}

        public static let summary = "What a policy is to be from now on."
        public static let notes = [
            "pattern": "over names with their prefix; without one it is a queue's",
            "priority": "-1000 to 1000; 0 if absent",
            "settings": "at least one, each once",
        ]
    }

    public struct PolicyChange: APISchema {
        public var created = false
        public var policy = Policy()

        public init() {}

        public static let summary = "The policy as it is now."
        public static let notes = [
            "created": "false when an operator had set one of that name already",
            "policy": "as it is kept",
        ]
    }

    public struct PolicyRemoval: APISchema {
        public var policy = Policy()
        public var uncovered: Policy?

        public init() {}

        public static let summary = "A policy that is gone."
        public static let notes = [
            "policy": "as it was",
            "uncovered":
                "the one of the configuration file that has its name and counts again; absent if there is none",
        ]
    }

    /// The body of making a queue.
    public struct QueueRequest: APISchema {
        public var settings: [DestinationSetting]?

        public init() {}

        public static let summary = "What a new queue is told itself."
        public static let notes = ["settings": "of its own, each once; they go before policies"]
    }

    /// The body of a change to a queue's own settings.
    public struct SettingsChange: APISchema {
        public var set: [DestinationSetting]?
        public var unset: [String]?

        public init() {}

        public static let summary = "Settings that a queue gets or loses as its own. All of it is done or nothing."
        public static let notes = [
            "set": "each once",
            "unset": "names; the policies decide these again",
        ]
    }

    public struct PassedOverValue: APISchema {
        public var policy = ""
        public var value = ""
        public var why = ""

        public init() {}

        public static let summary = "What a policy says of a setting without being heard."
        public static let notes = [
            "policy": "its name",
            "value": "what it says",
            "why": "why another goes first, as a phrase",
        ]
    }

    public struct ExplainedSetting: APISchema {
        public var name = ""
        public var value = ""
        public var source = "default"
        public var policy: String?
        public var passedOver: [PassedOverValue] = []

        public init() {}

        public static let summary = "A setting of a destination, and where it is from."
        public static let notes = [
            "name": "of the setting",
            "value": "that counts",
            "source": "`own`, `policy` or `default`",
            "policy": "which one; absent for another source",
            "passed_over": "what other policies say, best first",
        ]
    }

    public struct PolicyMatch: APISchema {
        public var name = ""
        public var pattern = ""
        public var priority = 0
        public var matches = false

        public init() {}

        public static let summary = "A policy, and whether it is about the destination."
        public static let notes = [
            "name": "of the policy",
            "pattern": "that the name was compared with",
            "priority": "of the policy",
            "matches": "whether the pattern fits",
        ]
    }

    public struct Explanation: APISchema {
        public var destination = ""
        public var exists = false
        public var settings: [ExplainedSetting] = []
        public var policies: [PolicyMatch] = []

        public init() {}

        public static let summary = "Why a destination is as it is."
        public static let notes = [
            "destination": "with its prefix",
            "exists": "whether there is a queue of that name; false for topics",
            "settings": "all that mean something to it",
            "policies": "all that count, best first",
        ]
    }
}
