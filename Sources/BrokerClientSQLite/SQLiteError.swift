import CSQLite

/// What SQLite answered that was not asked for.
public struct SQLiteError: Error, Equatable, Sendable, CustomStringConvertible {
    /// SQLite's extended result code, `SQLITE_BUSY` (5) for example: https://sqlite.org/rescode.html
    public let code: Int32
    /// Its own sentence about it.
    public let message: String
    /// What was tried: the SQL, or the path.
    public let about: String

    /// Made by the library; public for stores of your own, and for tests.
    public init(code: Int32, message: String, about: String) {
        self.code = code
        self.message = message
        self.about = about
    }

    init(_ database: OpaquePointer?, _ code: Int32, about: String) {
        let message = database.flatMap { sqlite3_errmsg($0) } ?? sqlite3_errstr(code)
        self.init(
            code: database.map { sqlite3_extended_errcode($0) } ?? code,
            message: message.map { String(cString: $0) } ?? "unknown error", about: about)
    }

    /// One sentence for a log, with the code and the SQL. The values of parameters are not in it.
    public var description: String { "SQLite: \(message) (\(code)): \(about)" }
}

/// What a column holds, or a parameter is given.
public enum SQLiteValue: Equatable, Sendable {
    /// NULL: nothing.
    case null
    /// INTEGER, 64 bits with a sign.
    case integer(Int64)
    /// REAL, a floating-point number of 64 bits.
    case real(Double)
    /// TEXT, in UTF-8. What is read and is not UTF-8 is replaced.
    case text(String)
    /// BLOB: bytes as they are.
    case blob([UInt8])
}
