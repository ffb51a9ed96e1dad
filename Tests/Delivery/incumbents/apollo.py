"""The examples of Apollo's STOMP manual (activemq.apache.org/components/classic/documentation/stomp-manual, in
apache/activemq-apollo apollo-website/src/documentation/stomp-manual.md), as they are printed there."""
import time

from printed import refused, say, settled
from suite import each, number, test


@test()
def receipt(lab):
    client = lab.connect()
    say(client, """
        SEND
        destination:/queue/a
        receipt:001

        hello queue a
        ^@
    """)
    assert client.expect("RECEIPT").headers["receipt-id"] == "001"
    assert lab.bodies("/queue/a", 1) == [b"hello queue a\n"]


@test(crash=True)
def retained(lab):
    """The page prints retain:true where it means retain:set, which it says above; the slash in the name is one."""
    client = lab.connect()
    say(client, """
        SEND
        destination:/topic/stock/IBM
        retain:set

        112.12
        ^@
    """)
    settled(client)
    lab.middle()
    assert lab.consume("/topic/stock/IBM").message().body == b"112.12\n"
    lab.send("/topic/stock/IBM", b"", {"retain": "remove"})
    client = lab.connect()
    say(client, """
        SEND
        destination:/topic/stock/IBM
        retain:true

        112.12
        ^@
    """)
    refused(client, "bad header value", "retain must be set or remove")


@test()
def ttl(lab):
    client = lab.connect()
    say(client, """
        SEND
        destination:/queue/ttl
        expires:1308690148000

        this message will expire on Tue Jun 21 17:02:28 EDT 2011
        ^@
        SEND
        destination:/queue/ttl
        ttl:2000

        This message will expire in 2 seconds.
        ^@
    """)
    settled(client)
    message = lab.consume("/queue/ttl", ack="client").message()
    assert message.body == b"This message will expire in 2 seconds.\n" and "expires" in message.headers, message
    lab.close()
    time.sleep(2.2)
    assert lab.bodies("/queue/ttl", 0) == []


@test()
def credit(lab):
    """Five messages, however long; without an ACK no more."""
    lab.fill("/queue/credit", [b"%d" % n for n in range(8)])
    client = lab.connect()
    say(client, """
        SUBSCRIBE
        id:mysub
        destination:/queue/credit
        ack:client
        credit:5,0

        ^@
    """)
    assert number(client.message() for _ in range(5)) == [0, 1, 2, 3, 4]
    client.expect_quiet()
    client.close()
    lab.take("/queue/credit", 8)


DURABLE = """
    SUBSCRIBE
    id:mysub
    persistent:true
    destination:/topic/foo

    ^@
"""
END_OF_DURABLE = """
    UNSUBSCRIBE
    id:mysub
    persistent:true

    ^@
"""


@test(crash=True)
def durable_subscription(lab):
    client = lab.connect()
    say(client, DURABLE)
    settled(client)
    client.close()
    lab.send("/topic/foo", b"x")
    lab.middle()
    client = lab.connect()
    say(client, """
        SUBSCRIBE
        id:0
        ack:client
        destination:/dsub/mysub

        ^@
    """)
    assert client.message().body == b"x"
    client.close()
    client = lab.connect()
    say(client, DURABLE)
    assert client.message().body == b"x"
    say(client, END_OF_DURABLE)
    settled(client)
    say(client, """
        SUBSCRIBE
        id:0
        destination:/dsub/mysub

        ^@
    """)
    refused(client, "no such durable subscription", "mysub")


@test()
def sending_to_a_durable_subscription(lab):
    client = lab.connect()
    say(client, """
        SEND
        destination:/dsub/mysub

        hello durable sub!
        ^@
    """)
    refused(client, "unsupported destination", "send to its topic")


@test()
def browser(lab):
    lab.send("/queue/browsed", b"x")
    client = lab.connect()
    say(client, """
        SUBSCRIBE
        id:mysub
        browser:true
        destination:/queue/browsed

        ^@
    """)
    assert client.message().body == b"x"
    end = client.message()
    assert end.headers["browser"] == "end" and end.headers["subscription"] == "mysub" and end.body == b""
    lab.take("/queue/browsed", 1)


@each([("include-seq", "include-seq:seq"), ("from-seq", "from-seq:10")])
def sequences(lab, case):
    client = lab.connect()
    say(client, f"""
        SUBSCRIBE
        id:mysub
        destination:/queue/foo
        {case[1]}

        ^@
    """)
    refused(client, "unsupported header", case[0])


@test()
def exclusive(lab):
    clients = [lab.connect(), lab.connect()]
    for client in clients:
        say(client, """
            SUBSCRIBE
            id:mysub
            exclusive:true
            destination:/queue/sole

            ^@
        """)
        settled(client)
    lab.fill("/queue/sole", [b"0", b"1", b"2"])
    assert number(clients[0].message() for _ in range(3)) == [0, 1, 2]
    clients[1].expect_quiet()


@test()
def message_group(lab):
    sender, readers = lab.connect(), [lab.consume("/queue/PO.REQUEST.GROUP") for _ in range(2)]
    for _ in range(4):
        say(sender, """
            SEND
            destination:/queue/PO.REQUEST.GROUP
            message_group:hiram

            PO145
            ^@
        """)
    settled(sender)
    lengths = []
    for reader in readers:
        count = 0
        try:
            while reader.message(0.3):
                count += 1
        except Exception as problem:
            assert type(problem).__name__ == "Timeout", problem
        lengths.append(count)
    assert sorted(lengths) == [0, 4], lengths


@test()
def request_and_reply(lab):
    client, server = lab.connect(), lab.consume("/queue/PO.REQUEST", ack="auto")
    say(client, """
        SUBSCRIBE
        id:mysub
        destination:/temp-queue/example

        ^@
        SEND
        destination:/queue/PO.REQUEST
        reply-to:/temp-queue/example

        PO145
        ^@
    """)
    request = server.message()
    assert request.body == b"PO145\n"
    lab.send(request.headers["reply-to"], b"done")
    reply = client.message()
    assert reply.body == b"done" and reply.headers["subscription"] == "mysub"


@test()
def composite(lab):
    listener = lab.consume("/topic/composed-c")
    client = lab.connect()
    say(client, """
        SEND
        destination:/queue/composed-a,/queue/composed-b,/topic/composed-c

        Composites rock!
        ^@
    """)
    settled(client)
    assert listener.message().body == b"Composites rock!\n"
    for queue in ("/queue/composed-a", "/queue/composed-b"):
        assert lab.bodies(queue, 1) == [b"Composites rock!\n"]


@test()
def selector(lab):
    client = lab.connect()
    say(client, """
        SUBSCRIBE
        id:sub0
        selector:type = 'car' AND color = 'blue' AND weight > 2500
        destination:/topic/cars

        ^@
    """)
    settled(client)
    for color, weight in (("red", 3000), ("blue", 2500), ("blue", 2501)):
        lab.send("/topic/cars", f"{color} {weight}".encode(), {"type": "car", "color": color, "weight": weight})
    assert client.message().body == b"blue 2501"


@each(["PRICE.**", "PRICE.STOCK.**", "PRICE.STOCK.NASDAQ.*", "PRICE.STOCK.*.IBM"])
def wildcard(lab, pattern):
    client = lab.consume(f"/topic/{pattern}", {"retained": "false"})
    lab.send("/topic/PRICE.STOCK.NASDAQ.IBM", b"101")
    assert client.message().body == b"101"
