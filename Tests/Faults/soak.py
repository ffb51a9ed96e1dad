"""Load for a long time, and every few seconds a fault by dice (fault 64)."""
import os
import random
import signal
import subprocess
import threading
import time

import brokerd
import wire
from promises import body_of, name_of
from suite import SMALL, case

QUEUES = ["a", "b", "c"]


class Books:
    """What was promised of each message, over all lives of the broker."""

    def __init__(self):
        self.lock = threading.Lock()
        self.numbers = {queue: 0 for queue in QUEUES}
        self.stored, self.open, self.acking, self.gone = set(), set(), set(), set()
        self.wrong = []
        self.sent = self.received = self.redelivered = 0

    def next(self, queue):
        with self.lock:
            self.numbers[queue] += 1
            name = f"{queue}/{self.numbers[queue]}"
            self.open.add(name)
            self.sent += 1
            return name

    def confirmed(self, name):
        with self.lock:
            if name in self.open:
                self.open.discard(name)
                self.stored.add(name)

    def arrived(self, queue, frame):
        name = name_of(frame.body)
        with self.lock:
            self.received += 1
            self.redelivered += frame.headers.get("redelivered") == "true"
            if name is None or not name.startswith(queue + "/"):
                self.wrong.append(f"changed or invented: {frame!r}")
            elif name in self.gone:
                self.wrong.append(f"came back after the receipt of its ACK: {name}")
            else:
                self.open.discard(name)
                self.acking.discard(name)
                self.stored.add(name)
            return name

    def asked_to_forget(self, name):
        with self.lock:
            self.stored.discard(name)
            self.acking.add(name)

    def forgotten(self, name):
        with self.lock:
            self.acking.discard(name)
            self.gone.add(name)

    @property
    def backlog(self):
        return len(self.stored) + len(self.acking) + len(self.open)

    def judge(self, found):
        """`found`: names that are there when all load has ended."""
        lost = self.stored - found
        back = self.gone & found
        unknown = found - self.stored - self.open - self.acking - self.gone
        for what, names in (("lost", lost), ("came back", back), ("unknown", unknown)):
            if names:
                self.wrong.append(f"{what}: {sorted(names)[:5]} and {max(0, len(names) - 5)} more")
        # From now on it is decided.
        self.gone |= (self.stored | self.open | self.acking) - found
        self.stored, self.open, self.acking = set(found), set(), set()


class Client(threading.Thread):
    """Connects again and again, until it is told to stop."""

    def __init__(self, soak, queue, dice):
        super().__init__(daemon=True)
        self.soak, self.books, self.queue, self.dice = soak, soak.books, queue, dice
        self.problem = None
        self.start()

    def run(self):
        while not self.soak.over.is_set():
            try:
                connection = wire.Connection(self.soak.broker.port, patience=30)
            except (OSError, wire.Closed, wire.Timeout, wire.ErrorFrame):
                time.sleep(0.05)
                continue
            try:
                self.talk(connection)
            except (OSError, wire.Closed, wire.ErrorFrame):
                pass  # faults do that
            except wire.Timeout as problem:
                if not self.soak.is_faulty:
                    self.problem = f"{type(self).__name__} of {self.queue}: {problem}"
            connection.close()


class Producer(Client):
    def talk(self, connection):
        while not self.soak.over.is_set():
            if self.books.backlog > 3000:
                time.sleep(0.02)
                continue
            names = [self.books.next(self.queue) for _ in range(self.dice.randint(1, 8))]
            for name in names:
                size = self.dice.choice([50, 500, 3000, 30_000])
                connection.say("SEND", {"destination": f"/queue/{self.queue}", "receipt": name}, body_of(name, size))
            for name in names:
                frame = connection.expect("RECEIPT")
                assert frame.headers["receipt-id"] == name, frame
                self.books.confirmed(name)


class Consumer(Client):
    def talk(self, connection):
        connection.say("SUBSCRIBE", {"id": "1", "destination": f"/queue/{self.queue}", "ack": "client-individual",
                                     "prefetch-count": "20"})
        while not self.soak.over.is_set():
            try:
                frame = connection.message(0.5)
            except wire.Timeout:
                continue
            name = self.books.arrived(self.queue, frame)
            if self.dice.random() < 0.02:
                return connection.reset()
            self.books.asked_to_forget(name)
            connection.say("ACK", {"id": frame.headers["ack"], "receipt": name})
            self.wait_for_receipt(connection)
            self.books.forgotten(name)

    @staticmethod
    def wait_for_receipt(connection):
        """Messages that were on their way before it are read later."""
        before, connection.unread = connection.unread, []
        while (frame := connection.read()).command != "RECEIPT":
            if frame.command == "ERROR":
                raise wire.ErrorFrame(frame)
            before.append(frame)
        connection.unread = before


class Soak:
    def __init__(self, lab):
        self.lab, self.books, self.over = lab, Books(), threading.Event()
        self.is_faulty = False
        self.broker = lab.broker([*SMALL, "limits.hold_seconds=2"], rules=True)
        self.broker.start()
        self.done, self.next_faults = {}, []
        self.sizes = []

    FAULTS = ["kill", "kill", "stop", "pause", "write", "sync", "full", "slow", "short", "clock", "files", "names",
              "read"]

    def fault(self):
        if not self.next_faults:
            self.next_faults = self.lab.random.sample(self.FAULTS, len(self.FAULTS))
        name = self.next_faults.pop()
        self.done[name] = self.done.get(name, 0) + 1
        self.is_faulty = True
        getattr(self, name)()
        self.broker.rules.clear()
        if not self.broker.is_running():
            code = self.broker.process.returncode
            if name not in ("kill", "stop") and code != 3:
                self.books.wrong.append(f"behind {name} it ended with {code}: {self.broker.log[-500:]}")
            self.broker.start()
        self.is_faulty = False

    def kill(self):
        self.broker.kill()

    def stop(self):
        code = self.broker.stop()
        if code != 0:
            self.books.wrong.append(f"SIGTERM ended with {code}: {self.broker.log[-500:]}")

    def pause(self):
        os.kill(self.broker.pid, signal.SIGSTOP)
        time.sleep(self.lab.random.uniform(0.1, 1.5))
        os.kill(self.broker.pid, signal.SIGCONT)

    def rule(self, calls, seconds, **more):
        self.broker.rules.set(0, calls, **more)
        until = time.monotonic() + seconds
        while self.broker.is_running() and time.monotonic() < until:
            time.sleep(0.02)

    def write(self):
        self.rule("write", 1, error="EIO", after=self.lab.random.randint(0, 50), times=1)

    def sync(self):
        self.rule("sync sync_directory", 1, error="EIO", after=self.lab.random.randint(0, 50), times=1)

    def full(self):
        self.broker.rules.set(1, "create", error="ENOSPC")
        self.broker.rules.set(2, "write", "queues/", error="ENOSPC")
        self.rule("write", 2, path="draft", error="ENOSPC")

    def slow(self):
        self.rule("sync", 1.5, wait_ms=self.lab.random.randint(20, 400))

    def short(self):
        self.rule("write", 1, most=self.lab.random.randint(1, 5000))

    def clock(self):
        self.broker.rules.clock(self.lab.random.choice([0, 86400, -3600, 10 * 365 * 86400, -86400]))

    def files(self):
        try:
            subprocess.run(["prlimit", f"--pid={self.broker.pid}", "--nofile=12:"], check=True)
            time.sleep(1)
            subprocess.run(["prlimit", f"--pid={self.broker.pid}", "--nofile=4096:"], check=True)
        except subprocess.CalledProcessError:
            if self.broker.is_running():
                raise

    def names(self):
        self.rule("rename remove", 1, error="EIO", after=self.lab.random.randint(0, 3), times=2)

    def read(self):
        self.rule("read", 0.5, error="EIO", times=3)

    def measure(self):
        if self.broker.is_running():
            self.sizes.append((brokerd.resident_kib(self.broker.pid) >> 10, brokerd.open_files(self.broker.pid)))

    def run(self, seconds, pause):
        dice = self.lab.random
        clients = [kind(self, queue, random.Random(dice.random()))
                   for queue in QUEUES for kind in (Producer, Producer, Consumer)]
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.books.wrong:
            time.sleep(dice.uniform(*pause))
            self.measure()
            self.fault()
        self.over.set()
        for client in clients:
            client.join(60)
            if client.is_alive() or client.problem:
                self.books.wrong.append(client.problem or f"{type(client).__name__} hangs")
        self.look()

    def look(self):
        """Everything is still: what is there is compared with the books, twice, with a start in between."""
        for _ in range(2):
            self.broker.rules.clock(0)
            self.broker.kill()
            self.broker.start()
            found = [name_of(body) for _, body in self.broker.drain(QUEUES, self.broker.messages_at_start())]
            if len(set(found)) != len(found) or None in found:
                self.books.wrong.append("a message is there twice, or changed")
            self.books.judge(set(found))


def soak(lab, seconds, pause):
    run = Soak(lab)
    run.run(seconds, pause)
    books = run.books
    faults = ", ".join(f"{count} {name}" for name, count in sorted(run.done.items()))
    lab.note(f"{books.sent} sent, {len(books.gone)} acknowledged, {books.redelivered} delivered again; {faults}")
    if run.sizes:
        lab.note(f"at most {max(size for size, _ in run.sizes)} MiB and {max(files for _, files in run.sizes)} files")
    assert not books.wrong, books.wrong[:5]
    assert len(books.gone) > 100, "there was no load"


@case(64)
def a_short_one(lab):
    soak(lab, 12, (0.2, 0.8))


@case(64, long=True)
def a_long_one(lab):
    soak(lab, lab.minutes * 60, (1, 6))
