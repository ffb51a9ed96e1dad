#!/usr/bin/env python3
"""Kills the broker again and again under mixed load and holds it to what it promised; see scripts/crash-test.

One cycle: load of all kinds, `kill -9` at a random moment, restart (sometimes killed in the middle of
it and started again), a look at every queue. Violations are what docs/testing.md lists.
"""
import argparse
import os
import random
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)
import brokerd  # noqa: E402
import wire  # noqa: E402
from clients import Auditor, Consumer, Dropper, Mover, Producer  # noqa: E402
from ledger import Ledger  # noqa: E402

QUEUES = ["orders", "bills", "mail", "audit"]
MOST_BACKLOG = 300  # messages of a queue, so that one look without acknowledging fits a prefetch


class Cycle:
    def __init__(self, broker, ledger, number, seed):
        self.broker, self.ledger, self.number = broker, ledger, number
        self.random = random.Random(f"{seed}/{number}")

    def clients(self):
        port, pick = self.broker.port, self.random
        rest = lambda: (self.ledger, port, pick.random(), MOST_BACKLOG)  # noqa: E731
        made = [Producer(f"p{self.number}.{n}", QUEUES, *rest()) for n in range(2)]
        made.append(Consumer("bills", "client-individual", *rest()))
        made.append(Consumer("mail", "client", *rest()))
        made.append(Consumer("mail", "client-individual", *rest()))
        made.append(Dropper("bills", pick.choice(["client", "client-individual"]), *rest()))
        made.append(Dropper("audit", pick.choice(["client", "client-individual"]), *rest()))
        made.append(Mover(f"m{self.number}", "orders", ["bills", "audit"], *rest()))
        return [client for client in made if pick.random() < 0.9]

    def run(self, ending):
        """Load, the end of the broker, a new start, a look. Returns the seconds of the new start."""
        clients = self.clients()
        for client in clients:
            client.start()
        time.sleep(self.random.uniform(0.05, 1.2))  # the moment of the kill: any is as good as any other
        self.end(clients, ending)
        self.ledger.life += 1
        self.ledger.is_stopping = False
        took = self.restart()
        self.look()
        return took

    def end(self, clients, ending):
        self.ledger.is_stopping = ending == signal.SIGTERM
        status = self.broker.kill(ending)
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(30)
            if client.is_alive():
                self.ledger.violation(f"{type(client).__name__} hangs")
        if ending == signal.SIGTERM and status != 0:
            self.ledger.violation(f"SIGTERM ended with status {status}")

    def restart(self):
        if self.random.random() < 0.3:
            # Recovery itself is killed, and must leave nothing that the next one trips over.
            self.broker.spawn()
            time.sleep(self.random.uniform(0, 0.03))
            self.broker.kill()
        return self.broker.start()

    def look(self):
        auditor, present = Auditor(self.ledger, self.broker.port), set()
        drain = self.number % 3 == 2
        for queue in QUEUES:
            present |= auditor.look(queue, drain=False)
        self.ledger.decide(present)
        if self.random.random() < 0.5:
            # Once more: what was put back must be there again, in its place.
            again = set()
            for queue in QUEUES:
                again |= auditor.look(queue, drain)
            self.ledger.decide(again)
        elif drain:
            for queue in QUEUES:
                auditor.look(queue, drain=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--cycles", type=int, default=20)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--keep", action="store_true", help="keep the data directory also when all is well")
    options = options.parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}", flush=True)
    # Who drops messages all the time would send them to the dead-letter queues, where nobody looks.
    policy = ["--set", "policies.crash.pattern=/queue/**", "--set", "policies.crash.settings.delivery_limit=0"]
    broker, ledger = brokerd.Broker(arguments=policy), Ledger()
    passed = failed = 0
    slowest = 0.0
    try:
        broker.start()
        for number in range(options.cycles):
            before = len(ledger.violations)
            ending = signal.SIGTERM if number % 10 == 9 else signal.SIGKILL
            try:
                slowest = max(slowest, Cycle(broker, ledger, number, seed).run(ending))
            except (brokerd.NotReady, wire.ErrorFrame, wire.Closed, wire.Timeout, OSError, AssertionError) as problem:
                ledger.violation(f"{type(problem).__name__}: {problem}")
            found = ledger.violations[before:]
            passed, failed = passed + (not found), failed + bool(found)
            for line in found[:10]:
                print(f"cycle {number}: {line}", flush=True)
            if len(found) > 10:
                print(f"cycle {number}: and {len(found) - 10} more", flush=True)
            if not broker.is_running():
                break
    except brokerd.NotReady as problem:
        print(problem)
        failed += 1
    counts = ", ".join(f"{value} {name}" for name, value in ledger.counts.items())
    print(f"{counts}; slowest restart {slowest * 1000:.0f} ms")
    if failed or options.keep:
        broker.kill()
        print(f"data kept in {broker.home}")
    else:
        broker.remove()
    print(f"{passed} passed, {failed} failed (seed {seed})")
    return 1 if failed else 0


sys.exit(main())
