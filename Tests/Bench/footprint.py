#!/usr/bin/env python3
"""What the broker needs whatever the machine: memory with and without a backlog, for each connection, queue and
message, and how long starts take. Each is held to a limit; see scripts/bench footprint."""
import argparse
import json
import statistics
import subprocess
import sys
import time

import document
import measure
import servers  # puts Tests/support where the next two are found
import brokerd
import wire

BACKLOG, BODY = 500_000, 1024
QUEUES, CONNECTIONS, IN_FLIGHT = 50_000, 5000, 60_000
ROOMY = ["--set", "limits.queues=1000000", "--set", "limits.destinations_per_connection=200000",
         "--set", "limits.subscriptions_per_connection=100000"]


def bench(server, work, *words):
    """One run of brokerbench; its figures."""
    command = [servers.BENCH, work, "--port", server.port, "--pid", server.pid, "--json", *words]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=600)
    if done.returncode:
        raise measure.Fault(done.stderr.strip() or done.stdout.strip())
    return json.loads(done.stdout)


def resident(server):
    """KiB, when what was needed only for a moment is given back."""
    time.sleep(2)
    return brokerd.resident_kib(server.pid)


def until_served(server, queue=None):
    """Milliseconds from the start of the process until a client is logged in, or until a message of the queue came."""
    began = time.monotonic()
    server.spawn()
    while True:
        try:
            client = wire.Connection(server.port)
        except (OSError, wire.Closed):
            if not server.is_running() or time.monotonic() - began > 60:
                raise brokerd.NotReady("the broker does not serve") from None
            time.sleep(0.0005)
            continue
        if queue:
            client.say("SUBSCRIBE", {"id": 0, "destination": queue, "ack": "client-individual", "prefetch-count": 1})
            client.message(60)
        took = (time.monotonic() - began) * 1000
        client.close()
        return took


# What each thing costs, in KiB. Each starts from a broker that has already worked, so that what is set up once does not
# count.

def worked(server):
    bench(server, "e2e", "--messages", 100_000, "--size", 100, "--dest", "/queue/before")
    return resident(server)


def of_a_connection():
    with brokerd.Broker() as server:
        worked(server)
        return bench(server, "idle", "--connections", CONNECTIONS)["kib_per_connection"]


def of_a_queue():
    with brokerd.Broker(arguments=ROOMY) as server:
        before = worked(server)
        bench(server, "e2e", "--messages", QUEUES, "--size", 16, "--dest", f"/queue/idle.{{1..{QUEUES}}}")
        return (resident(server) - before) / QUEUES


def of_a_message_in_flight():
    with brokerd.Broker() as server:
        before = worked(server)
        bench(server, "publish", "--messages", IN_FLIGHT, "--size", 100, "--dest", "/queue/flight")
        client = wire.Connection(server.port)
        client.say("SUBSCRIBE", {"id": 0, "destination": "/queue/flight", "ack": "client-individual",
                                 "prefetch-count": IN_FLIGHT, "prefetch-size": 1 << 30})
        for _ in range(IN_FLIGHT):
            client.message()
        kib = (resident(server) - before) / IN_FLIGHT
        client.close()
        return kib


def of_a_message_of_backlog():
    with brokerd.Broker() as server:
        before = worked(server)
        bench(server, "publish", "--messages", BACKLOG, "--size", BODY, "--producers", 4, "--dest", "/queue/backlog")
        return (resident(server) - before) / BACKLOG


def costs():
    """(what, KiB) of everything that there may be many of."""
    return [
        ("idle connection", f"{of_a_connection():.2f}"),
        ("idle queue", f"{of_a_queue():.2f}"),
        ("message in flight (100 B)", f"{of_a_message_in_flight():.2f}"),
        (f"message of a backlog of {BACKLOG:,} (1 KiB)", f"{of_a_message_of_backlog():.3f}"),
    ]


def with_a_backlog(runs):
    """MiB with the backlog, and the median time from a start after SIGKILL to the first delivery."""
    with brokerd.Broker() as server:
        bench(server, "publish", "--messages", BACKLOG, "--size", BODY, "--producers", 4, "--dest", "/queue/backlog")
        full = resident(server) / 1024
        times = []
        for _ in range(runs):
            server.kill()
            times.append(until_served(server, "/queue/backlog"))
        return full, statistics.median(times)


def empty(runs):
    """The median time of a start on nothing, in milliseconds, and MiB then."""
    times, memory = [], []
    for _ in range(runs):
        server = brokerd.Broker()
        try:
            times.append(until_served(server))
            memory.append(resident(server) / 1024)
        finally:
            server.remove()
    return statistics.median(times), statistics.median(memory)


def figures(runs):
    """(what, figure, unit, what it must be below)."""
    start, idle = empty(runs)
    full, restart = with_a_backlog(runs)
    return [
        (f"resident with {BACKLOG:,} messages of 1 KiB waiting", full, "MiB", 64),
        ("kill -9 and start with them, to the first delivery", restart, "ms", 200),
        ("start of an empty broker, to the first login", start, "ms", 50),
        ("resident, idle", idle, "MiB", 16),
        ("an idle connection", of_a_connection(), "KiB", 8),
        ("an idle queue", of_a_queue(), "KiB", 1),
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows = [["what", "seen", "held to"]]
    passed = failed = 0
    for name, figure, unit, limit in figures(options.runs):
        good = figure < limit
        passed, failed = passed + good, failed + (not good)
        print(f"{'ok' if good else 'FAILED':<7} {name:<52} {figure:>8.2f} {unit}, below {limit}", flush=True)
        rows.append([name, f"{figure:.2f} {unit}", f"below {limit} {unit}"])
    if options.write:
        note = f"{time.strftime('%Y-%m-%d')}, commit {measure.commit()}, {measure.machine()}."
        document.write("footprint", note + "\n\n" + document.table(rows))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(measure.told(main))
