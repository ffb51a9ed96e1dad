"""A sender that notes every RECEIPT, so that after a fault what was confirmed can be compared with what is there."""
import threading

import wire
from promises import body_of, name_of


class Sender(threading.Thread):
    """Sends message after message, each with a receipt that it waits for (`window` of them under way)."""

    def __init__(self, port, queue="q", size=1000, most=1_000_000, window=1, start=0):
        super().__init__(daemon=True)
        self.port, self.queue, self.size, self.most, self.window = port, queue, size, most, window
        self.sent = self.confirmed = start  # messages; the next has this number
        self.end = None  # why it ended
        self.stop = threading.Event()
        self.connection = wire.Connection(port, patience=60)
        self.start()

    def run(self):
        try:
            while self.sent < self.most and not self.stop.is_set():
                self.send_one()
                while self.sent - self.confirmed >= self.window:
                    self.take_receipt()
            while self.confirmed < self.sent:
                self.take_receipt()
        except (wire.Closed, wire.Timeout, wire.ErrorFrame, OSError) as problem:
            self.end = problem
        self.connection.close()

    def send_one(self):
        number = self.sent
        self.sent += 1
        self.connection.say("SEND", {"destination": f"/queue/{self.queue}", "receipt": f"r{number}"},
                            body_of(f"m/{number}", self.size))

    def take_receipt(self):
        frame = self.connection.expect("RECEIPT")
        assert frame.headers["receipt-id"] == f"r{self.confirmed}", frame
        self.confirmed += 1

    def all(self, seconds=60):
        """Waits until all are confirmed, or it ended."""
        self.join(seconds)
        assert not self.is_alive(), f"the sender hangs: {self.confirmed} confirmed of {self.sent}"
        return self

    def finish(self, seconds=60):
        self.stop.set()
        self.join(seconds)
        assert not self.is_alive(), "the sender hangs"
        return self


def check_all_there(broker, sender, start=0, queue="q"):
    """What the broker has of the sender's messages: all confirmed ones, and a prefix of the others, each unchanged."""
    count = broker.messages_at_start()
    found = [body for name, body in broker.drain([queue], count) if name == queue]
    numbers = []
    for body in found:
        name = name_of(body)
        assert name is not None, f"changed: {body[:40]!r}"
        numbers.append(int(name.split("/")[1]))
    assert numbers == list(range(start, start + len(numbers))), f"not a prefix: {numbers[:5]}...{numbers[-5:]}"
    assert start + len(numbers) >= sender.confirmed, f"lost: {start + len(numbers)} there, {sender.confirmed} confirmed"
    assert start + len(numbers) <= sender.sent, "more than were sent"
    return len(numbers)


def take(connection, count, sub="1", with_receipts=True):
    """Acknowledges `count` messages that come; returns their bodies."""
    bodies = []
    for number in range(count):
        frame = connection.message()
        bodies.append(frame.body)
        if with_receipts:
            connection.unread += connection.ask("ACK", {"id": frame.headers["ack"]})
        else:
            connection.say("ACK", {"id": frame.headers["ack"]})
    return bodies


def subscribed(broker, queue="q", prefetch=10, **more):
    connection = broker.connect(**more)
    connection.say("SUBSCRIBE", {"id": "1", "destination": f"/queue/{queue}", "ack": "client-individual",
                                 "prefetch-count": str(prefetch)})
    return connection
