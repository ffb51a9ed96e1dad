"""The mixed load: which destinations there are, how they are set, and who works on them in one life."""
import time

from auditor import Auditor
from clients import Consumer, Dropper, Mover, Producer
from delivery_clients import (REFUSED_MS, CarefulSender, Comer, Delayer, Durable, Publisher, Refuser, Subscriber)
from ledger import Ledger
from message import ASKED, ENDING, THERE, grave_of

MOST_BACKLOG = 300  # messages of a queue, so that a look at all of it stays short

# Segments of 1 MiB, of which two stay: retiring, checkpoints and removal happen in every short life.
SMALL_JOURNAL = {
    "journal.segment_bytes": "1 MiB", "journal.segments": 2, "queue_file.bytes": "1 MiB",
    "limits.body_bytes": "512 KiB", "limits.transaction_bytes": "512 KiB", "limits.transaction_operations": 1000,
    "disk.low_bytes": "8 MiB", "disk.high_bytes": "16 MiB",
}


class Places:
    """Destinations, by what is asked of them."""

    def __init__(self):
        self.plain = [f"/queue/{name}" for name in ("orders", "bills", "mail", "audit", "once")]
        self.limited = ["/queue/work"]
        self.delayed = ["/queue/later"]
        self.topics = ["/topic/news.eu", "/topic/news.us.east"]
        self.durables = [Durable("news", "/topic/news.>"), Durable("ledger", "/topic/news.eu", owner="crash")]
        self.limit = 4

    def policies(self):
        """Without a limit whoever drops messages all the time would send them to the dead-letter queues."""
        wait = {"redelivery_delay_ms": REFUSED_MS, "redelivery_multiplier_percent": 100, "redelivery_jitter_percent": 0}
        policies = [("queues", "/queue/**", {"delivery_limit": 0, **wait}),
                    ("durables", "/dsub/**", {"delivery_limit": 0})]
        policies += [(f"limited{n}", queue, {"delivery_limit": self.limit, **wait})
                     for n, queue in enumerate(self.limited)]
        for name, pattern, settings in policies:
            yield f"policies.{name}.pattern", pattern
            for setting, value in settings.items():
                yield f"policies.{name}.settings.{setting}", value


def arguments(settings):
    return [word for name, value in settings for word in ("--set", f"{name}={value}")]


class Load:
    """What goes on from life to life: the ledger, and what careful senders keep."""

    def __init__(self):
        self.places = Places()
        self.ledger = Ledger(limits={queue: self.places.limit for queue in self.places.limited})
        self.unconfirmed = {}
        self.comers = {}  # place: Durable, of those that came while the broker ran

    def arguments(self, journal=SMALL_JOURNAL):
        return arguments([*self.places.policies(), *journal.items()])

    def clients(self, port, life, pick):
        """Those of one life. `pick`: its random numbers."""
        places = self.places
        rest = lambda: (self.ledger, port, pick.random(), MOST_BACKLOG)  # noqa: E731
        one_of = lambda: pick.choice(["client", "client-individual"])  # noqa: E731
        orders, bills, mail, audit, once = places.plain
        work, later = places.limited[0], places.delayed[0]
        comer = Durable(f"comer{life}", pick.choice(["/topic/news.>", *places.topics]))
        self.comers[comer.place] = comer
        made = [
            *(Producer(f"p{life}.{n}", [orders, bills, mail, audit, work], *rest()) for n in range(2)),
            Consumer(bills, "client-individual", *rest()), Dropper(bills, one_of(), *rest()),
            Consumer(mail, "client", *rest()), Consumer(mail, "client-individual", *rest()),
            Dropper(audit, one_of(), *rest()),
            Mover(f"m{life}", orders, [bills, audit], *rest()),
            Refuser(work, one_of(), *rest()), Refuser(work, "client-individual", *rest()),
            Consumer(grave_of(work), "client-individual", *rest(), is_ordered=False),
            Delayer(f"d{life}", [later], *rest()), Consumer(later, one_of(), *rest(), is_ordered=False),
            CarefulSender("careful", [once], self.unconfirmed, *rest()), Dropper(once, one_of(), *rest()),
            Publisher(f"n{life}", places.topics, audit, *rest()),
            *(Subscriber(durable, *rest()) for durable in places.durables),
            Comer(comer, *rest()),
        ]
        return [client for client in made if pick.random() < 0.85]

    def look(self, port, pick, drain):
        """Everything, and in half of the cases once more: what was put back must be in its place again."""
        auditor = Auditor(self.ledger, port, self.places)
        twice = pick.random() < 0.5
        auditor.look(drain and not twice)
        for place in self.ledger.durable_places(ASKED, THERE, ENDING):
            if place in self.comers and pick.random() < 0.5:
                auditor.end_subscription(self.comers.pop(place))
        if twice:
            auditor.look(drain)

    def last_look(self, port):
        """When all that was delayed is due."""
        time.sleep(max(0.0, self.ledger.last_due() - time.time()))
        Auditor(self.ledger, port, self.places).look(drain=True)
