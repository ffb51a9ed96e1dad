"""Connecting, versions, heart-beats, the end of a connection (C4, C5, C10)."""
import socket
import time

import wire
from suite import Closing, case, expect_error, own_broker, target_of

VERSIONS = [
    ("1.2", "1.2"), ("1.0,1.1,1.2", "1.2"), ("1.2,1.1,1.0", "1.2"), ("1.0,1.1,2.0", "1.1"), ("1.1", "1.1"), ("1.0", "1.0"),
    ("1.0,9.9", "1.0"), ("1.1, 1.2", "1.2"),
]


@case("C49 C50 C52 C55 C56")
def the_highest_common_version_is_chosen(target):
    for accepted, version in VERSIONS:
        with Closing(target.connect(accepted)) as client:
            assert client.connected.headers.get("version") == version, f"{accepted}: {client.connected}"
            assert client.connected.headers.get("session"), client.connected
            assert "/" in client.connected.headers.get("server", "/"), client.connected


@case("C49 C56")
def no_version_means_1_0(target):
    with Closing(target.connect(None)) as client:
        assert client.connected.headers.get("version", "1.0") == "1.0", client.connected
        assert client.connected.headers.get("session"), client.connected
        # 1.0: no escapes in either direction
        destination = target.queue()
        client.send(f"SEND\ndestination:{destination}\na:b\\nc\n\nx\0".encode())
        client.send(f"SUBSCRIBE\ndestination:{destination}\n\n\0".encode())
        got = client.message()
        assert b"a:b\\nc" in got.lines, got.lines


@case("C48")
def stomp_is_as_good_as_connect(target):
    with Closing(target.raw()) as client:
        client.send(b"STOMP\naccept-version:1.2\nhost:h\n\n\0")
        client.expect("CONNECTED")


@case("C8 C4")
def a_connect_with_crlf_and_line_ends_in_front(target):
    with Closing(target.raw()) as client:
        client.send(b"\r\n\n\n\r\nCONNECT\r\naccept-version:1.1,1.2\r\nhost:h\r\n\r\n\0")
        assert client.expect("CONNECTED").headers["version"] == "1.2"


@case("C53")
def a_missing_host_is_the_default_one(target):
    with Closing(target.raw()) as client:
        client.send(b"CONNECT\naccept-version:1.2\n\n\0")
        client.expect("CONNECTED")


@case("C31 C32")
def connect_is_literal(target):
    with Closing(target.raw()) as client:
        client.send(b"CONNECT\naccept-version:1.2\nhost:h\nlogin:a\\tb\npasscode:a\\cb:c\\\n\n\0")
        got = client.expect("CONNECTED")
        assert not any(b"\\" in line for line in got.lines), got.lines


@case("C57")
def connect_gets_no_receipt(target):
    with Closing(target.raw()) as client:
        client.send(b"CONNECT\naccept-version:1.2\nhost:h\nreceipt:no\n\n\0")
        client.expect("CONNECTED")
        client.expect_quiet()


@case("S11 C58")
def a_second_connect_is_fatal(target):
    for word in (b"CONNECT", b"STOMP"):
        with Closing(target.connect()) as client:
            client.send(word + b"\naccept-version:1.2\nhost:h\n\n\0")
            expect_error(client, "connected")


@case("S12 C60")
def nothing_behind_a_refused_connect_is_done(target):
    destination = target.queue()
    with Closing(target.raw()) as client:
        client.send(b"CONNECT\naccept-version:9.9\nhost:h\n\n\0" + f"SEND\ndestination:{destination}\n\nx\0".encode())
        expect_error(client, "version")
    assert target.bodies(destination, 0) == []


@case("C2 C60")
def frames_may_follow_connect_in_one_packet(target):
    destination = target.queue()
    with Closing(target.raw()) as client:
        client.send(b"CONNECT\naccept-version:1.2\nhost:h\n\n\0" + wire.frame("SEND", {"destination": destination, "receipt": "r"}, b"x"))
        client.expect("CONNECTED")
        assert client.expect("RECEIPT").headers["receipt-id"] == "r"
    assert target.bodies(destination, 1) == [b"x"]


@case("S1 C61")
def a_silent_client_is_closed(target):
    with own_broker("limits.login_seconds=1") as broker:
        other = target_of(broker)
        silent, slow = other.raw(), other.raw()
        began = time.monotonic()
        # One byte now and then is no better than none: the time is for the whole CONNECT.
        for byte in b"CONNECT\naccept-version:1.2\n":
            try:
                slow.send(bytes([byte]))
            except OSError:
                break
            if wire.readable(slow.sock, 0.3) or time.monotonic() - began > 8:
                break
        for client in (silent, slow):
            try:
                client.expect("ERROR", 8)
                client.expect_end(5)
            except wire.Closed:
                pass  # without ERROR is good too: it has not said that it speaks STOMP
            client.close()
        other.is_well()


@case("S1 C46")
def a_frame_must_come_to_its_end(target):
    with own_broker("limits.frame_seconds=1") as broker:
        other = target_of(broker)
        with Closing(other.connect()) as client:
            client.send(b"SEND\ndestination:/queue/q\ncontent-length:10\n\nhalf")
            expect_error(client, "time", 10)
        other.is_well()


# client's heart-beat, beats expected from the server within 3 s (at least)
@case("C63 C64 C66 C70")
def the_server_beats_as_it_announced(target):
    with Closing(target.connect(headers={"heart-beat": "0,500"})) as client:
        sends, _ = (int(n) for n in client.connected.headers["heart-beat"].split(","))
        assert 0 < sends <= 10_000, client.connected
        client.expect_quiet(3)
        wanted = 3000 // max(sends, 500) - 1
        assert client.heart_beats >= wanted, f"{client.heart_beats} beats in 3 s, announced {sends}"


@case("C64")
def nobody_beats_who_did_not_agree_to(target):
    for offer in ("0,0", None):
        with Closing(target.connect(headers={"heart-beat": offer} if offer else {})) as client:
            client.expect_quiet(0.2)  # the line feed behind CONNECTED may count as one
            before = client.heart_beats
            client.expect_quiet(1.5)
            assert client.heart_beats == before


@case("C67 C68 S36")
def a_client_that_stops_beating_is_closed(target):
    with Closing(target.connect(headers={"heart-beat": "500,0"})) as client:
        _, wants = (int(n) for n in client.connected.headers["heart-beat"].split(","))
        assert wants > 0, client.connected
        for _ in range(4):  # half a frame proves life as well as a beat does
            client.send(b"\n")
            client.expect_quiet(0.4)
        expect_error(client, "heart", max(500, wants) * 4 / 1000 + 5)


@case("C67")
def bytes_of_a_half_frame_prove_life(target):
    with Closing(target.connect(headers={"heart-beat": "500,0"})) as client:
        client.send(b"SEND\ndestination:/queue/hostile.life\ncontent-length:20\nreceipt:r\n\n")
        for _ in range(10):
            client.send(b"ab")
            try:
                client.expect_quiet(0.25)
            except AssertionError:
                raise AssertionError("closed although bytes came") from None
        client.send(b"\0")
        assert client.expect("RECEIPT").headers["receipt-id"] == "r"


@case("C73 C72 S36")
def odd_heart_beats_do_no_harm(target):
    for value in ("4294967296,4294967296", "1,1", "999999999999,999999999999", "0,18446744073709551615"):
        with Closing(target.raw()) as client:
            client.send(f"CONNECT\naccept-version:1.2\nhost:h\nheart-beat:{value}\n\n\0".encode())
            got = client.read()
            assert got.command in ("CONNECTED", "ERROR"), got
    with Closing(target.connect("1.0", headers={"heart-beat": "nonsense"})) as client:
        assert client.connected.headers["version"] == "1.0"


@case("C3")
def line_ends_between_frames_are_free(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        client.send(b"\n" * 100_000 + b"\r\n" * 1000)
        client.send(b"\n\n".join(wire.frame("SEND", {"destination": destination, "receipt": n}, b"x") for n in range(3)) + b"\n")
        for n in range(3):
            assert client.expect("RECEIPT").headers["receipt-id"] == str(n)


@case("C134 C135")
def disconnect_with_receipt(target):
    with Closing(target.connect()) as client:
        client.say("DISCONNECT", {"receipt": "a:b"})
        assert client.expect("RECEIPT").headers["receipt-id"] == "a:b"
        client.expect_end()
    with Closing(target.connect()) as client:
        client.say("DISCONNECT")
        client.expect_end()


@case("S11 C135")
def frames_behind_disconnect_are_not_done(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        client.send(b"DISCONNECT\nreceipt:bye\n\n\0" + wire.frame("SEND", {"destination": destination}, b"late"))
        client.expect("RECEIPT")
        client.expect_end()
    assert target.bodies(destination, 0) == []


@case("C137 C113")
def what_came_before_a_close_counts(target):
    destination = target.queue()
    client = target.connect()
    client.send(b"".join(wire.frame("SEND", {"destination": destination}, b"%d" % n) for n in range(500)))
    client.close()
    assert target.bodies(destination, 500) == [b"%d" % n for n in range(500)]


@case("C138")
def a_half_close_still_gets_its_receipts(target):
    destination = target.queue()
    with Closing(target.connect()) as client:
        client.send(b"".join(wire.frame("SEND", {"destination": destination, "receipt": n}, b"x") for n in range(200)))
        client.sock.shutdown(socket.SHUT_WR)
        for n in range(200):
            assert client.expect("RECEIPT").headers["receipt-id"] == str(n)
        client.expect_end()


@case("C136")
def an_error_arrives_although_the_client_goes_on_sending(target):
    for _ in range(20):
        with Closing(target.connect()) as client:
            client.send(b"NONSENSE\n\n\0" + b"SEND\ndestination:/queue/x\n\nmore\0" * 2000)
            expect_error(client, "command")


@case("C62 S14")
def connections_may_come_and_go_quickly(target):
    import brokerd
    before = brokerd.open_files(target.pid)
    for _ in range(1500):
        target.raw().close()
    for _ in range(300):
        with Closing(target.connect()) as client:
            client.say("DISCONNECT")
    target.is_well()
    for _ in range(100):  # the last ones may take a moment to be noticed
        if brokerd.open_files(target.pid) <= before + 2:
            return
        target.connect().close()
    raise AssertionError(f"{brokerd.open_files(target.pid)} descriptors, {before} before")


@case("C142")
def a_stop_tells_the_clients(target):
    with own_broker() as broker:
        other = target_of(broker)
        client, destination = other.connect(), other.queue()
        other.send(client, destination, b"kept")
        assert broker.stop() == 0, "exit status"
        try:
            got = client.read()
            assert got.command == "ERROR", got
        except wire.Closed as closed:
            assert not closed.rest
        broker.start()
        assert target_of(broker).bodies(destination, 1) == [b"kept"]
