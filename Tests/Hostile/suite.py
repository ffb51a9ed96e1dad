"""The list of cases and the broker they are run against.

A case is a function of one argument, a `Target`. Its row names the points it holds the broker to:
`C12` is a point of conformance to STOMP, `S6` a kind of hostile input; docs/testing.md says which.
"""
import os
import sys
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import brokerd  # noqa: E402
import wire  # noqa: E402

CASES = []  # (rows, name, function)


def case(rows, name=None):
    """Registers a function as a case."""
    def register(function):
        CASES.append((rows, name or function.__name__.replace("_", " "), function))
        return function
    return register


class Target:
    """The broker under test, and short words for what cases do with it."""

    def __init__(self, port, pid=None, broker=None):
        self.port, self.pid, self.broker = port, pid, broker

    def connect(self, version="1.2", **more):
        return wire.Connection(self.port, version=version, **more)

    def raw(self):
        """A connection on which nothing has been said yet."""
        return wire.Connection(self.port, login=False)

    def queue(self):
        return f"/queue/hostile.{uuid.uuid4().hex}"

    def topic(self):
        return f"/topic/hostile.{uuid.uuid4().hex}"

    def subscribe(self, connection, destination, ack="auto", sub="s", **more):
        """SUBSCRIBE, confirmed; what had come before the receipt must be nothing."""
        before = connection.ask("SUBSCRIBE", {"id": sub, "destination": destination, "ack": ack, **more})
        assert not before, f"{before} before the receipt of SUBSCRIBE"

    def send(self, connection, destination, body=b"x", **more):
        """SEND, confirmed. Messages that come before the receipt can be read afterwards."""
        connection.unread += connection.ask("SEND", {"destination": destination, **more}, body)

    def bodies(self, destination, count):
        """Takes `count` messages from a queue, by a client of its own, and no more."""
        with Closing(self.connect()) as reader:
            self.subscribe(reader, destination)
            got = [reader.message().body for _ in range(count)]
            reader.expect_quiet(0.2)
            return got

    def is_well(self):
        """A new client is served."""
        with Closing(self.connect()) as probe:
            destination = self.queue()
            self.send(probe, destination, b"still here")
            self.subscribe(probe, destination)
            assert probe.message().body == b"still here"

    def resident_kib(self):
        return brokerd.resident_kib(self.pid)


class Closing:
    """`with` for a connection."""

    def __init__(self, connection):
        self.connection = connection

    def __enter__(self):
        return self.connection

    def __exit__(self, *_):
        self.connection.close()


def own_broker(*settings, arguments=(), **more):
    """A broker with settings of its own, for what would take too long with the standard ones."""
    words = [word for setting in settings for word in ("--set", setting)]
    return brokerd.Broker(arguments=[*words, *arguments], **more)


def target_of(broker):
    return Target(broker.port, broker.pid, broker)


def expect_error(connection, keyword, seconds=None, end=True):
    """ERROR with this word in its message or body, and then the end; returns the frame."""
    got = connection.expect("ERROR", seconds)
    text = (got.headers.get("message", "") + "\n" + got.body.decode("utf-8", "replace")).lower()
    assert keyword.lower() in text, f"{keyword!r} is not in {text!r}"
    if end:
        connection.expect_end(seconds)
    return got
