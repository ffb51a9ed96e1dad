"""What is wrong about a message that came, as a sentence; None if it may be so."""
from message import ALIVE, DEAD, GONE, NEVER, body_of, home_of
import time

# The broker counts whole milliseconds, and its clock is led, not set.
EARLY_SECONDS = 0.005


def name_in(frame):
    """Bodies begin with the name of their message."""
    return frame.body.split(b"\n", 1)[0].decode("utf-8", "replace")


def sight(ledger, message, place, frame, name):
    """`message` stood in `place`, delivered or shown by a browser."""
    if message is None:
        return f"invented: {name[:80]!r} on {place}"
    if frame.body != body_of(name) or frame.headers.get("x-name") != name:
        return f"changed: {name} on {place}: {frame!r}"
    if message.state == GONE:
        return f"came back after the receipt of its acknowledgement: {name} on {place}"
    if message.state == NEVER:
        return f"came back although an earlier life did not have it: {name} on {place}"
    if message.transaction is not None and not message.transaction.commit_written:
        return f"delivered before its transaction was committed: {name}"
    if message.due is not None and time.time() < message.due - EARLY_SECONDS:
        return f"came {message.due - time.time():.3f} s before it was due: {name}"
    return identity(ledger, message, place, frame) or grave(ledger, message, place, frame)


def identity(ledger, message, place, frame):
    given = frame.headers.get("message-id")
    known = message.id if place == message.queue else message.grave_id
    if known is not None and given != known:
        return f"has another message-id, so it is there twice: {message.name} on {place}: {known}, {given}"
    if ledger.ids.get(given, (place, message.name)) != (place, message.name):
        return f"has the message-id of {ledger.ids[given]}: {message.name} on {place}: {given}"
    return None


def grave(ledger, message, place, frame):
    """Whether it may be among the dead."""
    if place == message.queue:
        return None
    headers, reason = frame.headers, frame.headers.get("dead-letter-reason")
    if headers.get("original-destination") != home_of(place):
        return f"changed: {message.name} on {place}: original-destination {headers.get('original-destination')!r}"
    if message.id is not None and headers.get("original-message-id") != message.id:
        return f"changed: {message.name} on {place}: original-message-id is not {message.id}: {frame!r}"
    if reason == "delivery-limit":
        count, limit = int(headers.get("delivery-count", 0)), ledger.limits.get(message.queue)
        # Delivered again it says how often it was delivered from there.
        if headers.get("redelivered") != "true" and (limit is None or count < limit):
            return f"died too early: {message.name} after {count} deliveries"
    elif reason != "rejected" or message.grave == ALIVE:
        return f"died without being refused: {message.name}: {reason}"
    return None


def delivery(ledger, message, place, frame, is_unmarked):
    """What only counts when a consumer gets it."""
    if is_unmarked:
        return f"delivered again in one life without redelivered:true: {message.name}"
    if place != message.queue:
        return None
    if message.grave == DEAD:
        return f"came back from the dead: {message.name}"
    count = int(frame.headers.get("delivery-count", 1))
    if count > ledger.limits.get(message.queue, count):
        return f"delivered more often than its limit: {message.name}: {count}"
    if count < message.least_count:
        return f"its count went back: {message.name}: {count} instead of {message.least_count}"
    if time.time() < message.not_before - EARLY_SECONDS:
        return f"came {message.not_before - time.time():.3f} s before the end of its wait: {message.name}"
    return None
