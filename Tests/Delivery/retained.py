"""Retained messages: the last value of a topic comes first to whoever subscribes."""
from suite import test

SET, REMOVE = {"retain": "set"}, {"retain": "remove"}


@test(crash=True)
def comes_first(lab):
    topic = lab.topic()
    lab.send(topic, b"old", SET)
    lab.send(topic, b"value", {**SET, "colour": "red"})
    lab.send(topic, b"passing")
    lab.middle()
    reader = lab.consume(topic)
    got = reader.message()
    assert got.body == b"value" and got.headers["retained"] == "true" and got.headers["colour"] == "red", got
    assert "retain" not in got.headers and got.headers["destination"] == topic
    reader.expect_quiet()
    lab.send(topic, b"next", SET)
    live = reader.message()
    assert live.body == b"next" and "retained" not in live.headers, live


@test(crash=True)
def removed(lab):
    topic = lab.topic()
    here = None if lab.test.crashes else lab.consume(topic)
    lab.send(topic, b"value", SET)
    assert lab.consume(topic).message().body == b"value"
    lab.send(topic, b"bye", REMOVE)
    lab.middle()
    lab.consume(topic).expect_quiet()
    if here:
        assert [here.message().body, here.message().body] == [b"value", b"bye"]


@test(crash=True)
def of_all_that_match(lab):
    for name in ("b", "a", "c.d"):
        lab.send(lab.topic(f"prices.{name}"), name.encode(), SET)
    lab.send(lab.topic("news"), b"no", SET)
    lab.middle()
    reader = lab.consume(lab.topic("prices.>"))
    assert [reader.message().body for _ in range(3)] == [b"a", b"b", b"c.d"]
    reader.expect_quiet()
    one = lab.consume(lab.topic("prices.*"))
    assert [one.message().body, one.message().body] == [b"a", b"b"]
    one.expect_quiet()


@test()
def may_be_declined(lab):
    topic = lab.topic()
    lab.send(topic, b"value", SET)
    assert lab.consume(topic).message().body == b"value"
    reader = lab.consume(topic, {"retained": "false"})
    reader.expect_quiet()
    lab.send(topic, b"new")
    assert reader.message().body == b"new"


@test(crash=True)
def for_a_durable_subscription(lab):
    topic, name = lab.topic(), lab.durable()
    lab.send(topic, b"value", SET)
    lab.consume(topic, {"durable": "true"}, sub=name, ack="client").close()
    lab.middle()
    reader = lab.consume(topic, {"durable": "true"}, sub=name)
    message = reader.message()
    assert message.body == b"value"
    reader.ask("ACK", {"id": message.headers["ack"]})
    reader.close()
    # Only when it is made, not at each attachment.
    lab.consume(topic, {"durable": "true"}, sub=name).expect_quiet()


@test()
def with_a_selector(lab):
    lab.send(lab.topic("a"), b"a", {**SET, "colour": "red"})
    lab.send(lab.topic("b"), b"b", {**SET, "colour": "blue"})
    reader = lab.consume(lab.topic("*"), {"selector": "colour = 'blue'"})
    assert reader.message().body == b"b"
    reader.expect_quiet()


@test(crash=True)
def in_a_transaction(lab):
    topic = lab.topic()
    sender = lab.connect()
    for end in ("COMMIT", "ABORT"):
        sender.ask("BEGIN", {"transaction": "t"})
        sender.ask("SEND", {"destination": topic, "transaction": "t", **SET}, end.encode())
        sender.ask(end, {"transaction": "t"})
    lab.middle()
    reader = lab.consume(topic)
    assert reader.message().body == b"COMMIT"


@test()
def not_on_a_queue(lab):
    lab.refuse("unsupported header", ["retain", "topics"], "SEND", {"destination": lab.queue(), **SET})


@test()
def bad_value(lab):
    lab.refuse("bad header value", ["retain", "always"], "SEND", {"destination": lab.topic(), "retain": "always"})
