"""The bytes of a data directory, as docs/storage.md lays them out, and ways to damage them."""
import hashlib
import os
import re
import struct

SEGMENT_HEADER, BATCH_HEADER, RECORD, STEP = 4096, 64, 40, 64
IDLE, SEAL = 1, 2
# Where the fields of a batch header and of a record are: name -> (offset, bytes).
BATCH_FIELDS = {"magic": (0, 4), "checksum": (4, 4), "sequence": (8, 8), "durable": (16, 8), "segment": (24, 4),
                "place": (28, 4), "records": (32, 4), "payload": (36, 4), "checksum of records": (40, 4),
                "flags": (44, 4), "reserved": (48, 16)}
RECORD_FIELDS = {"kind": (0, 1), "flags": (1, 1), "header bytes": (4, 4), "queue": (8, 4), "count": (12, 4),
                 "sequence": (16, 8), "bytes": (24, 8), "offset": (32, 4), "checksum": (36, 4)}


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc_table()


def crc32c(data, seed=0):
    crc = seed ^ 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def u64(data, at):
    return struct.unpack_from("<Q", data, at)[0]


class Batch:
    def __init__(self, raw, at):
        self.at = at
        self.sequence, self.durable = u64(raw, at + 8), u64(raw, at + 16)
        self.records, self.payload, self.flags = u32(raw, at + 32), u32(raw, at + 36), u32(raw, at + 44)
        self.body = at + BATCH_HEADER + self.records * RECORD
        self.end = at + -(-(self.body - at + self.payload) // STEP) * STEP


class Segment:
    """A journal segment, read from its file."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.raw = bytearray(file.read())
        self.number = u32(self.raw, 16)
        self.batches, at, expected = [], SEGMENT_HEADER, None
        while self.raw[at:at + 4] == b"BTCH" and u32(self.raw, at + 24) == self.number:
            batch = Batch(self.raw, at)
            if expected is not None and batch.sequence != expected:
                break  # what an earlier use of the file left
            self.batches.append(batch)
            at, expected = batch.end, batch.sequence + 1
        self.end = at

    @property
    def last(self):
        """The last batch with records. One marker of an idle log stands behind it, or more."""
        return [batch for batch in self.batches if batch.records][-1]

    @property
    def seed(self):
        return crc32c(struct.pack("<QQ", self.number, u64(self.raw, 32)), crc32c(struct.pack("<Q", u64(self.raw, 24))))

    def write(self):
        with open(self.path, "r+b") as file:
            file.write(self.raw)

    def seal(self, at):
        """Makes the checksum of the batch header at `at` right again."""
        struct.pack_into("<I", self.raw, at + 4, crc32c(self.raw[at + 8:at + BATCH_HEADER], self.seed))

    def cut(self, at):
        """Zeros from here on, as if no more had been written."""
        self.raw[at:] = bytes(len(self.raw) - at)


def segments(data):
    """The segments of a store, oldest first."""
    folder = os.path.join(data, "journal")
    return [Segment(os.path.join(folder, name)) for name in sorted(os.listdir(folder)) if name.endswith(".seg")]


def last_written(data):
    """The segment in which the log ends."""
    return [segment for segment in segments(data) if segment.batches][-1]


def queue_files(data):
    found = []
    for folder, _, files in os.walk(os.path.join(data, "queues")):
        found += [os.path.join(folder, name) for name in files if name.endswith(".log")]
    return sorted(found)


def checkpoints(data):
    """The copies of the checkpoint that there are."""
    return sorted(os.path.join(data, name) for name in os.listdir(data) if re.fullmatch(r"checkpoint(\.[0-9]+)?", name))


def flip(path, at, bit=0):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def fingerprint(data):
    """All names and bytes, without what a start that was refused may touch (the lock)."""
    found = {}
    for folder, folders, files in os.walk(data):
        for name in files:
            path = os.path.join(folder, name)
            if name not in ("lock", "admin.sock"):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, data)] = hashlib.sha256(file.read()).hexdigest()
    return found
