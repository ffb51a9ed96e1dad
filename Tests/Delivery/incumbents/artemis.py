"""What the STOMP chapter of Artemis prints, and the chapters that it refers to (docs/user-manual/stomp.adoc,
duplicate-detection.adoc, message-grouping.adoc, scheduled-messages.adoc, last-value-queues.adoc,
filter-expressions.adoc in apache/activemq-artemis, 04a9918e), with the headers as they are printed there."""
import wire
from suite import each, now_ms, test


@test(crash=True)
def durable_subscription(lab):
    login = {"client-id": "myclientid"}
    fields = {"durable-subscription-name": "mysubscription"}
    topic = lab.topic("myAddress")
    reader = lab.consume(topic, fields, on=lab.connect(**login))
    reader.close()
    lab.send(topic, b"x")
    lab.middle()
    # Its queue is called client-id.subscription-name, as there.
    assert lab.ctl("subscription", "show", "myclientid.mysubscription")
    reader = lab.consume(topic, fields, on=lab.connect(**login))
    assert reader.message().body == b"x"
    reader.ask("UNSUBSCRIBE", {"id": "s", **fields})
    reader.close()
    lab.send(topic, b"lost")
    reader = lab.consume(topic, fields, on=lab.connect(**login))
    reader.expect_quiet()
    reader.ask("UNSUBSCRIBE", {"id": "s", **fields})


@test()
def destination_type(lab):
    queue, topic = lab.queue(), lab.topic()
    reader = lab.consume(topic, {"subscription-type": "MULTICAST"})
    lab.send(topic, b"all", {"destination-type": "MULTICAST"})
    assert reader.message().body == b"all"
    lab.send(queue, b"one", {"destination-type": "ANYCAST"})
    assert lab.bodies(queue, 1, {"subscription-type": "ANYCAST"}) == [b"one"]


@test()
def anycast_without_a_prefix(lab):
    """`destination:queue/foo` is the queue of that name."""
    lab.send("queue/foo", b"x", {"destination-type": "ANYCAST"})
    assert lab.bodies("/queue/queue/foo", 1) == [b"x"]


@test()
def multicast_without_a_prefix(lab):
    """`destination:topic/bar` would be a queue here: the header says that it must not be."""
    lab.refuse("contradictory headers", ["MULTICAST", "/topic/"], "SEND",
               {"destination": "topic/bar", "destination-type": "MULTICAST"})
    lab.refuse("contradictory headers", ["MULTICAST", "/topic/"], "SUBSCRIBE",
               {"destination": "topic/bar", "id": "s", "subscription-type": "MULTICAST"})


@test()
def consumer_window_size(lab):
    """0: the next one comes behind the ACK of the one before. -1: as fast as can be."""
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n for n in range(4)])
    reader = lab.consume(queue, {"consumer-window-size": "0"}, ack="client")
    first = reader.message()
    reader.expect_quiet()
    reader.say("ACK", {"id": first.headers["ack"]})
    assert reader.message().body == b"1"
    reader.expect_quiet()
    reader.close()
    free = lab.consume(queue, {"consumer-window-size": "-1"}, ack="client")
    assert [free.message().body for _ in range(3)] == [b"1", b"2", b"3"]


@test(crash=True)
def duplicate_detection(lab):
    queue = lab.queue()
    lab.send(queue, b"first", {"_AMQ_DUPL_ID": "my unique id"})
    lab.middle()
    lab.send(queue, b"again", {"_AMQ_DUPL_ID": "my unique id"})
    assert lab.bodies(queue, 1) == [b"first"]


@test()
def message_grouping(lab):
    queue = lab.queue()
    one, two = lab.consume(queue), lab.consume(queue)
    lab.fill(queue, [b"%d" % n for n in range(6)], {"_AMQ_GROUP_ID": "Group-0"})
    holder, other = (one, two) if wire.readable(one.sock, 0.5) else (two, one)
    assert [holder.message().body for _ in range(6)] == [b"%d" % n for n in range(6)]
    other.expect_quiet()


@test(crash=True)
def scheduled_message(lab):
    queue = lab.queue()
    lab.send(queue, b"x", {"_AMQ_SCHED_DELIVERY": now_ms() + 1500})
    lab.middle()
    reader = lab.consume(queue)
    reader.expect_quiet(0.4)
    assert reader.message().body == b"x"


@test()
def last_value(lab):
    lab.refuse("unsupported header", "_AMQ_LVQ_NAME", "SEND",
               {"destination": lab.queue(), "_AMQ_LVQ_NAME": "STOCK_NAME"})


@each([("priority", "AMQPriority = 3"), ("size", "AMQSize > 2"), ("durable", "AMQDurable = 'NON_DURABLE'"),
       ("property", "color = 'red'")])
def filter_expression(lab, case):
    queue = lab.queue()
    lab.send(queue, b"no")
    lab.send(queue, b"yes", {"priority": 3, "persistent": "false", "color": "red"})
    reader = lab.consume(queue, {"selector": case[1]})
    assert reader.message().body == b"yes"
    reader.expect_quiet()


@test()
def no_local(lab):
    topic = lab.topic()
    reader = lab.consume(topic, {"no-local": "true"})
    lab.send(topic, b"own", on=reader)
    lab.send(topic, b"other")
    assert reader.message().body == b"other"
