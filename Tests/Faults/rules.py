"""What shim.c is told while a broker runs: calls that fail, wait or do half, and how wrong the wall clock is."""
import errno
import mmap
import os
import struct

# As in shim.c.
CALLS = dict(write=1, sync=2, sync_directory=4, create=8, rename=16, remove=32, read=64, truncate=128,
             make_directory=256, open=512, free_space=1024, sync_all=2048, thread=4096)
HEAD = struct.Struct("<q")
RULE = struct.Struct("<Iiqqqqqq64s")
RULES = 8


class Rules:
    """A file that the shim maps. Rules may change at any moment."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(HEAD.size + RULES * RULE.size))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)

    def place(self, index):
        return HEAD.size + index * RULE.size

    def set(self, index, calls, path="", error=None, after=0, times=-1, wait_ms=0, most=0):
        """`calls`: names, separated by blanks; `error`: "EIO"; `path`: a part of the path below the data directory."""
        bits = sum(CALLS[call] for call in calls.split())
        number = getattr(errno, error) if error else 0
        raw = RULE.pack(bits, number, after, times, wait_ms, most, 0, 0, path.encode())
        at = self.place(index)
        # The calls come last: with them the rule begins to hold.
        self.map[at + 4:at + RULE.size] = raw[4:]
        self.map[at:at + 4] = raw[:4]

    def clear(self, index=None):
        for each in range(RULES) if index is None else [index]:
            self.map[self.place(each):self.place(each) + 4] = bytes(4)

    def counts(self, index=0):
        """How many calls matched, and how many of these the rule held for."""
        fields = RULE.unpack_from(self.map, self.place(index))
        return fields[6], fields[7]

    def clock(self, seconds):
        """From now on the wall clock is so many seconds off."""
        HEAD.pack_into(self.map, 0, int(seconds * 1_000_000_000))

    def close(self):
        self.map.close()
        os.unlink(self.path)
