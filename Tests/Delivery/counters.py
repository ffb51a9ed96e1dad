"""Counters: what `brokerctl queue show` says of all that happens to messages."""
import time

from suite import ack, nack, test

BACK_OFF = {"redelivery_delay_ms": 60_000, "redelivery_jitter_percent": 0}


@test(crash=True, settings=BACK_OFF)
def where_messages_are(lab):
    """Each is in one of four places; the numbers are right after a restart too."""
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n for n in range(5)])
    lab.send(queue, b"later", {"delay": 600_000})
    lab.send(queue, b"urgent", {"priority": 9})
    reader = lab.consume(queue, {"prefetch-count": 3})
    held = [reader.message() for _ in range(3)]
    nack(reader, held[0])
    reader.message()
    lab.middle()
    shown = lab.show(queue)
    assert shown["messages"] == 7 and shown["delayed"] == 1 and shown["waiting"] == 1, shown
    assert shown["unacked"] == (0 if lab.test.crashes else 3), shown
    assert shown["ready"] == (5 if lab.test.crashes else 2), shown
    assert shown["bytes"] > 0 and shown["oldest_age_ms"] >= 0, shown


@test(settings={"redelivery_delay_ms": 0, "delivery_limit": 2})
def what_became_of_them(lab):
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n for n in range(4)])
    lab.send(queue, b"brief", {"ttl": 1})
    reader = lab.consume(queue, {"prefetch-count": 1})
    nack(reader, reader.message())
    nack(reader, reader.message())  # the second time: dead
    for _ in range(3):
        ack(reader, reader.message())
    time.sleep(0.1)
    reader.expect_quiet()
    shown = lab.show(queue)
    assert shown["in_total"] == 5 and shown["out_total"] == 5 and shown["redelivered_total"] == 1, shown
    assert shown["dead_lettered_total"] == 1 and shown["expired_total"] == 1 and shown["messages"] == 0, shown


@test()
def oldest_age(lab):
    """As of the broker's last look at its clock: up to a second ago."""
    queue, began = lab.queue(), time.monotonic()
    lab.send(queue, b"x")
    age = lab.wait_until(lambda: (ms := lab.show(queue)["oldest_age_ms"]) >= 1200 and ms)
    assert age <= (time.monotonic() - began) * 1000 + 100, age
    lab.take(queue, 1)
    assert not lab.show(queue).get("oldest_age_ms")


@test()
def rates(lab):
    queue = lab.queue()
    for _ in range(20):
        lab.fill(queue, [b"x"] * 50)
        time.sleep(0.1)
    shown = lab.show(queue)
    assert shown["in_per_second"] > 10 and shown["out_per_second"] == 0, shown


@test(crash=True)
def lanes_are_no_queues(lab):
    """Priorities, groups and delays are parts of their queue: nobody sees others."""
    queue = lab.queue()
    for extra in ({"priority": 9}, {"priority": 0}, {"message-group": "g"}, {"delay": 600_000}):
        lab.send(queue, b"x", extra)
    lab.middle()
    names = [one["name"] for one in lab.ctl("queue", "list", "--name", f"*{lab.test.place}*")["queues"]]
    assert names == [queue.removeprefix("/queue/")], names
    lab.ctl("queue", "delete", queue, "--force")
    lab.send(queue, b"new")
    assert lab.bodies(queue, 1) == [b"new"]


@test(crash=True)
def purge_takes_all(lab):
    queue = lab.queue()
    for extra in ({"priority": 9}, {}, {"message-group": "g"}, {"delay": 600_000}):
        lab.send(queue, b"x", extra)
    lab.ctl("queue", "purge", queue)
    lab.middle()
    assert lab.show(queue)["messages"] == 0


@test(crash=True)
def retry(lab):
    """Dead letters go back to where they came from, and their count begins anew."""
    queue = lab.queue()
    lab.fill(queue, [b"1", b"2"], {"colour": "red"})
    reader = lab.consume(queue)
    for _ in range(2):
        nack(reader, reader.message(), {"requeue": "false"})
    reader.close()
    lab.wait_until(lambda: lab.show(queue + ".dlq")["messages"] == 2)
    lab.middle()
    lab.ctl("queue", "retry", queue + ".dlq", "--limit", "1")
    lab.middle()
    got = lab.take(queue, 1)[0]
    assert got.body == b"1" and got.headers["destination"] == queue and got.headers["colour"] == "red", got
    assert not {"dead-letter-reason", "original-destination", "delivery-count", "redelivered"} & set(got.headers), got
    assert lab.show(queue + ".dlq")["messages"] == 1
