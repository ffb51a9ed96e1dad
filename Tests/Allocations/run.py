#!/usr/bin/env python3
"""A message costs no allocation: neither on its way in, nor out, nor when it is acknowledged. See scripts/allocations.

Memory is asked for when a queue grows, for each batch and now and then; what is counted here is what remains for each
message when a broker has been busy for a while. How many messages are in one read is up to the two processes, so what
a read or a sync may ask for is told apart by their number.
"""
import argparse
import ctypes
import mmap
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import brokerd  # noqa: E402
import wire  # noqa: E402

# What one message may ask for, and one read or sync with all that follows from it: batches, pages of the outbox, ...
A_MESSAGE, A_ROUND = 0.02, 24
BURST = 4000  # messages that are sent together
WARM, MEASURED = 15, 25  # bursts
FIELDS = ("allocations", "bytes", "reads", "syncs")


class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in FIELDS]


class Watched(brokerd.Broker):
    """A broker whose allocations are counted."""

    def __init__(self, shim):
        super().__init__()
        self.shim = shim
        self.path = os.path.join(self.home, "counts")
        with open(self.path, "wb") as file:
            file.write(bytes(ctypes.sizeof(Counts)))
        with open(self.path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), ctypes.sizeof(Counts))

    def spawn(self):
        os.environ.update(LD_PRELOAD=self.shim, COUNTS=self.path)
        try:
            return super().spawn()
        finally:
            del os.environ["LD_PRELOAD"], os.environ["COUNTS"]

    def counts(self):
        now = Counts.from_buffer_copy(self.memory)
        return {name: getattr(now, name) for name in FIELDS}


class Stream:
    """One connection on which many frames come."""

    def __init__(self, port):
        self.connection = wire.Connection(port, patience=60)
        self.sock = self.connection.sock
        self.rest = b""

    def frames(self, count):
        """The next `count` frames, none of which has a NUL in its body."""
        parts = []
        while len(parts) < count:
            data = self.sock.recv(1 << 20)
            assert data, f"the broker closed the connection: {self.rest[-500:]!r}"
            *whole, self.rest = (self.rest + data).split(b"\0")
            parts += whole
        assert len(parts) == count, f"{len(parts)} frames instead of {count}"
        return parts


def burst(destination, size, start, receipts):
    """Many SENDs, the last of which always asks for a receipt."""
    body = b"x" * size
    frames = []
    for number in range(start, start + BURST):
        receipt = b"receipt:%d\n" % number if receipts or number == start + BURST - 1 else b""
        frames.append(b"SEND\ndestination:%s\npersistent:%s\n%scontent-length:%d\n\n%s\0"
                      % (destination, b"true" if receipts else b"false", receipt, size, body))
    return b"".join(frames)


def publish(broker, size):
    """Sent and confirmed; nobody takes them."""
    producer = Stream(broker.port)

    def step(number):
        producer.sock.sendall(burst(b"/queue/publish", size, number * BURST, True))
        frames = producer.frames(BURST)
        assert all(frame.lstrip().startswith(b"RECEIPT") for frame in frames), frames[-1]
    return step


def end_to_end(broker, size):
    """Sent, confirmed, delivered, and acknowledged one by one."""
    producer, consumer = Stream(broker.port), Stream(broker.port)
    consumer.connection.ask("SUBSCRIBE", {"id": "0", "destination": "/queue/through", "ack": "client-individual",
                                          "prefetch-count": "5000", "prefetch-size": "16777216"})
    producer_sock = producer.sock

    def step(number):
        producer_sock.sendall(burst(b"/queue/through", size, number * BURST, True))
        producer.frames(BURST)
        acks = []
        for frame in consumer.frames(BURST):
            start = frame.index(b"\nack:") + 5
            acks.append(b"ACK\nid:%s\n\n\0" % frame[start:frame.index(b"\n", start)])
        last = acks.pop().replace(b"\n\n\0", b"\nreceipt:%d\n\n\0" % number)
        consumer.sock.sendall(b"".join(acks) + last)
        consumer.frames(1)
    return step


def fan_out(broker, size):
    """Sent to a topic with five who listen."""
    producer = Stream(broker.port)
    listeners = [Stream(broker.port) for _ in range(5)]
    for listener in listeners:
        listener.connection.ask("SUBSCRIBE", {"id": "0", "destination": "/topic/all", "ack": "auto"})

    def step(number):
        producer.sock.sendall(burst(b"/topic/all", size, number * BURST, False))
        for listener in listeners:
            listener.frames(BURST)
        producer.frames(1)
    return step


WORKLOADS = [("publish 100 B", publish, 100, 1), ("publish 1 KiB", publish, 1024, 1),
             ("end to end 100 B", end_to_end, 100, 2), ("fan-out 100 B to 5", fan_out, 100, 6)]


def measure(shim, workload, size):
    """What was asked for in the measured bursts."""
    with Watched(shim) as broker:
        step = workload(broker, size)
        for number in range(WARM):
            step(number)
        before = broker.counts()
        for number in range(WARM, WARM + MEASURED):
            step(number)
        after = broker.counts()
        assert broker.is_running(), broker.log_since(0)[-1000:]
    return {name: after[name] - before[name] for name in FIELDS}


def judge(name, shim, workload, size, passes):
    """Prints the figures; True if they are as promised. `passes`: a message's ways through the broker."""
    seen = measure(shim, workload, size)
    messages = MEASURED * BURST
    rounds = seen["reads"] + seen["syncs"]
    allowed = A_MESSAGE * messages * passes + A_ROUND * rounds
    # With few messages in a round, what a round may ask for would cover one for each message.
    can_fail = allowed < messages / 2
    ok = can_fail and seen["allocations"] <= allowed
    print(f"{'ok' if ok else 'not ok'} {name}: {seen['allocations'] / messages:.4f} allocations a message "
          f"({seen['allocations']} for {messages} messages in {rounds} reads and syncs; at most {allowed:.0f}"
          f"{'' if can_fail else ', too many to tell anything'})", flush=True)
    return ok


def build_shim(folder):
    target = os.path.join(folder, "shim.so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", target,
                    os.path.join(HERE, "shim.c"), "-ldl"], check=True)
    return target


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--only", metavar="WORD", help="workloads with this in their name")
    options = options.parse_args()
    folder = tempfile.mkdtemp(prefix="allocations-")
    try:
        brokerd.binary()
        shim = build_shim(folder)
        workloads = [entry for entry in WORKLOADS if not options.only or options.only in entry[0]]
        results = [judge(name, shim, workload, size, passes) for name, workload, size, passes in workloads]
    except brokerd.NotReady as problem:
        print(f"allocations: {problem}")
        results = [False]
    finally:
        shutil.rmtree(folder)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if results and all(results) else 1


sys.exit(main())
