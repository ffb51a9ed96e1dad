"""Frame syntax, escaping, bodies: what must be refused (C1 to C44, S2 to S10)."""
from suite import Closing, case, expect_error

Q = b"destination:/queue/hostile.syntax\n"

# rows, name, version, bytes sent behind CONNECTED, a word of the ERROR
FATAL = [
    ("S2 C21", "an endless command", "1.2", b"A" * 5000, "command"),
    ("C5", "a command in lower case", "1.2", b"send\n" + Q + b"\n\0", "unknown command"),
    ("C5", "a command with a tail", "1.2", b"SENDX\n" + Q + b"\n\0", "unknown command"),
    ("C5", "half a command", "1.2", b"SUB\nid:1\n" + Q + b"\n\0", "unknown command"),
    ("C5", "a command behind a blank", "1.2", b" SEND\n" + Q + b"\n\0", "unknown command"),
    ("C139", "a command of servers: MESSAGE", "1.2", b"MESSAGE\n" + Q + b"\n\0", "command"),
    ("C139", "a command of servers: RECEIPT", "1.2", b"RECEIPT\nreceipt-id:1\n\n\0", "command"),
    ("C139", "a command of servers: ERROR", "1.1", b"ERROR\n\n\0", "command"),
    ("C139", "a command of servers: CONNECTED", "1.0", b"CONNECTED\n\n\0", "command"),
    ("S3 C22", "a giant header line", "1.2", b"SEND\n" + Q + b"x:" + b"y" * 20_000, "header"),
    ("S3 C22", "a giant header name", "1.2", b"SEND\n" + b"y" * 20_000, "header"),
    ("S4 C22", "very many headers", "1.2", b"SEND\n" + Q + b"".join(b"h%d:v\n" % n for n in range(2000)), "header"),
    ("S4", "one header very often", "1.2", b"SEND\n" + Q + b"h:v\n" * 2000, "header"),
    ("S5", "too many bytes of headers", "1.2", b"SEND\n" + Q + (b"h:" + b"v" * 9000 + b"\n") * 12, "header"),
    ("S6 C40", "content-length -1", "1.2", b"SEND\n" + Q + b"content-length:-1\n\n\0", "content-length"),
    ("S6 C40", "content-length +5", "1.2", b"SEND\n" + Q + b"content-length:+5\n\nhello\0", "content-length"),
    ("S6 C40", "content-length in hex", "1.2", b"SEND\n" + Q + b"content-length:0x5\n\nhello\0", "content-length"),
    ("S6 C40", "content-length behind a blank", "1.2", b"SEND\n" + Q + b"content-length: 5\n\nhello\0", "content-length"),
    ("S6 C40", "content-length before a blank", "1.2", b"SEND\n" + Q + b"content-length:5 \n\nhello\0", "content-length"),
    ("S6 C40", "content-length with a letter", "1.2", b"SEND\n" + Q + b"content-length:5a\n\nhello\0", "content-length"),
    ("S6 C40", "content-length with an exponent", "1.2", b"SEND\n" + Q + b"content-length:1e1\n\nhello\0", "content-length"),
    ("S6 C40", "content-length empty", "1.2", b"SEND\n" + Q + b"content-length:\n\nhello\0", "content-length"),
    ("S6 C40", "content-length in other digits", "1.2", b"SEND\n" + Q + "content-length:\u0665\n\nhello\0".encode(), "content-length"),
    ("S6 C40", "content-length beyond 64 bits", "1.2", b"SEND\n" + Q + b"content-length:99999999999999999999\n\n", ""),
    ("S6 C40", "content-length of Int.max", "1.2", b"SEND\n" + Q + b"content-length:9223372036854775807\n\n", ""),
    ("S6 C40", "content-length of 2^64 - 1", "1.2", b"SEND\n" + Q + b"content-length:18446744073709551615\n\n", ""),
    ("S6 C22", "content-length above the limit", "1.2", b"SEND\n" + Q + b"content-length:1000000000\n\n", "body"),
    ("S6", "two content-lengths", "1.2", b"SEND\n" + Q + b"content-length:1\ncontent-length:2\n\nab\0", "content-length"),
    ("S7 C37", "a content-length that is too short", "1.2", b"SEND\n" + Q + b"content-length:3\n\nhello\0", "malformed"),
    ("S7 C37", "a smuggled frame behind a short body", "1.2",
     b"SEND\n" + Q + b"content-length:1\n\nab\0SEND\n" + Q + b"\nsmuggled\0", "malformed"),
    ("S8", "NUL in a header", "1.2", b"SEND\n" + Q + b"a:b\0c\n\n\0", "malformed"),
    ("S8", "NUL in a command", "1.2", b"SE\0ND\n" + Q + b"\n\0", ""),
    ("S8", "NUL between frames", "1.2", b"\0SEND\n" + Q + b"\n\0", "malformed"),
    ("S8 C9", "CR within a header", "1.2", b"SEND\n" + Q + b"a:b\rc\n\n\0", "malformed"),
    ("S8 C9", "CR within a command", "1.2", b"SE\rND\n" + Q + b"\n\0", ""),
    ("S9 C20", "a byte that is not UTF-8", "1.2", b"SEND\n" + Q + b"a:\xff\n\n\0", "utf-8"),
    ("S9 C20", "overlong UTF-8", "1.2", b"SEND\n" + Q + b"a:\xc0\xaf\n\n\0", "utf-8"),
    ("S9 C20", "a surrogate", "1.2", b"SEND\n" + Q + b"a:\xed\xa0\x80\n\n\0", "utf-8"),
    ("S9 C20", "beyond Unicode", "1.1", b"SEND\n" + Q + b"a:\xf4\x90\x80\x80\n\n\0", "utf-8"),
    ("S9 C20", "half a character", "1.2", b"SEND\n" + Q + b"a:\xe2\x98\n\n\0", "utf-8"),
    ("S9 C20", "a header name that is not UTF-8", "1.2", b"SEND\n" + Q + b"\xff:a\n\n\0", "utf-8"),
    ("S9", "a byte order mark", "1.2", b"\xef\xbb\xbfSEND\n" + Q + b"\n\0", "command"),
    ("S10 C28", "an undefined escape", "1.2", b"SEND\n" + Q + b"a:b\\tc\n\n\0", "escape"),
    ("S10 C28", "an undefined escape in a name", "1.2", b"SEND\n" + Q + b"a\\t:c\n\n\0", "escape"),
    ("S10 C28", "an undefined escape in 1.1", "1.1", b"SEND\n" + Q + b"a:b\\tc\n\n\0", "escape"),
    ("C27", "an escaped CR in 1.1", "1.1", b"SEND\n" + Q + b"a:b\\rc\n\n\0", "escape"),
    ("S10 C29", "a backslash at the end", "1.2", b"SEND\n" + Q + b"a:b\\\n\n\0", "escape"),
    ("S10 C29", "a backslash at the end of a name", "1.2", b"SEND\n" + Q + b"a\\:b\n\n\0", "escape"),
    ("S10", "an escaped line end in a destination", "1.2", b"SEND\ndestination:/queue/a\\nb\n\n\0", "destination"),
    ("S10", "an escaped CR in a destination", "1.2", b"SEND\ndestination:/queue/a\\rb\n\n\0", "destination"),
    ("S23", "ESC in a destination", "1.2", b"SEND\ndestination:/queue/\x1b[2J\n\n\0", "destination"),
    ("S23", "a destination of 4 KiB", "1.2", b"SEND\ndestination:/queue/" + b"n" * 4096 + b"\n\n\0", "destination"),
    ("S23", "an empty destination", "1.2", b"SEND\ndestination:\n\n\0", "destination"),
    ("S23", "a queue without a name", "1.2", b"SEND\ndestination:/queue/\n\n\0", "destination"),
    ("S23", "a destination that is a path", "1.2", b"SEND\ndestination:/etc/passwd\n\n\0", "destination"),
    ("C10", "a header without a colon", "1.2", b"SEND\n" + Q + b"nocolon\n\n\0", "header"),
    ("C10", "a header without a colon in 1.0", "1.0", b"SEND\n" + Q + b"nocolon\n\n\0", "header"),
    ("C11", "a header without a name", "1.2", b"SEND\n" + Q + b":value\n\n\0", "header"),
    ("C44", "a body on SUBSCRIBE", "1.2", b"SUBSCRIBE\nid:1\n" + Q + b"\nbody\0", "body"),
    ("C44", "a body on ACK", "1.1", b"ACK\nmessage-id:1\nsubscription:1\n\nbody\0", "body"),
    ("C44 C39", "a counted body on UNSUBSCRIBE", "1.2", b"UNSUBSCRIBE\nid:1\ncontent-length:2\n\n\0\0\0", "body"),
]

# rows, name, bytes sent as the first of a connection, a word of the ERROR
FATAL_FIRST = [
    ("S11 C47", "SEND first", b"SEND\n" + Q + b"\nhello\0", "connect"),
    ("S11 C47", "SUBSCRIBE first", b"SUBSCRIBE\nid:1\n" + Q + b"\n\0", "connect"),
    ("S11 C47", "DISCONNECT first", b"DISCONNECT\nreceipt:1\n\n\0", "connect"),
    ("S11 C47", "ACK first", b"ACK\nid:1\n\n\0", "connect"),
    ("S2", "an endless word first", b"C" * 100, "command"),
    ("S5", "a CONNECT with 20 KiB of headers", b"CONNECT\naccept-version:1.2\n" + (b"h:" + b"v" * 5000 + b"\n") * 5, "header"),
    ("S4", "a CONNECT with 500 headers", b"CONNECT\naccept-version:1.2\n" + b"h:v\n" * 500, "header"),
    ("S5", "a CONNECT with a body", b"CONNECT\naccept-version:1.2\ncontent-length:100000\n\n", "body"),
    ("C51", "a version that does not exist", b"CONNECT\naccept-version:3.0\nhost:h\n\n\0", "version"),
    ("C51", "an empty version", b"CONNECT\naccept-version:\nhost:h\n\n\0", "version"),
    ("C65", "heart-beat of one number", b"CONNECT\naccept-version:1.2\nhost:h\nheart-beat:0\n\n\0", "heart-beat"),
    ("C65", "heart-beat of letters", b"CONNECT\naccept-version:1.2\nhost:h\nheart-beat:a,b\n\n\0", "heart-beat"),
    ("C65", "heart-beat below 0", b"CONNECT\naccept-version:1.2\nhost:h\nheart-beat:-1,0\n\n\0", "heart-beat"),
    ("C65", "heart-beat of three numbers", b"CONNECT\naccept-version:1.2\nhost:h\nheart-beat:1,2,3\n\n\0", "heart-beat"),
    ("C65", "heart-beat with nothing", b"CONNECT\naccept-version:1.2\nhost:h\nheart-beat:\n\n\0", "heart-beat"),
]


def fatal(version, raw, word):
    def run(target):
        with Closing(target.connect(version)) as client:
            client.send(raw)
            expect_error(client, word)
    return run


def fatal_first(raw, word):
    def run(target):
        with Closing(target.raw()) as client:
            client.send(raw)
            expect_error(client, word)
    return run


for rows, name, version, raw, word in FATAL:
    case(rows, f"refused in {version}: {name}")(fatal(version, raw, word))
for rows, name, raw, word in FATAL_FIRST:
    case(rows, f"refused at the start: {name}")(fatal_first(raw, word))


@case("C25 S20")
def other_protocols_are_closed_at_once(target):
    for raw in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /v1/queues HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200, b"AMQP\0\1\0\0"):
        with Closing(target.raw()) as client:
            client.send(raw)
            try:
                client.expect("ERROR")  # may say so in its own language, but need not
            except Exception as problem:
                assert type(problem).__name__ == "Closed", f"{raw[:10]}: {problem!r}"
                continue
            client.expect_end()


@case("C51")
def a_version_refusal_names_the_versions(target):
    with Closing(target.raw()) as client:
        client.send(b"CONNECT\naccept-version:7.0\nhost:h\n\n\0")
        got = expect_error(client, "version")
        assert got.headers.get("version") == "1.0,1.1,1.2", got


@case("C133 C131 C130")
def an_error_has_all_its_headers(target):
    with Closing(target.connect()) as client:
        client.send(b"SEND\nreceipt:a\\cb\n\nx\0")
        got = expect_error(client, "destination")
        assert got.headers.get("receipt-id") == "a:b", got
        assert got.headers.get("message"), got
        assert got.headers.get("content-type"), got
        assert not got.body or got.headers.get("content-length") == str(len(got.body)), got


@case("S7 C130")
def nothing_behind_a_refused_frame_is_done(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        good = f"SEND\ndestination:{destination}\n\nlate\0".encode()
        client.send(b"SEND\nbad header\n\n\0" + good)
        expect_error(client, "header")
    assert target.bodies(destination, 0) == []


@case("S6")
def announced_bodies_take_no_memory(target):
    before = target.resident_kib()
    clients = [target.connect() for _ in range(200)]
    for client in clients:
        client.send(b"SEND\n" + Q + b"content-length:16000000\n\nonly a little")
    target.is_well()
    grown = target.resident_kib() - before
    for client in clients:
        client.close()
    assert grown < 40_000, f"{grown} KiB for 200 announced bodies"


@case("S51")
def no_garbage_ends_the_broker(target):
    import random
    rnd = random.Random(4711)
    seeds = [raw for _, _, _, raw, _ in FATAL] + [
        b"SEND\n" + Q + b"receipt:1\ncontent-length:5\n\nhello\0", b"SUBSCRIBE\nid:1\n" + Q + b"ack:client\n\n\0",
        b"ACK\nid:1-1\n\n\0", b"NACK\nid:18446744073709551615-18446744073709551615\n\n\0", b"BEGIN\ntransaction:t\n\n\0",
        b"COMMIT\ntransaction:t\n\n\0", b"UNSUBSCRIBE\nid:1\n\n\0", b"ACK\nmessage-id:0-99999999999-1\nsubscription:1\n\n\0",
    ]
    for turn in range(400):
        raw = bytearray(b"".join(rnd.sample(seeds, 3)))
        for _ in range(rnd.randint(0, 8)):
            at = rnd.randrange(len(raw))
            how = rnd.randrange(3)
            if how == 0:
                raw[at] = rnd.randrange(256)
            elif how == 1:
                del raw[at:at + rnd.randint(1, 40)]
            else:
                raw[at:at] = bytes(rnd.choices(b"\0\n\r:\\09-AS", k=rnd.randint(1, 6)))
            if not raw:
                raw = bytearray(b"\n")
        with Closing(target.connect(rnd.choice(["1.0", "1.1", "1.2"])) if turn % 4 else target.raw()) as client:
            try:
                client.send(bytes(raw))
            except OSError:
                continue  # it did not wait for the end of the nonsense
    target.is_well()
