"""Priority: 0 to 9, 4 if nothing is said; the highest first, within one the oldest."""
from suite import QUICK, ack, acknowledged, each, nack, number, test


@test(crash=True)
def higher_first(lab):
    queue = lab.queue()
    priorities = [4, 0, 9, 4, 7, 1, 9, 3, 8, 5, 2, 6, 0]
    for n, priority in enumerate(priorities):
        lab.send(queue, b"%d" % n, {"priority": priority})
    lab.middle()
    got = number(lab.take(queue, len(priorities)))
    assert got == sorted(range(len(priorities)), key=lambda n: (-priorities[n], n)), got


@test()
def none_is_4(lab):
    queue = lab.queue()
    lab.send(queue, b"three", {"priority": 3})
    lab.send(queue, b"none")
    lab.send(queue, b"four", {"priority": 4})
    lab.send(queue, b"five", {"priority": 5})
    assert lab.bodies(queue, 4) == [b"five", b"none", b"four", b"three"]


@each(["priority", "JMSPriority"])
def alias(lab, header):
    queue = lab.queue()
    lab.send(queue, b"usual")
    lab.send(queue, b"urgent", {header: 9})
    assert lab.bodies(queue, 2) == [b"urgent", b"usual"]


@test(crash=True)
def overtakes_a_backlog(lab):
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n for n in range(3000)])
    reader = lab.consume(queue, {"prefetch-count": 1})
    first = reader.message()
    assert first.body == b"0"
    ack(reader, first)
    held = reader.message()
    lab.send(queue, b"urgent", {"priority": 9})
    lab.middle()
    if lab.test.crashes:
        # The ACK of 0 may be lost with the broker, the urgent one not.
        assert lab.consume(queue, {"prefetch-count": 1}).message().body == b"urgent"
        return
    ack(reader, held)
    assert reader.message().body == b"urgent"


@test(settings=QUICK)
def refused_keeps_its_rank(lab):
    queue = lab.queue()
    lab.send(queue, b"usual")
    lab.send(queue, b"urgent", {"priority": 8})
    reader = lab.consume(queue, {"prefetch-count": 1})
    urgent = reader.message()
    lab.send(queue, b"second", {"priority": 8})
    nack(reader, urgent)
    got = [urgent.body]
    for _ in range(3):
        message = reader.message()
        got.append(message.body)
        ack(reader, message)
    assert got == [b"urgent", b"urgent", b"second", b"usual"], got


@test(crash=True)
def in_a_transaction(lab):
    queue = lab.queue()
    sender = lab.connect()
    sender.say("BEGIN", {"transaction": "t"})
    for priority in (1, 9, 5):
        sender.say("SEND", {"destination": queue, "transaction": "t", "priority": priority}, b"%d" % priority)
    sender.ask("COMMIT", {"transaction": "t"})
    lab.middle()
    assert number(lab.take(queue, 3)) == [9, 5, 1]


@test()
def equal_spellings_are_one(lab):
    queue = lab.queue()
    lab.send(queue, b"usual")
    lab.send(queue, b"urgent", {"priority": 9, "JMSPriority": 9})
    assert lab.bodies(queue, 2) == [b"urgent", b"usual"]


@test()
def contradiction(lab):
    lab.refuse("contradictory headers", ["priority:9", "JMSPriority:2"], "SEND",
               {"destination": lab.queue(), "priority": 9, "JMSPriority": 2})


@each(["10", "-1", "high", "4.5"])
def out_of_range(lab, value):
    lab.refuse("bad header value", ["priority", "0 to 9", value], "SEND",
               {"destination": lab.queue(), "priority": value})


@test()
def header_travels(lab):
    queue = lab.queue()
    lab.send(queue, b"x", {"priority": 7})
    assert lab.take(queue, 1)[0].headers["priority"] == "7"


@test(crash=True)
def half_delivered(lab):
    queue = lab.queue()
    priorities = [n * 7 % 10 for n in range(200)]
    for n, priority in enumerate(priorities):
        lab.fill(queue, [b"%d" % n], {"priority": priority})
    order = sorted(range(200), key=lambda n: (-priorities[n], n))
    reader = lab.consume(queue, {"prefetch-count": 7})
    assert number(acknowledged(reader, 100)) == order[:100]
    lab.middle()
    if not lab.test.crashes:
        reader.ask("DISCONNECT")
    assert number(lab.take(queue, 100)) == order[100:]
