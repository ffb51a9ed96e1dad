"""Message groups: those of one go to one consumer at a time, in order."""
from suite import QUICK, ack, acknowledged, each, nack, test

SPELLINGS = ["message-group", "JMSXGroupID", "message_group", "_AMQ_GROUP_ID"]


def drain(*readers, seconds=0.3):
    """(reader, frame) of all that comes."""
    got = []
    for reader in readers:
        while True:
            try:
                got.append((reader, reader.message(seconds)))
            except Exception as problem:
                if type(problem).__name__ != "Timeout":
                    raise
                break
    return got


@test(crash=True)
def one_consumer_each(lab):
    queue = lab.queue()
    sent = [(n * n % 31 % 16, n) for n in range(160)]  # no pattern that consumers who take turns could fit
    for group, n in sent[:80]:
        lab.fill(queue, [b"%d %d" % (group, n)], {"message-group": f"g{group}"})
    lab.middle()
    first, second = lab.consume(queue, {"prefetch-count": 1000}), lab.consume(queue, {"prefetch-count": 1000})
    drain(first, second, seconds=0.1)
    for group, n in sent[80:]:
        lab.fill(queue, [b"%d %d" % (group, n)], {"message-group": f"g{group}"})
    # What was delivered and not acknowledged comes again: only the second half is looked at, and the order.
    late = drain(first, second)
    holders = {}
    for reader, frame in late:
        group, n = map(int, frame.body.split())
        if n >= 80:
            holders.setdefault(group, set()).add(reader)
    assert len(holders) > 8 and all(len(readers) == 1 for readers in holders.values()), holders
    for group in holders:
        order = [int(f.body.split()[1]) for _, f in late if int(f.body.split()[0]) == group]
        assert order == sorted(order), (group, order)


@each(SPELLINGS)
def alias(lab, header):
    queue = lab.queue()
    first, second = lab.consume(queue, {"prefetch-count": 1000}), lab.consume(queue, {"prefetch-count": 1000})
    lab.fill(queue, [b"%d" % n for n in range(20)], {header: "one"})
    got = drain(first, second)
    assert [frame.body for _, frame in got] == [b"%d" % n for n in range(20)]
    assert len({reader for reader, _ in got}) == 1, "two consumers got messages of one group"


@test()
def without_one_they_are_shared(lab):
    """What `alias` looks at would be nothing if one consumer got everything anyway."""
    queue = lab.queue()
    first, second = lab.consume(queue, {"prefetch-count": 1000}), lab.consume(queue, {"prefetch-count": 1000})
    lab.fill(queue, [b"%d" % n for n in range(20)])
    assert len({reader for reader, _ in drain(first, second)}) == 2


@test()
def groups_are_spread(lab):
    queue = lab.queue()
    first, second = lab.consume(queue, {"prefetch-count": 1000}), lab.consume(queue, {"prefetch-count": 1000})
    for n in range(40):
        lab.send(queue, b"x", {"message-group": f"g{n}"})
    got = drain(first, second)
    assert len(got) == 40 and len({reader for reader, _ in got}) == 2


@test(crash=True)
def next_holder_goes_on_in_order(lab):
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n for n in range(6)], {"message-group": "g"})
    first = lab.consume(queue, {"prefetch-count": 2})
    taken = first.message()
    first.unread += first.ask("ACK", {"id": taken.headers["ack"]})
    second = lab.consume(queue, {"prefetch-count": 10})
    second.expect_quiet(0.2)  # the first holds the group, whatever the second could take
    if lab.test.crashes:
        lab.middle()
        second = lab.consume(queue, {"prefetch-count": 10})
    else:
        first.close()
    got = [second.message().body for _ in range(5)]
    assert got == [b"1", b"2", b"3", b"4", b"5"], got


@test(settings={"redelivery_delay_ms": 400, "redelivery_jitter_percent": 0})
def one_that_waits_holds_its_group(lab):
    queue = lab.queue()
    reader = lab.consume(queue, {"prefetch-count": 1})
    lab.fill(queue, [b"1", b"2"], {"message-group": "g"})
    lab.send(queue, b"other", {"message-group": "other-group"})
    nack(reader, reader.message())
    got = []
    for _ in range(3):
        message = reader.message()
        got.append(message.body)
        ack(reader, message)
    assert got == [b"other", b"1", b"2"], got


@test(crash=True, settings=QUICK)
def order_survives_refusals(lab):
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n for n in range(10)], {"message-group": "g"})
    reader = lab.consume(queue, {"prefetch-count": 3})
    held = [reader.message() for _ in range(3)]
    nack(reader, held[0])
    nack(reader, held[1])
    nack(reader, held[2])
    lab.middle()
    if not lab.test.crashes:
        reader.close()
    assert lab.bodies(queue, 10) == [b"%d" % n for n in range(10)]


@test()
def empty_is_none(lab):
    queue = lab.queue()
    first, second = lab.consume(queue, {"prefetch-count": 1000}), lab.consume(queue, {"prefetch-count": 1000})
    lab.fill(queue, [b"%d" % n for n in range(10)], {"JMSXGroupID": ""})
    assert len({reader for reader, _ in drain(first, second)}) == 2


@test()
def contradiction(lab):
    lab.refuse("contradictory headers", ["message-group:a", "JMSXGroupID:b"], "SEND",
               {"destination": lab.queue(), "message-group": "a", "JMSXGroupID": "b"})


@test(crash=True)
def half_delivered(lab):
    queue = lab.queue()
    for n in range(60):
        lab.fill(queue, [b"%d" % n], {"message-group": f"g{n % 3}"})
    reader = lab.consume(queue, {"prefetch-count": 5})
    first = [int(frame.body) for frame in acknowledged(reader, 30)]
    lab.middle()
    if not lab.test.crashes:
        reader.close()
    rest = [int(body) for body in lab.bodies(queue, 30)]
    assert sorted(first + rest) == list(range(60))
    for group in range(3):
        assert [n for n in first + rest if n % 3 == group] == list(range(group, 60, 3))
