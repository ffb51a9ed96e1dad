"""Whether queues come by being named, and go when nobody uses them."""
import time

from suite import test

MADE = {"auto_create": "false"}


@test(crash=True, settings=MADE)
def must_be_made(lab):
    queue = lab.queue()
    lab.refuse("no such queue", "queue create", "SEND", {"destination": queue})
    lab.refuse("no such queue", "queue create", "SUBSCRIBE", {"destination": queue, "id": "s"})
    assert lab.ctl("queue", "show", queue, ok=False) == 4
    lab.ctl("queue", "create", queue)
    lab.middle()
    lab.send(queue, b"x")
    assert lab.bodies(queue, 1) == [b"x"]


@test(settings=MADE)
def in_a_transaction(lab):
    sender = lab.connect()
    sender.ask("BEGIN", {"transaction": "t"})
    lab.refuse("no such queue", [], "SEND", {"destination": lab.queue(), "transaction": "t"}, on=sender)


@test(settings={"auto_delete_seconds": 1})
def idle_ones_go(lab):
    empty, full, used = lab.queue("empty"), lab.queue("full"), lab.queue("used")
    for queue in (empty, full, used):
        lab.send(queue, b"x")
    lab.take(empty, 1)
    lab.take(used, 1)
    lab.consume(used)
    lab.wait_until(lambda: lab.ctl("queue", "show", empty, ok=False) == 4)
    time.sleep(1)
    assert lab.show(full)["messages"] == 1 and lab.show(used)["consumers"] == 1
    lab.send(empty, b"comes again")
    assert lab.bodies(empty, 1) == [b"comes again"]


@test(crash=True)
def others_stay(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    lab.take(queue, 1)
    lab.middle()
    time.sleep(1.2)
    assert lab.show(queue)["messages"] == 0
