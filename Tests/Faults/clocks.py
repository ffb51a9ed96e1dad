"""Wall clocks that jump, and a broker that stands still for a while (faults 38 to 40)."""
import os
import signal
import threading
import time

import wire
from load import Sender, subscribed, take
from suite import SMALL, case, wait_until

DAY, HOUR, YEAR = 86400, 3600, 365 * 86400


@case(38)
def the_wall_clock_jumps(lab):
    """A day on, an hour back, ten years on: heart-beats go on, nothing expires, what is delayed comes in its time."""
    for jump in (DAY, -HOUR, 10 * YEAR):
        broker = lab.broker(SMALL, name=f"jump{jump}", rules=True)
        broker.start()
        sender = broker.connect()
        listener = broker.connect(headers={"heart-beat": "0,200"})
        sender.ask("SEND", {"destination": "/queue/short", "ttl": "600000"}, b"kept")
        # The delay begins before its RECEIPT comes.
        sent = time.monotonic()
        sender.ask("SEND", {"destination": "/queue/later", "delay": "1500"}, b"due")
        broker.rules.clock(jump)
        reader = subscribed(broker, "later")
        assert reader.message(15).body == b"due"
        waited = time.monotonic() - sent
        assert waited >= 1.4, f"{waited:.2f} s instead of 1.5"
        broker.wait_for_log("the wall clock jumped: expiry and delays follow it slowly")
        reader = subscribed(broker, "short")
        assert reader.message(10).body == b"kept", "it expired because the clock jumped"
        listener.expect_quiet(0.5)
        assert listener.heart_beats >= 5, f"{listener.heart_beats} heart-beats"
        assert lab.ctl(broker, "status")[0] == 0
        # And back: said once more.
        broker.rules.clock(0)
        broker.wait_for_log("expiry and delays are back in step with the wall clock")
        lab.note(f"{jump:+d} s: due after {waited:.2f} s")
        assert broker.stop() == 0


@case(39)
def the_wall_clock_goes_back_over_a_restart(lab):
    """Sequence numbers, message ids and order do not depend on it; what is delayed is not early."""
    broker = lab.started(SMALL, rules=True)
    ids, numbers = set(), 0
    for offset in (0, -DAY, -10 * YEAR, DAY, -HOUR):
        if numbers:
            assert broker.kill(signal.SIGTERM if numbers % 2 else signal.SIGKILL) is not None
            broker.rules.clock(offset)
            broker.start()
        client = broker.connect()
        for _ in range(20):
            client.ask("SEND", {"destination": "/queue/q"}, b"%d" % numbers)
            numbers += 1
        client.close()
        reader = subscribed(broker, prefetch=1000)
        frames = [reader.message() for _ in range(numbers)]
        assert [frame.body for frame in frames] == [b"%d" % n for n in range(numbers)], f"out of order at {offset} s"
        found = [frame.headers["message-id"] for frame in frames]
        assert len(set(found)) == numbers, "a message id was given twice"
        assert ids <= set(found), "a message id changed"
        ids = set(found)
        reader.ask("UNSUBSCRIBE", {"id": "1"})
        reader.close()


@case(40)
def the_broker_is_stopped_for_a_while(lab):
    """SIGSTOP: what the clients sent meanwhile is there when it goes on; a client that beat is not taken for silent."""
    seconds = 60 if lab.is_long else 4
    broker = lab.started(SMALL)
    beating = broker.connect(headers={"heart-beat": "500,500"}, patience=60)
    over = threading.Event()

    def beat():
        while not over.wait(0.2):
            beating.send(b"\n")

    thread = threading.Thread(target=beat)
    thread.start()
    sender = Sender(broker.port, window=4)
    consumer = subscribed(broker, patience=seconds + 60)
    taken = take(consumer, 50)
    os.kill(broker.own_pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(broker.own_pid, signal.SIGCONT)
    taken += take(consumer, 50)
    over.set()
    thread.join()
    beating.send(b"\n")
    assert not beating.ask("SEND", {"destination": "/queue/beating"}, b"still here")
    sender.finish()
    assert sender.end is None, sender.end
    assert len(set(taken)) == 100, "a message was delivered twice though nobody had left"
    for connection in (beating, consumer):
        connection.close()
    broker.kill()
    broker.start()
    found = broker.drain(["q", "beating"], broker.messages_at_start())
    left = [body for queue, body in found if queue == "q"]
    assert not set(left) & set(taken) and len(left) >= sender.confirmed - 100
    lab.note(f"{seconds} s, {sender.confirmed} confirmed in all")


@case(40)
def silent_clients_while_it_was_stopped(lab):
    """One that is silent is given up after it goes on, counted from then; what it held goes to another."""
    broker = lab.started(SMALL)
    broker.connect().ask("SEND", {"destination": "/queue/q"}, b"held")
    silent = subscribed(broker, headers={"heart-beat": "1000,0"})
    assert silent.message().body == b"held"
    os.kill(broker.own_pid, signal.SIGSTOP)
    time.sleep(4)
    os.kill(broker.own_pid, signal.SIGCONT)
    other = subscribed(broker)
    frame = other.message(15)
    assert frame.body == b"held" and frame.headers.get("redelivered") == "true", frame
    try:
        while True:
            last = silent.read(5)
            assert last.command == "ERROR", last
    except wire.Closed:
        pass


@case(56)
def lives_that_end_while_it_is_down(lab):
    """By the clock that is right at the start: once into the dead letters, also what was unacknowledged at the end."""
    policy = lab.path("brokerd.json5")
    with open(policy, "w") as file:
        file.write('{ policies: { all: { pattern: "/queue/q", settings: { expired: "dead-letter" } } } }')
    broker = lab.broker(SMALL, rules=True, arguments=["--config", policy])
    broker.start()
    client = broker.connect()
    for number in range(20):
        client.ask("SEND", {"destination": "/queue/q", "ttl": "600000" if number % 2 else "86400000"}, b"%d" % number)
    held = subscribed(broker, prefetch=4)
    assert [held.message().body for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    broker.kill()
    for connection in (client, held):
        connection.close()
    # An hour later for the first kind, and back again: what is over stays over.
    for offset in (HOUR, -HOUR, 0):
        broker.rules.clock(offset)
        broker.start()
        left = subscribed(broker, prefetch=100)
        bodies = [left.message().body for _ in range(10)]
        left.expect_quiet(0.3)
        assert bodies == [b"%d" % n for n in range(0, 20, 2)], f"at {offset} s: {bodies}"
        wait_until(lambda: broker.count("q.dlq") == 10 and broker.count("q") == 10, what="the dead letters")
        broker.kill()
        left.close()


@case(57)
def delays_while_it_is_down(lab):
    """Due by the clock that is right at the start; each once, none before its time."""
    broker = lab.broker(SMALL, rules=True)
    broker.start()
    client = broker.connect()
    for number in range(10):
        client.ask("SEND", {"destination": "/queue/q", "delay": "3600000"}, b"%d" % number)
    client.close()
    for offset, due in ((-DAY, False), (HOUR // 2, False), (HOUR + 60, True), (0, True)):
        broker.kill()
        broker.rules.clock(offset)
        broker.start()
        reader = subscribed(broker, prefetch=100)
        if due:
            assert sorted(reader.message().body for _ in range(10)) == [b"%d" % n for n in range(10)]
        reader.expect_quiet(0.5)
        reader.close()
