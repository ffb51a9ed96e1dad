"""Signals, and too little memory, too few files and threads (faults 41 to 45)."""
import os
import re
import signal
import subprocess
import tempfile
import threading
import time

import brokerd
import wire
from load import Sender, check_all_there, subscribed, take
from suite import SMALL, LeftOut, case, need, need_root, wait_until


@case(41)
def two_signals_under_load(lab):
    broker = lab.started(SMALL)
    senders = [Sender(broker.port, queue=f"q{n}", window=50) for n in range(4)]
    wait_until(lambda: all(sender.confirmed > 200 for sender in senders), what="load")
    began = time.monotonic()
    for _ in range(2):
        os.kill(broker.own_pid, signal.SIGTERM)
    code = broker.wait_for_end(10)
    seconds = time.monotonic() - began
    for sender in senders:
        sender.finish()
        # Not cut off in the middle of a frame: it was told.
        assert sender.end is not None
    assert code == 0 and broker.log.count("info    stopping\n") == 1, f"{code}: {broker.log}"
    broker.start()
    found = broker.drain([f"q{n}" for n in range(4)], broker.messages_at_start())
    for number, sender in enumerate(senders):
        there = sum(queue == f"q{number}" for queue, _ in found)
        assert sender.confirmed <= there <= sender.sent, f"{there} there, {sender.confirmed} confirmed"
    lab.note(f"{seconds:.2f} s, {sum(sender.confirmed for sender in senders)} confirmed, {len(found)} there")


class Group:
    """A control group of version 1 for one broker."""

    def __init__(self, lab, kind):
        need_root("a control group")
        root = f"/sys/fs/cgroup/{kind}"
        if not os.path.exists(f"{root}/cgroup.procs"):
            raise LeftOut(f"there is no {root} of version 1")
        self.path = tempfile.mkdtemp(prefix="brokerd-faults-", dir=root)
        lab.undo.append(self.remove)
        self.under = ["sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh"]

    def set(self, name, value):
        with open(f"{self.path}/{name}", "w") as file:
            file.write(str(value))

    def get(self, name):
        with open(f"{self.path}/{name}") as file:
            return file.read()

    def remove(self):
        # Whoever was in it has ended; the kernel may notice a little later.
        for _ in range(50):
            try:
                return os.rmdir(self.path)
            except OSError:
                time.sleep(0.05)


def on_a_real_disk(lab):
    """What is in a file system in memory counts as memory."""
    path = tempfile.mkdtemp(prefix="faults-")
    lab.undo.append(lambda: subprocess.run(["rm", "-rf", path]))
    return os.path.join(path, "data")


@case(42)
def a_backlog_larger_than_memory(lab):
    megabytes = 256 if lab.is_long else 80
    group = Group(lab, "memory")
    group.set("memory.limit_in_bytes", megabytes << 20)
    settings = [f"memory.messages_bytes={megabytes // 8} MiB", "journal.segment_bytes=8 MiB",
                "limits.body_bytes=1 MiB", "limits.transaction_bytes=1 MiB"]
    broker = lab.started(settings, data=on_a_real_disk(lab), under=group.under)
    count = megabytes * (10 if lab.is_long else 3) * 2**20 // 60_000 // 4
    senders = [Sender(broker.port, queue=f"q{n}", size=60_000, window=20, most=count) for n in range(4)]
    for sender in senders:
        sender.all(600)
        assert sender.confirmed == count, f"{sender.confirmed} of {count}: {sender.end}"
    most = int(group.get("memory.max_usage_in_bytes")) >> 20
    consumer = subscribed(broker, "q0", prefetch=100, patience=60)
    consumer.unread += []
    for number in range(count):
        frame = consumer.message()
        assert frame.body.startswith(b"m/%d\n" % number)
        consumer.say("ACK", {"id": frame.headers["ack"]})
    resident = brokerd.resident_kib(broker.own_pid) >> 10
    kills = re.search(r"oom_kill (\d+)", group.get("memory.oom_control"))
    assert not kills or kills.group(1) == "0", "the kernel killed it"
    lab.note(f"{4 * count} messages of 60 kB with {megabytes} MiB; resident at the end {resident} MiB")
    assert broker.is_running() and most <= megabytes
    broker.stop()


@case(43)
def killed_for_want_of_memory(lab):
    """The limit is lowered under it until the kernel kills it. That is a `kill -9`."""
    group = Group(lab, "memory")
    broker = lab.started(SMALL, data=on_a_real_disk(lab), under=group.under)
    sender = Sender(broker.port, window=20, size=2000)
    wait_until(lambda: sender.confirmed > 300, what="load")
    group.set("memory.limit_in_bytes", 24 << 20)
    # It is made to need more than that.
    others = []
    try:
        while broker.is_running() and len(others) < 40:
            others.append(Sender(broker.port, queue=f"o{len(others)}", size=100_000, window=1000))
            time.sleep(0.05)
    except (OSError, wire.Closed, wire.Timeout):
        pass  # it was killed while one connected
    wait_until(lambda: not broker.is_running(), what="the kernel to kill it")
    for other in others:
        other.finish()
    code = broker.wait_for_end()
    sender.finish()
    assert code == -signal.SIGKILL, f"ended with {code}: {broker.log}"
    broker.through = []
    broker.start()
    count = broker.messages_at_start()
    names = ["q", *(f"o{n}" for n in range(40))]
    found = [body for queue, body in broker.drain(names, count) if queue == "q"]
    assert sender.confirmed <= len(found) <= sender.sent
    lab.note(f"killed with {sender.confirmed} confirmed, {len(found)} there")


@case(44)
def no_files_for_storage(lab):
    """The limit of open files is lowered under it until neither segments nor queue files can be opened."""
    need("prlimit", "util-linux")
    broker = lab.started([*SMALL, "limits.hold_seconds=60"])
    sender = Sender(broker.port, size=60_000)
    consumer = subscribed(broker)
    take(consumer, 5)
    reader = broker.connect()
    pid = broker.own_pid
    subprocess.run(["prlimit", f"--pid={pid}", f"--nofile=10:"], check=True)
    broker.wait_for_log("disk is short")
    assert "Too many open files" in broker.log, broker.log
    stuck = sender.confirmed
    # What is in memory is delivered; a queue that is read back stands still meanwhile.
    reader.say("SUBSCRIBE", {"id": "1", "destination": "/queue/q", "ack": "client-individual"})
    # A reload finds no file for the configuration, says so, and nothing else happens.
    os.kill(pid, signal.SIGHUP)
    time.sleep(0.1)
    assert broker.is_running()
    subprocess.run(["prlimit", f"--pid={pid}", f"--nofile=4096:"], check=True)
    broker.wait_for_log("disk has room again")
    for _ in range(50):
        reader.message(20)
    assert lab.ctl(broker, "status")[0] == 0
    reader.close()
    wait_until(lambda: sender.confirmed > stuck + 50, what="receipts")
    sender.finish()
    assert sender.end is None, sender.end
    consumer.close()
    broker.kill()
    broker.start()
    check_all_there(broker, sender, start=5)
    lab.note(f"stood still at {stuck}, then {sender.confirmed}")


@case(45)
def threads_that_cannot_be_made_at_the_start(lab):
    """The n-th thread is refused: the start ends with a sentence, or what is served is served."""
    ended, served = [], 0
    for number in range(40 if lab.is_long else 12):
        broker = lab.broker(SMALL, name=f"t{number}", rules=True)
        broker.rules.set(0, "thread", error="EAGAIN", after=number, times=1)
        broker.spawn()
        wait_until(lambda: any(word in broker.log for word in (" ready ", "there is no thread for the log"))
                   or not broker.is_running(), what=f"thread {number}: a word")
        # `ready` is said before storage has its threads: without them it ends behind that.
        time.sleep(0.1)
        if not serves(broker):
            ended.append((number, broker.wait_for_end(), broker.log.strip().splitlines()[-1][25:120]))
            continue
        sender = Sender(broker.port, most=20).all(20)
        assert sender.confirmed == 20, f"thread {number}: {sender.end}: {broker.log}"
        served += 1
        assert broker.stop() == 0
    wrong = [each for each in ended if each[1] not in (1, 3)]
    lab.note(f"{served} starts serve, {len(ended)} end: {sorted({each[1:] for each in ended})}")
    assert not wrong, wrong


def serves(broker):
    """Without a thread for the log it says nothing more, but serves."""
    until = time.monotonic() + 5
    while broker.is_running() and time.monotonic() < until:
        try:
            broker.connect().close()
            return True
        except (OSError, wire.Closed):
            time.sleep(0.02)
    return False


@case(45)
def no_more_threads_while_running(lab):
    """Clients may have to wait until there can be threads again. Then all of it goes on by itself."""
    group = Group(lab, "pids")
    broker = lab.started(SMALL, under=group.under)
    first = Sender(broker.port, queue="first")
    wait_until(lambda: first.confirmed > 10, what="load")
    group.set("pids.max", int(group.get("pids.current")))
    at_limit = first.confirmed
    lifter = threading.Timer(3, lambda: group.set("pids.max", "max"))
    lifter.start()
    senders = [Sender(broker.port, queue=f"q{n}", size=60_000, most=40, window=10) for n in range(8)]
    for sender in senders:
        sender.all(60)
        assert sender.confirmed == 40, sender.end
    lifter.join()
    consumer = subscribed(broker, "q0", prefetch=1000)
    take(consumer, 40)
    assert lab.ctl(broker, "status")[0] == 0
    first.finish()
    assert first.end is None, first.end
    assert broker.stop() == 0
    lab.note(f"{first.confirmed} confirmed to one that was there before, {at_limit} at the limit")
