"""Dead-letter queues that take nothing (fault 55)."""
import time

from load import subscribed
from suite import SMALL, case, wait_until

SETTINGS = """{ policies: {
    q: { pattern: "/queue/q", settings: { delivery_limit: 1, redelivery_delay_ms: 0 } },
    grave: { pattern: "/queue/q.dlq", settings: { length_most: 3, overflow: "reject" } },
} }"""


def refuse_all(broker, count):
    """Sends so many messages; each is refused once, and dead by that."""
    client = broker.connect()
    for number in range(count):
        client.ask("SEND", {"destination": "/queue/q"}, b"%d" % number)
    client.close()
    reader = subscribed(broker, prefetch=1)
    for number in range(count):
        reader.say("NACK", {"id": reader.message().headers["ack"]})
    assert not reader.ask("SEND", {"destination": "/topic/behind"}, b"x")
    reader.close()


def check_idle(broker):
    before = processor_seconds(broker.own_pid)
    time.sleep(1)
    spent = processor_seconds(broker.own_pid) - before
    assert spent < 0.5, f"{spent} s of processor in a second of nothing to do"


def started(lab, *settings):
    file = lab.path("brokerd.json5")
    with open(file, "w") as target:
        target.write(SETTINGS)
    return lab.started([*SMALL, *settings], arguments=["--config", file])


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@case(55)
def a_full_dead_letter_queue(lab):
    """Its limit is for senders: what died has nowhere else to go, and is neither lost nor moved in circles."""
    broker = started(lab)
    refuse_all(broker, 8)
    wait_until(lambda: broker.count("q.dlq") == 8, what="all of them to move")
    check_idle(broker)
    assert broker.count("q") == 0
    broker.kill()
    broker.start()
    assert sorted(broker.take_all("q.dlq")) == [b"%d" % n for n in range(8)]


@case(55)
def a_dead_letter_queue_that_cannot_be_made(lab):
    """Dead messages stay where they are, that is said, and with the next start that can make it they move."""
    broker = started(lab, "limits.queues=1")
    refuse_all(broker, 8)
    broker.wait_for_log("dead messages cannot be moved and stay")
    time.sleep(0.2)
    said = broker.log.count("cannot be moved")
    check_idle(broker)
    assert broker.count("q") == 8
    # Each that dies is said, and each try; not more.
    assert said <= 20 and broker.log.count("cannot be moved") - said <= 2, broker.log
    lab.note(f"said {said} times")
    # Nobody gets them meanwhile.
    reader = subscribed(broker)
    reader.expect_quiet(0.3)
    reader.close()
    broker.kill()
    broker.arguments += ["--set", "limits.queues=10"]
    broker.start()
    seen = subscribed(broker)
    wait_until(lambda: broker.count("q.dlq") == 8 and broker.count("q") == 0, what="all of them to move")
    seen.close()
    assert sorted(broker.take_all("q.dlq")) == [b"%d" % n for n in range(8)]
