"""What a client knows about every message: the truth that a broker is held to across crashes. How a
message lives stands in message.py, what is wrong about a delivery in judge.py."""
import math
import threading
import time

import judge
from message import (ACKING, ALIVE, DEAD, DYING, ENDED, ENDING, GONE, NEVER, SENT, STORED, THERE, Message, Publication,
                     Subscription, Transaction, grave_of, home_of)

# An unconfirmed message that has not come so long after it was due never will.
LATE_SECONDS = 10.0


class Ledger:
    def __init__(self, limits=None):
        self.lock = threading.Lock()
        self.limits = limits or {}  # queue: deliveries after which a message is dead
        self.messages = {}  # by queue and name
        self.ids = {}  # by message-id
        self.publications = {}  # by name
        self.subscriptions = {}  # by place
        self.sequences = {}
        self.in_queue = {}  # queue: messages that are there or may be
        self.open_transactions = []
        self.things = 0  # counts what happened, to tell before from after
        self.life = 0  # of the broker: counts its starts
        self.last_words = ()  # ERRORs that it may say now, since its end was brought about
        self.violations = []
        self.counts = dict(receipted=0, acknowledged=0, transactions=0, published=0, refused=0, dead=0, delayed=0,
                           resent=0, delivered=0, redelivered=0, never=0)

    def violation(self, text):
        with self.lock:
            self.wrong(text)

    def wrong(self, text):
        self.violations.append(f"life {self.life}: {text}")

    def move(self, message, state):
        before = message.is_over
        message.state = state
        self.in_queue[message.queue] = self.in_queue.get(message.queue, 0) + before - message.is_over

    def add(self, message):
        self.messages[message.queue, message.name] = message
        self.in_queue[message.queue] = self.in_queue.get(message.queue, 0) + 1
        return message

    def next_in(self, stream):
        self.sequences[stream] = self.sequences.get(stream, 0) + 1
        return self.sequences[stream]

    def thing(self):
        self.things += 1
        return self.things

    def backlog(self, queue):
        with self.lock:
            return self.in_queue.get(queue, 0)

    # Sending

    def new_message(self, producer, queue, transaction=None, due=None, delay=None):
        """`due` or `delay`: it may not come before, in seconds."""
        if delay is not None:
            due = time.time() + delay
        stream = f"{producer}{queue}"
        with self.lock:
            sequence = self.next_in(stream)
            message = self.add(Message(f"{stream}/{sequence}", queue, stream, sequence, due, delay))
            self.counts["delayed"] += due is not None
            if transaction is not None:
                message.transaction = transaction
                transaction.sends.append(message)
            return message

    def stored(self, message):
        with self.lock:
            self.counts["receipted"] += 1
            message.has_arrived(time.time())
            if message.state == SENT:
                self.move(message, STORED)

    def resending(self, message):
        """With the same dedup-id. What did not come to be may do so now, behind what was sent later."""
        with self.lock:
            self.counts["resent"] += 1
            if message.state == NEVER:
                self.messages[message.queue, message.name] = message  # it may have been forgotten
                self.move(message, SENT)
                message.is_ordered = False

    # Topics

    def publishing(self, producer, topic, queues=()):
        """A SEND to a topic, and to some queues in the same frame."""
        stream = f"{producer}{topic}"
        with self.lock:
            sequence = self.next_in(stream)
            transaction = Transaction(commit_written=True)
            self.open_transactions.append(transaction)
            publication = Publication(f"{stream}/{sequence}", topic, stream, sequence, transaction, self.thing())
            self.publications[publication.name] = publication
            places = [s.place for s in self.subscriptions.values() if s.state == THERE and s.takes(topic)]
            for place in [*places, *queues]:
                self.copy(publication, place)
            return publication

    def copy(self, publication, place):
        message = self.add(Message(publication.name, place, publication.stream, publication.sequence))
        if not publication.transaction.decided:
            message.transaction = publication.transaction
            publication.transaction.sends.append(message)
        return message

    def published(self, publication):
        with self.lock:
            self.counts["published"] += 1
            publication.over = self.thing()
            self.settle(publication.transaction, happened=True)

    def subscribing(self, place, pattern):
        with self.lock:
            if place not in self.subscriptions:
                self.subscriptions[place] = Subscription(place, pattern, self.thing())

    def subscribed(self, place):
        with self.lock:
            self.subscriptions[place].state = THERE

    def ending(self, place):
        with self.lock:
            self.subscriptions[place].state = ENDING

    def ended(self, place):
        with self.lock:
            self.end(self.subscriptions[place])

    def end(self, subscription):
        """All that waits in it ends with it."""
        subscription.state = ENDED
        for message in self.messages.values():
            if message.queue == subscription.place and not message.is_over:
                self.move(message, GONE)

    def durable_places(self, *states):
        with self.lock:
            return [s.place for s in self.subscriptions.values() if s.state in states]

    # Receiving

    def delivered(self, place, frame):
        """A MESSAGE came on `place`; returns the message, or None when it is none of ours."""
        is_redelivered = frame.headers.get("redelivered") == "true"
        with self.lock:
            self.counts["delivered"] += 1
            self.counts["redelivered"] += is_redelivered
            message, is_fine = self.seen(place, frame)
            if message is None:
                return None
            again = message.delivered_in == (self.life, place)
            wrong = judge.delivery(self, message, place, frame, again and not is_redelivered)
            if is_fine and wrong:
                self.wrong(wrong)
            message.delivered_in = (self.life, place)
            if place == message.queue and message.grave == DYING:
                message.grave = ALIVE  # whoever refused it was cut off first
            return message

    def shown(self, place, frame):
        """A browser was shown it, which is no delivery. Returns the message, or None."""
        with self.lock:
            return self.seen(place, frame)[0]

    def seen(self, place, frame):
        """The message, and whether all is well so far."""
        name = judge.name_in(frame)
        message = self.messages.get((home_of(place), name)) or self.unexpected_copy(home_of(place), name)
        wrong = judge.sight(self, message, place, frame, name)
        if wrong:
            self.wrong(wrong)
        if message is None:
            return None, False
        message.seen = True
        self.note_id(message, place, frame)
        if place != message.queue:
            if message.grave != DEAD:
                self.counts["dead"] += 1
            message.grave = DEAD
        if message.state in (SENT, ACKING):
            self.move(message, STORED)
        return message, not wrong

    def unexpected_copy(self, place, name):
        """Of a publication in a subscription that came to be at about the same time."""
        subscription, publication = self.subscriptions.get(place), self.publications.get(name)
        if subscription is None or publication is None or not subscription.takes(publication.topic):
            return None
        if publication.over is not None and publication.over < subscription.asked:
            self.wrong(f"older than its subscription {place}: {name}")
        return self.copy(publication, place)

    def note_id(self, message, place, frame):
        given = frame.headers.get("message-id")
        self.ids[given] = (place, message.name)
        if place == message.queue:
            message.id = given
        else:
            message.grave_id = given

    # Acknowledging

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

    def refusing(self, held, for_good):
        """NACK is about to be written. `held`: pairs of a message and what its delivery was counted as.
        Returns those that die of it."""
        with self.lock:
            dying = [m for m, count in held if for_good or count >= self.limits.get(m.queue, math.inf)]
            for message in dying:
                if message.grave == ALIVE:
                    message.grave = DYING
            return dying

    def refused(self, held, dying, not_before):
        """The receipt of a NACK."""
        with self.lock:
            self.counts["refused"] += len(held)
            for message, count in held:
                if message not in dying:
                    message.least_count = max(message.least_count, count + 1)
                    message.not_before = max(message.not_before, not_before)
                elif message.grave == DYING:
                    self.counts["dead"] += 1
                    message.grave = DEAD

    # Transactions

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

    # After a crash

    def broker_ended(self):
        """What it had not taken it never will."""
        with self.lock:
            self.life += 1
            self.last_words = ()
            for message in self.messages.values():
                message.has_arrived(time.time())

    def decide(self, present, horizon=math.inf):
        """Every queue has been looked at: `present` holds the names found in each place. Nothing stays
        undecided, but for messages that were not due at `horizon`, or that may still be on their way from disk."""
        with self.lock:
            for subscription in self.subscriptions.values():
                self.decide_subscription(subscription, present)
            for transaction in list(self.open_transactions):
                self.decide_transaction(transaction, present)
            for publication in self.publications.values():
                publication.over = publication.over or self.thing()
            for message in self.messages.values():
                self.decide_message(message, present, horizon)
            self.forget()

    def forget(self):
        """What is over for good need not be kept for ever; much remains, to catch ghosts."""
        self.subscriptions = {p: s for p, s in self.subscriptions.items() if s.state != ENDED}
        if len(self.messages) < 50_000:
            return
        self.messages = {key: m for key, m in self.messages.items() if not m.is_over}
        alive = {m.name for m in self.messages.values()}
        self.publications = {name: p for name, p in self.publications.items() if name in alive}
        self.ids = {given: where for given, where in self.ids.items() if where[1] in alive}

    def decide_subscription(self, subscription, present):
        place, is_there = subscription.place, subscription.place in present
        if subscription.state == THERE and not is_there:
            self.wrong(f"lost: the durable subscription {place}")
        elif subscription.state == ENDED and is_there:
            self.wrong(f"came back after its end: the durable subscription {place}")
        if subscription.state != ENDED:
            if is_there:
                subscription.state = THERE
            else:
                self.end(subscription)

    def where(self, message, present):
        """Whether it is in its queue, and whether it is among the dead."""
        return tuple(message.name in present.get(place, ()) for place in (message.queue, grave_of(message.queue)))

    def decide_transaction(self, transaction, present):
        over = {s.place for s in self.subscriptions.values() if s.state == ENDED}
        evidence = {f"{m.name} is in {m.queue}": m.seen or any(self.where(m, present))
                    for m in transaction.sends if m.queue not in over}
        evidence.update({f"{m.name} is gone": not any(self.where(m, present)) for m in transaction.acks})
        happened = any(evidence.values())
        if happened and not transaction.commit_written:
            self.wrong(f"a transaction without COMMIT had effects: {evidence}")
        elif happened and not all(evidence.values()):
            self.wrong(f"half a transaction: {evidence}")
        self.settle(transaction, happened)
        for message in transaction.sends:
            if message.queue in over and not message.is_over:
                self.move(message, GONE)

    def decide_message(self, message, present, horizon):
        at_home, is_dead = self.where(message, present)
        if at_home and is_dead:
            self.wrong(f"in its queue and in the dead-letter queue: {message.name}")
        elif at_home and message.grave_id is not None:
            self.wrong(f"came back from the dead: {message.name}")
        if is_dead:
            message.grave = DEAD
        if at_home or is_dead:
            if message.state in (SENT, ACKING):
                self.move(message, STORED)
        elif message.due is not None and message.due_by > horizon - (0 if message.state == STORED else LATE_SECONDS):
            return
        elif message.state == STORED:
            self.wrong(f"lost: {message.name} of {message.queue}, {message.grave}")
            self.move(message, GONE)
        elif message.state == SENT:
            self.counts["never"] += 1
            self.move(message, NEVER)
        elif message.state == ACKING:
            self.move(message, GONE)

    def due(self, queue, horizon):
        """The names of those that must be there."""
        with self.lock:
            return {m.name for m in self.messages.values()
                    if m.queue == queue and m.state == STORED and m.due_by is not None and m.due_by <= horizon}

    def last_due(self):
        """When the last delayed message that may be there is due; 0 if there is none."""
        with self.lock:
            return max((m.due_by for m in self.messages.values() if m.due and not m.is_over), default=0)

