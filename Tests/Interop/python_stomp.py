#!/usr/bin/env python3
"""stomp.py (PyPI) against the broker, in STOMP 1.0, 1.1 and 1.2.

python_stomp.py HOST PORT: prints `ok NAME` or `not ok NAME: why` for each case, `done` at the end.
"""
import os
import queue
import sys
import uuid

import stomp

HOST, PORT = sys.argv[1], int(sys.argv[2])
VIRTUAL_HOST = os.environ.get("INTEROP_HOST")
PATIENCE = 10.0  # seconds for something that must come
QUIET = 0.4  # seconds in which nothing may come
CLASSES = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}


class Client(stomp.ConnectionListener):
    """One connection; what comes is put in queues, by kind."""

    def __init__(self, version):
        self.version = version
        self.messages, self.receipts, self.errors = queue.Queue(), queue.Queue(), queue.Queue()
        # Without INTEROP_HOST the library says `host:127.0.0.1` in 1.2, as it does for everybody.
        host = {"vhost": VIRTUAL_HOST} if VIRTUAL_HOST and version != "1.0" else {}
        self.conn = CLASSES[version]([(HOST, PORT)], auto_decode=False, reconnect_attempts_max=1, **host)
        self.conn.set_listener("test", self)
        self.conn.connect("guest", "guest", wait=True)

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.errors.put(frame)

    def receipt(self, wanted):
        got = self.receipts.get(timeout=PATIENCE)
        assert got == wanted, f"receipt {got!r} instead of {wanted!r}"

    def send(self, destination, body, **headers):
        rid = str(uuid.uuid4())
        self.conn.send(destination, body, headers={**headers, "receipt": rid})
        self.receipt(rid)

    def subscribe(self, destination, sub="1", ack="auto"):
        rid = str(uuid.uuid4())
        self.conn.subscribe(destination, sub, ack, headers={"receipt": rid})
        self.receipt(rid)

    def take(self):
        try:
            return self.messages.get(timeout=PATIENCE)
        except queue.Empty:
            error = self.errors.get_nowait() if not self.errors.empty() else None
            raise AssertionError(f"no message came; {error}") from None

    def nothing_more(self):
        try:
            frame = self.messages.get(timeout=QUIET)
        except queue.Empty:
            return
        raise AssertionError(f"a message too many: {frame.body!r}")

    def settle(self, frame, word="ack", transaction=None):
        """ACK or NACK, with a receipt where the client can."""
        rid = str(uuid.uuid4())
        verb = getattr(self.conn, word)
        if self.version == "1.2":
            verb(frame.headers["ack"], transaction=transaction, receipt=rid)
        elif self.version == "1.1":
            verb(frame.headers["message-id"], "1", transaction=transaction, receipt=rid)
        else:
            verb(frame.headers["message-id"], transaction=transaction, receipt=rid)
        self.receipt(rid)

    def bye(self):
        rid = str(uuid.uuid4())
        self.conn.disconnect(receipt=rid)


def fresh(kind="queue"):
    return f"/{kind}/interop.{uuid.uuid4().hex}"


def connects(version):
    client = Client(version)
    assert client.conn.is_connected()
    rid = "bye-" + version
    client.conn.disconnect(receipt=rid)
    client.receipt(rid)


def keeps_bytes(version):
    client, dest = Client(version), fresh()
    bodies = [b"plain", "gr\u00fc\u00dfe \u2603 \U0001f600".encode(), bytes(range(256)), b"", b"\n\n", b"x" * 300_000]
    for body in bodies:
        client.send(dest, body)
    client.subscribe(dest)
    for body in bodies:
        got = client.take().body
        got = got if isinstance(got, bytes) else got.encode()
        assert got == body, f"{got[:40]!r} instead of {body[:40]!r}"
    client.bye()


def text_with_umlauts(version):
    client, dest = Client(version), fresh()
    client.send(dest, "gr\u00fc\u00dfe \u2603")  # a str: the library counts and encodes
    client.subscribe(dest)
    assert client.take().body == "gr\u00fc\u00dfe \u2603".encode()
    client.bye()


def keeps_headers(version):
    client, dest = Client(version), fresh()
    wanted = {"plain": "value", "umlaut": "\u00fc\u2603", "spaces": " a  b " if version != "1.0" else "a  b"}
    if version != "1.0":
        wanted.update(colon="a:b::c", backslash="a\\b\\\\n", newline="a\nb")
    client.send(dest, b"x", **wanted)
    client.subscribe(dest)
    headers = client.take().headers
    for name, value in wanted.items():
        assert headers.get(name) == value, f"{name}: {headers.get(name)!r} instead of {value!r}"
    assert headers["destination"] == dest, headers["destination"]
    client.bye()


def acknowledges_one_by_one(version):
    client, dest = Client(version), fresh()
    for n in range(3):
        client.send(dest, b"%d" % n)
    client.subscribe(dest, ack="client-individual")
    frames = [client.take() for _ in range(3)]
    client.settle(frames[1])
    client.bye()
    client = Client(version)
    client.subscribe(dest, ack="auto")
    assert [client.take().body for _ in range(2)] == [b"0", b"2"]
    client.nothing_more()
    client.bye()


def acknowledges_all_up_to(version):
    client, dest = Client(version), fresh()
    for n in range(4):
        client.send(dest, b"%d" % n)
    client.subscribe(dest, ack="client")
    frames = [client.take() for _ in range(4)]
    client.settle(frames[2])
    client.bye()
    client = Client(version)
    client.subscribe(dest, ack="auto")
    frame = client.take()
    assert frame.body == b"3", frame.body
    assert frame.headers.get("redelivered") == "true", f"not marked redelivered: {frame.headers}"
    client.nothing_more()
    client.bye()


def nack_brings_it_back(version):
    client, dest = Client(version), fresh()
    client.send(dest, b"again")
    client.subscribe(dest, ack="client-individual")
    client.settle(client.take(), "nack")
    frame = client.take()
    assert frame.body == b"again"
    assert frame.headers.get("redelivered") == "true", f"not marked redelivered: {frame.headers}"
    client.settle(frame)
    client.nothing_more()
    client.bye()


def commit_makes_it_visible(version):
    client, dest, reader = Client(version), fresh(), Client(version)
    reader.subscribe(dest, ack="auto")
    tx = client.conn.begin()
    for n in range(3):
        client.conn.send(dest, b"%d" % n, transaction=tx)
    reader.nothing_more()
    client.conn.commit(tx, receipt="committed")
    client.receipt("committed")
    assert [reader.take().body for _ in range(3)] == [b"0", b"1", b"2"]
    client.bye()
    reader.bye()


def abort_makes_it_vanish(version):
    client, dest = Client(version), fresh()
    client.subscribe(dest, ack="auto")
    tx = client.conn.begin()
    client.conn.send(dest, b"never", transaction=tx)
    client.conn.abort(tx, receipt="aborted")
    client.receipt("aborted")
    client.nothing_more()
    client.bye()


def acks_in_transactions(version):
    client, dest = Client(version), fresh()
    for n in range(2):
        client.send(dest, b"%d" % n)
    client.subscribe(dest, ack="client-individual")
    frames = [client.take() for _ in range(2)]
    tx = client.conn.begin()
    if version == "1.2":
        client.conn.ack(frames[0].headers["ack"], transaction=tx)
    elif version == "1.1":
        client.conn.ack(frames[0].headers["message-id"], "1", transaction=tx)
    else:
        client.conn.ack(frames[0].headers["message-id"], transaction=tx)
    client.conn.abort(tx, receipt="aborted")
    client.receipt("aborted")
    client.settle(frames[0])  # the abort made it unacknowledged again
    tx = client.conn.begin()
    if version == "1.2":
        client.conn.ack(frames[1].headers["ack"], transaction=tx)
    elif version == "1.1":
        client.conn.ack(frames[1].headers["message-id"], "1", transaction=tx)
    else:
        client.conn.ack(frames[1].headers["message-id"], transaction=tx)
    client.conn.commit(tx, receipt="committed")
    client.receipt("committed")
    client.bye()
    client = Client(version)
    client.subscribe(dest)
    client.nothing_more()
    client.bye()


def publishes_to_topics(version):
    readers, dest = [Client(version), Client(version)], fresh("topic")
    for reader in readers:
        reader.subscribe(dest)
    client = Client(version)
    client.send(dest, b"to all")
    for reader in readers:
        assert reader.take().body == b"to all"
        reader.nothing_more()
        reader.bye()
    client.bye()


def unsubscribes(version):
    client, dest = Client(version), fresh()
    client.subscribe(dest)
    client.conn.unsubscribe(**({"destination": dest, "id": "1"} if version == "1.0" else {"id": "1"}), receipt="gone")
    client.receipt("gone")
    client.send(dest, b"later")
    client.nothing_more()
    client.subscribe(dest)
    assert client.take().body == b"later"
    client.bye()


CASES = [
    connects, keeps_bytes, text_with_umlauts, keeps_headers, acknowledges_one_by_one, acknowledges_all_up_to,
    nack_brings_it_back, commit_makes_it_visible, abort_makes_it_vanish, acks_in_transactions, publishes_to_topics,
    unsubscribes,
]


def main():
    for version in CLASSES:
        for case in CASES:
            if version == "1.0" and case is nack_brings_it_back:
                continue  # STOMP 1.0 has no NACK
            name = f"{case.__name__} in {version}"
            try:
                case(version)
                print("ok", name, flush=True)
            except Exception as error:  # the report is the point: one case must not hide the others
                print(f"not ok {name}: {type(error).__name__}: {error}", flush=True)
    print("done", flush=True)


main()
