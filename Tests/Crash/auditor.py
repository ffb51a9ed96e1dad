"""Who looks at everything after a restart, when nobody else is there."""
import math
import time

import wire
from clients import send_headers
from message import ASKED, ENDED, ENDING, THERE, body_of, grave_of

PATIENCE = 20.0


class Auditor:
    def __init__(self, ledger, port, places):
        self.ledger, self.port, self.places = ledger, port, places

    def look(self, drain):
        """At every place; the ledger decides what was undecided. `drain`: all is taken out afterwards."""
        present, horizon = {}, math.inf
        for queue in self.places.plain:
            present[queue] = self.consume(queue)
        for queue in self.places.limited:
            present[queue], present[grave_of(queue)] = self.browse_both(queue)
        for queue in self.places.delayed:
            horizon = time.time()
            present[queue] = self.browse_what_is_due(queue, horizon)
        for place in self.ledger.durable_places(ASKED, THERE, ENDING, ENDED):
            names = self.browse_durable(place)
            if names is not None:
                present[place] = names
        self.ledger.decide(present, horizon)
        if drain:
            for place, names in present.items():
                if place in self.places.limited:
                    self.drain(place, lambda queue=place: self.browse(queue))
                else:
                    self.drain(place, lambda names=names: names)

    # By consuming, and giving back

    def consume(self, queue):
        """The names found. All go back to their places."""
        found, order = {}, {}
        connection = wire.Connection(self.port)
        try:
            connection.ask("SUBSCRIBE", {"id": "s", "destination": queue, "ack": "client",
                                         "prefetch-count": "65535", "prefetch-size": "100000000"})
            # First in, first out: when the sentinel comes, everything before it has come.
            sentinel = self.ledger.new_message("auditor", queue)
            connection.say("SEND", send_headers(sentinel, receipt="sentinel"), body_of(sentinel.name))
            has_receipt = False
            while sentinel.name not in found or not has_receipt:
                frame = connection.read(PATIENCE)
                if frame.command == "ERROR":
                    raise wire.ErrorFrame(frame)
                if frame.command == "RECEIPT":
                    self.ledger.stored(sentinel)
                    has_receipt = True
                    continue
                self.note(self.ledger.delivered(queue, frame), found, order)
            connection.ask("DISCONNECT", {})
        finally:
            connection.close()
        return set(found)

    def note(self, message, found, order):
        """Writes down what was found; `order` is None where there is none."""
        if message is None:
            return False
        if message.name in found:
            self.ledger.violation(f"twice in one queue: {message.name} of {message.queue}")
        found[message.name] = message
        if order is not None and message.is_ordered:
            if message.sequence <= order.get(message.stream, 0):
                self.ledger.violation(f"out of place after a restart: {message.name}")
            order[message.stream] = message.sequence
        return True

    # By browsing, which takes nothing

    def browse(self, place, order=None):
        """The names in it, also those that wait after they were refused."""
        found = {}
        connection = wire.Connection(self.port)
        try:
            connection.ask("SUBSCRIBE", {"id": "b", "destination": place, "browser": "true"})
            while (frame := connection.message(PATIENCE)).headers.get("browser") != "end":
                self.note(self.ledger.shown(place, frame), found, order)
            connection.ask("DISCONNECT", {})
        finally:
            connection.close()
        return set(found)

    def browse_both(self, queue):
        """A queue and its dead. Some may still be moved: what counts is what stays."""
        until = time.monotonic() + PATIENCE
        after = self.browse(queue)
        while True:
            before, dead, after = after, self.browse(grave_of(queue)), self.browse(queue)
            if before == after and not after & dead or time.monotonic() > until:
                return after, dead  # the ledger says what is wrong, if it did not become still

    def browse_durable(self, place):
        """None if there is no such subscription."""
        try:
            return self.browse(place, order={})
        except wire.ErrorFrame as problem:
            if problem.frame.headers.get("message") != "no such durable subscription":
                raise
            return None

    def browse_what_is_due(self, queue, horizon):
        """Waits for everything that was due at `horizon`: what fell due while the broker was away comes in its
        own time after the start."""
        until = time.monotonic() + PATIENCE
        while True:
            found = self.browse(queue)
            if self.ledger.due(queue, horizon) <= found or time.monotonic() > until:
                return found  # the ledger says what is lost
            time.sleep(0.01)

    # Taking

    def drain(self, place, names):
        """Consumes what is there, as `names` says. Of a queue with a limit that gets less when what is dead moves
        to the dead-letter queue; a browser is shown also what we hold."""
        found, last, until = {}, None, time.monotonic() + PATIENCE
        connection = wire.Connection(self.port)
        try:
            connection.ask("SUBSCRIBE", {"id": "s", "destination": place, "ack": "client",
                                         "prefetch-count": "65535", "prefetch-size": "100000000"})
            while left := names() - found.keys():
                while left - found.keys() and (frame := self.next_of(connection)):
                    if self.note(self.ledger.delivered(place, frame), found, None):
                        last = frame.headers["ack"]
                if time.monotonic() > until:
                    self.ledger.violation(f"{place} keeps {len(left)} that are there: {sorted(left)[:10]}")
                    break
            if found:
                self.ledger.acking(found.values())
                connection.ask("ACK", {"id": last})
                self.ledger.gone(found.values())
            connection.ask("DISCONNECT", {})
        finally:
            connection.close()

    @staticmethod
    def next_of(connection):
        """None if nothing comes for now."""
        try:
            return connection.message(0.1)
        except wire.Timeout:
            return None

    def end_subscription(self, durable):
        """One that nobody uses any more."""
        self.ledger.ending(durable.place)
        connection = wire.Connection(self.port, headers=durable.login)
        try:
            connection.ask("UNSUBSCRIBE", durable.end)
            connection.ask("DISCONNECT", {})
        finally:
            connection.close()
        self.ledger.ended(durable.place)
