"""The clients of the crash test. Each is a thread with a connection of its own that writes down what
it asked for before it asks, and what it was promised when it was promised."""
import collections
import random
import threading
import time

import wire
from message import body_of

NOTE = "a:b \\ \u2603\nsecond line"


def send_headers(message, destination=None, **more):
    return {"destination": destination or message.queue, "persistent": "true", "x-name": message.name, "x-note": NOTE,
            **more}


class Client(threading.Thread):
    """Runs until the broker dies or `stop` is set."""

    def __init__(self, ledger, port, seed, most_backlog):
        super().__init__(daemon=True)
        self.ledger, self.port, self.most_backlog = ledger, port, most_backlog
        self.random = random.Random(seed)
        self.stop = threading.Event()
        self.connection = None
        self.owed = {}  # receipt id: what to do when it comes
        self.asked = 0

    def run(self):
        try:
            self.connect()
            while not self.stop.is_set():
                self.turn()
        except (OSError, wire.Closed):
            pass  # the broker was killed: what it owed us stays undecided
        except wire.Timeout as problem:
            self.ledger.violation(f"{type(self).__name__}: no answer: {problem}")
        except wire.ErrorFrame as problem:
            if problem.frame.headers.get("message") not in self.ledger.last_words:
                self.ledger.violation(f"{type(self).__name__}: {problem}")
        except AssertionError as problem:
            self.ledger.violation(f"{type(self).__name__}: {problem}")
        finally:
            if self.connection:
                self.connection.close()

    def connect(self):
        self.connection = wire.Connection(self.port)
        self.prepare()

    def prepare(self):
        pass

    def turn(self):
        raise NotImplementedError

    def ask(self, command, headers, body=b"", then=None):
        """Sends with a receipt, and goes on; `then` is called when the receipt comes."""
        self.asked += 1
        receipt = f"r{self.asked}"
        self.owed[receipt] = then
        self.connection.say(command, {**headers, "receipt": receipt}, body)

    def take(self, seconds):
        """One frame, at most; receipts are paid out, messages returned."""
        try:
            frame = self.connection.read(seconds)
        except wire.Timeout:
            return None
        if frame.command == "ERROR":
            raise wire.ErrorFrame(frame)
        if frame.command == "RECEIPT":
            then = self.owed.pop(frame.headers["receipt-id"], None)
            if then:
                then()
            return None
        return frame

    def wait_for_receipts(self):
        until = time.monotonic() + 20
        while self.owed:
            if time.monotonic() > until:
                raise wire.Timeout(f"{len(self.owed)} receipts did not come")
            self.take(0.05)


class Sender(Client):
    """Sends in bursts to one of `queues` after the other, some unconfirmed at any time."""

    def __init__(self, name, queues, *rest):
        super().__init__(*rest)
        self.name_of_producer, self.queues = name, queues

    def turn(self):
        queue = self.random.choice(self.queues)
        if self.backlog(queue) > self.most_backlog:
            self.take(0.01)
            return
        for _ in range(self.random.randint(1, 20)):
            self.send(queue)
        most = self.random.randint(0, 60)
        while len(self.owed) > most and not self.stop.is_set():
            self.take(0.05)

    def backlog(self, queue):
        return self.ledger.backlog(queue)

    def send(self, queue):
        raise NotImplementedError


class Producer(Sender):
    """Plain messages to queues."""

    def send(self, queue):
        message = self.ledger.new_message(self.name_of_producer, queue)
        self.ask("SEND", send_headers(message), body_of(message.name), then=lambda: self.ledger.stored(message))


Held = collections.namedtuple("Held", "message ack count")


class Consumer(Client):
    """Takes from one place; acknowledges one by one or all up to, now and then."""

    def __init__(self, place, ack, *rest, is_ordered=True):
        super().__init__(*rest)
        self.place, self.ack, self.is_ordered = place, ack, is_ordered
        self.held = []  # oldest first
        self.last = {}  # stream: highest sequence of a first delivery

    def prepare(self):
        self.connection.ask("SUBSCRIBE", {"id": "s", "destination": self.place, "ack": self.ack})

    def turn(self):
        frame = self.take(0.05)
        if frame is None:
            return
        message = self.ledger.delivered(self.place, frame)
        if message is None:
            return
        self.check_order(message, frame)
        self.held.append(Held(message, frame.headers["ack"], int(frame.headers.get("delivery-count", 1))))
        if self.random.random() < 0.3:
            self.settle()

    def check_order(self, message, frame):
        if frame.headers.get("redelivered") == "true" or not (self.is_ordered and message.is_ordered):
            return
        if message.sequence <= self.last.get(message.stream, 0):
            self.ledger.violation(f"out of order: {message.name} behind {self.last[message.stream]}")
        self.last[message.stream] = message.sequence

    def settle(self):
        self.acknowledge(self.some())

    def some(self):
        """What the next ACK or NACK covers, taken out of what is held."""
        if self.ack == "client":
            count = self.random.randint(1, len(self.held))
            done, self.held = self.held[:count], self.held[count:]
            return done
        return [self.held.pop(self.random.randrange(len(self.held)))]

    def acknowledge(self, done):
        messages = [held.message for held in done]
        self.ledger.acking(messages)
        self.ask("ACK", {"id": done[-1].ack}, then=lambda: self.ledger.gone(messages))


class Dropper(Consumer):
    """Takes some messages, acknowledges some, and leaves, politely or not: the rest goes back."""

    def turn(self):
        for _ in range(self.random.randint(1, 30)):
            super().turn()
            if self.stop.is_set():
                return
        self.leave()
        self.connect()

    def leave(self):
        self.wait_for_receipts()
        self.held.clear()
        self.last.clear()
        how = self.random.choice(["disconnect", "close", "reset"])
        if how == "disconnect":
            self.ask("DISCONNECT", {})
            self.wait_for_disconnect()
            self.connection.close()
        elif how == "close":
            self.connection.close()
        else:
            self.connection.reset()
        self.owed.clear()

    def wait_for_disconnect(self):
        """Messages may still be on their way to us. They are not ours any more: another consumer may have
        them, and have acknowledged them, before we read them here."""
        while self.owed:
            self.take(20)


class Mover(Client):
    """Moves messages from one queue to two others, each in one transaction with its acknowledgement."""

    def __init__(self, name, source, targets, *rest):
        super().__init__(*rest)
        self.name_of_producer, self.source, self.targets = name, source, targets
        self.number = 0
        self.came = collections.deque()  # frames that came while we waited for receipts

    def prepare(self):
        self.connection.ask("SUBSCRIBE", {"id": "s", "destination": self.source, "ack": "client-individual"})

    def turn(self):
        frame = self.came.popleft() if self.came else self.take(0.05)
        if frame is None:
            return
        message = self.ledger.delivered(self.source, frame)
        if message is None:
            return
        self.number += 1
        name = f"t{self.number % 3}"  # ids are used again
        transaction = self.ledger.begin()
        self.connection.say("BEGIN", {"transaction": name})
        for target in self.targets:
            moved = self.ledger.new_message(self.name_of_producer, target, transaction)
            self.connection.say("SEND", send_headers(moved, transaction=name), body_of(moved.name))
        self.ledger.acking([message], transaction)
        self.connection.say("ACK", {"id": frame.headers["ack"], "transaction": name})
        if self.random.random() < 0.2:
            self.ask("ABORT", {"transaction": name}, then=lambda: self.after_abort(transaction, message, frame))
        else:
            self.ledger.committing(transaction)
            self.ask("COMMIT", {"transaction": name}, then=lambda: self.ledger.committed(transaction))
        if self.random.random() < 0.5 or len(self.owed) > 1:
            self.wait_keeping()

    def wait_keeping(self):
        """Waits for the receipts, and keeps the messages that come meanwhile for later."""
        until = time.monotonic() + 20
        while self.owed and not self.stop.is_set():
            frame = self.take(0.05)
            if frame is not None:
                self.came.append(frame)
            if time.monotonic() > until:
                raise wire.Timeout(f"{len(self.owed)} receipts did not come")

    def after_abort(self, transaction, message, frame):
        """The message is ours again, and can be acknowledged again."""
        self.ledger.aborted(transaction)
        self.ledger.acking([message])
        self.ask("ACK", {"id": frame.headers["ack"]}, then=lambda: self.ledger.gone([message]))
