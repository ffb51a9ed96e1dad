"""Disks that are slow, narrow, or do not answer (faults 35 to 37)."""
import os
import signal
import time

import brokerd
from load import Sender, check_all_there
from suite import SMALL, case, wait_until


@case(35, 37)
def a_slow_disk(lab):
    """Syncs take 100 ms: commits grow, each RECEIPT waits for two syncs at most, clients hear heart-beats."""
    broker = lab.started(SMALL, rules=True)
    broker.rules.set(0, "sync", ".seg", wait_ms=100)
    listener = broker.connect(headers={"heart-beat": "0,200"})
    began = time.monotonic()
    senders = [Sender(broker.port, queue=f"q{n}", most=20) for n in range(20)]
    for sender in senders:
        sender.join(60)
        assert sender.confirmed == 20, sender.end
    seconds = time.monotonic() - began
    syncs = broker.rules.counts()[1]
    listener.expect_quiet(0.3)
    assert listener.heart_beats >= seconds / 0.2 / 2, f"{listener.heart_beats} heart-beats in {seconds:.1f} s"
    # Twenty senders that each wait for their RECEIPT share syncs: else it would be four hundred.
    assert syncs <= 130, f"{syncs} syncs for 400 messages of 20 senders"
    lab.note(f"400 messages of 20 senders in {seconds:.1f} s with {syncs} syncs, {listener.heart_beats} heart-beats")


@case(37)
def a_narrow_disk(lab):
    """About 1 MB/s: each write takes 4 KiB and 4 ms. Senders are slowed down, memory stays."""
    broker = lab.started(SMALL, rules=True)
    broker.rules.set(0, "write", ".seg", most=4096, wait_ms=5)
    before = brokerd.resident_kib(broker.own_pid)
    senders = [Sender(broker.port, queue=f"q{n}", size=60_000, window=1000) for n in range(4)]
    time.sleep(20 if lab.is_long else 4)  # as long as the load is to last
    after = brokerd.resident_kib(broker.own_pid)
    broker.rules.clear()
    for sender in senders:
        sender.finish()
        assert sender.end is None, sender.end
    sent = sum(sender.sent for sender in senders)
    lab.note(f"{sent} messages of 60 kB taken, memory grew by {(after - before) // 1024} MiB")
    assert after - before < 128 << 10, f"memory grew by {after - before} KiB"


@case(36)
def a_sync_that_hangs(lab):
    """No RECEIPT meanwhile, none lost afterwards; heart-beats go on, senders are held, memory stays."""
    seconds = 60 if lab.is_long else 3
    broker = lab.started(SMALL, rules=True)
    listener = broker.connect(headers={"heart-beat": "0,200"})
    before = brokerd.resident_kib(broker.own_pid)
    first = Sender(broker.port, queue="q", most=10)
    first.join(30)
    broker.rules.set(0, "sync", ".seg", wait_ms=600_000)
    senders = [Sender(broker.port, queue=f"q{n}", size=60_000, window=100_000) for n in range(4)]
    wait_until(lambda: broker.rules.counts()[0] > 0, what="a sync that hangs")
    time.sleep(seconds)
    confirmed = sum(sender.confirmed for sender in senders)
    sent = sum(sender.sent for sender in senders)
    after = brokerd.resident_kib(broker.own_pid)
    assert confirmed == 0, f"{confirmed} receipts without a sync"
    broker.wait_for_log("the disk does not answer")
    code, said = lab.ctl(broker, "status")
    assert code == 1 and "the disk does not answer" in said, f"{code}: {said}"
    lab.note(f"{sent} messages of 60 kB offered in {seconds} s, none confirmed")
    lab.note(f"memory grew by {(after - before) // 1024} MiB")
    assert after - before < 160 << 10, f"memory grew by {after - before} KiB"
    assert sent < 4 * 1000, "the senders were not held back"
    heard = listener.heart_beats
    listener.expect_quiet(0.5)
    assert listener.heart_beats > heard, "no heart-beats"
    broker.rules.clear()
    for sender in senders:
        sender.finish()
        assert sender.end is None, sender.end
        assert sender.confirmed == sender.sent, f"{sender.confirmed} of {sender.sent}"
    broker.wait_for_log("the disk answers again")
    assert lab.ctl(broker, "status")[0] == 0
    assert broker.stop() == 0


@case(36, 41)
def an_end_while_a_sync_hangs(lab):
    """SIGTERM: it ends within its grace, and has confirmed nothing that is not there."""
    broker = lab.started([*SMALL, "shutdown.grace_seconds=2"], rules=True)
    sender = Sender(broker.port, window=10)
    wait_until(lambda: sender.confirmed > 50, what="receipts")
    broker.rules.set(0, "sync", ".seg", wait_ms=600_000)
    time.sleep(0.2)
    os.kill(broker.own_pid, signal.SIGTERM)
    code = broker.wait_for_end(10)
    sender.finish()
    broker.rules.clear()
    assert code == 0 and "the disk has not taken everything" in broker.log, f"{code}: {broker.log}"
    broker.start()
    check_all_there(broker, sender)
