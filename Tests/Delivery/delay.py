"""Delay: a message is not delivered before its time."""
import time

from suite import acknowledged, each, now_ms, number, test

RELATIVE = ["delay", "AMQ_SCHEDULED_DELAY", "x-delay"]
ABSOLUTE = ["deliver-at", "AMQ_SCHEDULED_TIME", "_AMQ_SCHED_DELIVERY"]
SHORT = 900  # milliseconds


def waited(began):
    return (time.monotonic() - began) * 1000


@each(RELATIVE + ABSOLUTE, crash=True)
def alias(lab, header):
    queue = lab.queue()
    began = time.monotonic()
    lab.send(queue, b"later", {header: SHORT + (0 if header in RELATIVE else now_ms())})
    lab.send(queue, b"now")
    lab.middle()
    reader = lab.consume(queue)
    assert reader.message().body == b"now"
    later = reader.message()
    assert later.body == b"later"
    # The clock of the broker may be corrected meanwhile, but not by much.
    assert waited(began) >= SHORT - 60, f"{waited(began):.0f} ms"
    assert not any(line.startswith((header.encode() + b":", b"deliver-at:")) for line in later.lines), later.lines


@test(crash=True)
def shorter_ones_first(lab):
    queue = lab.queue()
    # From one moment on: each send waits for a sync, which may take its time.
    base = now_ms() + 3000
    for n, late in enumerate([1400, 1000, 1200, 600]):
        lab.send(queue, b"%d" % n, {"deliver-at": base + late})
    lab.send(queue, b"4")
    lab.middle()
    reader = lab.consume(queue)
    assert [reader.message().body for _ in range(5)] == [b"4", b"3", b"1", b"2", b"0"]


@test(crash=True)
def far_ones_survive(lab):
    """Due after minutes: another place in the storage than those of the next second."""
    queue = lab.queue()
    for n in range(50):
        lab.send(queue, b"%d" % n, {"delay": 600_000 + n * 60_000})
    lab.middle()
    lab.consume(queue).expect_quiet(0.3)
    shown = lab.show(queue)
    assert (shown["messages"], shown["delayed"], shown["ready"]) == (50, 50, 0), shown


@test(crash=True)
def keeps_its_priority(lab):
    queue = lab.queue()
    due = now_ms() + 2000
    lab.send(queue, b"usual", {"deliver-at": due})
    lab.send(queue, b"urgent", {"delay": 1800, "priority": 9})
    lab.middle()
    early = lab.consume(queue)
    early.expect_quiet(0.1)
    early.close()
    time.sleep(max(0, due - now_ms()) / 1000 + 0.4)
    assert lab.bodies(queue, 2) == [b"urgent", b"usual"]


@test()
def passed_is_now(lab):
    queue = lab.queue()
    lab.send(queue, b"now", {"deliver-at": now_ms() - 5000})
    assert lab.bodies(queue, 1) == [b"now"]


@test(crash=True)
def in_a_transaction(lab):
    queue = lab.queue()
    sender = lab.connect()
    began = time.monotonic()
    sender.say("BEGIN", {"transaction": "t"})
    sender.say("SEND", {"destination": queue, "transaction": "t", "delay": SHORT}, b"later")
    sender.say("SEND", {"destination": queue, "transaction": "t"}, b"now")
    sender.ask("COMMIT", {"transaction": "t"})
    lab.middle()
    reader = lab.consume(queue)
    assert [reader.message().body for _ in range(2)] == [b"now", b"later"]
    assert waited(began) >= SHORT - 60


@test()
def counts_against_life(lab):
    """A message that is dead before it is due is not delivered."""
    queue = lab.queue()
    reader = lab.consume(queue)
    lab.send(queue, b"dead", {"delay": 600, "ttl": 300})
    lab.send(queue, b"good", {"delay": 600, "ttl": 60_000})
    assert reader.message().body == b"good"
    reader.expect_quiet()


@each(["AMQ_SCHEDULED_PERIOD", "AMQ_SCHEDULED_REPEAT", "AMQ_SCHEDULED_CRON"])
def no_repetition(lab, header):
    value = "0 * * * *" if header.endswith("CRON") else "1000"
    lab.refuse("unsupported header", header, "SEND", {"destination": lab.queue(), header: value})


@test()
def contradiction(lab):
    lab.refuse("contradictory headers", ["delay:1000", "AMQ_SCHEDULED_DELAY:2000"], "SEND",
               {"destination": lab.queue(), "delay": 1000, "AMQ_SCHEDULED_DELAY": 2000})


@test()
def two_ways_are_contradictory(lab):
    lab.refuse("contradictory headers", ["delay", "deliver-at"], "SEND",
               {"destination": lab.queue(), "delay": 1000, "deliver-at": now_ms() + 1000})


@each(RELATIVE + ABSOLUTE)
def a_year_at_most(lab, header):
    value = 366 * 86_400_000 + (0 if header in RELATIVE else now_ms())
    lab.refuse("bad header value", header, "SEND", {"destination": lab.queue(), header: value})


@test(crash=True)
def half_delivered(lab):
    queue = lab.queue()
    base = now_ms()
    for n in range(20):
        lab.fill(queue, [b"%d" % n], {"deliver-at": base + (7000 if n % 2 else 2500)})
    reader = lab.consume(queue)
    assert sorted(number(acknowledged(reader, 10))) == list(range(0, 20, 2))
    lab.middle()
    if not lab.test.crashes:
        reader.close()
    reader = lab.consume(queue, ack="auto")
    assert sorted(number(reader.message() for _ in range(10))) == list(range(1, 20, 2))
    reader.expect_quiet()


@test(crash=True)
def on_a_topic(lab):
    """Published when it is due, to whoever listens then."""
    topic, name = lab.topic(), lab.durable()
    lab.consume(topic, {"durable": "true"}, sub=name).close()
    began = time.monotonic()
    lab.send(topic, b"later", {"delay": SHORT})
    lab.send(topic, b"now")
    lab.middle()
    here = lab.consume(topic)
    assert here.message().body == b"later" and waited(began) >= SHORT - 60
    away = lab.consume(topic, {"durable": "true"}, sub=name)
    assert [away.message().body, away.message().body] == [b"now", b"later"]


@test()
def not_with_retain(lab):
    lab.refuse("wishes that contradict each other", ["retain", "delay"], "SEND",
               {"destination": lab.topic(), "delay": 1000, "retain": "set"})


@test(settings={"time_to_live_ms": 600})
def life_in_the_queue_begins_when_it_is_due(lab):
    queue = lab.queue()
    reader = lab.consume(queue)
    lab.send(queue, b"x", {"delay": 1200})
    assert reader.message().body == b"x"
