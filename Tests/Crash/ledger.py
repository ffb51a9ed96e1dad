"""What a client knows about every message: the truth that a broker is held to across crashes.

The life of a message, as its clients see it:

    SENT --receipt or delivery--> STORED --ACK written--> ACKING --receipt--> GONE
      |                             ^                        |
      `--- crash: found or not      `--- crash: found again -'
                    not: NEVER

Between two ends of one arrow the broker may still decide; after a crash and a look at every queue,
nothing is undecided: SENT has become STORED or NEVER, ACKING has become STORED or GONE.
"""
import hashlib
import threading

SENT, STORED, ACKING, GONE, NEVER = "sent", "stored", "acking", "gone", "never"


class Message:
    __slots__ = ("name", "queue", "producer", "sequence", "state", "transaction", "delivered_in", "seen")

    def __init__(self, name, queue, producer, sequence):
        self.name, self.queue, self.producer, self.sequence = name, queue, producer, sequence
        self.state = SENT
        self.transaction = None  # the one that decides over its existence, while undecided
        self.delivered_in = None  # the broker's life in which we last received it
        self.seen = False


class Transaction:
    """Some sends and acknowledgements that happen all or not at all."""

    def __init__(self):
        self.sends, self.acks = [], []
        self.commit_written = False
        self.decided = False


def body_of(name):
    """The body that belongs to a name: every byte value may occur, NUL too."""
    digest = hashlib.blake2b(name.encode()).digest()
    size = digest[0] * 4 + digest[1] % 4
    return name.encode() + b"\n" + (digest * (size // len(digest) + 1))[:size]


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.messages = {}
        self.sequences = {}
        self.in_queue = {}  # queue: messages that are there or may be
        self.open_transactions = []
        self.life = 0  # of the broker: counts its starts
        self.is_stopping = False  # it was asked to stop, so that it may say so
        self.violations = []
        self.counts = dict(receipted=0, acknowledged=0, transactions=0, delivered=0, redelivered=0)

    def violation(self, text):
        with self.lock:
            self.violations.append(f"life {self.life}: {text}")

    def move(self, message, state):
        over = (GONE, NEVER)
        self.in_queue[message.queue] += (message.state in over) - (state in over)
        message.state = state

    # What clients report

    def new_message(self, producer, queue, transaction=None):
        with self.lock:
            sequence = self.sequences.get((producer, queue), 0) + 1
            self.sequences[producer, queue] = sequence
            message = Message(f"{producer}/{queue}/{sequence}", queue, producer, sequence)
            self.messages[message.name] = message
            self.in_queue[queue] = self.in_queue.get(queue, 0) + 1
            if transaction is not None:
                message.transaction = transaction
                transaction.sends.append(message)
            return message

    def stored(self, message):
        with self.lock:
            self.counts["receipted"] += 1
            if message.state == SENT:
                self.move(message, STORED)

    def delivered(self, queue, frame):
        """A MESSAGE came on `queue`; returns the message, or None when it is none of ours."""
        name = frame.body.split(b"\n", 1)[0].decode("utf-8", "replace")
        is_redelivered = frame.headers.get("redelivered") == "true"
        with self.lock:
            self.counts["delivered"] += 1
            self.counts["redelivered"] += is_redelivered
            message = self.messages.get(name)
            wrong = self.judge(message, queue, frame, name, is_redelivered)
            if wrong:
                self.violations.append(f"life {self.life}: {wrong}")
            if message is None:
                return None
            message.delivered_in, message.seen = self.life, True
            if message.state in (SENT, ACKING):
                self.move(message, STORED)
            return message

    def judge(self, message, queue, frame, name, is_redelivered):
        if message is None:
            return f"invented: {name[:80]!r} on {queue}"
        if frame.body != body_of(name) or frame.headers.get("x-name") != name or message.queue != queue:
            return f"changed: {name} on {queue}: {frame!r}"
        if message.state == GONE:
            return f"came back after the receipt of its acknowledgement: {name}"
        if message.state == NEVER:
            return f"came back although an earlier life did not have it: {name}"
        transaction = message.transaction
        if transaction is not None and not transaction.commit_written:
            return f"delivered before its transaction was committed: {name}"
        if message.delivered_in == self.life and not is_redelivered:
            return f"delivered again in one life without redelivered:true: {name}"
        return None

    def acking(self, messages, transaction=None):
        with self.lock:
            for message in messages:
                self.move(message, ACKING)
                if transaction is not None:
                    transaction.acks.append(message)

    def gone(self, messages):
        with self.lock:
            for message in messages:
                self.counts["acknowledged"] += 1
                self.move(message, GONE)

    def begin(self):
        transaction = Transaction()
        with self.lock:
            self.open_transactions.append(transaction)
        return transaction

    def committing(self, transaction):
        with self.lock:
            transaction.commit_written = True

    def committed(self, transaction):
        with self.lock:
            self.counts["transactions"] += 1
            self.settle(transaction, happened=True)

    def aborted(self, transaction):
        with self.lock:
            self.settle(transaction, happened=False)

    def settle(self, transaction, happened):
        transaction.decided = True
        self.open_transactions.remove(transaction)
        for message in transaction.sends:
            message.transaction = None
            if not happened:
                self.move(message, NEVER)
            elif message.state == SENT:
                self.move(message, STORED)
        for message in transaction.acks:
            self.move(message, GONE if happened else STORED)

    def backlog(self, queue):
        with self.lock:
            return self.in_queue.get(queue, 0)

    # After a crash

    def decide(self, present):
        """Every queue has been looked at: `present` holds the names found. Nothing stays undecided."""
        with self.lock:
            for transaction in list(self.open_transactions):
                self.decide_transaction(transaction, present)
            for message in self.messages.values():
                self.decide_message(message, message.name in present)
            # What is over for good need not be kept for ever; a few remain, to catch ghosts.
            if len(self.messages) > 200_000:
                self.messages = {n: m for n, m in self.messages.items() if m.state not in (GONE, NEVER)}

    def decide_transaction(self, transaction, present):
        evidence = {f"{m.name} is there": m.seen or m.name in present for m in transaction.sends}
        evidence.update({f"{m.name} is gone": m.name not in present for m in transaction.acks})
        happened = any(evidence.values())
        if happened and not transaction.commit_written:
            self.violations.append(f"life {self.life}: a transaction without COMMIT had effects: {evidence}")
        elif happened and not all(evidence.values()):
            self.violations.append(f"life {self.life}: half a transaction: {evidence}")
        self.settle(transaction, happened)

    def decide_message(self, message, is_present):
        if message.state == STORED and not is_present:
            self.violations.append(f"life {self.life}: lost: {message.name}")
            self.move(message, GONE)
        elif message.state == SENT:
            self.move(message, STORED if is_present else NEVER)
        elif message.state == ACKING:
            self.move(message, STORED if is_present else GONE)
