"""The examples of RabbitMQ's page on its STOMP plugin (rabbitmq.com/docs/stomp, in rabbitmq/rabbitmq-website
docs/stomp.md, 39f0b324; the first in site/stomp.md, 000c9d84), as they are printed there."""
import wire
from printed import refused, say, settled
from suite import each, test


@test()
def connect_without_headers(lab):
    client = wire.Connection(lab.broker.port, login=False)
    lab.connections.append(client)
    say(client, """
        CONNECT

        ^@
    """)
    connected = client.expect("CONNECTED")
    assert connected.headers["version"] == "1.0" and "session" in connected.headers
    say(client, """
        DISCONNECT

        ^@
    """)
    client.expect_end()


DURABLE = """
    SUBSCRIBE
    destination:/topic/my-durable
    id:1234
    durable:true
    auto-delete:false
"""
END_OF_DURABLE = """
    UNSUBSCRIBE
    id:1234
    durable:true
    auto-delete:false
"""


@test(crash=True)
def durable_subscription(lab):
    client = lab.connect()
    say(client, DURABLE)
    settled(client)
    client.close()
    lab.send("/topic/my-durable", b"while away")
    lab.middle()
    client = lab.connect()
    say(client, DURABLE)
    assert client.message().body == b"while away"
    say(client, END_OF_DURABLE)
    settled(client)
    client.close()
    lab.send("/topic/my-durable", b"after the end")
    client = lab.connect()
    say(client, DURABLE)
    client.expect_quiet()
    say(client, END_OF_DURABLE)
    settled(client)


@test()
def reply_to_a_temp_queue(lab):
    client, server = lab.connect(), lab.consume("/queue/reply-test", ack="auto")
    say(client, """
        SEND
        destination:/queue/reply-test
        reply-to:/temp-queue/foo

        Hello World!
    """)
    request = server.message()
    assert request.body.strip() == b"Hello World!"
    lab.send(request.headers["reply-to"], b"hello you")
    reply = client.message()
    assert reply.body == b"hello you" and reply.headers["subscription"] == "/temp-queue/foo"


@test()
def queue_name_of_a_topic(lab):
    """A queue that bears a name is a durable subscription, and says so."""
    client = lab.connect()
    say(client, """
        SUBSCRIBE
        destination:/topic/alarms
        id:0
        x-queue-name:my-alarms-queue
    """)
    refused(client, "unsupported header", "x-queue-name")
    client = lab.connect()
    say(client, """
        SUBSCRIBE
        destination:/topic/alarms
        id:0
        durable:true
        x-queue-name:my-alarms-queue
    """)
    settled(client)
    client.close()
    lab.send("/topic/alarms", b"fire")
    assert lab.consume("/dsub/my-alarms-queue", ack="auto").message().body == b"fire"


@test()
def priority_queue(lab):
    """Priorities are always there: the header changes nothing. (Without an id it is 1.0.)"""
    for priority in (1, 5):
        lab.send("/queue/my-priority-queue", b"%d" % priority, {"priority": priority})
    client = lab.connect("1.0")
    say(client, """
        SUBSCRIBE
        destination:/queue/my-priority-queue
        x-max-priority:5
    """)
    assert [client.message().body, client.message().body] == [b"5", b"1"]


@test()
def stream(lab):
    """There are no streams: no message may come that would have been another one there."""
    client = lab.connect("1.0")
    say(client, """
        SUBSCRIBE
        destination:/amq/queue/my-stream
        ack:client
        prefetch-count:10
        x-stream-offset:next
    """)
    refused(client, "unsupported header", "x-stream-offset")


@test()
def stream_declared(lab):
    lab.refuse("unsupported header", "x-queue-type:stream", "SUBSCRIBE",
               {"destination": lab.queue(), "id": "s", "x-queue-type": "stream"})
    lab.refuse("unsupported header", "x-stream-filter", "SUBSCRIBE",
               {"destination": lab.queue(), "id": "s", "x-stream-filter": "invoices"})


@each(["x-dead-letter-exchange", "x-dead-letter-routing-key", "x-expires", "x-message-ttl", "x-max-length",
       "x-max-length-bytes", "x-max-age", "x-overflow"])
def queue_argument(lab, header):
    """Properties of queues are for operators: a client that relies on one is told."""
    for command in ("SEND", "SUBSCRIBE"):
        lab.refuse("unsupported header", [header, "policy"], command,
                   {"destination": lab.queue(), "id": "s", header: "1"})


@test()
def other_destinations(lab):
    for destination in ("/exchange/amq.topic/key", "/amq/queue/mine"):
        lab.refuse("unsupported destination", "/queue/", "SEND", {"destination": destination})


@test(crash=True)
def persistent_with_a_receipt(lab):
    queue = lab.queue()
    client = lab.connect()
    client.ask("SEND", {"destination": queue, "persistent": "true"}, b"x")
    lab.middle()
    assert lab.take(queue, 1)[0].headers["persistent"] == "true"


@test()
def nack_without_requeue(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    reader = lab.consume(queue)
    reader.ask("NACK", {"id": reader.message().headers["ack"], "requeue": "false"})
    assert lab.bodies(queue + ".dlq", 1) == [b"x"]


@test()
def prefetch_count(lab):
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n for n in range(5)])
    reader = lab.consume(queue, {"prefetch-count": "2"}, ack="client")
    assert [reader.message().body, reader.message().body] == [b"0", b"1"]
    reader.expect_quiet()


@test()
def properties_of_messages(lab):
    """"These headers are also set on MESSAGE frames sent to clients.\""""
    queue = lab.queue()
    properties = {"content-type": "text/plain", "content-encoding": "utf-8", "priority": "3", "correlation-id": "c",
                  "expiration": "60000", "amqp-message-id": "m", "timestamp": "1700000000", "type": "t",
                  "user-id": "guest", "app-id": "a"}
    lab.send(queue, b"x", properties)
    headers = lab.take(queue, 1)[0].headers
    assert {name: headers.get(name) for name in properties} == properties, headers
