"""Exclusive consumers: one gets everything, the others stand by for its end."""
from suite import ack, acknowledged, each, number, test

SPELLINGS = ["exclusive", "activemq.exclusive", "x-single-active-consumer"]


@each(SPELLINGS)
def alias(lab, header):
    queue = lab.queue()
    plain = lab.consume(queue, {"prefetch-count": 100})
    sole = lab.consume(queue, {"prefetch-count": 100, header: "true"})
    lab.fill(queue, [b"%d" % n for n in range(20)])
    assert [sole.message().body for _ in range(20)] == [b"%d" % n for n in range(20)]
    plain.expect_quiet(0.2)


@test()
def next_one_takes_over(lab):
    queue = lab.queue()
    first = lab.consume(queue, {"prefetch-count": 3, "exclusive": "true"})
    second = lab.consume(queue, {"prefetch-count": 100, "exclusive": "true"})
    plain = lab.consume(queue, {"prefetch-count": 100})
    lab.fill(queue, [b"%d" % n for n in range(10)])
    held = [first.message() for _ in range(3)]
    first.unread += first.ask("ACK", {"id": held[0].headers["ack"]})
    second.expect_quiet(0.2)
    first.close()
    got = [second.message() for _ in range(9)]
    assert [frame.body for frame in got] == [b"%d" % n for n in range(1, 10)]
    assert [f.headers.get("redelivered") for f in got[:3]] == ["true", "true", "true"]  # 3 followed the ACK
    plain.expect_quiet(0.2)
    second.close()
    assert [plain.message().body for _ in range(9)] == [b"%d" % n for n in range(1, 10)]


@test(crash=True, settings={"exclusive_consumer": "true"})
def by_setting(lab):
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n for n in range(10)])
    lab.middle()
    first = lab.consume(queue, {"prefetch-count": 100})
    second = lab.consume(queue, {"prefetch-count": 100})
    lab.fill(queue, [b"%d" % n for n in range(10, 20)])
    got = [first.message() for _ in range(20)]
    assert [frame.body for frame in got] == [b"%d" % n for n in range(20)]
    second.expect_quiet(0.2)
    for message in got[:15]:
        ack(first, message)
    first.ask("UNSUBSCRIBE", {"id": "s"})
    assert [second.message().body for _ in range(5)] == [b"%d" % n for n in range(15, 20)]


@test()
def contradiction(lab):
    lab.refuse("contradictory headers", ["exclusive:true", "activemq.exclusive:false"], "SUBSCRIBE",
               {"destination": lab.queue(), "id": "s", "exclusive": "true", "activemq.exclusive": "false"})


@test()
def not_with_a_browser(lab):
    lab.refuse("contradictory headers", "browser", "SUBSCRIBE",
               {"destination": lab.queue(), "id": "s", "exclusive": "true", "browser": "true"})


@test()
def not_on_a_topic(lab):
    lab.refuse("unsupported header", "topic", "SUBSCRIBE",
               {"destination": lab.topic(), "id": "s", "exclusive": "true"})


@test(crash=True)
def half_delivered(lab):
    queue, sole = lab.queue(), {"exclusive": "true", "prefetch-count": 7}
    lab.fill(queue, [b"%d" % n for n in range(60)])
    first = lab.consume(queue, sole)
    assert number(acknowledged(first, 30)) == list(range(30))
    lab.middle()
    if not lab.test.crashes:
        first.close()
    second, plain = lab.consume(queue, sole), lab.consume(queue)
    assert number(acknowledged(second, 30)) == list(range(30, 60))
    plain.expect_quiet()
