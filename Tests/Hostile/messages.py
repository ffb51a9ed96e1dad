"""SEND, MESSAGE, SUBSCRIBE and UNSUBSCRIBE: what must come out as it went in (C1-C3, C6, C7)."""
import wire
from suite import Closing, case, expect_error

# rows, name, version, frame that is refused behind CONNECTED, a word of the ERROR
REFUSED = [
    ("C74", "SEND without destination", "1.2", b"SEND\n\nx\0", "destination"),
    ("C86", "SUBSCRIBE without destination", "1.2", b"SUBSCRIBE\nid:1\n\n\0", "destination"),
    ("C87", "SUBSCRIBE without id in 1.1", "1.1", b"SUBSCRIBE\ndestination:/queue/a\n\n\0", "id"),
    ("C87", "SUBSCRIBE without id in 1.2", "1.2", b"SUBSCRIBE\ndestination:/queue/a\n\n\0", "id"),
    ("C92", "an unknown ack mode", "1.2", b"SUBSCRIBE\nid:1\ndestination:/queue/a\nack:Client\n\n\0", "ack"),
    ("C96", "UNSUBSCRIBE without id", "1.1", b"UNSUBSCRIBE\ndestination:/queue/a\n\n\0", "id"),
    ("C98", "UNSUBSCRIBE of nothing", "1.2", b"UNSUBSCRIBE\nid:nothing\n\n\0", "subscription"),
    ("C89", "an id in use", "1.2", b"SUBSCRIBE\nid:1\ndestination:/queue/a\n\n\0SUBSCRIBE\nid:1\ndestination:/queue/b\n\n\0", "in use"),
    ("S27", "a selector", "1.2", b"SUBSCRIBE\nid:1\ndestination:/queue/a\nselector:" + b"(" * 5000 + b"\n\n\0", "selector"),
    ("S27", "a wildcard in SEND", "1.2", b"SEND\ndestination:/topic/a.*\n\nx\0", "wildcard"),
    ("S35", "a prefetch of letters", "1.2", b"SUBSCRIBE\nid:1\ndestination:/queue/a\nprefetch-count:many\n\n\0", "prefetch-count"),
    ("S35", "a prefetch below 0", "1.2", b"SUBSCRIBE\nid:1\ndestination:/queue/a\nprefetch-count:-1\n\n\0", "prefetch-count"),
    ("S35", "a prefetch beyond 64 bits", "1.2",
     b"SUBSCRIBE\nid:1\ndestination:/queue/a\nprefetch-count:99999999999999999999\n\n\0", "prefetch-count"),
]


def refused(version, raw, word):
    def run(target):
        with Closing(target.connect(version)) as client:
            client.send(raw)
            expect_error(client, word)
    return run


for rows, name, version, raw, word in REFUSED:
    case(rows, f"refused in {version}: {name}")(refused(version, raw, word))


@case("C1")
def a_conversation_may_come_byte_by_byte(target):
    destination = target.queue()
    raw = (wire.frame("SEND", {"destination": destination, "note": "a:b\n\u2603\\", "receipt": "r1"}, b"one\0two")
           + b"\r\n" + f"SUBSCRIBE\r\nid:s\r\ndestination:{destination}\r\nack:auto\r\n\r\n\0".encode()
           + wire.frame("DISCONNECT", {"receipt": "bye"}))
    with Closing(target.connect()) as client:
        for byte in raw[:-1]:
            client.send(bytes([byte]))
        both = sorted([client.read(), client.read()], key=lambda frame: frame.command)  # either may be first
        assert both[1].command == "RECEIPT" and both[1].headers["receipt-id"] == "r1", both
        got = both[0]
        assert got.body == b"one\0two" and got.headers["note"] == "a:b\n\u2603\\", got
        client.send(raw[-1:])
        assert client.expect("RECEIPT").headers["receipt-id"] == "bye"


@case("C1 C2")
def frames_may_be_cut_and_joined_anywhere(target):
    destination = target.queue()
    frames = [wire.frame("SEND", {"destination": destination, "n": n}, b"%d" % n * (n % 50)) for n in range(60)]
    raw = b"".join(frames)
    for step in (1, 7, 61, 1000, len(raw)):
        with Closing(target.connect()) as client:
            for at in range(0, len(raw), step):
                client.send(raw[at:at + step])
            client.say("DISCONNECT", {"receipt": "bye"})
            client.expect("RECEIPT")
        assert target.bodies(destination, 60) == [b"%d" % n * (n % 50) for n in range(60)], f"in steps of {step}"


def round_trip(target, raw_headers, version="1.2", reader_version=None, body=b"x"):
    """Sends a frame with these header lines; returns the MESSAGE as the reader gets it."""
    destination = target.queue()
    with Closing(target.connect(version)) as client:
        client.send(f"SEND\ndestination:{destination}\nreceipt:r\n".encode() + raw_headers
                    + b"content-length:%d\n\n" % len(body) + body + b"\0")
        client.expect("RECEIPT")
    with Closing(target.connect(reader_version or version)) as reader:
        reader.send(f"SUBSCRIBE\nid:s\ndestination:{destination}\nack:auto\n\n\0".encode())
        return reader.message()


@case("C12 C13 C14 C15 C16 C19 C26 C30 C33 C35")
def header_lines_come_back_as_they_were(target):
    for version, lines in [
        ("1.2", [b"empty:", b"spaces: a  b ", b" name : v", b"umlaut:\xc3\xbc\xe2\x98\x83", b"\xc3\xbc:name",
                 b"escapes:a\\cb\\nc\\\\d\\re", b"twice:\\\\n", b"na\\cme:v"]),
        ("1.1", [b"empty:", b"spaces: a  b ", b"umlaut:\xc3\xbc", b"escapes:a\\cb\\nc\\\\d"]),
        ("1.0", [b"empty:", b"raw:a:b:c", b"backslash:a\\nb\\tc", b"bytes:\xff\xfe"]),
    ]:
        got = round_trip(target, b"".join(line + b"\n" for line in lines), version)
        for line in lines:
            assert line in got.lines, f"{version}: {line} is not in {got.lines}"


@case("C14")
def a_raw_colon_in_a_value_is_kept(target):
    got = round_trip(target, b"url:http://host:80/\n")
    assert got.headers["url"] == "http://host:80/", got


@case("C7")
def a_cr_is_data_in_1_1(target):
    got = round_trip(target, b"cr:value\r\n", "1.1")
    assert b"cr:value\r" in got.lines, got.lines


@case("C6")
def crlf_is_a_line_end_in_1_2(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        client.send(f"SEND\r\ndestination:{destination}\r\na:b\r\nreceipt:r\r\n\r\nbody\r\n\0\r\n".encode())
        assert client.expect("RECEIPT").headers["receipt-id"] == "r"
        target.subscribe(client, destination)
        got = client.message()
        assert got.headers["a"] == "b" and got.headers["destination"] == destination and got.body == b"body\r\n", got


@case("C17")
def blanks_around_a_destination_do_not_count_in_1_0(target):
    destination = target.queue()
    with Closing(target.connect("1.0")) as client:
        client.send(f"SEND\ndestination: {destination}\nreceipt: r \n\nx\0".encode())
        client.expect("RECEIPT")
    assert target.bodies(destination, 1) == [b"x"]


@case("C18 S4")
def of_repeated_headers_the_first_counts(target):
    first, second = target.queue(), target.queue()
    with Closing(target.connect()) as client:
        client.send(f"SEND\ndestination:{first}\ndestination:{second}\na:1\na:2\nreceipt:r\nreceipt:s\n\nx\0".encode())
        assert client.expect("RECEIPT").headers["receipt-id"] == "r"
        client.expect_quiet()
        target.subscribe(client, first)
        assert client.message().headers["a"] == "1"
    assert target.bodies(second, 0) == []


@case("C34")
def a_message_goes_to_readers_of_every_version(target):
    sent = b"note:a\\cb\\nc\\\\d\\re\n"
    assert b"note:a\\cb\\nc\\\\d\\re" in round_trip(target, sent, "1.2", "1.2").lines
    assert b"note:a\\cb\\nc\\\\d\re" in round_trip(target, sent, "1.2", "1.1").lines
    got = round_trip(target, sent, "1.2", "1.0")
    assert any(line.startswith(b"note:a:b c\\d") for line in got.lines), got.lines
    assert b"note:a\\cb" in round_trip(target, b"note:a:b\n", "1.0", "1.2").lines


@case("C36 C38 C41 C42 C43")
def bodies_come_back_byte_by_byte(target):
    for body in (b"", b"\0", b"\0\0\n\0", bytes(range(256)), b"\n", b"x" * 100_000):
        got = round_trip(target, b"content-type:application/x\n", body=body)
        assert got.body == body and got.headers["content-type"] == "application/x", got
        assert not body or got.headers.get("content-length") == str(len(body)), got
    destination = target.queue()
    with Closing(target.connect()) as client:
        client.send(f"SEND\ndestination:{destination}\nreceipt:r\n\nup to NUL\0".encode())
        client.expect("RECEIPT")
        target.subscribe(client, destination)
        got = client.message()
        assert got.body == b"up to NUL" and "content-type" not in got.headers, got


@case("C39 C45")
def content_length_is_read_on_every_frame(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        client.send(f"SUBSCRIBE\nid:s\ndestination:{destination}\ncontent-length:0\nreceipt:r\n\n\0".encode())
        client.expect("RECEIPT")
    with Closing(target.connect("1.0")) as client:
        # In 1.0 a body is ignored where there should be none.
        client.send(f"SUBSCRIBE\ndestination:{destination}\ncontent-length:3\nreceipt:r\n\n\0\0\0\0".encode())
        client.expect("RECEIPT")


@case("C76")
def a_hundred_headers_come_back(target):
    lines = [b"h%d:v\\c%d" % (n, n) for n in range(100)]
    got = round_trip(target, b"".join(line + b"\n" for line in lines))
    assert [line for line in got.lines if line.startswith(b"h")] == lines, got.lines


@case("C77 C78 S34")
def reserved_headers_of_a_sender_do_not_reach_readers(target):
    got = round_trip(target, b"message-id:mine\nsubscription:yours\nack:a\nredelivered:true\nuser:kept\n")
    assert got.headers["message-id"] != "mine", got
    assert got.headers["subscription"] == "s", got
    assert got.headers.get("redelivered") != "true", got
    assert "receipt" not in got.headers and "transaction" not in got.headers, got
    assert got.headers["user"] == "kept", got
    names = [line.split(b":")[0] for line in got.lines]
    assert len(names) == len(set(names)), f"a header twice: {got.lines}"


@case("C79 C80 C82 C83 C115 S23")
def a_message_says_what_it_must(target):
    destination = f"{target.queue()} \u00fc../..:\\x"
    with Closing(target.connect()) as client:
        client.ask("SUBSCRIBE", {"id": "a:b", "destination": destination, "ack": "client"})
        target.send(client, destination)
        got = client.message()
        assert got.headers["destination"] == destination, got
        assert got.headers["subscription"] == "a:b", got
        for name in ("message-id", "ack"):
            assert got.headers[name].isascii() and all(c.isalnum() or c in "-._~" for c in got.headers[name]), got
    destination = target.queue()
    with Closing(target.connect()) as client:
        target.subscribe(client, destination)
        target.send(client, destination)
        assert "ack" not in client.message().headers
    with Closing(target.connect("1.0")) as client:
        client.send(f"SUBSCRIBE\ndestination:{destination}\nreceipt:r\n\n\0".encode())
        client.expect("RECEIPT")
        target.send(client, destination)
        assert "subscription" not in client.message().headers


@case("C81 C112")
def a_message_id_stays_over_redelivery(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        target.send(client, destination)
        target.subscribe(client, destination, "client")
        first = client.message()
        assert first.headers.get("redelivered") != "true", first
    with Closing(target.connect()) as client:
        target.subscribe(client, destination, "client")
        again = client.message()
        assert again.headers["message-id"] == first.headers["message-id"], (first, again)
        assert again.headers.get("redelivered") == "true", again


@case("C84 C90")
def two_subscriptions_of_one_connection_get_a_topic_twice(target):
    destination = target.topic()
    with Closing(target.connect()) as client, Closing(target.connect()) as other:
        target.subscribe(client, destination, "client-individual", "a")
        target.subscribe(client, destination, "client-individual", "b")
        target.subscribe(other, destination, "auto", "a")
        other.say("SEND", {"destination": destination}, b"x")
        got = [client.message(), client.message()]
        assert {m.headers["subscription"] for m in got} == {"a", "b"}, got
        assert got[0].headers["ack"] != got[1].headers["ack"], got
        assert other.message().headers["subscription"] == "a"


@case("C85")
def a_topic_without_readers_takes_messages(target):
    with Closing(target.connect()) as client:
        target.send(client, target.topic())


@case("C91 C93")
def ack_modes_that_are_missing_or_of_later_versions(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        target.send(client, destination)
        client.ask("SUBSCRIBE", {"id": "s", "destination": destination})
        client.message()
    assert target.bodies(destination, 0) == []
    with Closing(target.connect("1.0")) as client:
        client.ask("SUBSCRIBE", {"destination": destination, "ack": "client-individual"})


@case("C94")
def the_receipt_of_subscribe_comes_before_messages(target):
    for _ in range(20):
        destination = target.queue()
        with Closing(target.connect()) as client:
            for n in range(5):
                client.say("SEND", {"destination": destination}, b"%d" % n)
            target.subscribe(client, destination)  # asserts it
            assert [client.message().body for _ in range(5)] == [b"%d" % n for n in range(5)]


@case("C88 C97")
def unsubscribe_by_destination_in_1_0(target):
    destination = target.queue()
    with Closing(target.connect("1.0")) as client:
        client.send(f"SUBSCRIBE\ndestination:{destination}\nreceipt:1\n\n\0".encode())
        client.expect("RECEIPT")
        client.send(f"UNSUBSCRIBE\ndestination:{destination}\nreceipt:2\n\n\0".encode())
        client.expect("RECEIPT")
        target.send(client, destination, b"later")
        client.expect_quiet()
    assert target.bodies(destination, 1) == [b"later"]


@case("C99")
def nothing_comes_behind_the_receipt_of_unsubscribe(target):
    destination = target.queue()
    with Closing(target.connect()) as reader, Closing(target.connect()) as sender:
        for _ in range(10):
            target.subscribe(reader, destination)
            sender.send(b"".join(wire.frame("SEND", {"destination": destination}, b"x") for _ in range(50)))
            before = reader.ask("UNSUBSCRIBE", {"id": "s"})
            assert all(frame.command == "MESSAGE" for frame in before)
            reader.expect_quiet(0.1)


@case("C100 C101")
def unsubscribe_puts_back_what_was_not_acknowledged(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        for n in range(3):
            target.send(client, destination, b"%d" % n)
        target.subscribe(client, destination, "client-individual")
        got = [client.message() for _ in range(3)]
        client.ask("ACK", {"id": got[0].headers["ack"]})
        client.ask("UNSUBSCRIBE", {"id": "s"})
        client.ask("ACK", {"id": got[1].headers["ack"]})  # late: no error, no effect
        target.subscribe(client, destination, "client-individual")
        again = [client.message() for _ in range(2)]
        assert [m.body for m in again] == [b"1", b"2"], again
        assert all(m.headers.get("redelivered") == "true" for m in again), again
        assert not {m.headers["ack"] for m in again} & {m.headers["ack"] for m in got}, "an ack value was used again"


@case("S29")
def a_reply_queue_belongs_to_its_connection(target):
    with Closing(target.connect()) as asker, Closing(target.connect()) as server, Closing(target.connect()) as thief:
        asker.ask("SUBSCRIBE", {"id": "r", "destination": "/temp-queue/replies"})
        service = target.queue()
        target.send(asker, service, b"question", **{"reply-to": "/temp-queue/replies"})
        target.subscribe(server, service)
        reply_to = server.message().headers["reply-to"]
        assert reply_to != "/temp-queue/replies" and len(reply_to) > 20, reply_to
        # The same short name is another queue for another connection; the long one is not for it at all.
        thief.ask("SUBSCRIBE", {"id": "r", "destination": "/temp-queue/replies"})
        thief.say("SUBSCRIBE", {"id": "t", "destination": reply_to})
        expect_error(thief, "temporary")
        target.send(server, reply_to, b"answer")
        assert asker.message().body == b"answer"
        asker.close()
        server.say("SEND", {"destination": reply_to, "receipt": "r"}, b"nobody there")
        got = server.read()
        assert got.command in ("ERROR", "RECEIPT"), got
    with Closing(target.connect()) as client:
        client.say("SEND", {"destination": "/temp-queue/never-made"}, b"x")
        expect_error(client, "temporary")


@case("S23")
def names_are_opaque(target):
    one, other = f"{target.queue()}.caf\u00e9", f"{target.queue()}.CON"
    names = [one, one.replace("\u00e9", "e\u0301"), one.upper().replace("/QUEUE/", "/queue/"), other, other.lower(),
             f"{target.queue()}/../../../tmp/escaped", f"{target.queue()}/.", f"{target.queue()}%2e%2e"]
    for name in names:
        with Closing(target.connect()) as client:
            target.send(client, name, name.encode())
    for name in names:
        assert target.bodies(name, 1) == [name.encode()]
