"""What ActiveMQ's pages print for STOMP (activemq.apache.org: stomp, message-groups, exclusive-consumer,
delay-and-schedule-message-delivery, wildcards; in apache/activemq-website src/components/classic/documentation,
27016b03), with the headers as they are printed there."""
import wire
from printed import say, settled
from suite import QUICK, each, nack, now_ms, test


@test(crash=True)
def the_java_example(lab):
    """StompConnection's calls on the page "Stomp", as the frames that it makes of them (1.0)."""
    client = wire.Connection(lab.broker.port, login=False)
    lab.connections.append(client)
    say(client, """
        CONNECT
        login:system
        passcode:manager

        ^@
    """)
    client.expect("CONNECTED")
    for frame in ("BEGIN\ntransaction:tx1\n\n^@",
                  "SEND\ndestination:/queue/test\ntransaction:tx1\n\nmessage1^@",
                  "SEND\ndestination:/queue/test\ntransaction:tx1\n\nmessage2^@",
                  "COMMIT\ntransaction:tx1\n\n^@"):
        client.send(frame.replace("^@", "\0").encode())
    settled(client)
    if lab.test.crashes:
        lab.middle()
        client = lab.connect("1.0")
    client.send(b"SUBSCRIBE\ndestination:/queue/test\nack:client\n\n\0BEGIN\ntransaction:tx2\n\n\0")
    for body in (b"message1", b"message2"):
        message = client.message()
        assert message.body == body
        client.send(b"ACK\nmessage-id:" + message.headers["message-id"].encode() + b"\ntransaction:tx2\n\n\0")
    client.send(b"COMMIT\ntransaction:tx2\n\n\0")
    client.send(b"DISCONNECT\n\n\0")
    client.expect_end()
    assert lab.bodies("/queue/test", 0) == []


@test(crash=True)
def persistent(lab):
    client = lab.connect("1.0")
    client.ask("SEND", {"destination": "/queue/FOO.BAR", "persistent": "true"}, b"x")
    lab.middle()
    assert lab.bodies("/queue/FOO.BAR", 1) == [b"x"]


@test()
def jms_headers_travel(lab):
    queue = lab.queue()
    fields = {"correlation-id": "c", "JMSXGroupID": "g", "JMSXGroupSeq": "1", "persistent": "true", "priority": "7",
              "type": "t"}
    lab.send(queue, b"x", {**fields, "expires": now_ms() + 60_000})
    headers = lab.take(queue, 1)[0].headers
    assert {name: headers.get(name) for name in fields} == fields and "expires" in headers, headers


@test()
def selector(lab):
    queue = lab.queue()
    lab.send(queue, b"no", {"foo": "zzz"})
    lab.send(queue, b"yes", {"foo": "123"})
    assert lab.consume(queue, {"selector": "foo = '123'"}).message().body == b"yes"


@test()
def prefetch_size(lab):
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n for n in range(5)])
    reader = lab.consume(queue, {"activemq.prefetchSize": "1"}, ack="client")
    assert reader.message().body == b"0"
    reader.expect_quiet()


@test()
def exclusive(lab):
    queue = lab.queue()
    sole, other = lab.consume(queue, {"activemq.exclusive": "true"}), lab.consume(queue)
    lab.fill(queue, [b"%d" % n for n in range(6)])
    assert [sole.message().body for _ in range(6)] == [b"%d" % n for n in range(6)]
    other.expect_quiet()


@test(crash=True)
def durable_subscriber(lab):
    login, fields = {"client-id": lab.durable("myclient")}, {"activemq.subscriptionName": "mysub"}
    topic = lab.topic()
    lab.consume(topic, fields, on=lab.connect("1.0", **login)).close()
    lab.send(topic, b"x")
    lab.middle()
    reader = lab.consume(topic, fields, on=lab.connect("1.0", **login))
    assert reader.message().body == b"x"


@test()
def no_local(lab):
    topic = lab.topic()
    reader = lab.consume(topic, {"activemq.noLocal": "true"})
    lab.send(topic, b"own", on=reader)
    lab.send(topic, b"other")
    assert reader.message().body == b"other"


@test()
def message_group(lab):
    """The group of the page "Message Groups"."""
    queue = lab.queue()
    one, two = lab.consume(queue), lab.consume(queue)
    lab.fill(queue, [b"%d" % n for n in range(6)], {"JMSXGroupID": "IBM_NASDAQ_20/4/05"})
    holder, other = (one, two) if readable(one) else (two, one)
    assert [holder.message().body for _ in range(6)] == [b"%d" % n for n in range(6)]
    other.expect_quiet()


def readable(connection):
    return wire.readable(connection.sock, 0.5)


@test()
def delay_of_a_minute(lab):
    queue = lab.queue()
    lab.send(queue, b"x", {"AMQ_SCHEDULED_DELAY": 60 * 1000})
    lab.consume(queue).expect_quiet()
    assert lab.show(queue)["delayed"] == 1


@each([("repeat", {"AMQ_SCHEDULED_DELAY": 30_000, "AMQ_SCHEDULED_PERIOD": 10_000, "AMQ_SCHEDULED_REPEAT": 9}),
       ("cron", {"AMQ_SCHEDULED_CRON": "0 * * * *"})])
def schedules_are_refused(lab, case):
    """A message that was to come ten times, or every hour, must not come once in silence."""
    lab.refuse("unsupported header", "AMQ_SCHEDULED", "SEND", {"destination": lab.queue(), **case[1]})


@test()
def browser(lab):
    queue = lab.queue()
    lab.fill(queue, [b"0", b"1"])
    client = lab.connect()
    say(client, f"""
        SUBSCRIBE
        id:b
        destination:{queue}
        browser:true
    """)
    assert [client.message().body, client.message().body] == [b"0", b"1"]
    assert client.message().headers["browser"] == "end"
    assert lab.bodies(queue, 2) == [b"0", b"1"]


@test()
def wildcards(lab):
    """The page "Wildcards": . separates, * is one name, > is the rest."""
    base = lab.topic()
    everything, ibm = lab.consume(base + ".>"), lab.consume(base + ".STOCK.*.IBM")
    for name in ("STOCK.NASDAQ.IBM", "STOCK.NYSE.SUNW"):
        lab.send(f"{base}.{name}", name.encode())
    assert [everything.message().body for _ in range(2)] == [b"STOCK.NASDAQ.IBM", b"STOCK.NYSE.SUNW"]
    assert ibm.message().body == b"STOCK.NASDAQ.IBM"
    ibm.expect_quiet()


@test()
def what_changes_nothing_is_passed_over(lab):
    topic = lab.topic()
    reader = lab.consume(topic, {"activemq.dispatchAsync": "true", "activemq.maximumPendingMessageLimit": "100",
                                 "activemq.retroactive": "false", "activemq.priority": "0"})
    lab.send(topic, b"x")
    assert reader.message().body == b"x"


@each([("activemq.priority", "5"), ("activemq.retroactive", "true")])
def what_is_not_there_is_refused(lab, case):
    header, value = case
    lab.refuse("unsupported header", header, "SUBSCRIBE", {"destination": lab.topic(), "id": "s", header: value})


@test(settings=QUICK)
def poison_ack(lab):
    """A NACK sends to the dead letters there at once; here it comes back until the limit of deliveries."""
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.consume(queue)
    nack(reader, reader.message())
    assert reader.message().headers["redelivered"] == "true"
