import CSQLite

/// One connection to a database. All calls wait for the disk, and may come from one thread at a time.
///
/// Sendable: `SQLiteOnceStore` calls it on its own queue only, which is serial; the work there holds on to it, so its end
/// comes after all calls, on whichever thread lets go last.
final class SQLiteDatabase: @unchecked Sendable {
    let handle: OpaquePointer
    /// Statements that are used again and again, by their SQL.
    private var prepared: [String: OpaquePointer] = [:]

    private static let mostPrepared = 32

    /// `busyMilliseconds`: how long to wait for others who write.
    init(path: String, busyMilliseconds: Int32) throws(SQLiteError) {
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        let code = sqlite3_open_v2(path, &opened, flags, nil)
        guard code == SQLITE_OK, let opened else {
            let error = SQLiteError(opened, code, about: path)
            sqlite3_close_v2(opened)
            throw error
        }
        handle = opened
        sqlite3_busy_timeout(handle, busyMilliseconds)
    }

    deinit {
        for statement in prepared.values { sqlite3_finalize(statement) }
        sqlite3_close_v2(handle)
    }

    /// Runs one statement to its end; returns the rows that it gave.
    func run(_ sql: String, _ values: [SQLiteValue] = []) throws(SQLiteError) -> [[SQLiteValue]] {
        let statement = try prepare(sql)
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        guard Int(sqlite3_bind_parameter_count(statement)) == values.count else {
            throw SQLiteError(
                code: SQLITE_RANGE, message: "\(values.count) values for \(sqlite3_bind_parameter_count(statement))",
                about: sql)
        }
        for (index, value) in values.enumerated() { try bind(value, at: Int32(index + 1), of: statement, sql) }
        var rows: [[SQLiteValue]] = []
        while true {
            let code = sqlite3_step(statement)
            if code == SQLITE_DONE { return rows }
            guard code == SQLITE_ROW else { throw SQLiteError(handle, code, about: sql) }
            rows.append((0..<sqlite3_column_count(statement)).map { column($0, of: statement) })
        }
    }

    /// Rows that the last statement changed.
    var changes: Int { Int(sqlite3_changes(handle)) }

    private func prepare(_ sql: String) throws(SQLiteError) -> OpaquePointer {
        if let known = prepared[sql] { return known }
        if prepared.count >= Self.mostPrepared {
            for statement in prepared.values { sqlite3_finalize(statement) }
            prepared.removeAll()
        }
        var statement: OpaquePointer?
        var rest = 0
        let code = sql.withCString { text in
            var tail: UnsafePointer<CChar>?
            let code = sqlite3_prepare_v2(handle, text, -1, &statement, &tail)
            while let byte = tail?.pointee, byte != 0 {
                if byte > 32 { rest += 1 }
                tail = tail?.advanced(by: 1)
            }
            return code
        }
        guard code == SQLITE_OK, let statement else {
            if code == SQLITE_OK { throw SQLiteError(code: SQLITE_MISUSE, message: "no statement", about: sql) }
            throw SQLiteError(handle, code, about: sql)
        }
        if rest > 0 {
            sqlite3_finalize(statement)
            throw SQLiteError(code: SQLITE_MISUSE, message: "more than one statement", about: sql)
        }
        prepared[sql] = statement
        return statement
    }

    private func bind(_ value: SQLiteValue, at index: Int32, of statement: OpaquePointer, _ sql: String)
        throws(SQLiteError)
    {
        let code =
            switch value {
            case .null: sqlite3_bind_null(statement, index)
            case .integer(let number): sqlite3_bind_int64(statement, index, number)
            case .real(let number): sqlite3_bind_double(statement, index, number)
            case .text(let text):
                Array(text.utf8).withUnsafeBytes { bytes in
                    // A text of no bytes has no address, which would be NULL.
                    bytes.isEmpty
                        ? sqlite3_bind_text(statement, index, "", 0, csqlite_copied())
                        : sqlite3_bind_text64(
                            statement, index, bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
                            UInt64(bytes.count), csqlite_copied(), UInt8(SQLITE_UTF8))
                }
            case .blob(let bytes):
                bytes.isEmpty
                    ? sqlite3_bind_zeroblob(statement, index, 0)
                    : sqlite3_bind_blob64(statement, index, bytes, UInt64(bytes.count), csqlite_copied())
            }
        if code != SQLITE_OK { throw SQLiteError(handle, code, about: sql) }
    }

    private func column(_ index: Int32, of statement: OpaquePointer) -> SQLiteValue {
        switch sqlite3_column_type(statement, index) {
        case SQLITE_INTEGER: return .integer(sqlite3_column_int64(statement, index))
        case SQLITE_FLOAT: return .real(sqlite3_column_double(statement, index))
        case SQLITE_TEXT:
            let start = sqlite3_column_text(statement, index)
            let count = Int(sqlite3_column_bytes(statement, index))
            return .text(
                String(decoding: UnsafeBufferPointer(start: start, count: start == nil ? 0 : count), as: UTF8.self))
        case SQLITE_BLOB:
            let start = sqlite3_column_blob(statement, index)
            let count = Int(sqlite3_column_bytes(statement, index))
            return .blob(Array(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count)))
        default: return .null
        }
    }
}
