"""The list of tests, and what they are written with. A test is a function of one argument, a `Lab`.

A test carries the numbers of the fault cases that it produces; the table in docs/testing.md has a row for each case
and names the tests. `LONG` tests run with --long only.
"""
import contextlib
import ctypes
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import brokerd  # noqa: E402
import wire  # noqa: E402
from rules import Rules  # noqa: E402

TESTS = []
# So small that segments are retired and given up, and queue files closed and removed, after a few messages.
SMALL = ["journal.segment_bytes=1 MiB", "limits.body_bytes=128 KiB", "limits.transaction_bytes=128 KiB",
         "limits.transaction_operations=1000", "journal.segments=2", "journal.segments_max=8",
         "queue_file.bytes=1 MiB", "consumer.prefetch_count=1000000", "consumer.prefetch_bytes=1 GiB"]


class LeftOut(Exception):
    """This machine does not let the test produce its fault; says why."""


class Test:
    def __init__(self, function, numbers, is_long):
        file = os.path.splitext(os.path.basename(function.__code__.co_filename))[0]
        self.name = f"{file}.{function.__name__}"
        self.function, self.numbers, self.is_long = function, numbers, is_long


def case(*numbers, long=False):
    """Registers a test for these fault cases."""
    def register(function):
        TESTS.append(Test(function, numbers, long))
        return function
    return register


def scratch_root():
    """Memory, where there is enough of it: thousands of data directories are made and removed."""
    shm = "/dev/shm"
    if os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > 2 << 30:
        return shm
    return tempfile.gettempdir()


def end_with_parent():
    """A run that is broken off leaves no brokers behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class FaultyBroker(brokerd.Broker):
    """A broker with the shim in front of the system, or started through a program that gives way to it (`under`)."""

    def __init__(self, home, settings=(), data=None, shim=None, record=None, rules=False, under=(), arguments=(),
                 environment=None):
        super().__init__(data=data or os.path.join(home, "data"),
                         arguments=[*(word for s in settings for word in ("--set", s)), *arguments])
        self.through, self.shim = list(under), shim
        self.environment = dict(environment or {})
        self.log_path = os.path.join(home, os.path.basename(self.data) + ".log")
        self.rules = None
        if record or rules:
            self.environment.update(LD_PRELOAD=shim, SHIM_ROOT=self.data)
        if record:
            self.environment["SHIM_RECORD"] = record
        if rules:
            self.rules = Rules(os.path.join(home, os.path.basename(self.data) + ".rules"))
            self.environment["SHIM_CONTROL"] = self.rules.path

    def spawn(self):
        command = [brokerd.binary(), "--data", self.data, "--listen", f"127.0.0.1:{self.port}", *self.arguments]
        # `env` sets what is for the broker only: not for strace or ip in front of it.
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        with open(self.log_path, "ab") as log:
            offset = log.tell()
            self.log_start = offset
            self.process = subprocess.Popen([*self.through, "env", *variables, *command], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=end_with_parent)
        return offset

    @property
    def log(self):
        """What it logged since its last start."""
        return self.log_since(self.log_start).decode("utf-8", "replace")

    @property
    def own_pid(self):
        """Of the broker itself, also where it runs under another program."""
        children = subprocess.run(["pgrep", "-P", str(self.pid), "-x", "brokerd"], capture_output=True, text=True)
        return int(children.stdout.split()[0]) if children.stdout.strip() else self.pid

    def wait_for_log(self, words, seconds=20.0):
        until = time.monotonic() + seconds
        while words not in self.log:
            if self.process.poll() is not None and words not in self.log:
                code = self.process.returncode
                raise AssertionError(f"it ended with {code} before it said {words!r}: {self.log[-1500:]}")
            if time.monotonic() > until:
                raise AssertionError(f"it did not say {words!r} in {seconds} s: {self.log[-1500:]}")
            time.sleep(0.01)

    def wait_for_end(self, seconds=20.0):
        """The exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs after {seconds} s: {self.log[-1500:]}") from None

    def messages_at_start(self):
        return int(re.search(r"ready .*messages=(\d+)", self.log).group(1))

    def refused(self, seconds=20.0):
        """A start that must fail: its exit code and what it said."""
        self.spawn()
        return self.wait_for_end(seconds), self.log

    def connect(self, **more):
        return wire.Connection(self.port, **more)

    def admin(self, path):
        """What the admin socket answers to GET, as JSON; None if there is no such thing."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(os.path.join(self.data, "admin.sock"))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            raw = b""
            while data := sock.recv(65536):
                raw += data
        head, _, body = raw.partition(b"\r\n\r\n")
        return json.loads(body) if head.split()[1] == b"200" else None

    def count(self, queue):
        """How many messages a queue has."""
        shown = self.admin(f"/v1/queues/{queue}")
        return shown.get("queue", shown)["messages"] if shown else 0

    def take_all(self, queue):
        """The bodies of all messages of a queue, which stay in it."""
        connection = self.connect()
        connection.say("SUBSCRIBE", {"id": "1", "destination": f"/queue/{queue}", "ack": "client-individual",
                                     "prefetch-count": "1000000"})
        bodies = [connection.message().body for _ in range(self.count(queue))]
        connection.close()
        return bodies

    def drain(self, queues, count, seconds=30.0):
        """Reads all that there is, `count` messages, and takes nothing: (queue, body), in order of delivery."""
        connection = self.connect(patience=seconds)
        for name in queues:
            connection.say("SUBSCRIBE", {"id": name, "destination": f"/queue/{name}", "ack": "client-individual"})
        got = []
        while len(got) < count:
            frame = connection.message()
            got.append((frame.headers["subscription"], frame.body))
        # A RECEIPT behind everything: nothing more may come.
        more = connection.ask("SEND", {"destination": "/topic/behind"}, b"x")
        assert not more, f"{len(more)} more than the {count} that the start said: {more[:3]}"
        connection.close()
        return got


class Lab:
    """What one test has: a directory, brokers, dice. All goes with it."""

    def __init__(self, test, options, shim):
        self.test, self.shim = test, shim
        self.is_long, self.seed = options.long, options.seed
        self.minutes = options.minutes
        self.random = random.Random(f"{options.seed}/{test.name}")
        self.home = tempfile.mkdtemp(prefix="faults-", dir=scratch_root())
        self.brokers, self.undo, self.seen = [], [], ""

    def broker(self, settings=(), name="data", **more):
        broker = FaultyBroker(self.home, settings, data=more.pop("data", None) or os.path.join(self.home, name),
                              shim=self.shim, **more)
        self.brokers.append(broker)
        return broker

    def started(self, settings=(), **more):
        broker = self.broker(settings, **more)
        broker.start()
        return broker

    def note(self, text):
        """What was seen: stands behind the name of the test."""
        self.seen = f"{self.seen}; {text}" if self.seen else text

    def path(self, name):
        return os.path.join(self.home, name)

    def ctl(self, broker, *words):
        """brokerctl: its exit code and what it printed."""
        tool = os.path.join(os.path.dirname(brokerd.binary()), "brokerctl")
        done = subprocess.run([tool, "--data", broker.data, *words], capture_output=True, timeout=30, text=True,
                              stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    def last_logged(self, lines=20):
        """What its brokers said last: (file, line)."""
        for broker in self.brokers:
            with contextlib.suppress(FileNotFoundError):
                for line in broker.log_since().decode("utf-8", "replace").splitlines()[-lines:]:
                    yield broker.log_path, line

    def close(self):
        for broker in self.brokers:
            if broker.is_running():
                try:
                    os.kill(broker.own_pid, signal.SIGCONT)
                    os.kill(broker.own_pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                broker.kill()
        for action in reversed(self.undo):
            action()
        shutil.rmtree(self.home, ignore_errors=True)


def wait_until(question, seconds=20.0, what="it"):
    until = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < until, f"{what}: waited {seconds} s in vain"
        time.sleep(0.02)
    return answer


def need(program, package):
    """A program that Debian has."""
    if shutil.which(program):
        return program
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["install", "-y", "-q", package], ["update", "-q"], ["install", "-y", "-q", package]):
            if not shutil.which(program):
                subprocess.run(["apt-get", *command], capture_output=True, timeout=300)
    if shutil.which(program):
        return program
    if os.environ.get("CI") == "true" and os.geteuid() == 0:
        raise AssertionError(f"{program} is missing and {package} could not be installed")
    raise LeftOut(f"{program} is not here")


def need_root(what):
    if os.geteuid() != 0:
        raise LeftOut(f"{what} needs root")
