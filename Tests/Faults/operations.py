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
    count = 100_000 if lab.is_long else 5_000
    broker = lab.started([])
    client = broker.connect(patience=600)
    for start in range(0, count, 1000):
        client.send(b"".join(wire.frame("SEND", {"destination": f"/queue/q{n}"}, b"x") for n in range(start, min(count, start + 1000))))
    client.ask("SEND", {"destination": "/queue/last"}, b"x")
    client.close()
    broker.kill()
    seconds = broker.start(120)
    resident = brokerd.resident_kib(broker.own_pid) >> 10
    assert broker.messages_at_start() == count + 1
    assert broker.take_all(f"q{count - 1}") == [b"x"]
    lab.note(f"{count} queues: {seconds * 1000:.0f} ms, {resident} MiB")


@case(60)
def a_store_of_the_first_version(lab):
    """Made by changing the numbers: without notes and ids the two versions have the same bytes otherwise."""
    broker = lab.started(SMALL)
    sender = Sender(broker.port, most=60).all()
    consumer = subscribed(broker)
    take(consumer, 20)
    broker.kill()
    consumer.close()
    names = ["store", *(os.path.relpath(path, broker.data) for path in
                        [*store.checkpoints(broker.data), *(s.path for s in store.segments(broker.data))])]
    newest = set()
    for name in names:
        with open(os.path.join(broker.data, name), "r+b") as file:
            file.seek(8)
            newest.add(struct.unpack("<I", file.read(4))[0])
            file.seek(8)
            file.write(struct.pack("<I", 1))
    broker.start()
    assert "the store was of format version 1 and is of version" in broker.log, broker.log
    assert check_all_there(broker, sender, start=20) == 40
    assert broker.stop() == 0
    with open(os.path.join(broker.data, "store"), "rb") as file:
        assert struct.unpack_from("<I", file.read(), 8)[0] == max(newest)


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
    wait_until(lambda: "111" in lab.ctl(broker, "config", "show")[1] or "111" in broker.log, what="the last one to count")
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
    assert before <= numbers[-1] + 1 <= after, f"up to {numbers[-1]}; {before} were confirmed before the copy, {after} sent behind it"
    return "a prefix"
