"""Every data directory that a power cut can leave (faults 5 to 8, 53, 59; 3 for a cut during a start).

A load is recorded call by call. At moments of the recording directories are built that may be left there, the broker
is started on each, and what it has is compared with what it had promised at that moment.
"""
import os
import random
import shutil
import time

import wire
import brokerd
import recording
from promises import Promises, body_of
from suite import SMALL, FaultyBroker, case

QUEUES = ["orders", "bills", "mail"]


class Load:
    """Sends, acknowledgements and transactions by dice. Queues stay short, the journal goes on."""

    def __init__(self, port, dice):
        self.dice = dice
        self.senders = [wire.Connection(port, patience=30) for _ in range(2)]
        self.port = port
        self.numbers = 0
        self.connect_mover()

    def connect_mover(self):
        self.mover = wire.Connection(self.port, patience=30)
        self.held = []  # ack ids that the mover has in hand
        headers = {"id": "m", "destination": "/queue/orders", "ack": "client-individual", "prefetch-count": "40"}
        self.mover.unread += self.mover.ask("SUBSCRIBE", headers)

    def name(self):
        self.numbers += 1
        return f"m/{self.numbers}"

    def body(self, name):
        size = self.dice.choice([50, 200, 1000, 4000, 20_000, 60_000])
        return body_of(name, size)

    def run(self, rounds):
        for _ in range(rounds):
            step = self.dice.choice([self.send, self.send, self.settle, self.settle, self.move, self.pause])
            step()
        for connection in (*self.senders, self.mover):
            connection.close()

    def send(self):
        """Some messages at once, to one or several queues; the last RECEIPT is waited for."""
        sender = self.dice.choice(self.senders)
        count = self.dice.randint(1, 5)
        raw, last = b"", None
        for _ in range(count):
            name = self.name()
            queue = self.dice.choice(["orders", "orders", "orders", "bills", "mail"])
            if queue != "orders" and self.numbers % 4:
                queue = "orders"
            last = f"s-{name}"
            raw += wire.frame("SEND", {"destination": f"/queue/{queue}", "receipt": last}, self.body(name))
        sender.send(raw)
        while sender.expect("RECEIPT").headers["receipt-id"] != last:
            continue

    def gather(self):
        try:
            while True:
                frame = self.mover.read(0.002)
                if frame.command == "MESSAGE":
                    self.held.append(frame.headers["ack"])
        except wire.Timeout:
            return

    def take(self, most):
        self.gather()
        # Not in order: acknowledged messages above a queue's head are kept differently.
        self.dice.shuffle(self.held)
        taken, self.held = self.held[:most], self.held[most:]
        return taken

    def settle(self):
        taken = self.take(self.dice.randint(4, 8))
        for ack in taken[:-1]:
            self.mover.say("ACK", {"id": ack})
        if taken:
            self.receipt("ACK", {"id": taken[-1]}, f"a-{taken[-1]}")

    def receipt(self, command, headers, receipt):
        self.mover.say(command, {**headers, "receipt": receipt})
        while True:
            frame = self.mover.read()
            if frame.command == "RECEIPT" and frame.headers["receipt-id"] == receipt:
                return
            if frame.command == "MESSAGE":
                self.held.append(frame.headers["ack"])
            elif frame.command == "ERROR":
                raise wire.ErrorFrame(frame)

    def move(self):
        """Takes from one queue and puts into two others, at once or not at all."""
        taken = self.take(self.dice.randint(1, 2))
        name = f"t{self.numbers}"
        self.mover.say("BEGIN", {"transaction": name})
        for ack in taken:
            self.mover.say("ACK", {"id": ack, "transaction": name})
        for queue in ("bills", "mail", "orders"):
            message = self.name()
            self.mover.say("SEND", {"destination": f"/queue/{queue}", "transaction": name},
                           body_of(message, self.dice.choice([50, 1000])))
        try:
            self.receipt("COMMIT", {"transaction": name}, f"c-{name}")
        except wire.ErrorFrame as refused:
            # A transaction is not held while the disk is short, but refused.
            assert refused.frame.headers["message"] == "disk is short", refused
            self.mover.close()
            self.connect_mover()

    def pause(self):
        time.sleep(0.006)  # longer than it takes the log to become idle


class Recorded:
    """A run of the broker: all that it did to its directory, and all that was said."""

    def __init__(self, lab, rounds, faults=()):
        """`faults`: calls of `Rules.set` that hold from the start of the load on."""
        self.path = lab.path("recording")
        # While a fault lasts, senders are held.
        broker = lab.broker([*SMALL, "limits.hold_seconds=60"], record=self.path, rules=True)
        broker.start()
        for index, fault in enumerate(faults):
            broker.rules.set(index, **fault)
        Load(broker.port, lab.random).run(rounds)
        self.hits = [broker.rules.counts(index)[1] for index in range(len(faults))]
        broker.rules.clear()
        assert broker.stop() == 0, broker.log
        self.events = recording.read(self.path)
        # What the broker left is what the recording says it left.
        self.check(broker.data)
        shutil.rmtree(broker.data)

    def check(self, data):
        disk = recording.Disk()
        for event in self.events:
            if event.kind not in "<>x":
                disk.take(event)
        for name, file in disk.names.items():
            if not file.is_directory:
                content = bytearray(file.durable)
                for change in file.doomed + file.pending:
                    recording.apply(content, change)
                with open(os.path.join(data, name), "rb") as source:
                    assert source.read() == content, f"{name} is not what the recording says: the recording is wrong"

    def moments(self, question):
        """Where in the recording the answer is true: (index, disk) is asked behind each event."""
        disk, found = recording.Disk(), []
        for index, event in enumerate(self.events):
            if event.kind in "<>x":
                continue
            disk.take(event)
            if question(event, disk):
                found.append(index)
        return found


class Bench:
    """Builds directories for moments of a recording and starts the broker on each."""

    def __init__(self, lab, recorded):
        self.lab, self.recorded = lab, recorded
        self.made = self.torn = self.messages = 0

    def run(self, moments, ways):
        """`moments`: rising indexes into the events, as often as states are wanted of each."""
        disk, promises = recording.Disk(), Promises()
        at = 0
        for number, moment in enumerate(moments):
            while at <= moment:
                event = self.recorded.events[at]
                (promises if event.kind in "<>" else disk).take(event)
                at += 1
            wrong = self.judge(disk, promises, number, ways[number % len(ways)], again=number % 10 == 0)
            assert wrong is None, f"{wrong} (event {moment} {self.recorded.events[moment].kind!r})"
        self.say()

    def judge(self, disk, promises, number, way, again):
        """What is wrong with one state, or None."""
        dice = random.Random(f"{self.lab.seed}/{self.lab.test.name}/{number}")
        path = self.lab.path(f"s{number}")
        recording.build(recording.cut(disk, dice, *way), path)
        found = self.look(path, promises.queues(), again)
        wrong = found if isinstance(found, str) else promises.broken(found)
        if wrong is None:
            self.made += 1
            self.messages += len(found)
            return None
        return f"{wrong} (state {number}, {'/'.join(way)}, seed {self.lab.seed})"

    def say(self):
        self.lab.note(f"{self.made} states, {self.torn} with a torn tail, {self.messages} messages looked at")

    def look(self, path, queues, again):
        """What the broker finds there, or what is wrong. `again`: the start is repeated and must find the same."""
        broker = FaultyBroker(os.path.dirname(path), SMALL, data=path)
        try:
            broker.start()
            found = broker.drain(queues, broker.messages_at_start())
            self.torn += "unfinished batches" in broker.log
            broker.kill()
            if again:
                broker.start()
                second = broker.drain(queues, broker.messages_at_start())
                if by_queue(second) != by_queue(found):
                    return f"a second start found {len(second)} messages instead of {len(found)}"
            return found
        except brokerd.NotReady as problem:
            return f"no start: {problem}"
        finally:
            broker.kill()
            shutil.rmtree(path, ignore_errors=True)
            os.unlink(broker.log_path)


def by_queue(found):
    """The order within each queue counts."""
    return sorted(found, key=lambda message: message[0])


def spread(lab, moments, count):
    """`count` of these moments, some of them several times."""
    assert moments, "the recording has no such moment"
    return sorted(lab.random.choices(moments, k=count) if len(moments) < count else lab.random.sample(moments, count))


ALL_WAYS = [(way, names) for way in recording.WAYS for names in ("prefix", "all", "none", "some")]
NAME_WAYS = [(way, names) for names in ("none", "prefix", "some", "all") for way in ("all", "none", "mixed")]


def changes(disk, folder=""):
    """Changes of a directory that are not durable: (name that goes, name that comes), "" for none."""
    directory = disk.directories.get(folder)
    return [(gone or "", come or "") for gone, come, _ in directory.pending] if directory else []


def is_writing(disk, begin):
    return any(file.pending for name, file in disk.names.items() if name.startswith(begin))


def at_moments(lab, question, count, ways, rounds=400):
    recorded = Recorded(lab, rounds * (4 if lab.is_long else 1))
    moments = recorded.moments(question)
    Bench(lab, recorded).run(spread(lab, moments, count * (20 if lab.is_long else 1)), ways)


@case(5)
def any_moment(lab):
    at_moments(lab, lambda event, disk: disk.is_pending, 64, ALL_WAYS)


@case(5)
def in_a_commit(lab):
    at_moments(lab, lambda event, disk: event.kind == "w" and is_writing(disk, "journal/000"), 64, ALL_WAYS)


@case(6)
def a_segment_is_made(lab):
    def is_made(event, disk):
        return any(come.endswith((".seg", "draft")) for _, come in changes(disk, "journal"))
    at_moments(lab, is_made, 24, NAME_WAYS)


@case(7)
def a_checkpoint_takes_its_place(lab):
    def is_replaced(event, disk):
        return any(come.startswith(("checkpoint", "store")) for _, come in changes(disk))
    at_moments(lab, is_replaced, 24, NAME_WAYS)


@case(8)
def a_segment_or_a_queue_file_goes(lab):
    def is_gone(event, disk):
        return any(gone.endswith((".seg", ".log")) for folder in disk.directories for gone, _ in changes(disk, folder))
    at_moments(lab, is_gone, 24, NAME_WAYS)


@case(59)
def messages_move_to_queue_files(lab):
    at_moments(lab, lambda event, disk: is_writing(disk, "queues/"), 32, ALL_WAYS)


@case(53)
def in_a_transaction(lab):
    """Every state between the arrival of a COMMIT and its RECEIPT."""
    recorded = Recorded(lab, 800 if lab.is_long else 200)
    moments, is_open = [], False
    for index, event in enumerate(recorded.events):
        if event.kind == "<" and b"COMMIT\n" in event.data:
            is_open = True
        elif event.kind == ">" and b"receipt-id:c-" in event.data:
            is_open = False
        elif is_open and event.kind in "we":
            moments.append(index)
    Bench(lab, recorded).run(spread(lab, moments, 600 if lab.is_long else 32), ALL_WAYS)


@case(3, 5)
def during_a_start(lab):
    """A power cut during the start that mends what the power cut before it left."""
    recorded = Recorded(lab, 200)
    moments = recorded.moments(lambda event, disk: event.kind == "w" and is_writing(disk, "journal/000"))
    bench = Bench(lab, recorded)
    for moment in spread(lab, moments, 30 if lab.is_long else 4):
        cut_twice(lab, bench, moment, 40 if lab.is_long else 8)
    bench.say()


def cut_twice(lab, bench, moment, count):
    disk, promises = recording.Disk(), Promises()
    for event in bench.recorded.events[:moment + 1]:
        (promises if event.kind in "<>" else disk).take(event)
    path, file = lab.path("first"), lab.path("start")
    recording.build(recording.cut(disk, lab.random, "sectors", "prefix"), path)
    left = recording.Disk()
    left.copy_of_directory(path)
    broker = lab.broker(SMALL, data=path, record=file)
    broker.start()
    broker.kill()
    shutil.rmtree(path)
    events = [event for event in recording.read(file) if event.kind not in "<>"]
    chosen = set(spread(lab, range(len(events)), min(count, len(events))))
    for index, event in enumerate(events):
        left.take(event)
        if index in chosen:
            number = bench.made
            wrong = bench.judge(left, promises, number, ALL_WAYS[number % len(ALL_WAYS)], again=False)
            assert wrong is None, f"{wrong} (event {index} of the start behind event {moment})"


@case(5, 24)
def behind_syncs_that_failed(lab):
    """Syncs of queue files and checkpoints fail now and then. What the kernel forgot by that is written anew."""
    faults = [dict(calls="sync", path="queues/", error="EIO", after=1, times=1),
              dict(calls="sync", path="queues/", error="EIO", after=4, times=2),
              dict(calls="sync", path="checkpoint", error="EIO", after=2, times=1),
              dict(calls="sync_directory sync_all", error="EIO", after=9, times=2)]
    recorded = Recorded(lab, 1600 if lab.is_long else 500, faults)
    assert all(recorded.hits), recorded.hits
    moments = recorded.moments(lambda event, disk: any(file.doomed for file in disk.names.values()))
    Bench(lab, recorded).run(spread(lab, moments, 600 if lab.is_long else 32), ALL_WAYS)
    lab.note(f"{sum(recorded.hits)} failed syncs")


@case(5, 22)
def behind_a_failed_sync_of_the_journal(lab):
    """The broker ends, a new one finds in the kernel's memory what never reached the disk. What it shows to
    consumers from there must be on disk before: a power cut then must not take it away."""
    bench = None
    for turn in range(20 if lab.is_long else 3):
        lives = [lab.path(f"life{turn}.{life}") for life in range(2)]
        broker = lab.broker(SMALL, name=f"data{turn}", record=lives[0], rules=True)
        broker.start()
        broker.rules.set(0, "sync", ".seg", error="EIO", after=lab.random.randint(20, 100), times=1)
        try:
            Load(broker.port, lab.random).run(400)
            raise AssertionError("the sync did not fail")
        except (wire.Closed, wire.ErrorFrame, OSError):
            assert broker.wait_for_end() == 3, broker.log
        again = lab.broker(SMALL, data=broker.data, record=lives[1])
        again.start()
        again.drain(QUEUES, again.messages_at_start())
        again.kill()
        disk, promises = recording.Disk(), Promises()
        replay(lives[0], disk, promises)
        disk.next_life()
        promises.next_life()
        bench = bench or Bench(lab, None)
        events = replay(lives[1], disk, promises)
        for number in range(6):
            way = ALL_WAYS[bench.made % len(ALL_WAYS)]
            wrong = bench.judge(disk, promises, bench.made, way, again=False)
            assert wrong is None, f"{wrong} (turn {turn}, {events} events of the second life)"
    bench.say()


def replay(path, disk, promises):
    """Takes all events of a recording; returns how many."""
    events = recording.read(path)
    for event in events:
        (promises if event.kind in "<>" else disk).take(event)
    return len(events)


@case(5)
def a_lie_is_seen(lab):
    """The judge itself: what the disk had is compared with what was promised a little later."""
    recorded = Recorded(lab, 200)
    moments = recorded.moments(lambda event, disk: is_writing(disk, "journal/000"))
    seen = []
    for moment in spread(lab, moments[:len(moments) // 2], 8):
        disk, promises = recording.Disk(), Promises()
        for event in recorded.events[:moment + 1]:
            (promises if event.kind in "<>" else disk).take(event)
        before = promises.receipted
        later = moment + 1
        while promises.receipted < before + 10:
            if recorded.events[later].kind in "<>":
                promises.take(recorded.events[later])
            later += 1
        wrong = Bench(lab, recorded).judge(disk, promises, moment, ("none", "none"), again=False)
        seen.append(wrong or "nothing")
    words = {word for text in seen for word in ("lost", "came back", "half a transaction") if text.startswith(word)}
    assert not any(text == "nothing" for text in seen) and words, seen
    lab.note(f"{len(seen)} of {len(seen)} lies seen: {', '.join(sorted(words))}")
