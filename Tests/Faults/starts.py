"""Starts and ends on bad ground: calls that fail in the middle of them, a full disk, too few files (faults 3, 23, 26,
41, 44)."""
import os
import signal
import subprocess
import time

import store
from disks import TIGHT, SmallDisk
from load import Sender, check_all_there, subscribed, take
from suite import SMALL, case, need, wait_until

CALLS = ["create", "write", "sync", "sync_directory", "rename", "make_directory", "open", "read", "truncate", "remove"]


def attempt(broker):
    """A start: "serves", or the exit code."""
    broker.spawn()
    wait_until(lambda: " ready " in broker.log or not broker.is_running(), what="a word")
    # What fails at once behind `ready` ends it as well.
    return "serves" if broker.is_running() else broker.process.returncode


def fail_each(lab, make, check, errors):
    """Starts in which the n-th call of each kind fails, for each n; behind it one that must be well."""
    outcomes = {}
    for call in CALLS:
        for number in range(100):
            broker = make(f"{call}{number}")
            broker.rules.set(0, call, error=errors[number % len(errors)], after=number, times=1)
            outcome = attempt(broker)
            time.sleep(0 if outcome != "serves" else 0.02)
            hit = broker.rules.counts()[1]
            outcome = outcome if broker.is_running() else broker.process.returncode
            said = f"{call} {number}: {outcome}: {broker.log}"
            assert outcome in ("serves", 1, 3), said
            if outcome != "serves":
                assert any(word in broker.log for word in ("Input/output error", "No space left")), said
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            broker.kill()
            broker.rules.clear()
            check(broker, said)
            if not hit:
                break
    lab.note(", ".join(f"{count} times {outcome}" for outcome, count in outcomes.items()))


def half_a_batch(data):
    """Behind the log, as a power cut leaves it."""
    segment = store.last_written(data)
    last = segment.last
    segment.raw[segment.end:segment.end + 200] = segment.raw[last.at:last.at + 200]
    segment.write()


@case(23, 26)
def a_first_start_in_which_a_call_fails(lab):
    """What it left is no store, or a whole one: the next start serves."""
    def make(name):
        return lab.broker(SMALL, name=name, rules=True)

    def check(broker, said):
        assert attempt(broker) == "serves", f"{said}\nthe next start: {broker.log}"
        assert broker.messages_at_start() == 0
        broker.kill()
        subprocess.run(["rm", "-rf", broker.data], check=True)

    fail_each(lab, make, check, ["EIO", "ENOSPC"])


@case(3, 23)
def a_start_in_which_a_call_fails(lab):
    """With a torn tail to mend, and queue files. Whatever fails, the next start has all of it."""
    first = lab.started(SMALL)
    sender = Sender(first.port, size=6000, most=600, window=50).all()
    first.kill()
    half_a_batch(first.data)

    def make(name):
        subprocess.run(["cp", "-a", first.data, lab.path(name)], check=True)
        return lab.broker(SMALL, name=name, rules=True)

    def check(broker, said):
        assert attempt(broker) == "serves", f"{said}\nthe next start: {broker.log}"
        assert broker.messages_at_start() == 600, f"{said}\nthe next start: {broker.log}"
        broker.kill()
        subprocess.run(["rm", "-rf", broker.data], check=True)

    fail_each(lab, make, check, ["EIO", "ENOSPC"] if lab.is_long else ["EIO"])
    assert sender.confirmed == 600


@case(26)
def a_start_on_a_full_disk(lab):
    """Killed while the disk was full: it starts, consumers take what there is, and by that there is room."""
    disk = SmallDisk(lab, 48)
    broker = lab.started(TIGHT, data=os.path.join(disk.path, "data"))
    sender = Sender(broker.port, size=20_000, most=700).all()
    disk.fill()
    broker.wait_for_log("disk is short")
    for torn in (False, True):
        broker.kill()
        if torn:
            half_a_batch(broker.data)
        disk.fill()
        broker.start()
        assert torn == ("unfinished batches" in broker.log), broker.log
        if not torn:  # saving what is torn gives up the reserve, and that may be room enough
            broker.wait_for_log("disk is short")
        consumer = subscribed(broker)
        take(consumer, 100)
        consumer.close()
    disk.empty()
    wait_until(lambda: broker.admin("/v1/status")["disk"]["short"] is False, what="room again")
    broker.kill()
    broker.start()
    check_all_there(broker, sender, start=200)


@case(26, 41)
def an_end_on_a_full_disk(lab):
    """SIGTERM while batches wait for room: it ends in a bounded time and says what it could not do."""
    broker = lab.started([*SMALL, "limits.hold_seconds=60"], rules=True)
    broker.rules.set(0, "create rename", error="ENOSPC")
    broker.rules.set(1, "write", "queues/", error="ENOSPC")
    sender = Sender(broker.port, size=100_000, window=200)
    broker.wait_for_log("disk is short")
    # Who is new is read from once before it is held.
    others = []
    while not waiting_bytes(broker) and len(others) < 50:
        others.append(Sender(broker.port, queue="others", size=100_000, window=200))
        time.sleep(0.1)
    assert waiting_bytes(broker), "everything found room"
    os.kill(broker.own_pid, signal.SIGTERM)
    code = broker.wait_for_end(20)
    for each in (sender, *others):
        each.finish()
    broker.rules.clear()
    # Storage gives up after five seconds without room, the grace is over a little earlier or later.
    words = {0: "the disk has not taken everything", 3: "the last batches could not be made durable"}
    assert code in words and words[code] in broker.log, f"{code}: {broker.log}"
    lab.note(f"exit code {code}")
    broker.start()
    found = broker.drain(["q", "others"], broker.messages_at_start())
    assert sum(queue == "q" for queue, _ in found) >= sender.confirmed
    assert sum(queue == "others" for queue, _ in found) >= sum(other.confirmed for other in others)


def waiting_bytes(broker):
    """What the disk does not take: it has not been taken a while later either."""
    if not broker.admin("/v1/status")["journal"]["backlog_bytes"]:
        return 0
    time.sleep(0.3)
    return broker.admin("/v1/status")["journal"]["backlog_bytes"]


@case(44)
def a_start_with_few_files(lab):
    """Below 64 it says so and ends; from there on it serves."""
    need("prlimit", "util-linux")
    for files in (8, 12, 16, 24, 40, 63, 64, 70, 100):
        broker = lab.broker(SMALL, name=f"f{files}", under=["prlimit", f"--nofile={files}:{files}"])
        outcome = attempt(broker)
        if files < 64:
            assert outcome == 1 and f"the system allows only {files} open files" in broker.log, f"{files}: {broker.log}"
            assert not os.path.exists(broker.data)
            continue
        assert outcome == "serves", f"{files} files: {outcome}: {broker.log}"
        sender = Sender(broker.port, size=60_000, most=60).all()
        assert sender.confirmed == 60, f"{files} files: {sender.end}: {broker.log}"
        assert broker.stop() == 0
