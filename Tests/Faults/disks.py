"""Disks that fail, are full, or go away while the broker runs (faults 21 to 33)."""
import os
import subprocess
import time

import brokerd
import store
import wire
from load import Sender, check_all_there, subscribed, take
from promises import body_of
from suite import SMALL, LeftOut, case, need, need_root, wait_until

FAILED = "storage failed: nothing more is confirmed"


def ends_with_three(lab, broker, sender, *words):
    """The broker ended, said why, confirmed nothing afterwards; a start has all that it confirmed."""
    code = broker.wait_for_end()
    sender.finish()
    assert code == 3, f"ended with {code}: {broker.log}"
    for word in (FAILED, *words):
        assert word in broker.log, f"{word!r} is not in the log: {broker.log}"
    assert sender.end is not None
    broker.rules.clear()
    broker.start()
    there = check_all_there(broker, sender)
    lab.note(f"{sender.confirmed} confirmed of {sender.sent}, {there} there")
    assert broker.stop() == 0


@case(21)
def a_write_fails_once(lab):
    broker = lab.started(SMALL, rules=True)
    broker.rules.set(0, "write", ".seg", error="EIO", after=200, times=1)
    sender = Sender(broker.port, window=8)
    ends_with_three(lab, broker, sender, "writing of journal/", "Input/output error")
    assert broker.rules.counts()[1] == 1


@case(22)
def a_sync_fails_once(lab):
    """The next one would succeed, and say nothing about the bytes that the kernel has dropped."""
    broker = lab.started(SMALL, rules=True)
    broker.rules.set(0, "sync", ".seg", error="EIO", after=100, times=1)
    sender = Sender(broker.port, window=8)
    broker.wait_for_end()
    seen, hit = broker.rules.counts()
    assert hit == 1 and seen == 101, f"{seen} syncs, though the 101st failed"
    ends_with_three(lab, broker, sender, "syncing of journal/", "Input/output error")


@case(23)
def no_sync_ever_succeeds(lab):
    broker = lab.broker(SMALL, rules=True)
    broker.rules.set(0, "sync sync_directory sync_all", error="EIO")
    code, log = broker.refused()
    # The name of a new data directory cannot be made durable: nothing was begun.
    assert code == 1 and "ready" not in log and "Input/output error" in log, f"{code}: {log}"
    lab.note(f"a new store: {code}")
    # Also where there is a store already.
    broker.rules.clear()
    broker.start()
    sender = Sender(broker.port, most=50).all()
    broker.kill()
    broker.rules.set(0, "sync sync_directory sync_all", error="EIO")
    code, log = broker.refused()
    assert code == 3 and "ready" not in log and "Input/output error" in log, f"{code}: {log}"
    lab.note(f"one that was there: {code}")
    broker.rules.clear()
    broker.start()
    assert check_all_there(broker, sender) == 50


@case(24)
def syncs_of_directories_fail(lab):
    """Nothing is given up meanwhile, and nothing is confirmed that hangs on it."""
    broker = lab.started(SMALL, rules=True)
    broker.rules.set(0, "sync_directory", error="EIO", after=2, times=30)
    sender = Sender(broker.port, size=30_000, most=400)
    consumer = subscribed(broker)
    take(consumer, 5)
    consumer.close()
    wait_until(lambda: broker.rules.counts()[1] >= 2, what="failing syncs of directories")
    broker.wait_for_log("disk is short")
    assert "syncing of" in broker.log and "Input/output error" in broker.log, broker.log
    at_fault = sender.confirmed
    broker.kill()  # whatever was confirmed must not hang on a name that was never synced
    sender.finish()
    broker.rules.clear()
    broker.start()
    there = check_all_there(broker, sender, start=5)
    lab.note(f"{at_fault} confirmed, {there} there after the kill")


@case(24)
def syncs_of_directories_work_again(lab):
    broker = lab.started([*SMALL, "limits.hold_seconds=60"], rules=True)
    broker.rules.set(0, "sync_directory", error="EIO", after=2)
    sender = Sender(broker.port, size=30_000, most=400)
    broker.wait_for_log("disk is short")
    broker.rules.clear()
    broker.wait_for_log("disk has room again")
    sender.join(60)
    sender.finish()
    assert sender.confirmed == 400 and sender.end is None, f"{sender.confirmed} confirmed, {sender.end}"
    broker.kill()
    broker.start()
    assert check_all_there(broker, sender) == 400


@case(25)
def reads_of_the_journal_fail(lab):
    """The queue stands still and says so, others go on; when reading works again it does too."""
    broker = lab.started([*SMALL, "memory.messages_bytes=1 MiB"], rules=True)
    sender = Sender(broker.port, size=20_000, most=300)
    sender.join(60)
    assert sender.confirmed == 300, sender.end
    broker.rules.set(0, "read", error="EIO")
    reader = subscribed(broker, prefetch=1000)
    broker.wait_for_log("cannot be read")
    assert "Input/output error" in broker.log, broker.log
    other = broker.connect()
    other.ask("SEND", {"destination": "/queue/other"}, b"fine")
    other.ask("SUBSCRIBE", {"id": "1", "destination": "/queue/other"})
    assert other.message().body == b"fine"
    said = lab.ctl(broker, "status")[1]
    assert "cannot be read" in said, said
    broker.rules.clear()
    # It tries again by itself.
    for _ in range(300):
        reader.message(20)
    assert "cannot be read" not in lab.ctl(broker, "status")[1]
    for connection in (reader, other):
        connection.close()
    broker.kill()
    broker.start()
    assert check_all_there(broker, sender) == 300


@case(26)
def no_room_once_at_each_write(lab):
    """The n-th write outside the journal finds the disk full. Serving goes on, by itself, and nothing is lost."""
    hits = [full_at(lab, number) for number in (range(40) if lab.is_long else (0, 1, 2, 5))]
    assert all(hits[:4]), hits
    lab.note(f"{sum(hits)} writes found no room, in {len(hits)} runs")


def full_at(lab, after):
    """A run in which writes find no room after so many that did. How many."""
    broker = lab.broker([*SMALL, "limits.hold_seconds=60"], name=f"w{after}", rules=True)
    broker.start()
    # Not the batches themselves: their room was made before.
    broker.rules.set(0, "write", "journal/draft", error="ENOSPC", after=after, times=1)
    broker.rules.set(1, "write", "queues/", error="ENOSPC", after=after, times=1)
    broker.rules.set(2, "write", "checkpoint", error="ENOSPC", after=after, times=1)
    sender = Sender(broker.port, size=60_000, most=120, window=4)
    consumer = subscribed(broker)
    take(consumer, 20)
    sender.join(60)
    assert sender.confirmed == 120, f"write {after}: {sender.confirmed} confirmed, {sender.end}: {broker.log}"
    hit = sum(broker.rules.counts(index)[1] for index in range(3))
    # Once there is room it must be said so, if it was said that there was none.
    wait_until(lambda: broker.log.count("disk has room again") == broker.log.count("disk is short"), what="room again")
    consumer.close()
    broker.kill()
    broker.start()
    check_all_there(broker, sender, start=20)
    broker.kill()
    return hit


@case(22, 26)
def no_room_in_the_journal_itself(lab):
    """A file system that copies on write can be full there too: it is final, as any failed write."""
    broker = lab.started(SMALL, rules=True)
    broker.rules.set(0, "write", ".seg", error="ENOSPC", after=100)
    sender = Sender(broker.port, window=4)
    ends_with_three(lab, broker, sender, "No space left on device")


class SmallDisk:
    """A file system of its own: memory with a limit, or ext4 in a file."""

    def __init__(self, lab, megabytes, kind="tmpfs"):
        need_root("mounting a disk")
        self.path = lab.path("disk")
        os.mkdir(self.path)
        self.filler = os.path.join(self.path, "filler")
        if kind == "tmpfs":
            command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", self.path]
        else:
            need("mkfs.ext4", "e2fsprogs")
            image = lab.path("image")
            with open(image, "wb") as file:
                file.truncate(megabytes << 20)
            subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
            command = ["mount", "-o", "loop,errors=remount-ro", image, self.path]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise LeftOut(f"mounting is refused: {done.stderr.strip()}")
        lab.undo.append(lambda: subprocess.run(["umount", "-l", self.path]))

    def fill(self):
        with open(self.filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(64 << 10)):
                    continue
            except OSError:
                return

    def empty(self):
        os.unlink(self.filler)


TIGHT = [*SMALL, "disk.low_bytes=1 MiB", "disk.high_bytes=2 MiB", "limits.hold_seconds=1"]


@case(26)
def a_full_disk_of_its_own(lab):
    """tmpfs, filled at moments by dice: senders are refused, ACK goes on, with room it resumes without a restart."""
    disk = SmallDisk(lab, 48)
    # The marks are apart by more than a segment: one that is made, does not fit and is given back is no room again.
    settings = [*SMALL, "disk.low_bytes=4 MiB", "disk.high_bytes=8 MiB", "limits.hold_seconds=1"]
    broker = lab.started(settings, data=os.path.join(disk.path, "data"))
    sender = Sender(broker.port, size=20_000, most=300)
    sender.join(60)
    consumer = subscribed(broker)
    taken = 0
    for _ in range(3):
        disk.fill()
        broker.wait_for_log("disk is short")
        refused = Sender(broker.port, queue="refused", size=20_000)
        refused.join(60)
        assert isinstance(refused.end, wire.ErrorFrame) and "disk is short" in str(refused.end), refused.end
        taken += len(take(consumer, 40))
        # What the broker has given back meanwhile may be room enough: take that, too.
        disk.fill()
        wait_until(lambda: lab.ctl(broker, "status")[0] == 1, what="not ready")
        before = broker.log.count("disk has room again")
        disk.empty()
        wait_until(lambda: broker.log.count("disk has room again") > before, what="room again")
        again = Sender(broker.port, queue="again", size=20_000, most=20)
        again.join(60)
        assert again.confirmed == 20, again.end
    consumer.close()
    broker.kill()
    broker.start()
    count = broker.messages_at_start()
    found = broker.drain(["q", "again", "refused"], count)
    assert sum(queue == "q" for queue, _ in found) == 300 - taken, "what was acknowledged came back or more was lost"
    assert sum(queue == "again" for queue, _ in found) == 60


@case(27)
def no_room_for_an_acknowledgement(lab):
    """Every segment is full and none can be made: an ACK waits, and its RECEIPT with it. It is not lied about."""
    broker = lab.started([*SMALL, "limits.hold_seconds=0"], rules=True)
    # A batch of one ACK takes 128 bytes: a segment holds some eight thousand.
    sender = Sender(broker.port, size=100, most=20_000, window=2000).all()
    broker.rules.set(0, "create rename", error="ENOSPC")
    broker.rules.set(1, "write", "queues/", error="ENOSPC")
    filler = broker.connect(patience=60)
    confirmed = fill_until_short(filler)
    broker.wait_for_log("disk is short")
    consumer = subscribed(broker, prefetch=1000, patience=60)
    acknowledged = acknowledge_until_it_waits(consumer, 20_000)
    assert acknowledged is not None, "there was room for all"
    assert broker.is_running()
    # The one that waits is answered when there is room.
    broker.rules.clear()
    while consumer.read(30).command != "RECEIPT":
        continue
    acknowledged += 1
    lab.note(f"{acknowledged - 1} acknowledgements found room, the next waited until there was some")
    broker.kill()
    broker.start()
    found = broker.drain(["q", "filler"], broker.messages_at_start())
    assert sum(queue == "q" for queue, _ in found) == 20_000 - acknowledged
    assert sum(queue == "filler" for queue, _ in found) >= confirmed


def fill_until_short(sender):
    """SEND by SEND; how many had a RECEIPT before one was refused, or waits: it was taken before the disk was known to be
    short, and is confirmed when there is room. Then none of the acknowledgements finds any."""
    for number in range(1000):
        sender.say("SEND", {"destination": "/queue/filler", "receipt": f"r{number}"}, body_of(f"m/{number}", 100_000))
        try:
            sender.expect("RECEIPT", 3.0)
        except wire.ErrorFrame as error:
            assert "disk is short" in str(error), error
            return number
        except wire.Timeout:
            return number
        time.sleep(0.05)  # the next segment is not made at once: it is then found that it cannot be
    raise AssertionError("the disk was never short")


def acknowledge_until_it_waits(consumer, most):
    """ACK by ACK, each with a RECEIPT; how many had one before one did not come. None if all came."""
    for number in range(most):
        consumer.say("ACK", {"id": consumer.message().headers["ack"], "receipt": f"a{number}"})
        messages = []
        try:
            while (frame := consumer.read(2.0)).command != "RECEIPT":
                messages.append(frame)
            assert frame.headers["receipt-id"] == f"a{number}"
        except wire.Timeout:
            return number
        finally:
            consumer.unread += messages
    return None


@case(28)
def short_writes(lab):
    """Each write takes some bytes only. Nobody notices."""
    for most in (1, 100, 4096):
        broker = lab.broker(SMALL, name=f"most{most}", rules=True)
        if most == 1:  # byte by byte, a hundred times
            broker.start()
            broker.rules.set(0, "write", ".seg", most=1, times=2000)
        else:
            broker.rules.set(0, "write", most=most)
            broker.start()
        sender = Sender(broker.port, size=3000, most=400, window=8)
        sender.join(60)
        assert sender.confirmed == 400, sender.end
        assert broker.rules.counts()[1] >= 400
        broker.kill()
        broker.rules.clear()
        broker.start()
        assert check_all_there(broker, sender) == 400
        broker.kill()


@case(29)
def no_room_for_a_segment(lab):
    """Segments are written full of zeros rather than reserved: one that cannot be is taken back whole."""
    disk = SmallDisk(lab, 48)
    broker = lab.started([*TIGHT, "journal.segment_bytes=8 MiB"], data=os.path.join(disk.path, "data"))
    disk.fill()
    sender = Sender(broker.port, size=60_000)
    sender.join(60)
    broker.wait_for_log("disk is short")
    draft = os.path.join(broker.data, "journal", "draft")
    wait_until(lambda: not os.path.exists(draft), what="the half made segment to go")
    disk.empty()
    broker.wait_for_log("disk has room again")
    after = Sender(broker.port, queue="after", size=60_000, most=40)
    after.join(60)
    assert after.confirmed == 40, after.end
    assert broker.stop() == 0


@case(30)
def a_limit_of_file_sizes(lab):
    """SIGXFSZ is ignored; a file that may not grow is a disk without room."""
    need("prlimit", "util-linux")
    settings = [*SMALL, "queue_file.bytes=16 MiB", "limits.hold_seconds=1"]
    broker = lab.started(settings, under=["prlimit", f"--fsize={3 << 19}:"])
    sender = Sender(broker.port, size=60_000)
    sender.join(60)
    assert isinstance(sender.end, wire.ErrorFrame), sender.end
    assert "File too large" in broker.log and "disk is short" in broker.log, broker.log
    consumer = subscribed(broker)
    take(consumer, 20)
    consumer.close()
    subprocess.run(["prlimit", f"--pid={broker.own_pid}", "--fsize=unlimited"], check=True)
    broker.wait_for_log("disk has room again")
    broker.kill()
    broker.through = []
    broker.start()
    check_all_there(broker, sender, start=20)
    broker.kill()
    # So small that no segment can be made: no start.
    small = lab.broker(SMALL, name="small", under=["prlimit", f"--fsize={1 << 19}"])
    code, log = small.refused()
    assert code in (1, 3) and "File too large" in log, f"{code}: {log}"
    lab.note(f"a limit below the size of a segment: {code}")


@case(31)
def a_disk_that_becomes_read_only(lab):
    """ext4 does this by itself when it finds itself damaged."""
    disk = SmallDisk(lab, 64, kind="ext4")
    device = subprocess.run(["findmnt", "-no", "SOURCE", disk.path], capture_output=True, text=True).stdout.strip()
    trigger = f"/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error"
    if not os.path.exists(trigger):
        raise LeftOut(f"{trigger} is not there")
    broker = lab.started(TIGHT, data=os.path.join(disk.path, "data"), rules=True)
    sender = Sender(broker.port, window=4)
    wait_until(lambda: sender.confirmed > 100, what="a hundred receipts")
    # With nothing under way: in the very moment a sync may succeed and its blocks not be there later (docs/testing.md, 31).
    sender.finish()
    with open(trigger, "w") as file:
        file.write("1")
    try:
        sender = Sender(broker.port, window=4, start=sender.sent)
    except (OSError, wire.Closed):
        pass  # it has ended already, by a write of its own
    code = broker.wait_for_end()
    sender.finish()
    assert code == 3 and FAILED in broker.log, f"{code}: {broker.log}"
    assert "Read-only" in broker.log or "Input/output" in broker.log, broker.log
    # A start on it is refused with a word.
    code, log = broker.refused()
    assert code in (1, 3) and "Read-only file system" in log, f"{code}: {log}"
    subprocess.run(["umount", disk.path], check=True)
    subprocess.run(["mount", "-o", "loop", lab.path("image"), disk.path], check=True)
    broker.start()
    there = check_all_there(broker, sender)
    lab.note(f"{sender.confirmed} confirmed, {there} there; a start on the read-only disk: {code}")


@case(31)
def all_writes_say_read_only(lab):
    broker = lab.started(SMALL, rules=True)
    sender = Sender(broker.port, window=4)
    wait_until(lambda: sender.confirmed > 100, what="a hundred receipts")
    broker.rules.set(0, "write create rename remove truncate make_directory", error="EROFS")
    ends_with_three(lab, broker, sender, "Read-only file system")


@case(32)
def the_directory_is_moved(lab):
    for way in ("moved", "replaced", "removed"):
        broker = lab.started(SMALL, name=way)
        sender = Sender(broker.port, queue="q", window=2)
        wait_until(lambda: sender.confirmed > 50, what="fifty receipts")
        aside = broker.data + ".aside"
        if way == "removed":
            # The broker makes files meanwhile.
            wait_until(lambda: subprocess.run(["rm", "-rf", broker.data], capture_output=True).returncode == 0)
        else:
            os.rename(broker.data, aside)
        if way == "replaced":
            subprocess.run(["cp", "-a", aside, broker.data], check=True)
        code = broker.wait_for_end(10)
        sender.finish()
        assert code == 3 and "the store is gone" in broker.log, f"{way}: {code}: {broker.log}"
        if way == "removed":
            continue
        again = lab.started(SMALL, data=aside)
        check_all_there(again, sender)


@case(33)
def directories_that_cannot_be_used(lab):
    need_root("running as somebody else")
    need("setpriv", "util-linux")
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    # A program that nobody may run proves nothing.
    if subprocess.run([*nobody, brokerd.binary(), "--version"], capture_output=True).returncode:
        raise LeftOut("the broker cannot be run as somebody else from where it is")
    os.chmod(lab.home, 0o755)
    theirs = lab.path("theirs")
    os.mkdir(theirs, 0o700)
    code, log = lab.broker(SMALL, data=theirs, under=nobody).refused()
    assert code == 1 and theirs in log and "Permission denied" in log, f"{code}: {log}"
    code, log = lab.broker(SMALL, data=os.path.join(theirs, "below"), under=nobody).refused()
    assert code == 1 and "Permission denied" in log, f"{code}: {log}"
    os.symlink(theirs, lab.path("link"))
    code, log = lab.broker(SMALL, data=lab.path("link")).refused()
    assert code == 1 and "not a directory of its own" in log, f"{code}: {log}"
    with open(lab.path("file"), "w") as file:
        file.write("x")
    code, log = lab.broker(SMALL, data=lab.path("file")).refused()
    assert code == 1 and lab.path("file") in log, f"{code}: {log}"
    # A link in the place of a file is not followed.
    broker = lab.started(SMALL)
    broker.connect().close()
    assert broker.stop() == 0, broker.log
    segment = store.segments(broker.data)[0].path
    os.rename(segment, lab.path("elsewhere"))
    os.symlink(lab.path("elsewhere"), segment)
    code, log = broker.refused()
    assert code in (1, 3) and os.path.basename(segment) in log, f"{code}: {log}"
