"""Networks that cut off, go silent, trickle, lose and delay (faults 46 to 52)."""
import ctypes
import json
import os
import subprocess
import threading
import time

import brokerd
import wire
from load import Sender, subscribed, take
from proxy import Proxy
from suite import SMALL, LeftOut, case, need, need_root, wait_until


def proxied(lab, broker):
    proxy = Proxy(broker.port, lab.random)
    lab.undo.append(proxy.close)
    return proxy


def connections(broker):
    """Connections that the broker's side has open."""
    port = f"{broker.port:04X}"
    with open("/proc/net/tcp") as table:
        return sum(line.split()[1].endswith(":" + port) and line.split()[3] == "01" for line in table)


def session(number):
    """A conversation in one piece: two messages by themselves, two in a transaction, one taken."""
    queue = f"/queue/s{number}"
    return b"".join([
        b"CONNECT\naccept-version:1.2\nhost:x\n\n\0",
        wire.frame("SEND", {"destination": queue, "receipt": "one"}, b"one"),
        wire.frame("BEGIN", {"transaction": "t"}),
        wire.frame("SEND", {"destination": queue, "transaction": "t"}, b"two"),
        wire.frame("SEND", {"destination": queue, "transaction": "t"}, b"three"),
        wire.frame("COMMIT", {"transaction": "t", "receipt": "two three"}),
        wire.frame("SEND", {"destination": queue, "receipt": "four"}, b"four"),
    ])


@case(46)
def reset_at_each_byte_of_a_session(lab):
    broker = lab.started(SMALL)
    length, cuts = len(session(1000)), 0
    for direction in ("up", "down"):
        most = length if direction == "up" else 300
        for at in range(1, most, 1 if lab.is_long else 9):
            cut_session(lab, broker, direction, at, number=1000 + cuts)
            cuts += 1
    wait_until(lambda: connections(broker) == 0, what="all connections to be closed")
    shown = lab.ctl(broker, "status")[1]
    assert " 0 subscriptions" in shown, shown
    lab.note(f"{cuts} cuts")


def cut_session(lab, broker, direction, at, number):
    proxy = Proxy(broker.port, lab.random)
    (proxy.up if direction == "up" else proxy.down).reset_after = at
    client = wire.Connection(proxy.port, login=False, patience=2)
    receipts = []
    try:
        client.send(session(number))
        while len(receipts) < 3:
            frame = client.read()
            if frame.command == "RECEIPT":
                receipts.append(frame.headers["receipt-id"])
    except (wire.Closed, OSError):
        pass
    client.close()
    proxy.close()
    # The broker has dealt with all that came before the end when it has closed its side.
    wait_until(lambda: connections(broker) == 0, what="the connection to be closed")
    bodies = broker.take_all(f"s{number}")
    told = f"cut {direction} after {at}: {bodies}, receipts {receipts}"
    assert bodies in ([], [b"one"], [b"one", b"two", b"three"], [b"one", b"two", b"three", b"four"]), told
    for receipt in receipts:
        assert all(word.encode() in bodies for word in receipt.split()), told


def held(lab, broker, queue):
    code, said = lab.ctl(broker, "queue", "show", queue, "--json")
    assert code == 0, said
    return json.loads(said)["unacked"]


@case(46, 47)
def a_consumer_that_is_cut_off_with_messages_in_hand(lab):
    """They go to the next at once, in order, each counted once; also what it held in an open transaction."""
    broker = lab.started(SMALL)
    sender = Sender(broker.port, most=200, window=50).all()
    for turn in range(1, 5):
        reader = subscribed(broker, prefetch=80)
        frames = [reader.message() for _ in range(80)]
        if turn % 2:
            reader.say("BEGIN", {"transaction": "t"})
            for frame in frames[:10]:
                reader.say("ACK", {"id": frame.headers["ack"], "transaction": "t"})
            reader.say("SEND", {"destination": "/queue/q", "transaction": "t"}, b"never")
        reader.reset()
        # Of a connection that is cut the broker hears in its own time; until then the next would get what comes behind.
        wait_until(lambda: held(lab, broker, "q") == 0, what="the end of the connection")
        other = subscribed(broker, prefetch=200)
        got = [other.message() for _ in range(200)]
        names = [int(frame.body.split(b"\n")[0][2:]) for frame in got]
        assert names == list(range(200)), f"turn {turn}: out of order: {names}"
        again = [frame.headers.get("redelivered") == "true" for frame in got]
        # ACK in a transaction makes room in the prefetch: ten more were on their way.
        wrong = [n for n, marked in enumerate(again) if marked != (n < 80 or turn > 1) and n not in range(80, 90)]
        assert not wrong, f"turn {turn}: wrongly marked: {wrong}"
        counts = [int(frame.headers.get("delivery-count", "1")) for frame in got[:80]]
        assert len(set(counts)) == 1, f"turn {turn}: counted differently: {set(counts)}"
        # It goes politely, without having taken anything.
        other.ask("UNSUBSCRIBE", {"id": "1"})
        other.close()
    assert sender.confirmed == 200


@case(48)
def a_client_in_a_black_hole(lab):
    """Nothing comes from it and nobody says so: after twice its heart-beat it is given up, and what it held goes on."""
    broker = lab.started(SMALL)
    proxy = proxied(lab, broker)
    broker.connect().ask("SEND", {"destination": "/queue/q"}, b"held")
    lost = wire.Connection(proxy.port, headers={"heart-beat": "400,400"})
    lost.say("SUBSCRIBE", {"id": "1", "destination": "/queue/q", "ack": "client-individual"})
    assert lost.message().body == b"held"
    proxy.up.is_black = proxy.down.is_black = True
    began = time.monotonic()
    other = subscribed(broker)
    frame = other.message(20)
    assert frame.body == b"held" and frame.headers.get("redelivered") == "true", frame
    lab.note(f"given up after {time.monotonic() - began:.1f} s with a heart-beat of 0.4 s")
    broker.wait_for_log("heart-beat")
    wait_until(lambda: connections(broker) <= 2, what="the connection to be closed")


@case(49)
def consumers_that_read_a_byte_at_a_time(lab):
    broker = lab.started(SMALL)
    proxy = proxied(lab, broker)
    proxy.down.bytes_per_second = 20
    feeder = Sender(broker.port, queue="slow", size=60_000, most=200, window=20).all()
    before = brokerd.resident_kib(broker.own_pid)
    slow = []
    for number in range(10):
        client = wire.Connection(proxy.port, login=False)
        client.send(b"CONNECT\naccept-version:1.2\nhost:x\n\n\0" + wire.frame(
            "SUBSCRIBE", {"id": "1", "destination": "/queue/slow", "ack": "client-individual"}))
        slow.append(client)
    quick = Sender(broker.port, queue="quick", most=500, window=10)
    reader = subscribed(broker, "quick", prefetch=100)
    take(reader, 500, with_receipts=False)
    quick.all()
    assert quick.confirmed == 500, quick.end
    grown = brokerd.resident_kib(broker.own_pid) - before
    lab.note(f"memory grew by {grown // 1024} MiB for ten of them")
    assert grown < 64 << 10, f"{grown} KiB"
    assert feeder.confirmed == 200


@case(50)
def producers_that_send_a_byte_at_a_time(lab):
    """Half frames cost what was sent of them, and for a bounded time."""
    broker = lab.started([*SMALL, "limits.frame_seconds=2"])
    proxy = proxied(lab, broker)
    before = brokerd.resident_kib(broker.own_pid)
    clients = []
    for number in range(20):
        client = wire.Connection(proxy.port)
        client.send(b"SEND\ndestination:/queue/q\ncontent-length:120000\n\n" + b"x" * 15_000)
        clients.append(client)
    proxy.up.bytes_per_second = 50
    for client in clients:
        client.send(b"y" * 200)
    grown = brokerd.resident_kib(broker.own_pid) - before
    assert grown < 16 << 10, f"{grown} KiB for 20 half frames of 15 kB"
    for client in clients:
        assert client.expect("ERROR", 15).headers["message"]
    wait_until(lambda: connections(broker) == 0, what="all of them to be closed")
    lab.note(f"memory grew by {grown} KiB for 20")


@case(51)
def delay_and_jitter(lab):
    broker = lab.started(SMALL)
    proxy = proxied(lab, broker)
    for line in (proxy.up, proxy.down):
        line.delay, line.jitter = 0.1, 0.1
    sender = wire.Connection(proxy.port, patience=30)
    reader = wire.Connection(proxy.port, patience=30)
    reader.say("SUBSCRIBE", {"id": "1", "destination": "/queue/q", "ack": "client-individual"})
    for number in range(5):
        sender.ask("SEND", {"destination": "/queue/q"}, b"%d" % number)
    for number in range(5):
        frame = reader.message()
        assert frame.body == b"%d" % number and frame.headers.get("redelivered") != "true"
        reader.unread += reader.ask("ACK", {"id": frame.headers["ack"]})


class Namespace:
    """A network of its own with nothing but a loopback, for the broker and for one thread of ours."""

    def __init__(self, lab):
        need_root("a network namespace")
        need("ip", "iproute2")
        self.name = f"faults-{os.getpid()}"
        done = subprocess.run(["ip", "netns", "add", self.name], capture_output=True, text=True)
        if done.returncode:
            raise LeftOut(f"network namespaces are refused: {done.stderr.strip()}")
        lab.undo.append(lambda: subprocess.run(["ip", "netns", "delete", self.name]))
        self.under = ["ip", "netns", "exec", self.name]
        subprocess.run([*self.under, "ip", "link", "set", "lo", "up"], check=True)

    def rules(self, text):
        need("nft", "nftables")
        done = subprocess.run([*self.under, "nft", "-f", "-"], input=text, capture_output=True, text=True)
        if done.returncode:
            raise LeftOut(f"nft refuses: {done.stderr.strip()}")

    def inside(self, work):
        """Runs `work` in a thread that lives there; raises what it raised."""
        problems = []

        def body():
            try:
                with open(f"/run/netns/{self.name}") as file:
                    if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0x40000000):
                        raise OSError(ctypes.get_errno(), "setns")
                work()
            except Exception as problem:  # told to who waits
                problems.append(problem)

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        thread.join(120)
        assert not thread.is_alive(), "it hangs"
        if problems:
            raise problems[0]


@case(51)
def a_fifth_of_all_packets_is_lost(lab):
    place = Namespace(lab)
    broker = lab.started(SMALL, under=place.under)
    place.rules("table inet lossy {\nchain out {\ntype filter hook output priority 0;\n"
                "numgen random mod 100 < 20 drop\n}\n}\n")

    def talk():
        sender = broker.connect(patience=60)
        reader = subscribed(broker, patience=60)
        for number in range(30):
            sender.ask("SEND", {"destination": "/queue/q"}, b"%d" % number + b"x" * 5000)
        for number in range(30):
            frame = reader.message()
            assert frame.body.startswith(b"%dx" % number) and frame.headers.get("redelivered") != "true", frame
            reader.unread += reader.ask("ACK", {"id": frame.headers["ack"]})

    place.inside(talk)
    place.rules("flush ruleset\n")
    broker.kill()
    broker.start()
    assert broker.messages_at_start() == 0


@case(48, 51)
def a_partition(lab):
    """All packets are dropped: both sides find out by their heart-beats; nothing is lost or there twice."""
    place = Namespace(lab)
    broker = lab.started(SMALL, under=place.under)

    def talk():
        sender = broker.connect()
        for number in range(20):
            sender.ask("SEND", {"destination": "/queue/q"}, b"%d" % number)
        reader = subscribed(broker, headers={"heart-beat": "300,300"})
        assert [reader.message().body for _ in range(10)] == [b"%d" % n for n in range(10)]
        place.rules("table inet cut {\nchain out {\ntype filter hook output priority 0;\ntcp dport %d drop\n"
                    "tcp sport %d drop\n}\n}\n" % (broker.port, broker.port))
        broker.wait_for_log("heart-beat")
        place.rules("flush ruleset\n")
        again = subscribed(broker, prefetch=100)
        frames = [again.message() for _ in range(20)]
        assert [frame.body for frame in frames] == [b"%d" % n for n in range(20)], [f.body for f in frames]
        assert frames[0].headers.get("redelivered") == "true"

    place.inside(talk)


@case(52)
def cut_off_during_a_commit(lab):
    """Whether the RECEIPT was lost or the COMMIT: sent again with the same ids, all of it is there once."""
    broker = lab.started(SMALL)
    outcomes = []
    for turn in range(40 if lab.is_long else 12):
        proxy = Proxy(broker.port, lab.random)
        client = wire.Connection(proxy.port, patience=1)
        # At some byte of COMMIT, or of its answer.
        if turn % 2:
            proxy.down.is_black = True
        raw = transaction(turn)
        proxy.up.reset_after = proxy.up.passed + lab.random.randint(len(raw) - 60, len(raw)) if turn % 3 else None
        try:
            client.send(raw)
            client.expect("RECEIPT", 0.3)
            outcomes.append("told")
        except (wire.Timeout, wire.Closed, OSError):
            outcomes.append("cut off")
        client.close()
        proxy.close()
        again = broker.connect()
        again.send(transaction(turn))
        again.expect("RECEIPT")
        again.close()
        for queue in ("a", "b"):
            found = broker.take_all(f"{queue}{turn}")
            assert found == [b"first", b"second"], f"turn {turn}, {outcomes[-1]}: {found} in {queue}{turn}"
    assert "cut off" in outcomes, outcomes
    lab.note(f"{outcomes.count('cut off')} cut off, {outcomes.count('told')} told")


def transaction(turn):
    frames = [wire.frame("BEGIN", {"transaction": "t"})]
    for body in ("first", "second"):
        for queue in ("a", "b"):
            frames.append(wire.frame("SEND", {"destination": f"/queue/{queue}{turn}", "transaction": "t",
                                              "dedup-id": f"{turn}/{queue}/{body}"}, body.encode()))
    frames.append(wire.frame("COMMIT", {"transaction": "t", "receipt": "c"}))
    return b"".join(frames)
