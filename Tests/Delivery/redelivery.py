"""Redelivery: what comes back, when, and what is counted."""
import time

from suite import QUICK, ack, each, nack, test

SLOW = {"redelivery_delay_ms": 400, "redelivery_multiplier_percent": 300, "redelivery_delay_most_ms": 1000,
        "redelivery_jitter_percent": 0}


def counted(message, count):
    assert message.headers.get("redelivered") == ("true" if count > 1 else None), message.headers
    assert message.headers.get("delivery-count") == (str(count) if count > 1 else None), message.headers


@test(crash=True, settings=QUICK)
def nack_counts(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.consume(queue)
    for count in (1, 2, 3):
        message = reader.message()
        counted(message, count)
        nack(reader, message)
    lab.middle()
    counted((lab.consume(queue) if lab.test.crashes else reader).message(), 4)


@test(crash=True)
def disconnect_counts(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    for count in (1, 2):
        reader = lab.consume(queue)
        counted(reader.message(), count)
        reader.ask("DISCONNECT")
    lab.on_disk()
    lab.middle()
    counted(lab.consume(queue).message(), 3)


@test(crash=True)
def a_lost_connection_counts(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.consume(queue)
    counted(reader.message(), 1)
    reader.reset()
    lab.given_back(queue)
    reader = lab.consume(queue)
    counted(reader.message(), 2)
    reader.ask("UNSUBSCRIBE", {"id": "s"})
    lab.on_disk()
    lab.middle()
    counted(lab.consume(queue).message(), 3)


@test(crash=True)
def unsubscribe_counts(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.connect()
    for count in (1, 2, 3):
        lab.consume(queue, on=reader, sub=str(count))
        counted(reader.message(), count)
        reader.ask("UNSUBSCRIBE", {"id": str(count)})
    lab.on_disk()
    lab.middle()
    counted(lab.consume(queue).message(), 4)


@test()
def who_was_cut_off_waits_for_nothing(lab):
    """The wait is for what was refused (1 s by default), not for what a consumer lost with its connection."""
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.consume(queue)
    reader.message()
    began = time.monotonic()
    reader.close()
    counted(lab.consume(queue).message(), 2)
    assert time.monotonic() - began < 0.7


@test()
def waits_a_second_by_default(lab):
    queue = lab.queue()
    lab.fill(queue, [b"x", b"next"])
    reader = lab.consume(queue, {"prefetch-count": 1})
    message = reader.message()
    began = time.monotonic()
    nack(reader, message)
    behind = reader.message()
    assert behind.body == b"next", "those behind must not wait"
    ack(reader, behind)
    counted(reader.message(), 2)
    assert time.monotonic() - began >= 0.85  # a fifth is left to chance, half of it below


@test(settings=SLOW)
def waits_grow(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.consume(queue)
    message = reader.message()
    waits = []
    for count in (2, 3, 4):
        began = time.monotonic()
        nack(reader, message)
        message = reader.message()
        counted(message, count)
        waits.append(time.monotonic() - began)
    # 0.4 s, then three times as long, which is cut to the most of 1 s.
    assert 0.38 <= waits[0] < 0.9 and 0.95 <= waits[1] and 0.95 <= waits[2], waits


@test(crash=True, settings=SLOW)
def nack_may_say_how_long(lab):
    queue = lab.queue()
    lab.fill(queue, [b"long", b"at once"])
    reader = lab.consume(queue)
    long, short = reader.message(), reader.message()
    began = time.monotonic()
    nack(reader, long, {"delay": 1500})
    nack(reader, short, {"delay": 0})
    lab.middle()
    if lab.test.crashes:
        reader = lab.consume(queue)
    else:
        assert time.monotonic() - began < 1
    got = [reader.message(), reader.message()]
    assert [m.body for m in got] == [b"at once", b"long"]
    assert time.monotonic() - began >= 1.45
    counted(got[1], 2)


@test(settings=QUICK)
def nack_delay_of_1_1(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.consume(queue, on=lab.connect("1.1"))
    message = reader.message()
    began = time.monotonic()
    reader.ask("NACK", {"message-id": message.headers["message-id"], "subscription": "s", "delay": 500})
    counted(reader.message(), 2)
    assert time.monotonic() - began >= 0.45


@test(settings=QUICK)
def nack_delay_in_a_transaction(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.consume(queue)
    message = reader.message()
    reader.ask("BEGIN", {"transaction": "t"})
    reader.ask("NACK", {"id": message.headers["ack"], "transaction": "t", "delay": 500})
    reader.expect_quiet(0.2)
    began = time.monotonic()
    assert reader.ask("COMMIT", {"transaction": "t"}) == []
    counted(reader.message(), 2)
    assert time.monotonic() - began >= 0.45


@test(settings=QUICK)
def requeue_true_is_a_plain_nack(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.consume(queue)
    nack(reader, reader.message(), {"requeue": "true"})
    counted(reader.message(), 2)


@each(["never", "-1", "2592000001"])
def bad_delay(lab, value):
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.consume(queue)
    message = reader.message()
    lab.refuse("bad header value", ["delay", value], "NACK", {"id": message.headers["ack"], "delay": value}, on=reader)
