"""Pausing: an operator stops delivering from a queue, or taking messages for it, and resumes it."""
from suite import test


@test(crash=True)
def delivery(lab):
    queue = lab.queue()
    lab.send(queue, b"1")
    lab.ctl("queue", "pause", queue, "--delivery")
    reader = lab.consume(queue)
    reader.expect_quiet()
    lab.send(queue, b"2")
    lab.middle()
    if lab.test.crashes:
        reader = lab.consume(queue)
    reader.expect_quiet()
    shown = lab.show(queue)
    assert shown["delivery_paused"] and not shown["sending_paused"] and shown["ready"] == 2, shown
    lab.ctl("queue", "resume", queue)
    assert [reader.message().body, reader.message().body] == [b"1", b"2"]


@test(crash=True)
def sending(lab):
    queue = lab.queue()
    lab.send(queue, b"1")
    lab.ctl("queue", "pause", queue, "--sending")
    lab.middle()
    lab.refuse("queue is paused", queue, "SEND", {"destination": queue}, b"2")
    sender = lab.connect()
    sender.ask("BEGIN", {"transaction": "t"})
    sender.say("SEND", {"destination": queue, "transaction": "t"}, b"2")
    sender.say("COMMIT", {"transaction": "t", "receipt": "c"})
    assert sender.expect("ERROR").headers["message"] == "queue is paused"
    assert lab.bodies(queue, 1) == [b"1"], "delivering goes on"
    lab.ctl("queue", "resume", queue, "--sending")
    lab.send(queue, b"3")
    assert lab.bodies(queue, 1) == [b"3"]


@test()
def what_is_held_may_be_acknowledged(lab):
    queue = lab.queue()
    lab.fill(queue, [b"1", b"2"])
    reader = lab.consume(queue, {"prefetch-count": 1})
    message = reader.message()
    lab.ctl("queue", "pause", queue)
    assert reader.ask("ACK", {"id": message.headers["ack"]}) == []
    reader.expect_quiet()
    lab.ctl("queue", "resume", queue)
    assert reader.message().body == b"2"


@test()
def priorities_and_delays_pause_too(lab):
    queue = lab.queue()
    lab.send(queue, b"low", {"priority": 1})
    lab.ctl("queue", "pause", queue, "--delivery")
    lab.send(queue, b"urgent", {"priority": 9})
    lab.send(queue, b"later", {"delay": 100})
    lab.send(queue, b"group", {"message-group": "g"})
    reader = lab.consume(queue)
    reader.expect_quiet(0.6)
    lab.ctl("queue", "resume", queue)
    assert reader.message().body == b"urgent"
    assert sorted(reader.message().body for _ in range(3)) == [b"group", b"later", b"low"]
