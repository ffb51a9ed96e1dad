"""A recording that shim.c made, and the data directories that a power cut at any moment of it may leave.

What may be left: of a file its bytes at the last sync that had succeeded, and any part of what was written since
(none, all, the first so many writes, some writes, some sectors of 512 bytes; where the file grew, its length without
the bytes: zeros); of a directory its entries at its last sync, and the first so many changes since, or just some of
them. What a sync failed to write may be missing for ever, whatever is synced later.
"""
import os
import struct

EVENT = struct.Struct("<BIqI")
SECTOR = 512


class Event:
    __slots__ = ("kind", "handle", "at", "data")

    def __init__(self, kind, handle, at, data):
        self.kind, self.handle, self.at, self.data = kind, handle, at, data


def read(path):
    """The events. A write is one event, its data a list of (offset, bytes or number of zeros)."""
    with open(path, "rb") as file:
        raw = file.read()
    events, at, parts = [], 0, []
    while at + EVENT.size <= len(raw):
        kind, handle, offset, length = EVENT.unpack_from(raw, at)
        at += EVENT.size
        data = raw[at:at + length]
        at += length
        kind = chr(kind)
        if kind == "w":
            parts.append((offset, data))
        elif kind == "z":
            parts.append((offset, int.from_bytes(data, "little")))
        elif kind == "e":
            events.append(Event("w", handle, parts[0][0], join(parts)))
            parts = []
        elif kind == "x":  # the bytes of the event before it did not leave
            events[-1].data = cut_back(events, offset)
        else:
            events.append(Event(kind, handle, offset, data))
    return events


def join(parts):
    return b"".join(bytes(data) if isinstance(data, int) else data for _, data in parts)


def cut_back(events, count):
    """Takes `count` bytes back from the last '>' events; the last one's new data is returned."""
    at = len(events) - 1
    while count > len(events[at].data):
        count -= len(events[at].data)
        events[at].data = b""
        at -= 1
    kept = events[at].data[:len(events[at].data) - count]
    events[at].data = kept
    return events[-1].data


class File:
    """A file or directory: what is durable of it, and what was done since."""

    def __init__(self, is_directory=False):
        self.is_directory = is_directory
        self.durable = bytearray()
        self.doomed = []  # writes that the kernel has forgotten: they may be there, no sync brings them there
        self.pending = []  # (offset, bytes), or (size, None) for a change of length
        self.applied = 0  # changes that were pending and are not any more

    def sync(self, upto):
        for change in self.take(upto):
            apply(self.durable, change)
            if change[1] is not None:
                self.doomed = [piece for old in self.doomed for piece in without(old, change)]

    def fail(self):
        """A sync failed: the kernel takes what was not on disk for clean, and goes on giving it to who reads."""
        self.doomed += [change for change in self.take(self.changes) if change[1] is not None]

    def take(self, upto):
        count = max(0, upto - self.applied)
        taken = self.pending[:count]
        del self.pending[:count]
        self.applied += len(taken)
        return taken

    @property
    def changes(self):
        return self.applied + len(self.pending)


def without(old, new):
    """What is left of the write `old` where `new` was written over it."""
    at, data = old
    start, end = new[0], new[0] + len(new[1])
    before = (at, data[:max(0, start - at)])
    after = (max(at, end), data[max(0, end - at):])
    if start >= at + len(data) or end <= at:
        return [old]
    return [piece for piece in (before, after) if piece[1]]


def apply(content, change):
    at, data = change
    if data is None:
        if at < len(content):
            del content[at:]
        else:
            content.extend(bytes(at - len(content)))
        return
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at:at + len(data)] = data


class Directory:
    """Entries that are durable, and the changes since."""

    def __init__(self):
        self.durable = {}
        self.pending = []
        self.applied = 0

    def sync(self, upto):
        for change in self.pending[:upto - self.applied]:
            rename(self.durable, change)
        del self.pending[:max(0, upto - self.applied)]
        self.applied = max(self.applied, upto)

    @property
    def changes(self):
        return self.applied + len(self.pending)


def rename(names, change):
    """A change of a directory: (name that goes or None, name that comes or None, file)."""
    gone, come, file = change
    if gone is not None and names.get(gone) is file:
        del names[gone]
    if come is not None:
        names[come] = file


class Disk:
    """The file system as it is after the events so far, and what of it is durable."""

    def __init__(self):
        self.root = File(is_directory=True)
        self.names = {"": self.root}
        self.directories = {"": Directory()}
        self.handles = {}
        self.syncs = {}  # sync under way: handle -> how many changes it covers

    def copy_of_directory(self, path):
        """Begins with what is in a directory on a real disk, all of it durable."""
        for folder, folders, files in os.walk(path):
            place = os.path.relpath(folder, path)
            place = "" if place == "." else place
            for name in folders:
                whole = os.path.join(place, name)
                self.names[whole] = self.directories[place].durable[whole] = File(is_directory=True)
                self.directories[whole] = Directory()
            for name in files:
                if name == "admin.sock":
                    continue
                whole = os.path.join(place, name)
                file = self.names[whole] = self.directories[place].durable[whole] = File()
                with open(os.path.join(folder, name), "rb") as source:
                    file.durable = bytearray(source.read())

    def next_life(self):
        """The process has ended, the machine has not: what it wrote is there, durable or not."""
        self.handles, self.syncs = {}, {}

    def change(self, gone, come, file):
        path = gone if gone is not None else come
        self.directories[os.path.dirname(path)].pending.append((gone, come, file))

    def take(self, event):
        kind = event.kind
        path = event.data.decode() if kind in "dcoOrum" else None
        if kind in "coO":
            if kind == "c":
                self.names[path] = File()
                self.change(None, path, self.names[path])
            file = self.names[path]
            if kind == "o":
                file.pending.append((0, None))
            self.handles[event.handle] = file
        elif kind == "d":
            # The parent of the data directory is synced once, when that is made; here it is there from the start.
            self.handles[event.handle] = Directory() if path == ".." else self.directories[path]
        elif kind == "m":
            if path:
                self.names[path] = File(is_directory=True)
                self.directories[path] = Directory()
                self.change(None, path, self.names[path])
        elif kind == "r":
            old, new = path.split("\n")
            self.names[new] = self.names.pop(old)
            self.change(old, new, self.names[new])
        elif kind == "u":
            self.change(path, None, self.names.pop(path))
        elif kind == "w":
            self.handles[event.handle].pending.append((event.at, event.data))
        elif kind == "t":
            self.handles[event.handle].pending.append((event.at, None))
        else:
            self.take_sync(kind, event.handle)

    def take_sync(self, kind, handle):
        everything = [*self.names.values(), *self.directories.values()]
        if kind == "s":
            target = self.handles[handle]
            self.syncs[handle] = [(target, target.changes)]
        elif kind == "a":
            self.syncs[handle] = [(target, target.changes) for target in everything]
        elif kind in "SA":
            for target, upto in self.syncs.pop(handle):
                target.sync(upto)
        elif kind == "F" and isinstance(self.handles[handle], File):
            self.handles[handle].fail()

    @property
    def is_pending(self):
        return any(file.pending for file in self.names.values()) or any(d.pending for d in self.directories.values())


WAYS = ["none", "all", "prefix", "sectors", "grown", "writes", "mixed"]


def cut(disk, dice, way, names_way):
    """What a power cut leaves: name -> bytes, None for a directory. `dice` is a random.Random."""
    left = {"": disk.root}
    for path in sorted(disk.directories):
        directory = disk.directories[path]
        left.update(directory.durable)
    # A change is applied after what was durable, in all directories.
    for path in sorted(disk.directories):
        for change in kept(disk.directories[path].pending, dice, names_way):
            rename(left, change)
    state = {}
    for path, file in sorted(left.items()):
        if not path or not reachable(path, left):
            continue
        state[path] = None if file.is_directory else content(file, dice, way)
    return state


def reachable(path, left):
    parent = os.path.dirname(path)
    while parent:
        if parent not in left:
            return False
        parent = os.path.dirname(parent)
    return True


def kept(changes, dice, way):
    if way == "none":
        return []
    if way == "all":
        return changes
    if way == "prefix":
        return changes[:dice.randint(0, len(changes))]
    return [change for change in changes if dice.random() < 0.5]


def content(file, dice, way):
    left = file.durable
    if file.doomed and dice.random() < 0.5:
        left = bytearray(left)
        for change in file.doomed:
            apply(left, change)
    if not file.pending or way == "none":
        return left
    if way == "mixed":
        way = dice.choice(WAYS[:-1])
    left = bytearray(left)
    changes = file.pending
    if way == "prefix":
        # The last one may be torn at any sector.
        changes = changes[:dice.randint(0, len(changes))]
        if changes and changes[-1][1] is not None and dice.random() < 0.5:
            at, data = changes[-1]
            end = (at + dice.randint(0, len(data))) // SECTOR * SECTOR
            changes = changes[:-1] + [(at, data[:max(0, end - at)])]
    for at, data in changes:
        if way in ("sectors", "grown") and data is not None:
            some_sectors(left, at, data, dice, grows=way == "grown")
        elif way != "writes" or dice.random() < 0.5:
            apply(left, (at, data))
    return left


def some_sectors(left, at, data, dice, grows):
    share = dice.choice([0.1, 0.5, 0.9])
    done = 0
    while done < len(data):
        end = min(len(data), done + SECTOR - (at + done) % SECTOR)
        if dice.random() < share:
            apply(left, (at + done, data[done:end]))
        elif grows and len(left) < at + end:
            apply(left, (at + end, None))
        done = end


def build(state, path):
    """Makes the directory on the real disk."""
    os.makedirs(path, mode=0o700)
    for name, content in state.items():
        whole = os.path.join(path, name)
        if content is None:
            os.mkdir(whole, 0o700)
        else:
            with open(whole, "wb", buffering=0) as file:
                write_sparse(file, content)


def write_sparse(file, content):
    """Without the zeros: a reserve has nothing else in it."""
    end = len(content)
    if end > 1 << 20 and not content.strip(b"\0"):
        file.truncate(end)
        return
    file.write(content)


