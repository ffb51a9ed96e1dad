"""Duplicates: a second message with a dedup-id is confirmed and not stored."""
import time

from suite import each, test


@test(crash=True)
def stored_once(lab):
    queue = lab.queue()
    lab.send(queue, b"first", {"dedup-id": "order-1"})
    lab.middle()
    lab.send(queue, b"again", {"dedup-id": "order-1"})
    lab.send(queue, b"other", {"dedup-id": "order-2"})
    assert lab.bodies(queue, 2) == [b"first", b"other"]


@each(["dedup-id", "_AMQ_DUPL_ID", "Nats-Msg-Id"], crash=True)
def alias(lab, header):
    queue = lab.queue()
    lab.send(queue, b"first", {header: "a"})
    lab.middle()
    lab.send(queue, b"again", {header: "a"})
    lab.send(queue, b"other", {header: "b"})
    lab.send(queue, b"ours", {"dedup-id": "b"})  # all names are for one thing
    assert lab.bodies(queue, 2) == [b"first", b"other"]


@test()
def without_one_all_are_stored(lab):
    queue = lab.queue()
    lab.send(queue, b"1")
    lab.send(queue, b"1")
    assert lab.bodies(queue, 2) == [b"1", b"1"]


@test()
def each_queue_for_itself(lab):
    lab.send(lab.queue("a"), b"a", {"dedup-id": "1"})
    lab.send(lab.queue("b"), b"b", {"dedup-id": "1"})
    assert lab.bodies(lab.queue("a"), 1) == [b"a"] and lab.bodies(lab.queue("b"), 1) == [b"b"]


@test(crash=True)
def also_when_consumed(lab):
    queue = lab.queue()
    lab.send(queue, b"first", {"dedup-id": "1"})
    assert lab.bodies(queue, 1) == [b"first"]
    lab.middle()
    lab.send(queue, b"again", {"dedup-id": "1"})
    assert lab.bodies(queue, 0) == []


@test(crash=True)
def priority_and_delay_make_no_difference(lab):
    queue = lab.queue()
    lab.send(queue, b"first", {"dedup-id": "1", "priority": 9})
    lab.middle()
    lab.send(queue, b"again", {"dedup-id": "1", "delay": 100})
    lab.send(queue, b"again", {"dedup-id": "1", "message-group": "g"})
    time.sleep(0.3)
    assert lab.bodies(queue, 1) == [b"first"]


@test(crash=True)
def in_transactions(lab):
    queue = lab.queue()
    sender = lab.connect()

    def transaction(end, *sends):
        sender.ask("BEGIN", {"transaction": "t"})
        for identity, body in sends:
            sender.ask("SEND", {"destination": queue, "transaction": "t", "dedup-id": identity}, body)
        sender.ask(end, {"transaction": "t"})

    transaction("ABORT", ("1", b"undone"))
    transaction("COMMIT", ("1", b"first"), ("1", b"twice in one"), ("2", b"second"))
    lab.middle()
    if lab.test.crashes:
        sender = lab.connect()
    transaction("COMMIT", ("2", b"again"), ("3", b"third"))
    assert lab.bodies(queue, 3) == [b"first", b"second", b"third"]


@test(crash=True, settings={"dedup_count": 3})
def count_is_a_limit(lab):
    queue = lab.queue()
    for n in (1, 2, 3, 4):
        lab.send(queue, b"%d" % n, {"dedup-id": n})
    lab.middle()
    lab.send(queue, b"forgotten", {"dedup-id": 1})
    lab.send(queue, b"again", {"dedup-id": 4})
    assert lab.bodies(queue, 5) == [b"1", b"2", b"3", b"4", b"forgotten"]


@test(settings={"dedup_seconds": 1})
def time_is_a_limit(lab):
    queue = lab.queue()
    lab.send(queue, b"1", {"dedup-id": 1})
    lab.send(queue, b"again", {"dedup-id": 1})
    time.sleep(2.3)  # up to a second longer
    lab.send(queue, b"later", {"dedup-id": 1})
    assert lab.bodies(queue, 2) == [b"1", b"later"]


@test(settings={"dedup_seconds": 0})
def may_be_switched_off(lab):
    queue = lab.queue()
    lab.send(queue, b"1", {"dedup-id": 1})
    lab.send(queue, b"1", {"dedup-id": 1})
    assert lab.bodies(queue, 2) == [b"1", b"1"]


@test(crash=True)
def for_durable_subscriptions(lab):
    topic, name = lab.topic(), lab.durable()
    durable = {"durable": "true", "auto-delete": "false"}
    lab.consume(topic, durable, sub=name).close()
    here = None if lab.test.crashes else lab.consume(topic)
    lab.send(topic, b"first", {"dedup-id": 1})
    lab.middle()
    lab.send(topic, b"again", {"dedup-id": 1})
    reader = lab.consume(topic, durable, sub=name)
    assert reader.message().body == b"first"
    reader.expect_quiet(0.2)
    if here:
        assert [here.message().body, here.message().body] == [b"first", b"again"]


@test()
def counted(lab):
    queue = lab.queue()
    for _ in range(4):
        lab.send(queue, b"1", {"dedup-id": 1})
    shown = lab.show(queue)
    assert shown["messages"] == 1 and shown["duplicates_total"] == 3, shown


@test()
def empty_is_refused(lab):
    lab.refuse("bad header value", "dedup-id", "SEND", {"destination": lab.queue(), "dedup-id": ""})


@test()
def contradiction(lab):
    lab.refuse("contradictory headers", ["dedup-id:1", "_AMQ_DUPL_ID:2"], "SEND",
               {"destination": lab.queue(), "dedup-id": "1", "_AMQ_DUPL_ID": "2"})
