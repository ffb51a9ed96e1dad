extension API {
    public struct Store: APISchema {
        public var directory = ""
        /// 16 hexadecimal digits: a number of 64 bits does not survive every JSON reader.
        public var storeID = ""
        public var formatVersion = 0
        public var recovery: [String] = []
        public var recoveryMilliseconds: UInt64 = 0
        public var journal = Journal()
        public var disk = Disk()
        public var indexBytes: UInt64 = 0

        public init() {}

        public static let summary = "The storage, and what it found when it was opened."
        public static let notes = [
            "directory": "where the data is",
            "store_id": "made with the directory; 16 hexadecimal digits, part of every message id",
            "format_version": "of the files",
            "recovery": "sentences: what was found at the start, and what was cut",
            "recovery_milliseconds": "how long that took",
            "journal": "what it has done since",
            "disk": "room on its file system",
            "index_bytes": "memory held to find stored messages, about",
        ]
    }

    public struct Setting: APISchema {
        public var name = ""
        public var value = ""
        public var source = ""
        public var live = false
        public var pending: String?

        public init() {}

        public static let summary = "A setting as it is in effect."
        public static let notes = [
            "name": "as in the configuration file",
            "value": "as it would be written there",
            "source": "where it comes from: `default`, `FILE:LINE`, or an option of the command line",
            "live": "whether a reload changes it; otherwise it needs a restart",
            "pending": "the value that the next start will use, when it differs from the one in effect",
        ]
    }

    public struct SettingList: APISchema {
        public var file: String?
        public var settings: [Setting] = []

        public init() {}

        public static let summary = "All settings as they are in effect."
        public static let notes = [
            "file": "the configuration file; absent when there is none",
            "settings": "every one, by name",
        ]
    }

    public struct Reload: APISchema {
        public var changed: [String] = []
        public var needsRestart: [String] = []

        public init() {}

        public static let summary = "What reading the configuration again has changed."
        public static let notes = [
            "changed": "names of settings that are in effect now",
            "needs_restart": "names of settings that will be in effect after a restart",
        ]
    }

    public struct Failure: APISchema {
        public var error = Detail()

        public init() {}

        public init(_ error: AdminError) {
            self.error.code = error.code.rawValue
            self.error.message = error.message
        }

        public static let summary = "Why a request was not done."
        public static let notes = ["error": "for programs and for people"]

        public struct Detail: APISchema {
            public var code = ""
            public var message = ""

            public init() {}

            public static let summary = "An error."
            public static let notes = [
                "code": "a word that does not change",
                "message": "one sentence that says what to do",
            ]
        }
    }
}
