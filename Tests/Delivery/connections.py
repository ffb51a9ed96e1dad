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


@test(own=["limits.messages_per_second=200"])
def messages_per_second(lab):
    """A sender that is too quick is not read from for a while; nothing is lost, and others go on."""
    queue = lab.queue()
    quick = lab.connect()
    began = time.monotonic()
    for _ in range(9):
        quick.send(wire.frame("SEND", {"destination": queue}, b"x") * 100)
    quick.ask("SEND", {"destination": queue}, b"x")
    took = time.monotonic() - began
    assert took >= 2.5, f"900 messages at 200 a second took {took:.1f} s"
    assert lab.show(queue)["messages"] == 901
