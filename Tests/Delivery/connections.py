"""Limits of clients: how many connections, and how fast they may send."""
import time

import wire
from suite import test


def is_refused(lab, **login):
    try:
        lab.connect(**login).close()
    except (wire.Closed, wire.ErrorFrame, OSError):
        return True
    return False


@test(own=["limits.connections_per_address=3"])
def per_address(lab):
    clients = [lab.connect() for _ in range(3)]
    assert is_refused(lab)
    clients[0].close()
    lab.wait_until(lambda: not is_refused(lab))


@test(own=["limits.connections_per_user=2"])
def per_user(lab):
    clients = [lab.connect(login="ann") for _ in range(2)]
    assert is_refused(lab, login="ann")
    assert not is_refused(lab, login="bob")
    clients[0].close()
    lab.wait_until(lambda: not is_refused(lab, login="ann"))


def seconds_for(lab, clients, body=b"x", word="q"):
    """How long these take for 450 messages each, which are all there afterwards; another one is quicker."""
    queue = lab.queue(word)
    began = time.monotonic()
    for _ in range(9):
        for client in clients:
            client.send(wire.frame("SEND", {"destination": queue}, body) * 49)
            # What one read brings is taken whole; it is the next one that waits.
            client.ask("SEND", {"destination": queue}, body)
    for client in clients:
        client.ask("SEND", {"destination": queue}, body)
    took = time.monotonic() - began
    assert lab.show(queue)["messages"] == 451 * len(clients)
    return took


@test(own=["limits.sends_per_second=100"])
def sends_per_second(lab):
    """A sender that is too quick is not read from for a while; nothing is lost, and nobody else waits."""
    assert seconds_for(lab, [lab.connect()]) >= 2.5


@test(own=["limits.send_bytes_per_second=100 KiB"])
def send_bytes_per_second(lab):
    assert seconds_for(lab, [lab.connect()], b"x" * 1000) >= 2.5


@test(own=["limits.sends_per_second_per_user=200"])
def sends_per_second_per_user(lab):
    assert seconds_for(lab, [lab.connect(login="ann"), lab.connect(login="ann")]) >= 2.5
    assert seconds_for(lab, [lab.connect(login="bob")], word="fresh") < 2.5


@test(own=["limits.sends_per_second_per_address=200"])
def sends_per_second_per_address(lab):
    assert seconds_for(lab, [lab.connect(), lab.connect()]) >= 2.5


@test(own=["limits.connections=3"])
def over_all(lab):
    clients = [lab.connect() for _ in range(3)]
    assert is_refused(lab)
    clients[0].close()
    lab.wait_until(lambda: not is_refused(lab))
