"""Topics: what else their subscribers can ask for, and what becomes of slow ones."""
from suite import each, test

BIG = b"x" * (16 << 10)  # the buffers of the kernel take some MiB of them
MANY = 1600
# More than what is sent in one go: how far a quick one is behind meanwhile is for its loop to say.
SMALL = ("limits.body_bytes=64 KiB", "topic.subscriber_backlog_bytes=2 MiB")


@each(["no-local", "activemq.noLocal"])
def no_local(lab, header):
    topic = lab.topic()
    reader = lab.consume(topic, {header: "true"})
    plain = lab.consume(topic)
    lab.send(topic, b"own", on=reader)
    lab.send(topic, b"other")
    assert reader.message().body == b"other"
    assert [plain.message().body, plain.message().body] == [b"own", b"other"]


@test()
def no_local_on_a_queue_is_refused(lab):
    lab.refuse("unsupported header", "no-local", "SUBSCRIBE",
               {"destination": lab.queue(), "id": "s", "no-local": "true"})


@test()
def everybody_gets_everything_in_order(lab):
    """On both sides of all loops: whether a subscriber is written to together with others or by itself."""
    topic = lab.topic()
    wishes = [("1.2", "s", "auto"), ("1.2", "s", "auto"), ("1.2", "a:longer id", "auto"), ("1.1", "s", "auto"),
              ("1.0", "s", "auto"), ("1.2", "s", "client")] * 2
    readers = [lab.consume(topic, ack=ack, sub=sub, on=lab.connect(version)) for version, sub, ack in wishes]
    bodies = [b"%d " % n + b"x" * (n * 37 % 3000) for n in range(200)]
    lab.fill(topic, bodies, {"k": "v"})
    for reader, (version, sub, ack) in zip(readers, wishes):
        got = [reader.message() for _ in bodies]
        assert [frame.body for frame in got] == bodies, (version, sub)
        assert {(frame.headers["subscription"], frame.headers["k"]) for frame in got} == {(sub, "v")}, (version, sub)
        assert len({frame.headers["message-id"] for frame in got}) == len(bodies)


def flood(lab, topic, count=MANY):
    """A subscriber that reads nothing meanwhile, beside one that reads all; how many the slow one gets then."""
    slow, quick = lab.consume(topic, ack="auto"), lab.consume(topic, ack="auto")
    took = 0
    for start in range(0, count, 100):
        lab.fill(topic, [b"%06d" % n + BIG for n in range(start, start + 100)])
        for _ in range(100):
            assert int(quick.message().body[:6]) == took
            took += 1
    return slow


def numbers_until_quiet(reader):
    got = []
    while True:
        try:
            frame = reader.read(0.5)
        except Exception as problem:
            return got, type(problem).__name__
        if frame.command == "ERROR":
            return got, frame.headers["message"]
        got.append(int(frame.body[:6]))


@test(own=SMALL)
def slow_ones_are_disconnected(lab):
    got, end = numbers_until_quiet(flood(lab, lab.topic()))
    assert end == "slow consumer" and got == list(range(len(got))) and len(got) < MANY, (end, len(got))


@test(own=SMALL, topic={"slow_subscriber": "drop-oldest"})
def slow_ones_lose_the_oldest(lab):
    topic = lab.topic()
    slow = flood(lab, topic)
    got, end = numbers_until_quiet(slow)
    assert end == "Timeout", end
    assert got[-1] == MANY - 1 and len(got) < MANY and got == sorted(got), (len(got), got[-1])
    lab.send(topic, b"%06d" % MANY)
    assert int(slow.message().body) == MANY, "it goes on"
    dropped(lab, topic, MANY - len(got))


@test(own=SMALL, topic={"slow_subscriber": "drop-newest"})
def slow_ones_lose_the_newest(lab):
    topic = lab.topic()
    slow = flood(lab, topic)
    got, end = numbers_until_quiet(slow)
    assert end == "Timeout", end
    assert got[-1] < MANY - 1 and got == list(range(len(got))), (len(got), got[-1])
    lab.send(topic, b"%06d" % MANY)
    assert int(slow.message().body) == MANY, "it goes on"
    dropped(lab, topic, MANY - len(got))


def dropped(lab, topic, count):
    listed = lab.ctl("topic", "list")
    view = next(one for one in listed["topics"] if "/topic/" + one["name"] == topic)
    assert view["dropped_total"] == count, (view, count)
