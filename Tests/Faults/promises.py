"""What the broker has promised at a moment of a recording, told from the bytes of both directions; and whether a
start on what a power cut left keeps it.

A message's body begins with its name: CONNECTION/NUMBER, a line end, and bytes that follow from the name.
"""
import hashlib

import wire

SENT, STORED, ACKING, GONE = "sent", "stored", "acking", "gone"


def body_of(name, size):
    seed = hashlib.sha256(name.encode()).digest()
    head = name.encode() + b"\n"
    return head + (seed * (size // 32 + 1))[:max(0, size - len(head))]


def name_of(body):
    """The name in a body, or None if a byte of it is wrong."""
    name = body.split(b"\n", 1)[0].decode("utf-8", "replace")
    return name if body == body_of(name, len(body)) else None


class Stream:
    """Bytes of one direction of one connection."""

    parse = wire.Connection.parse

    def __init__(self):
        self.inbox = bytearray()
        self.heart_beats = 0
        self.is_behind_frame = False


class Transaction:
    def __init__(self):
        self.sends, self.acks = [], []
        self.state = "open"  # "committing" when COMMIT came, "done" when its RECEIPT left


class Promises:
    """All messages and their states, by the recording."""

    def __init__(self):
        self.streams = {}
        self.queue_of, self.state = {}, {}
        self.place = {}  # message -> (connection, how many it had sent before)
        self.names = {}  # what an ACK names -> message
        self.transactions = {}
        self.receipts = {}  # (connection, receipt) -> what it says
        self.orders = {}  # connection -> what it did, in order: ("send"|"ack", name) or a transaction
        self.receipted = 0

    def take(self, event):
        stream = self.streams.setdefault((event.kind, event.handle), Stream())
        stream.inbox += event.data
        while (frame := stream.parse()) is not None:
            handler = getattr(self, ("said_" if event.kind == ">" else "asked_") + frame.command.lower(), None)
            if handler:
                handler(event.handle, frame)

    def next_life(self):
        """Connections of the life before are gone; their numbers are given again."""
        self.streams, self.names, self.receipts = {}, {}, {}
        self.transactions = {("before", *key): value for key, value in self.transactions.items()}
        self.orders = {("before", key): value for key, value in self.orders.items()}
        self.place = {name: (("before", connection), number) for name, (connection, number) in self.place.items()}

    def did(self, connection, what):
        self.orders.setdefault(connection, []).append(what)

    def asked_send(self, connection, frame):
        if not frame.headers["destination"].startswith("/queue/"):
            return
        name = frame.body.split(b"\n", 1)[0].decode()
        self.queue_of[name] = frame.headers["destination"].removeprefix("/queue/")
        self.place[name] = (connection, len(self.place))
        receipt = (connection, frame.headers.get("receipt"))
        if "transaction" in frame.headers:
            self.state[name] = "in a transaction"
            self.transactions[connection, frame.headers["transaction"]].sends.append(name)
            return
        self.state[name] = SENT
        self.did(connection, ("send", name))
        self.receipts[receipt] = ("send", name)

    def asked_ack(self, connection, frame):
        name = self.names[frame.headers["id"]]
        if "transaction" in frame.headers:
            self.transactions[connection, frame.headers["transaction"]].acks.append(name)
            return
        self.state[name] = ACKING
        self.did(connection, ("ack", name))
        self.receipts[connection, frame.headers.get("receipt")] = ("ack", name)

    def asked_begin(self, connection, frame):
        self.transactions[connection, frame.headers["transaction"]] = Transaction()

    def asked_commit(self, connection, frame):
        transaction = self.transactions[connection, frame.headers["transaction"]]
        transaction.state = "committing"
        self.did(connection, transaction)
        self.receipts[connection, frame.headers.get("receipt")] = ("commit", transaction)

    def said_error(self, connection, frame):
        """A COMMIT that is refused has no effect, now or later."""
        what = self.receipts.get((connection, frame.headers.get("receipt-id")))
        if what is not None and what[0] == "commit":
            what[1].state = "open"
            self.orders[connection].remove(what[1])

    def said_receipt(self, connection, frame):
        what = self.receipts.get((connection, frame.headers["receipt-id"]))
        if what is None:
            return
        self.receipted += 1
        kind, thing = what
        if kind == "commit":
            thing.state = "done"
            for name in thing.sends:
                self.stored(name)
            for name in thing.acks:
                self.state[name] = GONE
        elif kind == "send":
            self.stored(thing)
        else:
            self.state[thing] = GONE

    def stored(self, name):
        if self.state[name] in (SENT, "in a transaction"):
            self.state[name] = STORED

    def said_message(self, connection, frame):
        name = frame.body.split(b"\n", 1)[0].decode()
        self.names[frame.headers["ack"]] = name
        # Whoever was shown a message may count on it as much as its sender.
        self.stored(name)
        for transaction in self.transactions.values():
            if name in transaction.sends and transaction.state == "committing":
                for other in transaction.sends:
                    self.stored(other)

    # What a start brought

    def broken(self, found):
        """What is wrong with these (queue, body)s, or None."""
        present, last = set(), {}
        for queue, body in found:
            name = name_of(body)
            if name is None or name not in self.state:
                return f"invented or changed: {body[:60]!r} in {queue}"
            if self.queue_of[name] != queue:
                return f"{name} is in {queue}"
            if name in present:
                return f"twice: {name}"
            present.add(name)
            connection, number = self.place[name]
            if number < last.get((queue, connection), 0):
                return f"out of order: {name}"
            last[queue, connection] = number
        going = self.going()
        for name, state in self.state.items():
            if state == STORED and name not in present and name not in going:
                return f"lost: {name}"
            if state == GONE and name in present:
                return f"came back: {name}"
        return self.broken_transaction(present) or self.broken_order(present)

    def going(self):
        """What a COMMIT without RECEIPT may have acknowledged."""
        return {name for t in self.transactions.values() if t.state == "committing" for name in t.acks}

    def broken_transaction(self, present):
        for transaction in self.transactions.values():
            if transaction.state == "open":
                effects = [name for name in transaction.sends if name in present]
                if effects:
                    return f"without COMMIT: {effects}"
            elif transaction.state == "committing":
                shown = self.effects(transaction, present)
                if len(set(shown.values())) > 1:
                    return f"half a transaction: {shown}"
        return None

    def effects(self, transaction, present):
        # What was sent and acknowledged since says nothing.
        shown = {f"send {name}": name in present for name in transaction.sends
                 if self.state[name] not in (ACKING, GONE)}
        shown.update({f"ack {name}": name not in present for name in transaction.acks})
        return shown

    def broken_order(self, present):
        """What one connection did has happened up to some point, and nothing behind it."""
        going = self.going()
        for connection, done in self.orders.items():
            missing = None
            for what in done:
                happened = self.happened(what, present, going)
                if happened is False and missing is None:
                    missing = what
                elif happened and missing is not None:
                    return f"{what} of connection {connection} happened, but {missing} before it did not"
        return None

    def happened(self, what, present, going):
        """None where it cannot be told."""
        if isinstance(what, Transaction):
            shown = self.effects(what, present)
            return next(iter(shown.values()), None)
        kind, name = what
        if kind == "ack":
            return name not in present
        # One that is being acknowledged may have been there and gone.
        is_open = self.state[name] in (ACKING, GONE) or name in going
        return True if name in present else None if is_open else False

    def queues(self):
        return sorted(set(self.queue_of.values()))
