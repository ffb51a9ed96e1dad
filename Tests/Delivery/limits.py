"""Limits of a queue: how much it holds, and what happens when it is full."""
import threading
import time

from suite import ack, acknowledged, test

FULL = {"length_most": 3}
BODY = b"x" * 1000


@test(crash=True, settings=FULL)
def length_reject(lab):
    queue = lab.queue()
    lab.fill(queue, [b"1", b"2", b"3"])
    lab.middle()
    lab.refuse("queue full", "length_most 3", "SEND", {"destination": queue}, b"4")
    reader = lab.consume(queue)
    first = reader.message()
    lab.refuse("queue full", [], "SEND", {"destination": queue}, b"held ones count")
    reader.unread += reader.ask("ACK", {"id": first.headers["ack"]})
    lab.send(queue, b"5")
    reader.close()
    assert lab.bodies(queue, 3) == [b"2", b"3", b"5"]
    assert lab.show(queue)["rejected_total"] == 2


@test(crash=True, settings={"bytes_most": 4000})
def bytes_reject(lab):
    queue = lab.queue()
    lab.fill(queue, [BODY] * 3)
    lab.middle()
    lab.refuse("queue full", "bytes_most 4000", "SEND", {"destination": queue}, BODY)
    assert len(lab.bodies(queue, 3)) == 3
    lab.send(queue, BODY)


@test(crash=True, settings={**FULL, "overflow": "drop-head"})
def length_drop_head(lab):
    queue = lab.queue()
    lab.fill(queue, [b"1", b"2", b"3", b"4"])
    lab.middle()
    lab.fill(queue, [b"5", b"6"])
    lab.wait_until(lambda: lab.show(queue)["messages"] <= 3)
    assert lab.bodies(queue, 3) == [b"4", b"5", b"6"]


@test(settings={"bytes_most": 4000, "overflow": "drop-head"})
def bytes_drop_head(lab):
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n + BODY for n in range(10)])
    assert [body[:1] for body in lab.bodies(queue, 3)] == [b"7", b"8", b"9"]
    assert lab.show(queue)["dropped_total"] == 7


@test(settings={**FULL, "overflow": "drop-head"})
def drops_the_lowest_rank_first(lab):
    queue = lab.queue()
    lab.send(queue, b"urgent", {"priority": 9})
    lab.send(queue, b"low", {"priority": 1})
    lab.fill(queue, [b"1", b"2", b"3"])
    assert lab.bodies(queue, 3) == [b"urgent", b"2", b"3"]


def overfill(lab, queue):
    """A sender that is held: what it had sent when the queue was full is taken, what it sends then is not read."""
    lab.fill(queue, [b"1", b"2", b"3"])
    held = lab.connect()
    held.ask("SEND", {"destination": queue}, b"4")
    held.say("SEND", {"destination": queue, "receipt": "5"}, b"5")
    return held


@test(settings={**FULL, "overflow": "block", "block_seconds": 20})
def length_block(lab):
    """The sender is held, without an ERROR, until there is room; others are not."""
    queue = lab.queue()
    held = overfill(lab, queue)
    held.expect_quiet(0.5)
    lab.send(lab.queue("other"), b"others go on")
    reader = lab.consume(queue, {"prefetch-count": 2})
    for _ in range(2):
        ack(reader, reader.message())
    assert held.expect("RECEIPT").headers["receipt-id"] == "5"
    reader.close()
    assert lab.bodies(queue, 3) == [b"3", b"4", b"5"]


@test(settings={**FULL, "overflow": "block", "block_seconds": 1})
def block_ends_in_an_error(lab):
    queue = lab.queue()
    began = time.monotonic()
    got = overfill(lab, queue).expect("ERROR")
    assert got.headers["message"] == "queue full" and got.headers["receipt-id"] == "5", got
    assert 0.9 <= time.monotonic() - began < 5
    assert lab.bodies(queue, 4) == [b"1", b"2", b"3", b"4"]


@test(settings=FULL)
def transactions_are_refused_whole(lab):
    queue, other = lab.queue(), lab.queue("other")
    lab.fill(queue, [b"1", b"2", b"3"])
    sender = lab.connect()
    sender.ask("BEGIN", {"transaction": "t"})
    sender.ask("SEND", {"destination": other, "transaction": "t"}, b"x")
    sender.say("SEND", {"destination": queue, "transaction": "t"}, b"x")
    sender.say("COMMIT", {"transaction": "t", "receipt": "c"})
    assert sender.expect("ERROR").headers["message"] == "queue full"
    assert lab.show(queue)["messages"] == 3
    assert lab.ctl("queue", "show", other, ok=False) == 4 or lab.show(other)["messages"] == 0


@test(settings=FULL)
def duplicates_are_confirmed_when_full(lab):
    queue = lab.queue()
    lab.send(queue, b"1", {"dedup-id": "1"})
    lab.fill(queue, [b"2", b"3"])
    lab.send(queue, b"1", {"dedup-id": "1"})
    lab.refuse("queue full", [], "SEND", {"destination": queue, "dedup-id": "2"}, b"4")


@test(settings={"length_most": 200})
def never_more_than_the_limit(lab):
    """Many senders at once: as many are confirmed as fit."""
    queue = lab.queue()
    confirmed = []

    def send():
        connection = lab.connect()
        for n in range(100):
            try:
                connection.ask("SEND", {"destination": queue}, b"x")
            except Exception:
                return
            confirmed.append(n)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(confirmed) == 200, len(confirmed)
    assert lab.show(queue)["messages"] == 200


@test(crash=True, settings={"length_most": 100})
def half_delivered(lab):
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n for n in range(100)])
    acknowledged(lab.consume(queue), 50)
    lab.middle()
    lab.fill(queue, [b"%d" % n for n in range(100, 150)])
    lab.refuse("queue full", [], "SEND", {"destination": queue}, b"one more")
