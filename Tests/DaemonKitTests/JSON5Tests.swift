import Testing

@testable import DaemonKit

@Suite struct JSON5Tests {
    private func read(_ text: String) throws -> [JSON5Reader.Entry] { try JSON5Reader.read(text) }

    private func refusal(of text: String) -> JSON5Reader.Failure? {
        do {
            _ = try JSON5Reader.read(text)
            return nil
        } catch {
            return error
        }
    }

    @Test func namesAreDottedAndLinesAreThoseOfTheKeys() throws {
        let entries = try read(
            """
            // a comment
            {
                listen: ['127.0.0.1:1',],  /* over
                two lines */ limits: { "connections": 0x10,
                    before_login: { headers: 8 } },
                'log.level': "debug",
            }
            """)
        #expect(
            entries == [
                .init(name: "listen", value: .list(["127.0.0.1:1"]), line: 3),
                .init(name: "limits.connections", value: .number(16), line: 4),
                .init(name: "limits.before_login.headers", value: .number(8), line: 5),
                .init(name: "log.level", value: .text("debug"), line: 6),
            ])
    }

    @Test(arguments: [
        ("12", SettingValue.number(12)), ("-12", .number(-12)), ("+7", .number(7)), ("-0x1F", .number(-31)),
        ("0", .number(0)),
        ("true", .flag(true)), ("false", .flag(false)), ("null", .other("null")), ("1.5", .other("1.5")),
        ("1e3", .other("1e3")), (".5", .other(".5")), ("5.", .other("5.")), ("-Infinity", .other("-Infinity")),
        ("NaN", .other("NaN")), ("99999999999999999999", .other("the number 99999999999999999999")), ("[]", .list([])),
        ("[1]", .other("a list with something else than texts")),
        ("{}", .other("an object")), (#"'it\'s'"#, .text("it's")), (#""\x41\u00e9\uD83D\uDE00\n\0""#, .text("Aé😀\n\0")),
        ("'a\\\nb'", .text("ab")),
        ("'a\\\r\nb'", .text("ab")),
    ])
    func valuesAreWhatTheySay(text: String, value: SettingValue) throws {
        #expect(try read("{ a: \(text) }").map(\.value) == [value])
    }

    @Test(arguments: [
        ("", 1, 1), ("[]", 1, 1), ("{", 1, 2), ("{ a }", 1, 5), ("{ a: }", 1, 6), ("{ a: 1 b: 2 }", 1, 8),
        ("{ a: 1 } x", 1, 10),
        ("{\n a: 'x\n}", 2, 7), ("{ a: 'x", 1, 8), ("{ /* ", 1, 6), ("{ a: 01 }", 1, 8), ("{ a: yes }", 1, 9),
        ("{ a: '\\uD800' }", 1, 13),
        ("{ a: '\\u12' }", 1, 11), ("{ a: [1, {}] }", 1, 10), ("{ a: [1 2] }", 1, 9), ("{ / }", 1, 4),
        ("{ a: - }", 1, 7), ("{ a: -true }", 1, 11),
        ("{ , }", 1, 3), ("{ a: 0x-5 }", 1, 10), ("{ a: 0x }", 1, 8), ("{ a: 1-2 }", 1, 9), ("{ a: '\\1' }", 1, 9),
    ])
    func whatIsNotJSON5IsRefusedWithItsPlace(text: String, line: Int, column: Int) throws {
        let failure = try #require(refusal(of: text), "\(text) was taken")
        #expect(failure.line == line && failure.column == column, "\(failure)")
    }

    @Test func depthIsBounded() {
        #expect(refusal(of: String(repeating: "{a:", count: 100_000)) != nil)
        #expect(refusal(of: "{a:" + String(repeating: "[", count: 100_000)) != nil)
    }

    /// Goal: no text can trap. Method: every prefix of a text with everything in it, and every
    /// single byte of it changed to each of some awkward ones.
    @Test func noTextMakesItTrap() {
        let text = #"{a:['b\u0041',],/*c*/d:{e:0x1F,f:-1.5,},// g"# + "\n'h':true}"
        for count in 0..<text.count { _ = refusal(of: String(text.prefix(count))) }
        let characters = Array(text)
        for index in characters.indices {
            for awkward in ["\\", "'", "\"", "{", "}", "[", "]", "/", "*", "\n", "\r", "\0", "é", "-", "."] {
                var changed = characters
                changed[index] = Character(awkward)
                _ = refusal(of: String(changed))
            }
        }
    }
}
