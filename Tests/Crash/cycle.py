"""One cycle: load, the end of the broker, a new start, a look. The parts of the crash test differ in how
the broker ends and starts."""
import random
import signal
import subprocess
import time
import traceback

import brokerd
import wire

WRONG = (brokerd.NotReady, wire.ErrorFrame, wire.Closed, wire.Timeout, OSError, AssertionError,
         subprocess.SubprocessError)


class Cycle:
    """`number` counts from 0; the same seed and number give the same load and moments."""

    def __init__(self, broker, load, number, seed):
        self.broker, self.load, self.number = broker, load, number
        self.ledger = load.ledger
        self.random = random.Random(f"{seed}/{number}")

    def run(self):
        """Returns the seconds of the new start."""
        clients = self.load.clients(self.broker.port, self.number, self.random) if self.begin() else []
        for client in clients:
            client.start()
        self.end()
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(30)
            if client.is_alive():
                self.ledger.violation(f"{type(client).__name__} hangs")
        self.ledger.broker_ended()
        took = self.restart()
        self.load.look(self.broker.port, self.random, drain=self.number % 3 == 2)
        return took

    def begin(self):
        """Whether the broker serves."""
        return True

    def end(self):
        """Lets the load go on for a moment, and ends the broker."""
        raise NotImplementedError

    def restart(self):
        return self.broker.start()


class Kill(Cycle):
    """`kill -9` at a random moment; sometimes also in the middle of the restart. One in ten is asked to stop."""

    def end(self):
        time.sleep(self.random.uniform(0.05, 1.2))  # the moment of the kill: any is as good as any other
        if self.number % 10 != 9:
            self.broker.kill()
            return
        self.ledger.last_words = ("server shutting down",)
        status = self.broker.stop()
        if status != 0:
            self.ledger.violation(f"SIGTERM ended with status {status}")

    def restart(self):
        if self.random.random() < 0.3:
            # Recovery itself is killed, and must leave nothing that the next one trips over.
            self.broker.spawn()
            time.sleep(self.random.uniform(0, 0.03))
            self.broker.kill(signal.SIGKILL)
        return self.broker.start()


class Part:
    """Runs cycles of one kind on one broker, counts them, and says what was wrong."""

    def __init__(self, name, seed, broker, load):
        self.name, self.seed, self.broker, self.load = name, seed, broker, load
        self.passed = self.failed = 0
        self.slowest = 0.0

    def run(self, count, kind, *more):
        """`kind`: the class of the cycles, which are made with `more` in front."""
        try:
            self.broker.start()
        except brokerd.NotReady as problem:
            self.tell(0, [str(problem)])
            return
        for number in range(count):
            before = len(self.load.ledger.violations)
            cycle = kind(*more, self.broker, self.load, number, self.seed)
            try:
                self.slowest = max(self.slowest, cycle.run())
                if number == count - 1:
                    self.load.last_look(self.broker.port)
            except WRONG as problem:
                where = " > ".join(frame.name for frame in traceback.extract_tb(problem.__traceback__))
                self.load.ledger.violation(f"{type(problem).__name__} in {where}: {problem}")
            self.tell(number, self.load.ledger.violations[before:])
            if number % 100 == 99 and number < count - 1:
                print(f"{self.name}: {self.passed} passed, {self.failed} failed so far", flush=True)
            if not self.broker.is_running():
                break

    def tell(self, number, found):
        self.passed, self.failed = self.passed + (not found), self.failed + bool(found)
        for line in found[:10]:
            print(f"{self.name} {number}: {line}", flush=True)
        if len(found) > 10:
            print(f"{self.name} {number}: and {len(found) - 10} more", flush=True)

    def summary(self):
        counts = ", ".join(f"{value} {name}" for name, value in self.load.ledger.counts.items())
        restart = f"slowest restart {self.slowest * 1000:.0f} ms"
        return f"{self.name}: {self.passed + self.failed} cycles; {counts}; {restart}"
