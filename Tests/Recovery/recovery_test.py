"""How long a start takes, and how much memory, with a large backlog in many queues and a full journal.

Fills the queues over STOMP, adds small messages until the journal is full of them, kills the broker, starts it again.
"""
import argparse
import os
import random
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from brokerd import Broker, NotReady  # noqa: E402
from wire import Connection, frame  # noqa: E402

MIB = 1 << 20


def peak_kib(pid):
    """The most memory that a process had resident."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    raise ProcessLookupError(pid)


def processor_seconds(pid):
    """What a process has used: on a busy machine this says more than the time that passed."""
    with open(f"/proc/{pid}/stat") as stat:
        numbers = stat.read().rsplit(")", 1)[1].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def name(number):
    return f"/queue/backlog.{number:05}"


class Filling:
    """Sends in large writes; a receipt now and then, so that what is counted is on disk."""

    def __init__(self, port, patience=120.0):
        self.connection = Connection(port, patience=patience)
        self.waiting = []
        self.bytes = 0

    def send(self, raw):
        self.waiting.append(raw)
        self.bytes += len(raw)
        if self.bytes >= 4 * MIB:
            self.flush()

    def flush(self):
        self.connection.send(b"".join(self.waiting))
        self.waiting, self.bytes = [], 0

    def confirm(self):
        self.flush()
        self.connection.ask("SEND", [("destination", "/queue/last")], b"confirmed")

    def close(self):
        self.connection.close()


def fill(port, queues, size, total):
    """One queue after the other. Returns how many messages each has, and what they are."""
    body = bytes(random.Random(size).randbytes(size))
    each = max(1, total // (queues * size))
    filling = Filling(port)
    for number in range(queues):
        filling.send(frame("SEND", [("destination", name(number))], body, len(body)) * each)
        if number % 64 == 63:
            filling.confirm()
    filling.confirm()
    filling.close()
    return each, body


def fill_journal(port, queues, total):
    """Small messages, of which most fit into the journal: `total` bytes of it."""
    body = b"s" * 100
    # A record has 40 bytes, and what is kept of the frame's head about 16.
    count = total // (len(body) + 56)
    frames = [frame("SEND", [("destination", f"/queue/small.{number:05}")], body, len(body)) for number in range(queues)]
    filling = Filling(port)
    for number in range(count):
        filling.send(frames[number % queues])
    filling.confirm()
    filling.close()
    return count


def forget_cache(directory):
    """What is read next comes from the disk."""
    os.sync()
    for path, _, files in os.walk(directory):
        for entry in files:
            descriptor = os.open(os.path.join(path, entry), os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def read_back(port, number, count, body):
    """Whether a queue holds what was sent to it."""
    connection = Connection(port, patience=60.0)
    connection.send(frame("SUBSCRIBE", [("destination", name(number)), ("id", "1"), ("ack", "auto")]))
    try:
        return all(connection.message().body == body for _ in range(count))
    finally:
        connection.close()


def main():
    parser = argparse.ArgumentParser(prog="scripts/recovery-test")
    parser.add_argument("--queues", type=int, default=10_000)
    parser.add_argument("--gib", type=float, default=10.0, help="size of the backlog")
    parser.add_argument("--size", type=int, default=4096, help="bytes of a message")
    parser.add_argument("--journal-mib", type=int, default=256, help="small messages in the journal")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="nothing in the system's memory at a start")
    parser.add_argument("--memory", type=float, default=150.0, help="MiB that a start may take at most")
    parser.add_argument("--seconds", type=float, default=0.0, help="that a start may take at most; 0: it is only said")
    parser.add_argument("--data", help="where to make the data directory (removed afterwards)")
    parser.add_argument("--keep", action="store_true", help="do not remove it")
    choices = parser.parse_args()

    passed = failed = 0

    def check(sentence, holds):
        nonlocal passed, failed
        passed, failed = passed + bool(holds), failed + (not holds)
        print(("ok    " if holds else "FAILED ") + sentence, flush=True)

    data = os.path.join(choices.data, "data") if choices.data else None
    if choices.data:
        os.makedirs(choices.data)
    broker = Broker(data=data)
    try:
        broker.start()
        began = time.monotonic()
        each, body = fill(broker.port, choices.queues, choices.size, int(choices.gib * (1 << 30)))
        small = fill_journal(broker.port, choices.queues, choices.journal_mib * MIB)
        print(f"filled {choices.queues} queues with {each} messages of {choices.size} bytes each, and the journal with "
              f"{small} of 100 bytes, in {time.monotonic() - began:.0f} s; peak {peak_kib(broker.pid) / 1024:.0f} MiB")
        for start in range(choices.starts):
            broker.kill()
            if choices.cold:
                forget_cache(broker.data)
            seconds = broker.start(seconds=120)
            processor = processor_seconds(broker.pid)
            memory = peak_kib(broker.pid) / 1024
            files = sum(len(entries) for _, _, entries in os.walk(os.path.join(broker.data, "queues")))
            sizes = sum(os.path.getsize(os.path.join(path, entry)) for path, _, entries in os.walk(broker.data)
                        for entry in entries)
            print(f"start {start + 1}: ready after {seconds:.2f} s ({processor:.2f} s of a core), peak {memory:.0f} MiB, {files} queue files, "
                  f"{sizes / (1 << 30):.1f} GiB on disk")
            check(f"a start takes at most {choices.memory:.0f} MiB", memory <= choices.memory)
            if choices.seconds:
                check(f"a start takes at most {choices.seconds} s", seconds <= choices.seconds)
        for number in random.Random(1).sample(range(choices.queues), min(5, choices.queues)):
            check(f"{name(number)} holds its {each} messages", read_back(broker.port, number, each, body))
    except NotReady as error:
        check(f"the broker starts: {error}", False)
    finally:
        if choices.keep:
            broker.kill()
            print(f"the data is in {broker.data}")
        else:
            broker.remove()
        if choices.data and not choices.keep:
            shutil.rmtree(choices.data, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
