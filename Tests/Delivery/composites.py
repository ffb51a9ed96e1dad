"""Composite destinations: one SEND to several places, to all or to none."""
from suite import test


@test(crash=True)
def each_gets_it(lab):
    a, b, topic = lab.queue("a"), lab.queue("b"), lab.topic()
    listener = None if lab.test.crashes else lab.consume(topic)
    lab.send(f"{a},{b},{topic}", b"x", {"colour": "red"})
    lab.middle()
    for queue in (a, b):
        got = lab.take(queue, 1)[0]
        assert got.body == b"x" and got.headers["destination"] == queue and got.headers["colour"] == "red", got
    if listener:
        assert listener.message().headers["destination"] == topic


@test(crash=True)
def in_a_transaction(lab):
    a, b = lab.queue("a"), lab.queue("b")
    sender = lab.connect()
    for end in ("ABORT", "COMMIT"):
        sender.ask("BEGIN", {"transaction": "t"})
        sender.ask("SEND", {"destination": f"{a},{b}", "transaction": "t"}, end.encode())
        sender.ask(end, {"transaction": "t"})
    lab.middle()
    assert lab.bodies(a, 1) == [b"COMMIT"] and lab.bodies(b, 1) == [b"COMMIT"]


@test(crash=True)
def all_or_none(lab):
    a = lab.queue("a")
    lab.refuse("wildcard in SEND destination", [], "SEND", {"destination": f"{a},{lab.topic('*')}"}, b"half")
    lab.middle()
    assert lab.bodies(a, 0) == []


@test(settings={"length_most": 1})
def one_that_is_full_refuses_all(lab):
    a, b = lab.queue("a"), lab.queue("b")
    lab.send(b, b"full")
    lab.refuse("queue full", [], "SEND", {"destination": f"{a},{b}"}, b"half")
    assert lab.bodies(a, 0) == [] and lab.bodies(b, 1) == [b"full"]


@test()
def twice_is_once(lab):
    a = lab.queue("a")
    lab.send(f"{a},{a}", b"x")
    assert lab.bodies(a, 1) == [b"x"]


@test()
def a_comma_may_be_in_a_name(lab):
    queue = lab.queue("a,b")
    lab.send(queue, b"x")
    assert lab.bodies(queue, 1) == [b"x"]


@test()
def sixteen_at_most(lab):
    sixteen = [lab.queue(str(n)) for n in range(16)]
    lab.send(",".join(sixteen), b"x")
    assert all(lab.bodies(queue, 1, quiet=0.02) == [b"x"] for queue in sixteen)
    lab.refuse("bad header value", "16", "SEND", {"destination": ",".join([*sixteen, lab.queue("more")])})


@test()
def with_extras(lab):
    a, b = lab.queue("a"), lab.queue("b")
    lab.send(a, b"usual")
    for _ in range(2):
        lab.send(f"{a},{b}", b"urgent", {"priority": 9, "dedup-id": "1"})
    assert lab.bodies(a, 2) == [b"urgent", b"usual"] and lab.bodies(b, 1) == [b"urgent"]
