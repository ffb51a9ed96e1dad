"""The clients of the crash test. Each is a thread with a connection of its own that writes down what
it asked for before it asks, and what it was promised when it was promised."""
import collections
import random
import threading
import time

import wire
from ledger import body_of

NOTE = "a:b \\ \u2603\nsecond line"


def send_headers(message, **more):
    return {"destination": f"/queue/{message.queue}", "persistent": "true", "x-name": message.name, "x-note": NOTE, **more}


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
            self.connection = wire.Connection(self.port)
            self.prepare()
            while not self.stop.is_set():
                self.turn()
        except (OSError, wire.Closed):
            pass  # the broker was killed: what it owed us stays undecided
        except wire.Timeout as problem:
            self.ledger.violation(f"{type(self).__name__}: no answer: {problem}")
        except wire.ErrorFrame as problem:
            if not (self.ledger.is_stopping and "shutting down" in problem.frame.headers.get("message", "")):
                self.ledger.violation(f"{type(self).__name__}: {problem}")
        except AssertionError as problem:
            self.ledger.violation(f"{type(self).__name__}: {problem}")
        finally:
            if self.connection:
                self.connection.close()

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


class Producer(Client):
    """Sends to every queue in turn, some unconfirmed at any time."""

    def __init__(self, name, queues, *rest):
        super().__init__(*rest)
        self.name_of_producer, self.queues = name, queues

    def turn(self):
        queue = self.random.choice(self.queues)
        if self.ledger.backlog(queue) > self.most_backlog:
            self.take(0.01)
            return
        for _ in range(self.random.randint(1, 20)):
            message = self.ledger.new_message(self.name_of_producer, queue)
            self.ask("SEND", send_headers(message), body_of(message.name),
                     then=lambda message=message: self.ledger.stored(message))
        while len(self.owed) > self.random.randint(0, 60):
            self.take(0.05)
            if self.stop.is_set():
                return


class Consumer(Client):
    """Takes from one queue; acknowledges one by one or all up to, now and then."""

    def __init__(self, queue, ack, *rest):
        super().__init__(*rest)
        self.queue, self.ack = queue, ack
        self.held = []  # (message, value of its ack header), oldest first
        self.last = {}  # producer: highest sequence of a first delivery

    def prepare(self):
        self.connection.ask("SUBSCRIBE", {"id": "s", "destination": f"/queue/{self.queue}", "ack": self.ack})

    def turn(self):
        frame = self.take(0.05)
        if frame is None:
            return
        message = self.ledger.delivered(self.queue, frame)
        if message is None:
            return
        self.check_order(message, frame)
        self.held.append((message, frame.headers["ack"]))
        if self.random.random() < 0.3:
            self.acknowledge()

    def check_order(self, message, frame):
        if frame.headers.get("redelivered") == "true":
            return
        if message.sequence <= self.last.get(message.producer, 0):
            self.ledger.violation(f"out of order: {message.name} behind {self.last[message.producer]}")
        self.last[message.producer] = message.sequence

    def acknowledge(self):
        if self.ack == "client":
            count = self.random.randint(1, len(self.held))
            done, self.held = self.held[:count], self.held[count:]
        else:
            done = [self.held.pop(self.random.randrange(len(self.held)))]
        messages = [message for message, _ in done]
        self.ledger.acking(messages)
        self.ask("ACK", {"id": done[-1][1]}, then=lambda: self.ledger.gone(messages))


class Dropper(Consumer):
    """Takes some messages, acknowledges some, and leaves, politely or not: the rest goes back."""

    def turn(self):
        for _ in range(self.random.randint(1, 30)):
            super().turn()
            if self.stop.is_set():
                return
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
        self.connection = wire.Connection(self.port)
        self.prepare()

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
        self.connection.ask("SUBSCRIBE", {"id": "s", "destination": f"/queue/{self.source}", "ack": "client-individual"})

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


class Auditor:
    """Looks at all of a queue after a restart, when nobody else is there."""

    def __init__(self, ledger, port):
        self.ledger, self.port = ledger, port

    def look(self, queue, drain):
        """The names found, in order. `drain`: acknowledges them all; else all go back to their places."""
        found, order = {}, {}
        connection = wire.Connection(self.port)
        try:
            connection.ask("SUBSCRIBE", {"id": "s", "destination": f"/queue/{queue}", "ack": "client",
                                         "prefetch-count": "100000", "prefetch-size": "100000000"})
            # First in, first out: when the sentinel comes, everything before it has come.
            sentinel = self.ledger.new_message("auditor", queue)
            connection.say("SEND", send_headers(sentinel, receipt="sentinel"), body_of(sentinel.name))
            last, has_receipt = None, False
            while sentinel.name not in found or not has_receipt:
                frame = connection.read(20)
                if frame.command == "ERROR":
                    raise wire.ErrorFrame(frame)
                if frame.command == "RECEIPT":
                    self.ledger.stored(sentinel)
                    has_receipt = True
                    continue
                last = self.note(queue, frame, found, order) or last
            self.settle(connection, found, last, drain)
        finally:
            connection.close()
        return set(found)

    def note(self, queue, frame, found, order):
        message = self.ledger.delivered(queue, frame)
        if message is None:
            return None
        if message.name in found:
            self.ledger.violation(f"twice in one queue: {message.name}")
        if message.sequence <= order.get(message.producer, 0):
            self.ledger.violation(f"out of place after a restart: {message.name}")
        found[message.name] = message
        order[message.producer] = message.sequence
        return frame.headers["ack"]

    def settle(self, connection, found, last, drain):
        """With `drain` everything goes, the sentinel too. Otherwise all are put back."""
        if drain:
            self.ledger.acking(found.values())
            connection.ask("ACK", {"id": last})
            self.ledger.gone(found.values())
        connection.ask("DISCONNECT", {})
