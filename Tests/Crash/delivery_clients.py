"""More clients of the crash test, for what the broker does beside keeping and delivering: refusing and
dying, delays, topics with durable subscriptions, duplicates."""
import time

import wire
from clients import Consumer, Dropper, Sender, send_headers
from message import ENDING, THERE, body_of

REFUSED_MS = 30  # how long a refused message waits where NACK does not say so


class Refuser(Dropper):
    """Refuses what it got, for now or for good, acknowledges some, and leaves with the rest."""

    def settle(self):
        what = self.random.random()
        if what < 0.4:
            self.acknowledge(self.some())
        else:
            self.refuse(self.some(), for_good=what < 0.5)

    def refuse(self, done, for_good):
        headers, wait = {"id": done[-1].ack}, REFUSED_MS
        if for_good:
            headers["requeue"] = "false"
        elif self.random.random() < 0.7:
            wait = self.random.choice([0, 1, 20, 200])
            headers["delay"] = wait
        held = [(one.message, one.count) for one in done]
        dying = self.ledger.refusing(held, for_good)
        not_before = time.time() + wait / 1000
        self.ask("NACK", headers, then=lambda: self.ledger.refused(held, dying, not_before))


class Delayer(Sender):
    """Messages that may not come before their time, most of them soon, some behind the next crash."""

    def send(self, queue):
        wait = self.random.choice([0, 1, 50, self.random.randint(0, 500), self.random.randint(0, 2500)])
        if self.random.random() < 0.8:
            message = self.ledger.new_message(self.name_of_producer, queue, delay=wait / 1000)
            headers = {"delay": wait}
        else:
            at = int(time.time() * 1000) + wait
            message = self.ledger.new_message(self.name_of_producer, queue, due=at / 1000)
            headers = {"deliver-at": at}
        self.ask("SEND", send_headers(message, **headers), body_of(message.name),
                 then=lambda: self.ledger.stored(message))


class CarefulSender(Sender):
    """Gives each message a dedup-id, and sends again what was not confirmed when the broker died; now and
    then also what was. `unconfirmed` goes from one life to the next."""

    def __init__(self, name, queues, unconfirmed, *rest):
        super().__init__(name, queues, *rest)
        self.unconfirmed = unconfirmed
        self.confirmed = []

    def prepare(self):
        for message in list(self.unconfirmed.values()):
            self.again(message)

    def send(self, queue):
        if self.confirmed and self.random.random() < 0.1:
            self.again(self.random.choice(self.confirmed[-50:]))
        self.say(self.ledger.new_message(self.name_of_producer, queue))

    def again(self, message):
        self.ledger.resending(message)
        self.say(message)

    def say(self, message):
        self.unconfirmed[message.name] = message
        self.ask("SEND", send_headers(message, **{"dedup-id": message.name}), body_of(message.name),
                 then=lambda: self.after_receipt(message))

    def after_receipt(self, message):
        self.ledger.stored(message)
        self.unconfirmed.pop(message.name, None)
        self.confirmed.append(message)


class Publisher(Sender):
    """Sends to topics, and now and then to a queue in the same frame. `queues` are the topics."""

    def __init__(self, name, topics, beside, *rest):
        super().__init__(name, topics, *rest)
        self.beside = beside

    def backlog(self, _):
        places = [*self.ledger.durable_places(THERE, ENDING), self.beside]
        return max(self.ledger.backlog(place) for place in places)

    def send(self, topic):
        queues = [self.beside] if self.random.random() < 0.2 else []
        publication = self.ledger.publishing(self.name_of_producer, topic, queues)
        self.ask("SEND", send_headers(publication, ",".join([*queues, topic])), body_of(publication.name),
                 then=lambda: self.ledger.published(publication))


class Subscriber(Consumer):
    """Consumes from a durable subscription, by the name that its client gave it."""

    def __init__(self, durable, *rest):
        super().__init__(durable.place, "client-individual", *rest)
        self.durable = durable

    def connect(self):
        self.connection = wire.Connection(self.port, headers=self.durable.login)
        self.prepare()

    def prepare(self):
        self.ledger.subscribing(self.place, self.durable.pattern)
        self.connection.ask("SUBSCRIBE", {**self.durable.fields, "ack": self.ack})
        self.ledger.subscribed(self.place)


class Comer(Subscriber):
    """Makes a durable subscription of its own while others publish, and perhaps ends it again."""

    def turn(self):
        for _ in range(self.random.randint(1, 100)):
            super().turn()
            if self.stop.is_set():
                return
        if self.random.random() < 0.5:
            self.end()
            self.stop.wait()

    def end(self):
        self.wait_for_receipts()
        self.ledger.ending(self.place)
        self.connection.ask("UNSUBSCRIBE", self.durable.end)
        self.ledger.ended(self.place)


class Durable:
    """How a durable subscription is named: owned by a client, or shared."""

    def __init__(self, name, pattern, owner=None):
        self.pattern = pattern
        self.place = f"/dsub/{owner}.{name}" if owner else f"/dsub/{name}"
        self.login = {"client-id": owner} if owner else None
        header = {"durable-subscription-name": name} if owner else {"durable": "true"}
        self.fields = {"id": name, "destination": pattern, **header}
        self.end = {"id": name, **header}
