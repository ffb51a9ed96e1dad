/// What the admin interface asks of the broker. The daemon answers it; tests answer it with a fake.
///
/// Every call is one bounded piece of work: lists come in pages and long changes report how much is
/// left, so that no operator's question can hold the broker up. Queue and topic names are given
/// without their `/queue/` or `/topic/` prefix. Calls may come from any thread, several at a time.
public protocol AdminBackend: Sendable {
    func status() async -> API.Status
    func health() async -> API.Health

    /// Queues by name, in the order of their bytes; see `ListQuery.page(of:total:name:)`.
    func queues(_ query: ListQuery) async -> API.QueueList
    /// Errors: `notFound`.
    func queue(named name: String) async throws(AdminError) -> API.Queue
    /// Returns when the queue is durable. A queue of that name that exists already is no error:
    /// then `created` is false, and its settings stay as they are. Errors: `invalid` for a name that no queue may
    /// have and for a setting that is not allowed, `limitReached`.
    func createQueue(named name: String, settings: [String: String]) async throws(AdminError) -> API.QueueCreation
    /// Deletes a queue and all in it. Errors: `notFound`; `inUse` while it has consumers and
    /// `notEmpty` while it has messages, both only without `force`.
    func deleteQueue(named name: String, force: Bool) async throws(AdminError) -> API.MessageCount
    /// Throws away the messages that no consumer holds: all, or a part of those that are chosen; then
    /// `API.Purge.next` says where to go on. Errors: `notFound`, `invalid`.
    func purgeQueue(named name: String, _ choice: MessageChoice) async throws(AdminError) -> API.Purge
    /// Messages, lane by lane, in order of their sequence, without consuming them. Errors: `notFound`, `invalid`.
    func browseQueue(named name: String, _ query: BrowseQuery) async throws(AdminError) -> API.MessageList
    /// Moves messages that no consumer holds, and looks at no more of them in one call than the broker finds
    /// good; `API.Move.next` says where to go on. The target is made if it does not exist.
    /// Errors: `notFound`, `invalid`.
    func moveMessages(
        from source: String, to target: String, _ choice: MessageChoice
    ) async throws(AdminError) -> API.Move
    /// The same for dead letters, each back to where it died. Errors: `notFound`, `invalid`.
    func retryMessages(from source: String, _ choice: MessageChoice) async throws(AdminError) -> API.Move

    /// Stops (true) or resumes (false) delivering and taking messages; nil leaves it. Errors: `notFound`.
    func pauseQueue(named name: String, delivery: Bool?, sending: Bool?) async throws(AdminError) -> API.Queue
    /// Changes the settings that are the queue's own. Errors: `notFound`, `invalid`; then nothing has changed.
    func changeSettings(
        ofQueue name: String, set: [String: String], unset: [String]
    ) async throws(AdminError) -> API.Explanation

    func policies() async -> API.PolicyList
    /// Sets an operator's policy. Errors: `invalid`, saying what would be right.
    func setPolicy(
        named name: String, pattern: String, priority: Int, settings: [String: String]
    ) async throws(AdminError) -> API.PolicyChange
    /// Deletes an operator's policy. Errors: `notFound`.
    func deletePolicy(named name: String) async throws(AdminError) -> API.PolicyRemoval
    /// `destination` with its prefix; without one it is a queue. Errors: `invalid` for what no policy is about.
    func explain(destination: String) async throws(AdminError) -> API.Explanation

    func topics(_ query: ListQuery) async -> API.TopicList

    /// Connections by id. Errors: `invalid` for an `after` that is no id.
    func connections(_ query: ListQuery) async throws(AdminError) -> API.ConnectionList
    /// Errors: `notFound`.
    func connection(id: UInt64) async throws(AdminError) -> API.Connection
    /// Ends a connection; what it has not acknowledged goes back to its queues. Errors: `notFound`.
    func closeConnection(id: UInt64) async throws(AdminError) -> API.Connection
    /// Subscriptions by connection and id, of one connection if `connection` is given. The name of the
    /// query is matched against the destination, with its prefix. Errors: `invalid`.
    func subscriptions(_ query: ListQuery, connection: UInt64?) async throws(AdminError) -> API.SubscriptionList

    func durableSubscriptions(_ query: ListQuery) async -> API.DurableSubscriptionList
    /// `name` is `NAME`, `CLIENT.NAME` or `/dsub/...`. Errors: `notFound`.
    func durableSubscription(named name: String) async throws(AdminError) -> API.DurableSubscription
    /// Deletes it with all that waits in it. Errors: `notFound`; `inUse` while it has consumers, without `force`.
    func deleteDurableSubscription(named name: String, force: Bool) async throws(AdminError) -> API.MessageCount

    func settings() async -> API.SettingList
    func store() async -> API.Store
    /// Sets a copy of the store aside; it is there until it is ended, or not renewed. Errors: `inUse` while there
    /// is one, `failed`.
    func beginBackup() async throws(AdminError) -> API.Backup
    /// Errors: `notFound`.
    func renewBackup(id: String) async throws(AdminError) -> API.Backup
    /// Errors: `notFound`, `failed`.
    func endBackup(id: String) async throws(AdminError) -> API.Backup
    /// Reads the configuration file again and applies what can change while the broker runs.
    /// Errors: `invalid` when the file is refused; then nothing has changed.
    func reload() async throws(AdminError) -> API.Reload
}

/// Why the broker did not do what was asked.
public struct AdminError: Error, Equatable, Sendable {
    /// For programs; the raw value is the `code` of the error body and never changes its meaning.
    public enum Code: String, Sendable, CaseIterable {
        case invalid = "invalid"
        case refused = "refused"
        case notFound = "not_found"
        case noSuchRoute = "no_such_route"
        case methodNotAllowed = "method_not_allowed"
        case inUse = "in_use"
        case notEmpty = "not_empty"
        case limitReached = "limit_reached"
        case tooLarge = "too_large"
        case wrongContentType = "wrong_content_type"
        case unavailable = "unavailable"
        case failed = "failed"

        /// The HTTP status that goes with the code.
        public var status: Int {
            switch self {
            case .invalid: 400
            case .refused: 403
            case .notFound, .noSuchRoute: 404
            case .methodNotAllowed: 405
            case .inUse, .notEmpty, .limitReached: 409
            case .tooLarge: 413
            case .wrongContentType: 415
            case .failed: 500
            case .unavailable: 503
            }
        }
    }

    public var code: Code
    /// One sentence for people: what is wrong and what to do.
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// Which rows of a list.
public struct ListQuery: Equatable, Sendable {
    /// Large pages are for tools that want everything: every page costs the broker a look at all names.
    public static let limits = 1...10_000
    public static let standardLimit = 100

    /// Rows behind this name (or id); nil from the start.
    public var after: String?
    /// Most rows.
    public var limit: Int
    /// Only names that match this pattern, in which `*` stands for any run of characters.
    public var name: String?

    public init(after: String? = nil, limit: Int = ListQuery.standardLimit, name: String? = nil) {
        self.after = after
        self.limit = limit
        self.name = name
    }

    /// Whether `text` fits the pattern; everything fits when there is none. Compared byte by byte.
    public func matches(_ text: String) -> Bool {
        guard let name else { return true }
        return ListQuery.fits(Array(text.utf8), Array(name.utf8))
    }

    /// Linear in both lengths for every star: on a mismatch only the last star is widened.
    static func fits(_ text: [UInt8], _ pattern: [UInt8]) -> Bool {
        let star = UInt8(ascii: "*")
        var at = 0
        var inPattern = 0
        var lastStar: (pattern: Int, text: Int)?
        while at < text.count {
            if inPattern < pattern.count, pattern[inPattern] == star {
                lastStar = (inPattern, at)
                inPattern += 1
            } else if inPattern < pattern.count, pattern[inPattern] == text[at] {
                inPattern += 1
                at += 1
            } else if let (star, from) = lastStar {
                lastStar = (star, from + 1)
                inPattern = star + 1
                at = from + 1
            } else {
                return false
            }
        }
        return pattern[inPattern...].allSatisfy { $0 == star }
    }

    /// Rows that fit, in the order of the bytes of their names, how many there are without paging,
    /// and where the next page starts.
    public func page<Row>(
        of rows: [Row], name: (Row) -> String
    ) -> (rows: [Row], total: Int, next: String?) {
        let fitting = rows.map { ($0, name($0)) }.filter { matches($0.1) }
        let behind = fitting.filter { row in
            guard let after else { return true }
            return after.utf8.lexicographicallyPrecedes(row.1.utf8)
        }
        let sorted = behind.sorted { $0.1.utf8.lexicographicallyPrecedes($1.1.utf8) }
        let page = Array(sorted.prefix(limit))
        return (page.map(\.0), fitting.count, sorted.count > page.count ? page.last?.1 : nil)
    }

    /// The same by number: for connections. Errors: `invalid` when `after` is no number.
    public func page<Row>(
        of rows: [Row], number: (Row) -> UInt64, name: (Row) -> String
    ) throws(AdminError) -> (rows: [Row], total: Int, next: String?) {
        var first: UInt64 = 0
        if let after {
            guard let last = UInt64(after) else {
                throw AdminError(.invalid, "`after` must be the id of a connection, a number")
            }
            guard last < .max else { return ([], rows.filter { matches(name($0)) }.count, nil) }
            first = last + 1
        }
        let fitting = rows.filter { matches(name($0)) }
        let sorted = fitting.filter { number($0) >= first }.sorted { number($0) < number($1) }
        let page = Array(sorted.prefix(limit))
        return (page, fitting.count, sorted.count > page.count ? page.last.map { String(number($0)) } : nil)
    }
}
