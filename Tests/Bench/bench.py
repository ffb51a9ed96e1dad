#!/usr/bin/env python3
"""Runs each workload several times against a fresh broker (and a reference, in turn) and prints medians;
see scripts/bench. Runs alternate between the servers, so that a change of the machine's mood hits both."""
import argparse
import json
import os
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import brokerd  # noqa: E402

WORKLOADS = [
    (f"publish {size}B P{producers}", "publish", ["--size", size, "--producers", producers])
    for size in (100, 1024) for producers in (1, 4)
] + [
    (f"e2e {size}B P2 C2", "e2e", ["--size", size, "--producers", 2, "--consumers", 2]) for size in (100, 1024)
] + [
    ("e2e 1024B 1000/s P2 C2", "e2e", ["--size", 1024, "--producers", 2, "--consumers", 2, "--rate", 1000]),
    ("rtt 100B stored", "rtt", ["--size", 100, "--persistent"]),
    ("rtt 100B unstored", "rtt", ["--size", 100, "--no-persistent"]),
]
LATENCY = {"publish": "confirm_us", "e2e": "e2e_us", "rtt": "rtt_us"}


class Reference:
    """Another server, started by a command with {port} and {dir} in it."""

    def __init__(self, command):
        self.command, self.port = command, brokerd.free_port()
        self.home = tempfile.mkdtemp(prefix="broker-reference-")

    def start(self):
        words = shlex.split(self.command.format(port=self.port, dir=self.home))
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise brokerd.NotReady(f"the reference does not listen on {self.port}: {words}") from None
                time.sleep(0.02)

    @property
    def pid(self):
        return self.process.pid

    def remove(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def generator(options, work, arguments, server):
    """The command of one run."""
    if options.loadgen:
        words = [options.loadgen, "--proto", "stomp", "--work", work]
        if "--no-persistent" in arguments:
            arguments = [word for word in arguments if word != "--no-persistent"] + ["--send-header", "persistent:false"]
    else:
        words = [os.path.join(brokerd.ROOT, ".build/release/brokerbench"), work]
    words += ["--port", server.port, "--pid", server.pid, "--seconds", options.seconds, "--warmup", 1, "--json", *arguments]
    return [str(word) for word in words]


def run(options, name, work, arguments, make):
    server = make()
    server.start()
    try:
        # Nothing of an earlier run may still be on its way to the disk.
        os.sync()
        done = subprocess.run(generator(options, work, arguments, server), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=300)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr.strip() or done.stdout.strip()}")
        return json.loads(done.stdout)
    finally:
        server.remove()


def faults(result):
    return [f"{result[key]} {key}" for key in ("lost", "duplicates", "out_of_order", "damaged", "foreign") if result.get(key)]


def line(name, server, work, results):
    times = [result[LATENCY[work]] for result in results]
    rates = sorted(result["rate"] for result in results)
    median = lambda values: statistics.median(list(values))  # noqa: E731
    cores = median(result.get("server_cores", 0) for result in results)
    own = median(result.get("bench_cores", result.get("loadgen_cores", 0)) for result in results)
    print(f"{name:<24} {server:<10} {median(rates):>11,.0f} {rates[0]:>11,.0f} {rates[-1]:>11,.0f}"
          f" {median(t['p50'] for t in times):>10,.1f} {median(t['p99'] for t in times):>10,.1f}"
          f" {median(t['p999'] for t in times):>10,.1f} {cores:>6.2f} {own:>6.2f}"
          f" {median(result.get('server_rss_mib', 0) for result in results):>8,.1f}", flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--only", default="")
    options.add_argument("--json")
    options.add_argument("--reference")
    options.add_argument("--loadgen")
    options = options.parse_args()
    servers = {"brokerd": brokerd.Broker}
    if options.reference:
        servers["reference"] = lambda: Reference(options.reference)
    print(f"{'workload':<24} {'server':<10} {'msg/s':>11} {'least':>11} {'most':>11} {'p50 us':>10} {'p99 us':>10}"
          f" {'p99.9 us':>10} {'cores':>6} {'load':>6} {'RSS MiB':>8}")
    status = 0
    for name, work, arguments in WORKLOADS:
        if options.only not in name:
            continue
        results = {server: [] for server in servers}
        for _ in range(options.runs):
            for server, make in servers.items():
                result = run(options, name, work, arguments, make)
                results[server].append(result)
                if faults(result):
                    print(f"{name} {server}: {', '.join(faults(result))}")
                    status = 1
                if options.json:
                    with open(options.json, "a") as file:
                        file.write(json.dumps({"workload": name, "server": server, **result}) + "\n")
        for server in servers:
            line(name, server, work, results[server])
        if len(servers) == 2:
            ratio = [statistics.median(r["rate"] for r in results[server]) for server in servers]
            print(f"{'':<24} {'ratio':<10} {ratio[0] / ratio[1]:>11.2f}", flush=True)
    return status


sys.exit(main())
