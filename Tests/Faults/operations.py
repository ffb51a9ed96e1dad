"""What operators do: starting with a backlog, an older store, a changed configuration, a log that nobody reads, a copy
of a live directory (faults 34, 58, 60 to 63)."""
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import time

import brokerd
import store
import wire
from load import Sender, check_all_there, subscribed, take
from promises import name_of
from suite import SMALL, case, wait_until


LARGE = ["journal.segment_bytes=24 MiB", "limits.body_bytes=1 MiB", "limits.transaction_bytes=1 MiB",
         "consumer.prefetch_count=1000000", "consumer.prefetch_bytes=1 GiB"]


@case(34)
def a_second_broker(lab):
    broker = lab.started(SMALL)
    sender = Sender(broker.port)
    second = lab.broker(SMALL, data=broker.data)
    second.log_path += ".second"
    for _ in range(5):
        code, log = second.refused(5)
        assert code == 1 and f"in use: process {broker.own_pid} has it" in log, f"{code}: {log}"
    before = sender.confirmed
    wait_until(lambda: sender.confirmed > before + 50, what="the first to go on")
    sender.finish()
    assert sender.end is None, sender.end
    broker.kill()
    broker.start()
    check_all_there(broker, sender)


@case(58)
def a_start_with_a_backlog(lab):
    count = 1_000_000 if lab.is_long else 100_000
    broker = lab.started(["consumer.prefetch_count=1000000"])
    sender = Sender(broker.port, size=200, most=count, window=5000).all(600)
    assert sender.confirmed == count, sender.end
    broker.kill()
    seconds = broker.start(60)
    resident = brokerd.resident_kib(broker.own_pid) >> 10
    assert broker.messages_at_start() == count
    bodies = take(subscribed(broker, prefetch=1000), 1000, with_receipts=False)
    assert [name_of(body) for body in bodies] == [f"m/{n}" for n in range(1000)]
    lab.note(f"{count} messages: {seconds * 1000:.0f} ms and {resident} MiB behind kill -9")
    broker.stop()
    seconds = broker.start(60)
    lab.note(f"{seconds * 1000:.0f} ms behind SIGTERM")
    # It does not depend on a fast machine, only on not reading every message again and again.
    assert resident < 512, f"{resident} MiB"


@case(58)
def a_start_with_many_queues(lab):
    count = 99_999 if lab.is_long else 5_000
    broker = lab.started([])
    client = broker.connect(patience=600)
    for start in range(0, count, 1000):
        numbers = range(start, min(count, start + 1000))
        client.send(b"".join(wire.frame("SEND", {"destination": f"/queue/q{n}"}, b"x") for n in numbers))
    client.ask("SEND", {"destination": "/queue/last"}, b"x")
    client.close()
    broker.kill()
    seconds = broker.start(120)
    resident = brokerd.resident_kib(broker.own_pid) >> 10
    assert broker.messages_at_start() == count + 1
    assert broker.take_all(f"q{count - 1}") == [b"x"]
    lab.note(f"{count} queues: {seconds * 1000:.0f} ms, {resident} MiB")


def as_version_1(data):
    """Makes a store of version 1 of one that has nothing but what that version knew, and was never checkpointed."""
    with open(os.path.join(data, "store"), "rb") as file:
        identity = file.read()[16:24]
    rest = identity + bytes(8)
    files = {"store": b"BRKSTOR1" + struct.pack("<II", 1, store.crc32c(rest)) + rest}
    # Replay from segment 1, batch 1; no queues, the next is number 1.
    rest = struct.pack("<Q8sIIQQII", 64, identity, 1, 1, 1, 0, 0, 0)
    files["checkpoint"] = b"BRKCKPT1" + struct.pack("<II", 1, store.crc32c(rest)) + rest
    for segment in store.segments(data):
        rest = bytes(segment.raw[16:store.SEGMENT_HEADER])
        name = os.path.relpath(segment.path, data)
        files[name] = segment.raw[:8] + struct.pack("<II", 1, store.crc32c(rest)) + segment.raw[16:]
    for name in store.checkpoints(data):
        os.unlink(name)
    for name, raw in files.items():
        with open(os.path.join(data, name), "wb") as file:
            file.write(raw)


@case(60)
def a_store_of_the_first_version(lab):
    broker = lab.started(SMALL)
    with open(os.path.join(broker.data, "store"), "rb") as file:
        newest = store.u32(file.read(), 8)
    sender = Sender(broker.port, most=60).all()
    consumer = subscribed(broker)
    take(consumer, 20)
    broker.kill()
    consumer.close()
    as_version_1(broker.data)
    broker.start()
    assert f"the store was of format version 1 and is of version {newest} now" in broker.log, broker.log
    assert check_all_there(broker, sender, start=20) == 40
    assert broker.stop() == 0
    broker.start()
    assert check_all_there(broker, sender, start=20) == 40


@case(60)
def a_store_of_a_later_version(lab):
    """What an older program sees: refused by the file `store` alone, before it looks at anything else."""
    broker = lab.started(SMALL)
    sender = Sender(broker.port, most=60).all()
    broker.kill()
    path = os.path.join(broker.data, "store")
    with open(path, "rb") as file:
        raw = file.read()
    with open(path, "wb") as file:
        file.write(raw[:8] + struct.pack("<I", store.u32(raw, 8) + 1) + raw[12:])
    shutil.rmtree(os.path.join(broker.data, "queues"))
    before = store.fingerprint(broker.data)
    code, log = broker.refused()
    assert code == 3 and f"format version {store.u32(raw, 8) + 1}" in log and "newer brokerd" in log, f"{code}: {log}"
    assert store.fingerprint(broker.data) == before
    with open(path, "wb") as file:
        file.write(raw)
    broker.start()
    assert check_all_there(broker, sender) == 60


@case(61)
def configurations_read_again_under_load(lab):
    file = lab.path("brokerd.json5")

    def write(text):
        with open(file, "w") as target:
            target.write(text)

    write("{ limits: { headers: 100 } }")
    broker = lab.started(SMALL, arguments=["--config", file])
    senders = [Sender(broker.port, queue=f"q{n}", window=10) for n in range(3)]
    texts = ["{ limits: { header: 1 } }", "{ limits: { headers: 101 } }", "{", "\0\xff garbage", "",
             "{ limits: { headers: 99999999999999999999 } }", "{ limits: { headers: 102 } }"]
    for turn in range(21):
        write(texts[turn % len(texts)])
        os.kill(broker.own_pid, signal.SIGHUP)
        if turn % 5 == 4:
            os.unlink(file)
            os.kill(broker.own_pid, signal.SIGHUP)
        time.sleep(0.02)
    write("{ limits: { headers: 111 } }")
    os.kill(broker.own_pid, signal.SIGHUP)
    broker.wait_for_log("setting changed name=limits.headers")
    wait_until(lambda: "new=111" in broker.log or "111" in lab.ctl(broker, "config", "show")[1], what="the last one")
    for sender in senders:
        sender.finish()
        assert sender.end is None, sender.end
    assert "did you mean limits.headers?" in broker.log and "cannot be read" in broker.log, broker.log
    lab.note(f"{broker.log.count('setting changed')} changes, {sum(s.confirmed for s in senders)} confirmed meanwhile")
    assert broker.stop() == 0


@case(62)
def a_log_that_nobody_reads(lab):
    """Standard error is a pipe whose reader stands still. Commits, and the end, do not wait for it."""
    broker = lab.broker(SMALL, arguments=["--log-level", "debug"])
    command = [brokerd.binary(), "--data", broker.data, "--listen", f"127.0.0.1:{broker.port}", *broker.arguments]
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    broker.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    os.close(writer)
    read = b""
    while b" ready " not in read:
        read += os.read(reader, 4096)
    # From here on nobody reads.
    for _ in range(200):
        client = broker.connect()
        client.close()
    sender = Sender(broker.port, window=10)
    wait_until(lambda: sender.confirmed > 500, what="receipts")
    sender.finish()
    assert sender.end is None, sender.end
    os.kill(broker.pid, signal.SIGTERM)
    assert broker.process.wait(15) == 0
    unread = b""
    while data := os.read(reader, 65536):
        unread += data
    os.close(reader)
    assert len(unread) > 3000, f"{len(unread)} bytes did not fill the pipe"
    broker.start()
    check_all_there(broker, sender)


@case(63)
def copies_of_a_live_directory(lab):
    """`cp -a` is not a backup of a running broker. What is in it is a prefix, or the start says why not."""
    outcomes = {}
    for settings, name in ((SMALL, "small"), (LARGE, "large")):
        broker = lab.started(settings, name=name)
        sender = Sender(broker.port, size=8000, window=2)
        wait_until(lambda: sender.confirmed > 100, what="load")
        consumer = subscribed(broker, prefetch=50)
        for turn in range(40 if lab.is_long else 5):
            take(consumer, 40, with_receipts=False)
            outcome = f"{name} segments: {copied(lab, broker, settings, sender)}"
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        sender.finish()
        broker.kill()
    lab.note(", ".join(f"{count} of {outcome}" for outcome, count in sorted(outcomes.items())))
    assert any("prefix" in outcome for outcome in outcomes), outcomes


def copied(lab, broker, settings, sender):
    """Copies the directory and starts on the copy."""
    path = lab.path("copy")
    before = sender.confirmed
    copy = subprocess.run(["cp", "-a", broker.data, path], capture_output=True, text=True)
    after = sender.sent
    # A file may go or be replaced while it is copied.
    words = ("vanished", "No such file", "as it was replaced")
    assert all(any(word in line for word in words) for line in copy.stderr.splitlines()), copy.stderr
    try:
        return start_on_copy(lab, path, settings, before, after)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def start_on_copy(lab, path, settings, before, after):
    broker = lab.broker(settings, data=path)
    broker.spawn()
    wait_until(lambda: " ready " in broker.log or not broker.is_running(), what="a word")
    if not broker.is_running():
        assert broker.process.returncode == 3, f"ended with {broker.process.returncode}: {broker.log}"
        assert "Nothing was changed" in broker.log, broker.log
        return "refused with a reason"
    found = [name_of(body) for _, body in broker.drain(["q"], broker.messages_at_start())]
    broker.kill()
    assert None not in found, "bytes changed"
    numbers = [int(name.split("/")[1]) for name in found]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), f"a hole: {numbers}"
    assert before <= numbers[-1] + 1 <= after, (
        f"up to {numbers[-1]}; {before} were confirmed before the copy, {after} sent behind it")
    return "a prefix"
