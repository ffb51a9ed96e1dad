#!/usr/bin/env python3
"""What the features of delivery cost with many messages waiting: each workload in turn with the plain queue,
on a fresh broker each time; see scripts/bench. Every message is checked (lost, doubled, changed, out of order,
early, refused and not in the dead-letter queue); a run with any fault fails."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import brokerd  # noqa: E402

BENCH = os.environ.get("BROKERBENCH") or os.path.join(brokerd.ROOT, ".build/release/brokerbench")
HALF = ["--header", "half:{0..1}"]
HOUR = 3_600_000
# Least share of the plain queue's rate, and most MiB of memory: what the broker is held to.
LEAST, MOST = 0.5, 128

# Messages come in, wait behind (or before) the backlog and go out, at a steady rate: (name, arguments).
# The backlog has the same headers as what comes in.
STEADY = [
    ("priority 0 to 9", ["--header", "priority:{0..9}"]),
    ("1000 groups", ["--header", "message-group:g{1..1000}"]),
    ("ttl 1 h on all", ["--header", f"ttl:{HOUR}"]),
    ("delay 1 s on all", ["--header", "delay:1000", "--any-order"]),
    ("selector, all match", [*HALF, "--sub-header", "selector:half >= 0"]),
    ("selector beside plain", [*HALF, "--sub-header", "selector:{half = 1,}"]),
    ("every 10th refused", ["--nack", "every:10"]),
    ("all refused", ["--nack", "every:1"]),
]


class Fault(Exception):
    pass


class Bench:
    def __init__(self, options):
        self.options = options

    def generate(self, server, work, *arguments):
        """One run of brokerbench; its figures."""
        words = [BENCH, work, "--port", server.port, "--pid", server.pid, "--json", "--producers", 2, "--grace", 120,
                 "--size", self.options.size, *arguments]
        done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=900)
        if done.returncode:
            raise Fault(done.stderr.strip() or done.stdout.strip())
        return json.loads(done.stdout)

    def consume(self, server, *arguments):
        return self.generate(server, "e2e", "--consumers", 2, *arguments)

    def timed(self, server, *arguments):
        return self.consume(server, "--seconds", self.options.seconds, "--warmup", 1, *arguments)

    def steady(self, *arguments):
        """The end-to-end rate while the backlog stays."""
        return lambda server: self.timed(server, "--backlog", self.options.backlog, *arguments)

    def drained(self, *arguments):
        """How fast the backlog alone is consumed."""
        return lambda server: self.consume(server, "--backlog", self.options.backlog, "--drain", *arguments)

    def behind(self, header):
        """The end-to-end rate with a backlog in the same queue that does not come out."""
        def run(server):
            stored = self.store(server, header)
            return dict(self.timed(server, "--dest", "/queue/q"), backlog_rate=stored["rate"])
        return run

    def store(self, server, header):
        return self.generate(server, "publish", "--messages", self.options.backlog, "--dest", "/queue/q", "--header",
                             header)

    def expired(self, server):
        """How fast consumers get through a backlog that is over: up to the first message behind it."""
        at = int(time.time() * 1000) + self.patience()
        self.store(server, f"expires:{at}")
        left = at / 1000 - time.time()
        if left < 0:
            raise Fault(f"the backlog expired {-left:.1f} s before it was stored: use a smaller --backlog")
        time.sleep(left + 0.01)
        done = self.consume(server, "--dest", "/queue/q", "--backlog", 1000, "--drain")
        return dict(done, rate=self.options.backlog / (done.get("first_message_at", at + 1) - at) * 1000)

    def patience(self):
        """Milliseconds in which a backlog is surely stored."""
        return 5000 + self.options.backlog // 40

    def run(self, name, make):
        with brokerd.Broker() as server:
            os.sync()  # nothing of an earlier run may still be on its way to the disk
            try:
                result = make(server)
            except Fault as fault:
                print(f"{name}: {fault}", flush=True)
                return None
        if self.options.json:
            with open(self.options.json, "a") as file:
                file.write(json.dumps({"workload": name, **result}) + "\n")
        return result


def median(results, key):
    return statistics.median(result.get(key, 0) for result in results)


def line(name, results, ratios):
    """Returns whether the broker keeps to what it is held to."""
    peak = max(max(result.get("server_peak_mib", 0), result.get("backlog_peak_mib", 0)) for result in results)
    spread = f"{statistics.median(ratios):>6.2f} {min(ratios):>6.2f} {max(ratios):>6.2f}" if ratios else " " * 20
    keeps = peak < MOST and (not ratios or statistics.median(ratios) >= LEAST)
    print(f"{name:<24} {median(results, 'rate'):>10,.0f} {spread} {median(results, 'backlog_rate'):>10,.0f}"
          f" {max(result.get('server_peak_mib', 0) for result in results):>8,.1f}"
          f" {max(result.get('backlog_peak_mib', 0) for result in results):>8,.1f}"
          f" {median(results, 'server_cores'):>6.2f}{'' if keeps else '  MISSED'}", flush=True)
    return keeps


def compare(bench, plain, workloads):
    """Each workload right behind a run of the plain queue; False when one missed or failed."""
    options = bench.options
    chosen = [(name, make) for name, make in workloads if options.only in name]
    if not chosen:
        return True
    plains, results, ratios = [], {name: [] for name, _ in chosen}, {name: [] for name, _ in chosen}
    failed = False
    for _ in range(options.runs):
        for name, make in chosen:
            base, result = bench.run(*plain), bench.run(name, make)
            failed |= base is None or result is None
            if base:
                plains.append(base)
            if result:
                results[name].append(result)
            if base and result:
                ratios[name].append(result["rate"] / base["rate"])
    missed = False
    if plains:
        missed |= not line(plain[0], plains, [])
    for name, _ in chosen:
        if results[name]:
            missed |= not line(name, results[name], ratios[name])
    return not missed and not failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--size", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.quick:
        options.backlog, options.runs, options.seconds = 100_000, 1, 2
    status = 0
    for size in [options.size] if options.size else (256, 1024):
        options.size = size
        bench = Bench(options)
        print(f"{options.backlog:,} messages of {size} B, {options.runs} runs")
        print(f"{'':<24} {'msg/s':>10} {'ratio':>6} {'least':>6} {'most':>6} {'stored/s':>10} {'peak MiB':>8}"
              f" {'storing':>8} {'cores':>6}")
        groups = [
            (("plain, backlog stays", bench.steady()), [(name, bench.steady(*words)) for name, words in STEADY]),
            (("plain, no backlog", lambda server, bench=bench: bench.timed(server)),
             [("behind delayed by 1 h", bench.behind(f"delay:{HOUR}"))]),
            (("plain, drained", bench.drained()),
             [("all due together", bench.drained("--header", f"deliver-at:{{now+{bench.patience()}}}")),
              ("all expired", bench.expired)]),
        ]
        for plain, workloads in groups:
            if not compare(bench, plain, workloads):
                status = 1
    return status


sys.exit(main())
