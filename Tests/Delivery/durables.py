"""Durable subscriptions: what comes while their consumers are away waits for them, across kill -9."""
from suite import acknowledged, each, number, test

SHARED = {"durable": "true", "auto-delete": "false"}
# What a client of each broker says: headers of CONNECT, of SUBSCRIBE, and of an UNSUBSCRIBE that ends it.
OWNED = ["durable-subscription-name", "durable-subscriber-name", "activemq.subscriptionName"]


def words(lab, spelling):
    if spelling in OWNED:
        return {"client-id": lab.durable("client")}, {spelling: "mine"}, {spelling: "mine"}
    return {}, {spelling: "true"}, {spelling: "true"}


def join(lab, topic, spelling, sub=None):
    login, fields, _ = words(lab, spelling)
    return lab.consume(topic, fields, on=lab.connect(**login), sub=sub or lab.durable())


@each(OWNED + ["durable", "persistent"], crash=True)
def alias(lab, spelling):
    topic = lab.topic()
    reader = join(lab, topic, spelling)
    lab.send(topic, b"1")
    message = reader.message()
    reader.unread += reader.ask("ACK", {"id": message.headers["ack"]})
    reader.ask("DISCONNECT")
    for n in (2, 3, 4):
        lab.send(topic, b"%d" % n)
    lab.middle()
    lab.send(topic, b"5")
    reader = join(lab, topic, spelling)
    got = [reader.message() for _ in range(4)]
    assert [m.body for m in got] == [b"2", b"3", b"4", b"5"], got
    assert got[0].headers["destination"] == topic


@each(OWNED + ["durable", "persistent"], crash=True)
def ended_by_the_same_header(lab, spelling):
    topic, sub = lab.topic(), lab.durable()
    reader = join(lab, topic, spelling)
    reader.ask("DISCONNECT")
    lab.send(topic, b"before")
    reader = join(lab, topic, spelling)
    assert reader.message().body == b"before"
    reader.ask("UNSUBSCRIBE", {"id": sub, **words(lab, spelling)[2]})
    reader.ask("DISCONNECT")
    lab.middle()
    lab.send(topic, b"lost")
    reader = join(lab, topic, spelling)
    reader.expect_quiet()
    lab.send(topic, b"new")
    assert reader.message().body == b"new"


@test(crash=True)
def unsubscribe_leaves_it(lab):
    topic, sub = lab.topic(), lab.durable()
    reader = join(lab, topic, "durable")
    reader.ask("UNSUBSCRIBE", {"id": sub})
    lab.send(topic, b"waits")
    lab.middle()
    assert join(lab, topic, "durable").message().body == b"waits"


@test(crash=True)
def unacknowledged_comes_back(lab):
    topic = lab.topic()
    reader = join(lab, topic, "durable")
    lab.send(topic, b"x")
    reader.message()
    if not lab.test.crashes:
        reader.ask("DISCONNECT")
    lab.middle()
    assert join(lab, topic, "durable").message().body == b"x"


@test()
def shared_is_shared(lab):
    topic = lab.topic()
    one, two = join(lab, topic, "durable"), join(lab, topic, "durable")
    lab.fill(topic, [b"%d" % n for n in range(20)])
    got = {one: [], two: []}
    while sum(map(len, got.values())) < 20:
        for reader in got:
            try:
                got[reader].append(int(reader.message(0.5).body))
            except Exception as problem:
                assert type(problem).__name__ == "Timeout", problem
    assert got[one] and got[two] and sorted(got[one] + got[two]) == list(range(20)), got.values()


@test()
def each_name_gets_all(lab):
    topic = lab.topic()
    for word in "ab":
        lab.consume(topic, SHARED, sub=lab.durable(word)).close()
    lab.fill(topic, [b"0", b"1"])
    for word in "ab":
        reader = lab.consume(topic, SHARED, sub=lab.durable(word))
        assert [reader.message().body, reader.message().body] == [b"0", b"1"]


@test()
def owned_is_for_one(lab):
    topic = lab.topic()
    join(lab, topic, "durable-subscription-name")
    login, fields, _ = words(lab, "durable-subscription-name")
    lab.refuse("durable subscription in use", [], "SUBSCRIBE", {"destination": topic, "id": "x", **fields},
               on=lab.connect(**login))


@test()
def a_name_is_of_its_client(lab):
    topic = lab.topic()
    fields = {"durable-subscription-name": "mine"}

    def both():
        return [lab.consume(topic, fields, on=lab.connect(**{"client-id": lab.durable(word)})) for word in "ab"]

    for reader in both():
        reader.ask("DISCONNECT")
    lab.send(topic, b"x")
    assert [reader.message().body for reader in both()] == [b"x", b"x"]


@test()
def owner_is_required(lab):
    lab.refuse("required header missing", "client-id", "SUBSCRIBE",
               {"destination": lab.topic(), "id": "s", "durable-subscription-name": "mine"})


@test(crash=True)
def by_pattern(lab):
    pattern = {"durable": "true"}
    lab.consume(lab.topic("prices.>"), pattern, sub=lab.durable()).close()
    lab.send(lab.topic("prices.eu"), b"eu")
    lab.send(lab.topic("news"), b"no")
    lab.middle()
    lab.send(lab.topic("prices.us.east"), b"us")
    reader = lab.consume(lab.topic("prices.>"), pattern, sub=lab.durable())
    got = [reader.message(), reader.message()]
    assert [(m.body, m.headers["destination"]) for m in got] == [
        (b"eu", lab.topic("prices.eu")), (b"us", lab.topic("prices.us.east"))]
    reader.expect_quiet()


@test(crash=True)
def by_its_own_destination(lab):
    topic, name = lab.topic(), lab.durable()
    lab.consume(topic, SHARED, sub=name).close()
    lab.send(topic, b"x")
    lab.middle()
    assert lab.consume(f"/dsub/{name}").message().body == b"x"
    lab.refuse("no such durable subscription", [], "SUBSCRIBE", {"destination": f"/dsub/{name}.not", "id": "s"})
    lab.refuse("unsupported destination", [], "SEND", {"destination": f"/dsub/{name}"})


@test(crash=True)
def in_a_transaction(lab):
    topic, name, queue = lab.topic(), lab.durable(), lab.queue()
    lab.consume(topic, SHARED, sub=name).close()
    sender = lab.connect()
    for end in ("ABORT", "COMMIT"):
        sender.ask("BEGIN", {"transaction": "t"})
        for destination in (topic, queue):
            sender.ask("SEND", {"destination": destination, "transaction": "t"}, end.encode())
        sender.ask(end, {"transaction": "t"})
    lab.middle()
    reader = lab.consume(topic, SHARED, sub=name)
    assert reader.message().body == b"COMMIT"
    reader.expect_quiet()
    assert lab.bodies(queue, 1) == [b"COMMIT"]


@test()
def another_topic_is_another_subscription(lab):
    """As JMS has it: what waited for the old one goes."""
    name = lab.durable()
    lab.consume(lab.topic("old"), SHARED, sub=name).close()
    lab.send(lab.topic("old"), b"old")
    reader = lab.consume(lab.topic("old"), SHARED, sub=name)
    assert reader.message().body == b"old"
    reader.ask("DISCONNECT")
    reader = lab.consume(lab.topic("new"), SHARED, sub=name)
    lab.send(lab.topic("old"), b"not any more")
    lab.send(lab.topic("new"), b"new")
    assert reader.message().body == b"new"


@test()
def no_local(lab):
    topic, login = lab.topic(), {"client-id": lab.durable("client")}
    fields = {"durable-subscription-name": "mine", "no-local": "true"}
    reader = lab.consume(topic, fields, on=lab.connect(**login))
    lab.send(topic, b"own", on=reader)
    reader.ask("DISCONNECT")
    lab.send(topic, b"other")
    reader = lab.consume(topic, fields, on=lab.connect(**login))
    assert reader.message().body == b"other"
    reader.expect_quiet()


@test(durable={"subscription_expiry_seconds": 1})
def abandoned_ones_go(lab):
    topic, name = lab.topic(), lab.durable()
    lab.consume(topic, SHARED, sub=name).close()
    lab.send(topic, b"x")
    reader = lab.consume(f"/dsub/{name}")
    assert reader.message().body == b"x"
    reader.ask("DISCONNECT")

    # The broker looks for them every ten seconds. Whoever asked by SUBSCRIBE would use it.
    lab.wait_until(lambda: lab.ctl("subscription", "show", name, ok=False) == 4, seconds=25)
    lab.refuse("no such durable subscription", name, "SUBSCRIBE", {"destination": f"/dsub/{name}", "id": "s"})


@test(crash=True)
def listed_with_its_orphans(lab):
    topic, name = lab.topic(), lab.durable()
    lab.consume(topic, SHARED, sub=name).close()
    lab.fill(topic, [b"x", b"y"])
    lab.middle()
    shown = lab.ctl("subscription", "show", name)
    shown = shown.get("subscription", shown)
    assert shown["messages"] == 2 and shown["consumers"] == 0 and shown["orphan"] is True, shown
    assert shown["topic"] == topic, shown
    lab.ctl("subscription", "delete", name)
    reader = lab.consume(topic, SHARED, sub=name)
    reader.expect_quiet()


@test()
def contradiction(lab):
    for fields in ({"durable": "true", "auto-delete": "true"}, {"durable": "true", "persistent": "false"}):
        lab.refuse("contradictory headers", "durable", "SUBSCRIBE", {"destination": lab.topic(), "id": "s", **fields})


@test()
def two_names_are_contradictory(lab):
    lab.refuse("contradictory headers", ["durable-subscription-name:a", "activemq.subscriptionName:b"], "SUBSCRIBE",
               {"destination": lab.topic(), "id": "s",
                "durable-subscription-name": "a", "activemq.subscriptionName": "b"},
               on=lab.connect(**{"client-id": "c"}))


@test(crash=True)
def half_delivered(lab):
    topic, name = lab.topic(), lab.durable()
    lab.consume(topic, SHARED, sub=name).close()
    lab.fill(topic, [b"%d" % n for n in range(100)])
    reader = lab.consume(topic, {**SHARED, "prefetch-count": 7}, sub=name)
    assert number(acknowledged(reader, 50)) == list(range(50))
    lab.middle()
    if not lab.test.crashes:
        reader.ask("DISCONNECT")
    reader = lab.consume(topic, SHARED, sub=name)
    assert number(reader.message() for _ in range(50)) == list(range(50, 100))
    reader.expect_quiet()
