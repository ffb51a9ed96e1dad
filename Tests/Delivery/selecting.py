"""Selectors: only messages for which the condition holds, from topics, queues and durable subscriptions."""
import time

from suite import QUICK, ack, acknowledged, each, nack, number, test


@test()
def on_a_topic(lab):
    topic = lab.topic()
    reader = lab.consume(topic, {"selector": "country IN ('de', 'at') AND total >= 1000"})
    for country, total in (("de", 999), ("de", 1000), ("fr", 5000), ("at", "1e4"), ("at", "many")):
        lab.send(topic, f"{country} {total}".encode(), {"country": country, "total": total})
    assert [reader.message().body, reader.message().body] == [b"de 1000", b"at 1e4"]
    reader.expect_quiet()


@test(crash=True)
def on_a_queue(lab):
    queue = lab.queue()
    for n in range(40):
        lab.fill(queue, [b"%d" % n], {"n": n, "colour": "red" if n % 4 == 0 else "blue"})
    lab.middle()
    reader = lab.consume(queue, {"selector": "colour = 'red'"})
    got = []
    for _ in range(10):
        message = reader.message()
        got.append(int(message.body))
        reader.unread += reader.ask("ACK", {"id": message.headers["ack"]})
    assert got == list(range(0, 40, 4)), got
    reader.expect_quiet()
    lab.send(queue, b"new", {"colour": "red"})
    assert reader.message().body == b"new"
    reader.close()
    rest = [b"new"] + [b"%d" % n for n in range(40) if n % 4]
    assert sorted(lab.bodies(queue, len(rest))) == sorted(rest)


@test()
def beside_a_plain_consumer(lab):
    """Each message goes to one of them, and what does not match is the plain one's."""
    queue = lab.queue()
    picky = lab.consume(queue, {"selector": "n < 100", "prefetch-count": 1000})
    plain = lab.consume(queue, {"prefetch-count": 1000})
    for n in range(200):
        lab.fill(queue, [b"%d" % n], {"n": n})
    got = {picky: [], plain: []}
    while sum(map(len, got.values())) < 200:
        for reader in got:
            try:
                got[reader].append(int(reader.message(0.5).body))
            except Exception as problem:
                assert type(problem).__name__ == "Timeout", problem
    assert all(n < 100 for n in got[picky]) and got[picky]
    assert sorted(got[picky] + got[plain]) == list(range(200))


@test(crash=True)
def finds_one_in_a_backlog(lab):
    queue = lab.queue()
    lab.fill(queue, [b"no"] * 5000, {"colour": "blue"})
    lab.send(queue, b"yes", {"colour": "red"})
    lab.fill(queue, [b"no"] * 5000, {"colour": "blue"})
    lab.middle()
    reader = lab.consume(queue, {"selector": "colour = 'red'"})
    message = reader.message()
    assert message.body == b"yes"
    reader.ask("ACK", {"id": message.headers["ack"]})
    reader.close()
    assert lab.show(queue)["messages"] == 10_000
    first = lab.consume(queue, {"prefetch-count": 1}).message()
    assert first.body == b"no" and "redelivered" not in first.headers, "what was looked at was not delivered"


@test(settings=QUICK)
def refused_comes_back_to_it(lab):
    queue = lab.queue()
    lab.send(queue, b"no", {"colour": "blue"})
    lab.send(queue, b"yes", {"colour": "red"})
    reader = lab.consume(queue, {"selector": "colour = 'red'"})
    nack(reader, reader.message())
    again = reader.message()
    assert again.body == b"yes" and again.headers["delivery-count"] == "2"
    reader.close()
    other = lab.consume(queue, {"selector": "colour <> 'green'"})
    got = [other.message(), other.message()]
    assert sorted(m.body for m in got) == [b"no", b"yes"]


@test(crash=True)
def with_priorities(lab):
    queue = lab.queue()
    for n, (priority, colour) in enumerate([(4, "red"), (9, "blue"), (8, "red"), (1, "red"), (8, "blue")]):
        lab.send(queue, b"%d" % n, {"priority": priority, "colour": colour})
    lab.middle()
    reader = lab.consume(queue, {"selector": "colour = 'red'"})
    assert [reader.message().body for _ in range(3)] == [b"2", b"0", b"3"]


@test(crash=True)
def with_a_delay(lab):
    queue = lab.queue()
    lab.send(queue, b"later", {"delay": 700, "colour": "red"})
    lab.send(queue, b"no", {"delay": 100, "colour": "blue"})
    lab.middle()
    reader = lab.consume(queue, {"selector": "colour = 'red'"})
    assert reader.message().body == b"later"


@test(crash=True)
def of_a_durable_subscription(lab):
    topic, name = lab.topic(), lab.durable()
    durable = {"durable": "true", "auto-delete": "false", "selector": "colour = 'red'"}
    lab.consume(topic, durable, sub=name).close()
    lab.send(topic, b"yes", {"colour": "red"})
    lab.middle()
    lab.send(topic, b"no", {"colour": "blue"})
    lab.send(topic, b"also", {"colour": "red"})
    reader = lab.consume(topic, durable, sub=name)
    assert [reader.message().body, reader.message().body] == [b"yes", b"also"]
    reader.expect_quiet()


@each(["\"content-type\" LIKE 'text/%'", "hyphenated_props:content-type = 'text/plain'", "JMSPriority > 6",
       "NOT (total < 5 OR total IS NULL)", "total BETWEEN 5 AND 7", "total * 2 = 12", "name = 'it''s'"])
def language(lab, selector):
    queue = lab.queue()
    lab.send(queue, b"no")
    lab.send(queue, b"yes", {"content-type": "text/plain", "priority": 7, "total": 6, "name": "it's"})
    reader = lab.consume(queue, {"selector": selector})
    assert reader.message().body == b"yes"
    reader.expect_quiet()


@each([("colour = ", "10"), ("colour = 'red", "10"), ("(n > 1", "7"), ("n > > 1", "5"), ("n LIKE 5", "8")])
def bad_one_says_where(lab, case):
    selector, column = case
    for destination in (lab.queue(), lab.topic()):
        got = lab.refuse("bad selector", [], "SUBSCRIBE", {"destination": destination, "id": "s", "selector": selector})
        assert column in got.body.decode(), f"{column} is not in {got.body!r}"


@test()
def looks_once(lab):
    """A consumer for which nothing matches does not read the backlog again for each message."""
    queue = lab.queue()
    lab.fill(queue, [b"x" * 100] * 20_000, {"colour": "blue"})
    lab.consume(queue, {"selector": "colour = 'red'"})
    plain = lab.consume(queue, {"prefetch-count": 1000}, ack="client")
    began = time.monotonic()
    for n in range(1, 20_001):
        message = plain.message()
        if n % 500 == 0:
            ack(plain, message)
    assert time.monotonic() - began < 20


@test(crash=True)
def half_delivered(lab):
    queue, red = lab.queue(), {"selector": "colour = 'red'", "prefetch-count": 7}
    for n in range(100):
        lab.fill(queue, [b"%d" % n], {"colour": "red" if n % 2 else "blue"})
    reader = lab.consume(queue, red)
    assert number(acknowledged(reader, 25)) == list(range(1, 50, 2))
    lab.middle()
    if not lab.test.crashes:
        reader.close()
    reader = lab.consume(queue, red)
    assert number(acknowledged(reader, 25)) == list(range(51, 100, 2))
    reader.expect_quiet()
    assert number(lab.take(queue, 50)) == list(range(0, 100, 2))
