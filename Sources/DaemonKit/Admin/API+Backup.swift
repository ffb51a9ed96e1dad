extension API {
    public struct Backup: APISchema {
        public var id = ""
        public var directory = ""
        public var files = 0
        public var bytes: UInt64 = 0
        public var leaseSeconds: UInt64 = 0

        public init() {}

        public static let summary = "A copy of the store that is set aside in the data directory."
        public static let notes = [
            "id": "to renew and to end it with",
            "directory":
                "the data directory; the copy is in its `backup`, and `backup/files` says how many bytes of each file count",
            "files": "how many there are",
            "bytes": "how many of them count",
            "lease_seconds": "it is removed when it is not renewed for so long",
        ]
    }
}
