"""Data directories that were damaged by hand (faults 9 to 20)."""
import os
import re
import shutil
import struct

import brokerd
import store
from promises import body_of
from suite import SMALL, case, wait_until

MESSAGES = 40
# With no more segments than these messages are moved to queue files at once, however fast they come.
TIGHT = [word for word in SMALL if not word.startswith("journal.segments_max")] + ["journal.segments_max=3"]


def made(lab, count=MESSAGES, size=300, name="data", queue="q", settings=()):
    """A directory that a broker left when it was killed: `count` messages, each in a batch of its own."""
    broker = lab.started([*TIGHT, *settings], name=name)
    client = broker.connect()
    for number in range(count):
        client.ask("SEND", {"destination": f"/queue/{queue}"}, body_of(f"m/{number}", size))
    # Whatever is written last: the marker of an idle log, or a seal.
    wait_until(lambda: store.last_written(broker.data).batches[-1].records == 0, what="the idle marker")
    broker.kill()
    client.close()
    return broker


class Copies:
    """Copies of one directory, each damaged in its own way and started on."""

    def __init__(self, lab, broker):
        self.lab, self.original = lab, broker.data
        self.count = 0

    def copy(self):
        self.count += 1
        path = self.lab.path(f"c{self.count}")
        shutil.copytree(self.original, path, ignore=shutil.ignore_patterns("admin.sock", "reserve"))
        return path

    def started(self, path, expected, what, settings=SMALL):
        """It starts, and has so many messages. Returns its log."""
        broker = self.lab.broker(settings, data=path)
        try:
            broker.start()
        except brokerd.NotReady as problem:
            raise AssertionError(f"{what}: {problem}") from None
        count = broker.messages_at_start()
        broker.kill()
        assert count == expected, f"{what}: {count} messages instead of {expected}: {broker.log}"
        return broker.log

    def refused(self, path, what, *words):
        """It ends with 3, names all `words`, and changed nothing. Returns its log."""
        before = store.fingerprint(path)
        broker = self.lab.broker(SMALL, data=path)
        code, log = broker.refused()
        assert code == 3, f"{what}: ended with {code}: {log}"
        for word in words:
            assert word in log, f"{what}: {word!r} is not in the log: {log}"
        assert store.fingerprint(path) == before, f"{what}: the refusal changed the directory"
        return log

    def drop(self, path):
        shutil.rmtree(path)


def in_the_middle(segment):
    """A batch with a message. A log that was idle for a moment has markers between them."""
    batches = [batch for batch in segment.batches if batch.payload]
    return batches[len(batches) // 2]


def without_marker(path):
    """Takes the idle markers away: nothing says that the last batch was synced. Returns segment and last batch."""
    segment = store.last_written(path)
    last = segment.last
    markers = [batch for batch in segment.batches if batch.at >= last.end]
    assert markers and all(marker.flags & store.IDLE for marker in markers), "the log does not end in an idle marker"
    segment.cut(last.end)
    segment.write()
    return segment, last


@case(9)
def a_last_batch_cut_at_every_byte(lab):
    copies = Copies(lab, made(lab, count=8))
    length = None
    at = 0
    while length is None or at <= length:
        path = copies.copy()
        segment, last = without_marker(path)
        length = last.end - last.at
        os.truncate(segment.path, last.at + at)
        # Zeros are there without being written: at the end of a batch, and perhaps of its body.
        is_whole = not segment.raw[last.at + at:last.end].strip(b"\0")
        log = copies.started(path, 8 if is_whole else 7, f"cut behind {at} of {length} bytes")
        torn = segment.path.replace(".seg", ".torn")
        # The zeros at the end of what was cut are not saved.
        if at and not is_whole and segment.raw[last.at:last.at + at].strip(b"\0"):
            said = int(re.search(r"(\d+) bytes of unfinished batches at offset %d" % last.at, log).group(1))
            with open(torn, "rb") as file:
                saved = file.read()
            raw = bytes(segment.raw[last.at:last.at + at])
            assert saved[:len(raw)] == raw[:len(saved)], f"cut at {at}: other bytes were saved"
            assert len(saved) >= len(raw.rstrip(b"\0")), f"cut at {at}: saved {len(saved)} bytes"
            assert said == len(saved), f"cut at {at}: said {said}, saved {len(saved)}"
        assert os.path.getsize(segment.path) == len(segment.raw)
        copies.drop(path)
        at += 1 if lab.is_long else 7
    lab.note(f"a batch of {length} bytes, {copies.count} lengths")


@case(10)
def zeros_behind_the_files(lab):
    copies = Copies(lab, made(lab, count=600, size=6000))
    assert store.queue_files(copies.original), "no queue file was made"
    for length in (1, 63, 64, 512, 4096, 1 << 20):
        path = copies.copy()
        for name in [segment.path for segment in store.segments(path)] + store.queue_files(path):
            os.truncate(name, os.path.getsize(name) + length)
        copies.started(path, 600, f"{length} zeros behind each file")
        copies.drop(path)


@case(11)
def garbage_behind_the_log(lab):
    copies = Copies(lab, made(lab))
    for way in ("random", "an earlier batch", "the last batch again", "a batch of another store", "half a header"):
        path = copies.copy()
        segment = store.last_written(path)
        end, batch = segment.end, segment.batches[5]
        raw = {
            "random": bytes(lab.random.randrange(256) for _ in range(3000)),
            "an earlier batch": segment.raw[batch.at:batch.end],
            "the last batch again": segment.raw[segment.last.at:segment.last.end],
            "a batch of another store": foreign(lab),
            "half a header": segment.raw[batch.at:batch.at + 30],
        }[way]
        segment.raw[end:end + len(raw)] = raw
        segment.write()
        log = copies.started(path, MESSAGES, way)
        assert "unfinished batches" in log, f"{way}: nothing was cut: {log}"
        copies.drop(path)


def foreign(lab):
    other = store.last_written(made(lab, count=8, name="other").data)
    shutil.rmtree(os.path.dirname(os.path.dirname(other.path)))
    return other.raw[other.batches[4].at:other.batches[-1].end]


@case(11)
def stale_batches_of_a_segment_used_again(lab):
    """What an earlier use left behind the end of the log is no batch, wherever the log ends."""
    copies = Copies(lab, made(lab, count=900, size=6000))
    recycled = [s for s in store.segments(copies.original) if u32_flags(s) & 1]
    assert recycled, "no segment was used a second time"
    path = copies.copy()
    segment = store.last_written(path)
    stale = segment.raw[segment.end:].strip(b"\0")
    log = copies.started(path, 900, "stale bytes")
    lab.note(f"{len(recycled)} segments used again, {len(stale)} stale bytes behind the log")
    assert "unfinished" not in log, log


def u32_flags(segment):
    return store.u32(segment.raw, 20)


@case(12)
def a_flipped_bit_of_every_class(lab):
    copies = Copies(lab, made(lab))
    segment = store.last_written(copies.original)
    batch = in_the_middle(segment)
    places = []
    for name, (at, size) in store.BATCH_FIELDS.items():
        places += [(f"batch {name}", batch.at + at), (f"batch {name}", batch.at + at + size - 1)]
    records = batch.at + store.BATCH_HEADER
    places += [(f"record {name}", records + at) for name, (at, _) in store.RECORD_FIELDS.items()]
    places += [("body", batch.body), ("body", batch.body + batch.payload - 1)]
    for what, at in places:
        path = copies.copy()
        name = os.path.join(path, "journal", os.path.basename(segment.path))
        store.flip(name, at, lab.random.randrange(8))
        log = copies.refused(path, what, f"journal/{os.path.basename(name)} is damaged at offset {batch.at}")
        if what == "body":
            assert '/queue/q' in log, f"the queue is not named: {log}"
        copies.drop(path)
    lab.note(f"{copies.count} flips, all named with file and offset, nothing changed")


@case(12)
def a_flipped_bit_in_the_header_of_a_segment(lab):
    copies = Copies(lab, made(lab))
    for at in (0, 8, 12, 16, 20, 24, 32, 40, 48, 4095):
        path = copies.copy()
        segment = store.last_written(path)
        store.flip(segment.path, at)
        copies.refused(path, f"byte {at}", f"journal/{os.path.basename(segment.path)}")
        copies.drop(path)


@case(13)
def a_flipped_bit_in_the_last_batch(lab):
    copies = Copies(lab, made(lab))
    segment = store.last_written(copies.original)
    last, marker = segment.last, segment.batches[-1]
    for at in sorted(lab.random.sample(range(last.at, last.body + last.payload), 24)):
        path = copies.copy()
        store.flip(os.path.join(path, "journal", os.path.basename(segment.path)), at)
        copies.refused(path, f"byte {at - last.at} of the last batch", f"at offset {last.at}")
        copies.drop(path)
    for at in range(marker.at, marker.end, 5):
        path = copies.copy()
        store.flip(os.path.join(path, "journal", os.path.basename(segment.path)), at)
        copies.started(path, MESSAGES, f"byte {at - marker.at} of the marker")
        copies.drop(path)


@case(14)
def a_flipped_bit_while_running(lab):
    """In the journal and in a queue file, below what is in memory: that message is not given out, others are."""
    for place in ("journal", "queue file"):
        flipped_while_running(lab, place)


def flipped_while_running(lab, place):
    broker = lab.started([*TIGHT, "memory.messages_bytes=1 MiB"], name=place.replace(" ", ""))
    client = broker.connect()
    count = 100 if place == "journal" else 900
    for number in range(count):
        client.ask("SEND", {"destination": "/queue/q"}, body_of(f"m/{number}", 6000))
    client.ask("SEND", {"destination": "/queue/other"}, b"fine")
    if place == "journal":
        paths = [segment.path for segment in store.segments(broker.data)]
    else:
        paths = store.queue_files(broker.data)
    body = next((p, raw.index(b"m/30\n")) for p in paths if b"m/30\n" in (raw := open(p, "rb").read()))
    store.flip(body[0], body[1] + 200)
    broker_sees(lab, broker, place)
    # The page cache of the broker must not hide it: a new start has nothing in memory.
    broker.kill()
    if place == "queue file":
        broker.start()
        broker_sees(lab, broker, place + ", started again")
        broker.kill()


def broker_sees(lab, broker, place):
    reader = broker.connect()
    reader.say("SUBSCRIBE", {"id": "1", "destination": "/queue/q", "ack": "client-individual"})
    bodies = []
    try:
        while True:
            bodies.append(reader.message(1.5).body)
    except Exception as end:
        ended = f"{type(end).__name__}"
    names = {body.split(b"\n")[0].decode() for body in bodies}
    wrong = [body[:20] for body in bodies if body_of(body.split(b"\n")[0].decode(), len(body)) != body]
    lab.note(f"{place}: {len(bodies)} given out, then {ended}")
    assert not wrong, f"{place}: damaged bytes were given out: {wrong}"
    assert "m/30" not in names, f"{place}: the damaged message was given out, or the flip did not hit"
    other = broker.connect()
    other.say("SUBSCRIBE", {"id": "1", "destination": "/queue/other", "ack": "client-individual"})
    assert other.message().body == b"fine"
    broker.wait_for_log("is damaged at offset")
    said = lab.ctl(broker, "status")[1]
    assert "queue /queue/q cannot be read and stands still" in said, f"{place}: {said}"
    for connection in (reader, other):
        connection.close()


@case(15)
def lengths_that_cannot_be(lab):
    """With the header's checksum made right: what is said is bounded by the segment, and no memory is asked for."""
    copies = Copies(lab, made(lab))
    segment = store.last_written(copies.original)
    batch = in_the_middle(segment)
    for field, value in (("records", 0xFFFFFFFF), ("records", 0x7FFFFFFF), ("records", 30_000), ("payload", 0xFFFFFFFF),
                         ("payload", 0x80000000), ("payload", 2 << 20), ("payload", 0)):
        path = copies.copy()
        own = store.Segment(os.path.join(path, "journal", os.path.basename(segment.path)))
        struct.pack_into("<I", own.raw, batch.at + store.BATCH_FIELDS[field][0], value)
        own.seal(batch.at)
        own.write()
        copies.refused(path, f"{field} {value}", f"is damaged at offset {batch.at}")
        copies.drop(path)


@case(16)
def a_missing_segment(lab):
    copies = Copies(lab, made(lab, count=300, size=6000))
    numbers = [segment.number for segment in store.segments(copies.original) if segment.batches]
    assert len(numbers) >= 2, numbers
    for number in numbers:
        path = copies.copy()
        name = f"journal/{number:08d}.seg"
        os.unlink(os.path.join(path, name))
        copies.refused(path, name, f"{name} is missing")
        copies.drop(path)


@case(17)
def swapped_and_doubled_segments(lab):
    copies = Copies(lab, made(lab, count=300, size=6000))
    used = [os.path.basename(segment.path) for segment in store.segments(copies.original) if segment.batches]
    for what in ("swapped", "doubled", "doubled behind"):
        path = copies.copy()
        first, second = (os.path.join(path, "journal", name) for name in used[:2])
        if what == "swapped":
            os.rename(first, first + "x")
            os.rename(second, first)
            os.rename(first + "x", second)
        elif what == "doubled":
            shutil.copyfile(first, second)
        else:
            shutil.copyfile(first, os.path.join(path, "journal", "%08d.seg" % (store.segments(path)[-1].number + 1)))
        copies.refused(path, what, "is in the wrong place: it is segment")
        copies.drop(path)


@case(18)
def an_empty_newest_segment(lab):
    copies = Copies(lab, made(lab))
    newest = store.segments(copies.original)[-1]
    for length in (0, 1, 4095):
        path = copies.copy()
        os.truncate(os.path.join(path, "journal", os.path.basename(newest.path)), length)
        log = copies.started(path, MESSAGES, f"{length} bytes")
        assert f"{os.path.basename(newest.path)} was never used and is removed" in log, log
        copies.drop(path)


@case(19)
def a_checkpoint_that_is_missing_or_damaged(lab):
    """The other copy or the whole journal says the same; where neither is there, nothing is guessed."""
    for count, size, is_complete in ((MESSAGES, 300, True), (900, 6000, False)):
        copies = Copies(lab, made(lab, count=count, size=size, name=f"of{count}"))
        for what in ("missing", "damaged", "empty", "all missing", "all damaged"):
            path = copies.copy()
            found = store.checkpoints(path)
            damaged = found if what.startswith("all") else found[:1]
            for name in damaged:
                if what.endswith("missing"):
                    os.unlink(name)
                elif what == "empty":
                    os.truncate(name, 0)
                else:
                    store.flip(name, os.path.getsize(name) // 2)
            if is_complete or len(damaged) < len(found):
                assert "checkpoint" in copies.started(path, count, what)
            else:
                copies.refused(path, what, "checkpoint")
            copies.drop(path)
        lab.note(f"{'whole' if is_complete else 'shortened'} journal: {len(found)} copies of the checkpoint")


@case(19)
def a_damaged_store_file(lab):
    """What it says follows from the others; or the start is refused and nothing is changed."""
    copies = Copies(lab, made(lab, count=900, size=6000))
    for at in (0, 3, 12, 16, 23, 31):
        path = copies.copy()
        store.flip(os.path.join(path, "store"), at)
        broker = lab.broker(SMALL, data=path)
        before = store.fingerprint(path)
        broker.spawn()
        wait_until(lambda: " ready " in broker.log or not broker.is_running(), what="a word")
        if broker.is_running():
            assert broker.messages_at_start() == 900 and "store is damaged: it is made anew" in broker.log, broker.log
            broker.kill()
            copies.started(path, 900, "once more")
        else:
            assert broker.process.returncode == 3 and "store is damaged" in broker.log, broker.log
            assert store.fingerprint(path) == before
        copies.drop(path)
    path = copies.copy()
    os.unlink(os.path.join(path, "store"))
    copies.refused(path, "no store", "store is missing, but there is data")


@case(20)
def a_newer_format(lab):
    copies = Copies(lab, made(lab, count=900, size=6000))
    names = ["store"] + [os.path.relpath(name, copies.original) for name in store.checkpoints(copies.original)]
    for name in names:
        path = copies.copy()
        targets = names[1:] if name.startswith("checkpoint") else [name]
        for target in targets:
            with open(os.path.join(path, target), "r+b") as file:
                raw = bytearray(file.read())
                # Checksums start from the version: this file is whole, and of a version to come.
                checksum = store.crc32c(raw[16:], store.crc32c(struct.pack("<Q", 99)))
                struct.pack_into("<II", raw, 8, 99, checksum)
                file.seek(0)
                file.write(raw)
        copies.refused(path, name, "version 99", "newer brokerd")
        copies.drop(path)


@case(9)
def a_queue_file_cut_short(lab):
    copies = Copies(lab, made(lab, count=900, size=6000))
    files = [os.path.relpath(name, copies.original) for name in store.queue_files(copies.original)]
    assert files
    for name in files[:2]:
        for what in ("missing", "a byte short", "empty"):
            path = copies.copy()
            whole = os.path.join(path, name)
            if what == "missing":
                os.unlink(whole)
            else:
                os.truncate(whole, 0 if what == "empty" else counted(copies, name) - 1)
            copies.refused(path, f"{name} {what}", name)
            copies.drop(path)


def counted(copies, name):
    """How many bytes of a queue file the checkpoint counts: behind them a start cuts."""
    path = copies.copy()
    # With room for all of the journal nothing is moved to the file before its size is looked at.
    roomy = [word for word in SMALL if not word.startswith("journal.segments")]
    copies.started(path, 900, "as it was", [*roomy, "journal.segments=50", "journal.segments_max=59"])
    size = os.path.getsize(os.path.join(path, name))
    copies.drop(path)
    return size
