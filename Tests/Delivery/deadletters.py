"""Dead letters: what is refused for good, or came back too often, goes to NAME.dlq with the reason."""
from suite import QUICK, nack, now_ms, test

LIMIT = {"delivery_limit": 3, "redelivery_delay_ms": 0}


def dead(lab, queue, count=1, where=None):
    return lab.take(where or queue + ".dlq", count)


@test(crash=True)
def refused_for_good(lab):
    queue = lab.queue()
    began = now_ms()
    lab.send(queue, b"bad", {"colour": "red", "content-type": "text/plain"})
    lab.send(queue, b"good")
    reader = lab.consume(queue)
    bad = reader.message()
    nack(reader, bad, {"requeue": "false"})
    lab.middle()
    if not lab.test.crashes:
        reader.close()
    assert lab.bodies(queue, 1) == [b"good"]
    letter = dead(lab, queue)[0]
    headers = letter.headers
    assert letter.body == b"bad" and headers["colour"] == "red" and headers["content-type"] == "text/plain"
    assert headers["destination"] == queue + ".dlq", headers
    assert headers["dead-letter-reason"] == "rejected", headers
    assert headers["original-destination"] == queue, headers
    assert headers["original-message-id"] == bad.headers["message-id"], headers
    assert began - 1000 <= int(headers["dead-letter-time"]) <= now_ms() + 1000, headers
    # Who it was is not on disk: a crash between the refusal and the move forgets it.
    assert lab.test.crashes or "connection" in headers["refused-by"], headers


@test(crash=True, settings=LIMIT)
def limit_by_nack(lab):
    queue = lab.queue()
    lab.send(queue, b"poison")
    reader = lab.consume(queue)
    for _ in range(2):
        nack(reader, reader.message())
    lab.middle()
    if lab.test.crashes:
        reader = lab.consume(queue)
    nack(reader, reader.message())
    letter = dead(lab, queue)[0]
    assert letter.headers["dead-letter-reason"] == "delivery-limit", letter
    assert letter.headers["delivery-count"] == "3", letter
    reader.expect_quiet()


@test(crash=True, settings=LIMIT)
def limit_by_disconnect(lab):
    """A message that kills its consumers must end somewhere too."""
    queue = lab.queue()
    lab.send(queue, b"poison")
    for turn in range(3):
        reader = lab.consume(queue)
        assert reader.message().body == b"poison"
        reader.ask("DISCONNECT")
        if turn == 1:
            lab.given_back(queue)
            lab.on_disk()
            lab.middle()
    assert dead(lab, queue)[0].headers["dead-letter-reason"] == "delivery-limit"
    assert lab.bodies(queue, 0) == []


@test(settings=LIMIT)
def limit_by_unsubscribe(lab):
    queue = lab.queue()
    lab.send(queue, b"poison")
    reader = lab.connect()
    for sub in "abc":
        lab.consume(queue, on=reader, sub=sub)
        assert reader.message().body == b"poison"
        reader.ask("UNSUBSCRIBE", {"id": sub})
    assert dead(lab, queue)[0].body == b"poison"


@test(settings=QUICK)
def ten_times_by_default(lab):
    queue = lab.queue()
    lab.send(queue, b"poison")
    reader = lab.consume(queue)
    for count in range(10):
        message = reader.message()
        assert message.headers.get("delivery-count", "1") == str(count + 1)
        nack(reader, message)
    assert dead(lab, queue)[0].headers["delivery-count"] == "10"


@test(settings={"delivery_limit": 0, "redelivery_delay_ms": 0})
def no_limit(lab):
    queue = lab.queue()
    lab.send(queue, b"stubborn")
    reader = lab.consume(queue)
    for _ in range(30):
        nack(reader, reader.message())
    assert reader.message().headers["delivery-count"] == "31"


@test(crash=True, settings={"dead_letter_queue": "/queue/deadletters.graveyard"})
def another_queue(lab):
    queue = lab.queue()
    lab.send(queue, b"bad")
    reader = lab.consume(queue)
    nack(reader, reader.message(), {"requeue": "false"})
    lab.middle()
    # Both variants of the test use it, one after the other or at the same time on another broker.
    letter = lab.consume("/queue/deadletters.graveyard", ack="auto").message()
    assert letter.body == b"bad" and letter.headers["original-destination"] == queue, letter


@test(settings={"dead_letter_queue": "none"})
def nowhere(lab):
    queue = lab.queue()
    lab.send(queue, b"bad")
    reader = lab.consume(queue)
    nack(reader, reader.message(), {"requeue": "false"})
    reader.close()
    assert lab.bodies(queue, 0) == []
    assert lab.show(queue)["messages"] == 0
    assert lab.ctl("queue", "show", queue + ".dlq", ok=False) == 4


@test(crash=True)
def in_a_transaction(lab):
    queue = lab.queue()
    lab.fill(queue, [b"1", b"2"])
    reader = lab.consume(queue)
    first, second = reader.message(), reader.message()
    reader.ask("BEGIN", {"transaction": "t"})
    reader.ask("NACK", {"id": first.headers["ack"], "transaction": "t", "requeue": "false"})
    reader.ask("BEGIN", {"transaction": "undone"})
    reader.ask("NACK", {"id": second.headers["ack"], "transaction": "undone", "requeue": "false"})
    assert lab.ctl("queue", "show", queue + ".dlq", ok=False) == 4, "before COMMIT nothing is dead"
    reader.ask("COMMIT", {"transaction": "t"})
    reader.ask("ABORT", {"transaction": "undone"})
    lab.middle()
    if not lab.test.crashes:
        reader.close()
    assert [f.body for f in dead(lab, queue)] == [b"1"]
    assert lab.bodies(queue, 1) == [b"2"]


@test()
def by_message_id(lab):
    queue = lab.queue()
    lab.send(queue, b"bad")
    reader = lab.consume(queue, on=lab.connect("1.1"))
    message = reader.message()
    reader.ask("NACK", {"message-id": message.headers["message-id"], "subscription": "s", "requeue": "false"})
    assert dead(lab, queue)[0].body == b"bad"


@test()
def of_a_cumulative_nack(lab):
    """With ack:client all up to it are dead."""
    queue = lab.queue()
    lab.fill(queue, [b"1", b"2", b"3"])
    reader = lab.consume(queue, ack="client")
    held = [reader.message() for _ in range(3)]
    nack(reader, held[1], {"requeue": "false"})
    assert [f.body for f in dead(lab, queue, 2)] == [b"1", b"2"]


@test(settings=QUICK)
def no_grave_of_a_grave(lab):
    """What is refused in a dead-letter queue stays there."""
    queue = lab.queue()
    lab.send(queue, b"bad")
    reader = lab.consume(queue)
    nack(reader, reader.message(), {"requeue": "false"})
    grave = lab.consume(queue + ".dlq")
    nack(grave, grave.message(), {"requeue": "false"})
    lab.wait_until(lambda: lab.show(queue + ".dlq")["messages"] == 1)
    assert lab.ctl("queue", "show", queue + ".dlq.dlq", ok=False) == 4


@test()
def headers_cannot_be_forged(lab):
    queue = lab.queue()
    forged = {"dead-letter-reason": "rejected", "original-destination": "/queue/other", "original-message-id": "1-2-3",
              "dead-letter-time": "1", "refused-by": "nobody", "delivery-count": "9", "redelivered": "true"}
    lab.send(queue, b"x", forged)
    got = lab.take(queue, 1)[0].headers
    assert not set(forged) & set(got), got


@test()
def contradiction(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.consume(queue)
    message = reader.message()
    lab.refuse("contradictory headers", ["requeue", "delay"], "NACK",
               {"id": message.headers["ack"], "requeue": "false", "delay": 5}, on=reader)


@test(crash=True)
def of_a_durable_subscription(lab):
    topic, name = lab.topic(), lab.durable()
    reader = lab.consume(topic, {"durable": "true", "auto-delete": "false"}, sub=name)
    lab.send(topic, b"bad")
    nack(reader, reader.message(), {"requeue": "false"})
    lab.middle()
    assert dead(lab, None, where=f"/queue/dsub.{name}.dlq")[0].headers["original-destination"] == f"/dsub/{name}"
