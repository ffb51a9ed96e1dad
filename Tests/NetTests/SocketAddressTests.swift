import Net
import Testing

@Suite struct SocketAddressTests {
    @Test(arguments: [
        ("127.0.0.1:61613", SocketAddress.Place.ipv4("127.0.0.1", port: 61613)),
        ("[::1]:61613", .ipv6("::1", port: 61613)),
        ("localhost:61613", .name("localhost", port: 61613)),
        ("mq-1.example.org:1", .name("mq-1.example.org", port: 1)),
        ("*:0", .any(port: 0)),
        ("unix:/run/brokerd.sock", .unix(path: "/run/brokerd.sock")),
        ("unix:relative.sock", .unix(path: "relative.sock")),
    ])
    func readsAndWritesEveryForm(text: String, place: SocketAddress.Place) throws {
        let address = try SocketAddress(parsing: text)
        #expect(address.place == place)
        #expect(address.description == text)
    }

    /// Goal: a mistake in a configuration is named. Method: one wrong address of each kind, and a word
    /// that its error must contain.
    @Test(arguments: [
        ("", "HOST:PORT"), ("61613", "HOST:PORT"), ("localhost", "HOST:PORT"), (":61613", "host is missing"),
        ("localhost:", "port"), ("localhost:65536", "port"), ("localhost:-1", "port"), ("localhost:+1", "port"),
        ("localhost: 1", "port"), ("localhost:99999999999999999999", "port"), ("::1:61613", "brackets"),
        ("[::1:61613", "bracket"), ("[127.0.0.1]:1", "IPv6"), ("[]:1", "IPv6"), ("256.0.0.1:1", "IPv4"),
        ("127.1:1", "IPv4"), ("host name:1", "host name"), ("h\u{F6}st:1", "host name"), ("unix:", "path"),
        ("unix:/\(String(repeating: "x", count: 107))", "107 bytes"), ("unix:/a\0b", "NUL"),
    ])
    func saysWhatIsWrong(text: String, word: String) {
        #expect {
            try SocketAddress(parsing: text)
        } throws: { error in
            guard case NetError.invalidAddress(text, let why) = error else { return false }
            return why.contains(word)
        }
    }

    @Test(arguments: [
        ("127.0.0.1:1", true), ("127.9.9.9:1", true), ("[::1]:1", true), ("localhost:1", true),
        ("[::ffff:127.0.0.1]:1", true), ("unix:/x", true), ("0.0.0.0:1", false), ("*:1", false), ("[::]:1", false),
        ("128.0.0.1:1", false), ("[::2]:1", false), ("localhost.example.org:1", false),
        ("[::ffff:10.0.0.1]:1", false),
    ])
    func knowsWhatOnlyThisMachineReaches(text: String, isLoopback: Bool) throws {
        #expect(try SocketAddress(parsing: text).isLoopback == isLoopback)
    }

    @Test func peersAreWrittenAsAddresses() {
        #expect(PeerAddress.ipv4(0x7F00_0001, port: 40112).description == "127.0.0.1:40112")
        #expect(PeerAddress.ipv6(high: 0, low: 1, port: 9).description == "[::1]:9")
        #expect(PeerAddress.unix.description == "unix")
        #expect(PeerAddress.ipv6(high: 0x2001_0DB8_0000_0000, low: 0x42, port: 9).host == "2001:db8::42")
    }
}
