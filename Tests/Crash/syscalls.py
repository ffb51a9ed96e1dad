"""`kill -9` at exactly the n-th call of one kind that the broker makes into its data directory: strace
kills it as the call begins. Small n are in the start, so recovery is killed as often as the load."""
import collections
import os
import re
import time

import brokerd
from cycle import Cycle

CALLS = ["pwritev", "pwrite64", "fdatasync", "fsync", "syncfs", "renameat", "unlinkat", "ftruncate", "mkdirat"]
# How many of each one thread makes in one life; more is learned from each trace.
REACH = {"pwritev": 100, "fdatasync": 80, "fsync": 30, "renameat": 8, "unlinkat": 3, "ftruncate": 1, "mkdirat": 5,
         "pwrite64": 1}
# Writes of the keeper, which the journal's outnumber: only calls on these files count.
FILES = {"checkpoint.tmp": 6, "journal/draft": 6}
MOST_SECONDS = 2.5  # of load in which the point has to be reached

Point = collections.namedtuple("Point", "call path number")


class Points:
    """Which points are tried, and how often each kind was reached."""

    def __init__(self):
        self.reach = dict(REACH)
        self.hits = collections.Counter()
        self.missed = 0

    def pick(self, random):
        kinds = [(call, None) for call in self.reach] + [("pwritev", path) for path in FILES]
        call, path = random.choice(kinds)
        most = self.reach[call] if path is None else FILES[path]
        # Even over the orders of magnitude: what a start does is as likely as what comes late.
        return Point(call, path, min(most, int((most + 1) ** random.random())))

    def learn(self, trace):
        """Calls are counted for each thread, as strace counts them for an injection."""
        with open(trace, errors="replace") as lines:
            counts = collections.Counter(re.findall(r"^(\d+) +(\w+)\(", lines.read(), re.MULTILINE))
        for (_, call), count in counts.items():
            if call in self.reach:
                self.reach[call] = max(self.reach[call], count)

    def summary(self):
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.hits.items()))
        return f"syscalls: killed at {sum(self.hits.values())} points ({kinds}); {self.missed} not reached"


class AtSyscall(Cycle):
    """The broker starts anew, under strace, and lives until it makes that call."""

    def __init__(self, points, *rest):
        super().__init__(*rest)
        self.points = points
        self.point = points.pick(self.random)
        self.trace = os.path.join(self.broker.home, "trace")

    def begin(self):
        self.broker.kill()
        call, path, number = self.point
        files = ["-P", os.path.join(self.broker.data, path)] if path else []
        self.broker.under = [
            "strace", "-f", "-q", "-o", self.trace, "-e", f"trace={','.join(CALLS)}",
            "-e", f"inject={call}:signal=SIGKILL:when={number}", *files]
        try:
            self.broker.start()
        except brokerd.NotReady:
            if self.was_killed():
                return False
            raise
        return True

    def was_killed(self):
        return self.broker.process.poll() == -9

    def end(self):
        until = time.monotonic() + MOST_SECONDS
        while self.broker.is_running() and time.monotonic() < until:
            time.sleep(0.005)
        self.note()
        self.broker.kill()

    def note(self):
        call, path, _ = self.point
        kind = f"{call} of {path}" if path else call
        if self.broker.is_running():
            self.points.missed += 1
        else:
            self.points.hits[kind] += 1
            if not self.was_killed():
                self.ledger.violation(f"ended by itself with {self.broker.process.returncode} at {self.point}")

    def restart(self):
        if self.point.path is None:
            self.points.learn(self.trace)
        self.broker.under = []
        return self.broker.start()

    def __str__(self):
        return f"{self.point.call} {self.point.number}" + (f" of {self.point.path}" if self.point.path else "")
