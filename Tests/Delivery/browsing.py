"""Browsing: shows what is in a queue and takes nothing."""
from suite import test

BROWSER = {"browser": "true"}


def browse(lab, queue, headers=None):
    """Bodies until `browser:end`, and the last frame."""
    reader = lab.consume(queue, {**BROWSER, **(headers or {})}, ack="auto")
    bodies = []
    while (message := reader.message()).headers.get("browser") != "end":
        bodies.append(message.body)
    return bodies, message, reader


@test(crash=True)
def shows_all_and_takes_nothing(lab):
    queue = lab.queue()
    lab.fill(queue, [b"%d" % n for n in range(500)])
    lab.middle()
    bodies, last, reader = browse(lab, queue)
    assert bodies == [b"%d" % n for n in range(500)]
    assert last.body == b"" and last.headers["subscription"] == "s" and last.headers["destination"] == queue, last
    assert "message-id" in last.headers
    reader.ask("UNSUBSCRIBE", {"id": "s"})
    assert lab.show(queue)["messages"] == 500
    first = lab.consume(queue, {"prefetch-count": 1}).message()
    assert first.body == b"0" and "redelivered" not in first.headers


@test()
def empty_queue_ends_at_once(lab):
    queue = lab.queue()
    lab.send(queue, b"x")
    lab.take(queue, 1)
    assert browse(lab, queue)[0] == []


@test(crash=True)
def in_order_of_delivery(lab):
    queue = lab.queue()
    for priority in (1, 9, 4, 7):
        lab.send(queue, b"%d" % priority, {"priority": priority})
    lab.middle()
    assert browse(lab, queue)[0] == [b"9", b"7", b"4", b"1"]


@test()
def with_a_selector(lab):
    queue = lab.queue()
    for n in range(20):
        lab.send(queue, b"%d" % n, {"n": n})
    assert browse(lab, queue, {"selector": "n >= 15"})[0] == [b"%d" % n for n in range(15, 20)]


@test()
def shows_what_others_hold(lab):
    queue = lab.queue()
    lab.fill(queue, [b"0", b"1"])
    holder = lab.consume(queue)
    held = [holder.message(), holder.message()]
    assert browse(lab, queue)[0] == [b"0", b"1"]
    holder.ask("ACK", {"id": held[0].headers["ack"]})
    assert browse(lab, queue)[0] == [b"1"]


@test()
def a_big_queue(lab):
    queue = lab.queue()
    lab.fill(queue, [b"x" * 1000] * 5000)
    assert len(browse(lab, queue)[0]) == 5000


@test()
def without_an_end(lab):
    queue = lab.queue()
    lab.fill(queue, [b"0", b"1"])
    reader = lab.consume(queue, {**BROWSER, "browser-end": "false"}, ack="auto")
    assert [reader.message().body, reader.message().body] == [b"0", b"1"]
    reader.expect_quiet()
    assert reader.ask("UNSUBSCRIBE", {"id": "s"}) == []
    assert lab.show(queue)["messages"] == 2


@test()
def not_on_a_topic(lab):
    lab.refuse("unsupported header", "topic", "SUBSCRIBE", {"destination": lab.topic(), "id": "s", **BROWSER})


@test()
def bad_value(lab):
    lab.refuse("bad header value", "browser", "SUBSCRIBE", {"destination": lab.queue(), "id": "s", "browser": "yes"})
