"""Expiry: a message whose time is over is not delivered; it is dropped, or becomes a dead letter."""
import time

from suite import each, now_ms, test

BRIEF = 400  # milliseconds
LASTING = 2000  # for what must be done with it before its time is over


def passes(milliseconds=BRIEF):
    time.sleep((milliseconds + 150) / 1000)


RELATIVE, ABSOLUTE = ["ttl", "expiration"], ["expires", "JMSExpiration"]


@each(RELATIVE + ABSOLUTE, crash=True)
def alias(lab, header):
    queue = lab.queue()
    base = 0 if header in RELATIVE else now_ms()
    lab.send(queue, b"brief", {header: base + BRIEF})
    lab.send(queue, b"long", {header: base + 60_000})
    lab.send(queue, b"for ever")
    lab.middle()
    passes()
    assert lab.bodies(queue, 2) == [b"long", b"for ever"]


@test()
def delivered_before(lab):
    queue = lab.queue()
    lab.send(queue, b"in time", {"ttl": 30_000})
    got = lab.take(queue, 1)[0]
    left = int(got.headers["expires"]) - now_ms()
    assert 0 < left <= 30_100, f"expires in {left} ms"


@test()
def the_earlier_one_counts(lab):
    queue = lab.queue()
    lab.send(queue, b"brief ttl", {"ttl": BRIEF, "expires": now_ms() + 60_000})
    lab.send(queue, b"brief expires", {"ttl": 60_000, "expires": now_ms() + BRIEF})
    lab.send(queue, b"long", {"ttl": 60_000, "expires": now_ms() + 60_000})
    passes()
    assert lab.bodies(queue, 1) == [b"long"]


@test()
def nothing_is_for_ever(lab):
    queue = lab.queue()
    lab.send(queue, b"a", {"ttl": 0})
    lab.send(queue, b"b", {"expires": 0})
    passes(100)
    assert lab.bodies(queue, 2) == [b"a", b"b"]


@test()
def passed_already(lab):
    queue = lab.queue()
    lab.send(queue, b"late", {"expires": now_ms() - 1000})
    lab.send(queue, b"good")
    assert lab.bodies(queue, 1) == [b"good"]


@test(crash=True, settings={"time_to_live_ms": BRIEF})
def by_setting(lab):
    queue = lab.queue()
    lab.send(queue, b"whatever", {"ttl": 60_000})
    lab.send(queue, b"it says")
    lab.middle()
    passes()
    lab.send(queue, b"new")
    assert lab.bodies(queue, 1) == [b"new"]


@test(crash=True, settings={"expired": "dead-letter"})
def dead_letter(lab):
    queue = lab.queue()
    lab.send(queue, b"brief", {"ttl": BRIEF, "colour": "red"})
    lab.send(queue, b"long", {"ttl": 60_000})
    lab.middle()
    passes()
    assert lab.bodies(queue, 1) == [b"long"]
    dead = lab.consume(queue + ".dlq", ack="auto").message()
    assert dead.body == b"brief" and dead.headers["dead-letter-reason"] == "expired", dead
    assert dead.headers["original-destination"] == queue and dead.headers["colour"] == "red", dead


@test()
def dropped_without_a_consumer(lab):
    queue = lab.queue()
    lab.send(queue, b"brief", {"ttl": BRIEF})
    lab.send(queue, b"brief too", {"ttl": BRIEF})
    lab.wait_until(lambda: lab.show(queue)["messages"] == 0)


@test()
def while_held_it_stays(lab):
    """A consumer that has it may finish its work; only when it comes back is its time over."""
    queue = lab.queue()
    reader = lab.consume(queue)
    lab.send(queue, b"held", {"ttl": LASTING})
    held = reader.message()
    passes(LASTING)
    assert reader.ask("ACK", {"id": held.headers["ack"]}) == []
    lab.send(queue, b"left", {"ttl": LASTING})
    reader.message()
    passes(LASTING)
    reader.close()
    assert lab.bodies(queue, 0) == []


@test()
def on_a_topic(lab):
    """A subscriber that is there gets it; a durable one that comes later does not."""
    topic, name = lab.topic(), lab.durable()
    durable = {"durable": "true", "auto-delete": "false"}
    away = lab.consume(topic, durable, sub=name)
    away.close()
    here = lab.consume(topic)
    lab.send(topic, b"brief", {"ttl": BRIEF})
    assert here.message().body == b"brief"
    passes()
    lab.send(topic, b"new")
    assert lab.consume(topic, durable, sub=name).message().body == b"new"


@test()
def contradiction(lab):
    lab.refuse("contradictory headers", ["ttl:1000", "expiration:2000"], "SEND",
               {"destination": lab.queue(), "ttl": 1000, "expiration": 2000})


@test()
def contradictory_ends(lab):
    lab.refuse("contradictory headers", ["expires", "JMSExpiration"], "SEND",
               {"destination": lab.queue(), "expires": now_ms() + 1000, "JMSExpiration": now_ms() + 2000})


@each(["soon", "-5", "1.5"])
def bad_value(lab, value):
    lab.refuse("bad header value", ["ttl", value], "SEND", {"destination": lab.queue(), "ttl": value})
