"""The list of tests, and what they are written with. A test is a function of one argument, a `Lab`.

A test is called FILE.FUNCTION; docs/protocol.md names it beside the feature that it holds the broker to. With
`crash=True` it runs a second time, as FILE.FUNCTION+crash: there `lab.middle()` kills the broker (SIGKILL) and starts
it again on the same data.
"""
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import brokerd  # noqa: E402
import wire  # noqa: E402

TESTS = []
QUICK = {"redelivery_delay_ms": 0}  # what is refused comes back at once


class Test:
    """A function, and the settings that its queues, topics and durable subscriptions have by a policy."""

    def __init__(self, function, crashes, settings, topic, durable, own):
        file = os.path.splitext(os.path.basename(inspect.getfile(function)))[0]
        self.base = f"{file}.{function.__name__}"
        self.name = self.base + ("+crash" if crashes else "")
        # What the names of its destinations begin with.
        self.place = re.sub("[^A-Za-z0-9_.-]+", "_", self.base.replace("[", ".").replace("]", ""))
        self.place += ".crash" if crashes else ""
        self.function, self.crashes = function, crashes
        self.settings, self.topic, self.durable, self.own = settings, topic, durable, own

    def policies(self):
        """(pattern, settings) for each kind of destination that has some."""
        kinds = (("/queue/", self.settings), ("/topic/", self.topic), ("/dsub/", self.durable))
        return [(f"{prefix}{self.place}.**", settings) for prefix, settings in kinds if settings]


def test(crash=False, settings=None, topic=None, durable=None, own=None):
    """Registers a test. `own`: settings (`limits.connections=3`) of a broker of its own."""
    def register(function):
        for crashes in (False, True) if crash else (False,):
            TESTS.append(Test(function, crashes, settings, topic, durable, own))
        return function
    return register


def each(values, **more):
    """Registers a test for each of `values`, which it gets as its second argument: NAME[VALUE]."""
    def register(function):
        for value in values:
            def run(lab, value=value):
                function(lab, value)
            word = value if isinstance(value, str) else value[0]
            run.__name__ = f"{function.__name__}[{word}]"
            run.__code__ = run.__code__.replace(co_filename=function.__code__.co_filename)  # for inspect.getfile
            test(**more)(run)
        return function
    return register


def now_ms():
    return int(time.time() * 1000)


class Lab:
    """A broker, names that no other test uses, and short words for what tests do."""

    def __init__(self, a_test, broker):
        self.test, self.broker = a_test, broker
        self.connections = []
        self.sender = None
        self.numbers = itertools.count(1)

    def queue(self, word="q"):
        return f"/queue/{self.test.place}.{word}"

    def topic(self, word="t"):
        return f"/topic/{self.test.place}.{word}"

    def durable(self, word="d"):
        """The name of a durable subscription."""
        return f"{self.test.place}.{word}"

    # Life

    def middle(self):
        """Where a test that crashes does so. Connections are gone then: take new ones."""
        if self.test.crashes:
            self.crash()

    def crash(self):
        self.broker.kill()  # first: what a closed connection gives back would be counted
        self.close()
        self.broker.start()

    def close(self):
        for connection in self.connections:
            connection.close()
        self.connections, self.sender = [], None

    # Clients

    def connect(self, version="1.2", **headers):
        connection = wire.Connection(
            self.broker.port, version=version, headers={name.replace("_", "-"): v for name, v in headers.items()})
        self.connections.append(connection)
        return connection

    def send(self, destination, body=b"x", headers=None, on=None):
        """SEND with a receipt that came."""
        if on is None:
            if self.sender is None:
                self.sender = self.connect()
            on = self.sender
        on.unread += on.ask("SEND", {"destination": destination, **(headers or {})}, body)

    def fill(self, destination, bodies, headers=None):
        """Many SENDs; the RECEIPT of the last speaks for all."""
        if self.sender is None:
            self.sender = self.connect()
        raw = b"".join(wire.frame("SEND", {"destination": destination, **(headers or {})}, body)
                       for body in bodies[:-1])
        self.sender.send(raw)
        self.send(destination, bodies[-1], headers)

    def consume(self, destination, headers=None, ack="client-individual", on=None, sub="s"):
        """A connection that is subscribed. Messages are read from it."""
        on = on or self.connect()
        fields = {"id": sub, "destination": destination, "ack": ack, **(headers or {})}
        assert not on.ask("SUBSCRIBE", fields), "a frame before the receipt of SUBSCRIBE"
        return on

    def take(self, destination, count, headers=None, quiet=0.15):
        """Takes `count` messages, and there may be no more of them. Returns the frames."""
        reader = self.consume(destination, headers, ack="auto")
        got = [reader.message() for _ in range(count)]
        reader.expect_quiet(quiet)
        reader.ask("UNSUBSCRIBE", {"id": "s"})
        reader.close()
        return got

    def bodies(self, destination, count, headers=None, quiet=0.15):
        return [frame.body for frame in self.take(destination, count, headers, quiet)]

    def refuse(self, message, words, command, headers, body=b"", on=None):
        """The frame must be answered by an ERROR of this kind whose body has all `words`, and by the end."""
        on = on or self.connect()
        on.say(command, {**headers, "receipt": "r"}, body)
        while (got := on.read()).command == "MESSAGE":
            continue
        assert got.command == "ERROR", f"{got} instead of ERROR"
        assert got.headers.get("message") == message, f"message:{got.headers.get('message')}, {got.body!r}"
        assert got.headers.get("receipt-id") == "r", f"receipt-id:{got.headers.get('receipt-id')}"
        text = got.body.decode().lower()
        for word in [words] if isinstance(words, str) else words:
            assert word.lower() in text, f"{word!r} is not in {text!r}"
        on.expect_end()
        return got

    # Operators

    def ctl(self, *words, ok=True):
        """What brokerctl says, as JSON; with `ok=False` its exit code."""
        tool = os.path.join(os.path.dirname(brokerd.binary()), "brokerctl")
        # `--json` goes before a SELECTOR that begins with a dash, and is of every verb.
        command = [tool, "--data", self.broker.data, *words, "--json"]
        done = subprocess.run(command, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
        if not ok:
            return done.returncode
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.decode()[:300]}"
        return json.loads(done.stdout)

    def on_disk(self):
        """What the broker has noted by now outlives it: batches reach the disk in their order."""
        self.send(self.queue("other"))

    def given_back(self, destination):
        """Waits until nobody holds anything of it. Of a connection that is cut the broker hears in its own time."""
        self.wait_until(lambda: self.show(destination)["unacked"] == 0)

    def show(self, destination):
        """The queue as operators see it."""
        shown = self.ctl("queue", "show", destination)
        return shown.get("queue", shown)

    def wait_until(self, question, seconds=10.0):
        """Asks until the answer is true; what the broker does by its clock takes a while."""
        until = time.monotonic() + seconds
        while not (answer := question()):
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.05)
        return answer


def ack(connection, message):
    connection.say("ACK", {"id": message.headers["ack"]})


def nack(connection, message, headers=None):
    """NACK, confirmed."""
    connection.unread += connection.ask("NACK", {"id": message.headers["ack"], **(headers or {})})


def acknowledged(connection, count):
    """Takes so many messages and acknowledges them; it is on disk that they are gone."""
    got = []
    for _ in range(count):
        got.append(connection.message())
        ack(connection, got[-1])
    connection.unread += connection.ask("SEND", {"destination": "/queue/suite.receipt", "expires": 1})
    return got


def number(frames):
    """Bodies that are numbers."""
    return [int(frame.body) for frame in frames]


class Rig:
    """A worker's broker. It lives as long as the worker, and is started anew when a test has ended it."""

    lock = threading.Lock()

    def __init__(self, tests):
        self.broker = brokerd.Broker()
        path = os.path.join(self.broker.home, "brokerd.json5")
        with open(path, "w") as file:
            json.dump(configuration(tests), file)
        self.broker.arguments = ["--config", path]

    def lab(self, a_test):
        if a_test.own is not None:
            words = [word for setting in a_test.own for word in ("--set", setting)]
            broker = brokerd.Broker(arguments=[*self.broker.arguments, *words])
        else:
            broker = self.broker
        if not broker.is_running():
            with Rig.lock:  # ports that are free are found one after the other
                broker.start()
        return Lab(a_test, broker)


WITHOUT = []  # what is left out, to see that tests miss it: names of headers, `policies`


def leave_out(names):
    """Frames lose these headers on their way: as with a broker that passes them over."""
    whole = wire.frame

    def frame(command, headers=(), body=b"", length=None):
        pairs = headers.items() if isinstance(headers, dict) else headers
        return whole(command, [(name, value) for name, value in pairs if name not in WITHOUT], body, length)

    WITHOUT.extend(names)
    wire.frame = frame


def configuration(tests):
    policies = {}
    if "policies" in WITHOUT:
        return {}
    for n, (pattern, settings) in enumerate(p for t in tests for p in t.policies()):
        policies[f"test-{n}"] = {"pattern": pattern, "settings": settings}
    return {"policies": policies}
