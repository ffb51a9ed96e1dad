"""What the ledger writes about: messages, transactions, publications, durable subscriptions.

The life of a message, as its clients see it:

    SENT --receipt or delivery--> STORED --ACK written--> ACKING --receipt--> GONE
      |                             ^                        |
      `--- crash: found or not      `--- crash: found again -'
                    not: NEVER (a careful sender may send it again: SENT)

Between two ends of one arrow the broker may still decide; after a crash and a look at every queue,
nothing is undecided: SENT has become STORED or NEVER, ACKING has become STORED or GONE. Beside that a
message that is STORED is in its queue or in the dead-letter queue:

    ALIVE --last NACK written--> DYING --receipt, or seen there--> DEAD
      ^                            |
      `------- delivered again ----'

To be found in its queue after a crash does not bring it back to life: that it is to die may be on disk, and
the move still to come, when consumers get there. But nobody gets it any more.
"""
import hashlib

SENT, STORED, ACKING, GONE, NEVER = "sent", "stored", "acking", "gone", "never"
ALIVE, DYING, DEAD = "alive", "dying", "dead"
# Of a durable subscription; crash and look decide over the second and the fourth.
ASKED, THERE, ENDING, ENDED = "asked", "there", "ending", "ended"


class Message:
    """One message in one queue; a publication is one in each durable subscription."""
    __slots__ = ("name", "queue", "stream", "sequence", "state", "transaction", "delivered_in", "seen", "id",
                 "grave", "grave_id", "least_count", "not_before", "due", "delay", "due_by", "is_ordered")

    def __init__(self, name, queue, stream, sequence, due=None, delay=None):
        self.name, self.queue, self.stream, self.sequence = name, queue, stream, sequence
        self.state = SENT
        self.transaction = None  # the one that decides over its existence, while undecided
        self.delivered_in = None  # the broker's life in which we last received it
        self.seen = False
        self.id = self.grave_id = None  # message-id in its queue, and in the dead-letter queue
        self.grave = ALIVE
        self.least_count = 1  # what the next delivery must be counted as, at least
        self.not_before = 0  # refused: the end of its wait
        self.due, self.delay = due, delay  # delayed: when it may come; how long it waits from its arrival
        self.due_by = due if delay is None else None  # when it must come: the delay after it certainly arrived
        self.is_ordered = due is None  # stands in its queue as it was sent

    def has_arrived(self, at):
        """Or never will: `at` is the time of the receipt, or of the broker's end."""
        if self.delay is not None and self.due_by is None:
            self.due_by = at + self.delay

    @property
    def is_over(self):
        return self.state in (GONE, NEVER)


class Transaction:
    """Some sends and acknowledgements that happen all or not at all."""

    def __init__(self, commit_written=False):
        self.sends, self.acks = [], []
        self.commit_written = commit_written
        self.decided = False


class Publication:
    """A message to a topic: a copy in every durable subscription that there is, or none at all."""

    def __init__(self, name, topic, stream, sequence, transaction, asked):
        self.name, self.topic, self.stream, self.sequence = name, topic, stream, sequence
        self.transaction = transaction
        self.asked = asked  # the ledger's count of things when it was written
        self.over = None  # the same when it was confirmed, or could not come any more


class Subscription:
    """A durable subscription; `place` is the queue that it is."""

    def __init__(self, place, pattern, asked):
        self.place, self.pattern, self.asked = place, pattern, asked
        self.state = ASKED

    def takes(self, topic):
        if self.pattern.endswith(".>"):
            return topic == self.pattern[:-2] or topic.startswith(self.pattern[:-1])
        return topic == self.pattern


def body_of(name):
    """The body that belongs to a name: every byte value may occur, NUL too. A few are large."""
    digest = hashlib.blake2b(name.encode()).digest()
    size = digest[0] * 4 + digest[1] % 4 + (digest[3] * 256 if digest[2] < 20 else 0)
    return name.encode() + b"\n" + (digest * (size // len(digest) + 1))[:size]


def grave_of(queue):
    """Where messages of a queue go when they are dead."""
    return queue + ".dlq"


def home_of(place):
    return place.removesuffix(".dlq")
