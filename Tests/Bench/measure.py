"""One run of a workload on a server, and what many of them come to."""
import itertools
import json
import os
import statistics
import subprocess

import servers

FAULTS = ("lost", "duplicates", "out_of_order", "damaged", "foreign")
_numbers = itertools.count(os.getpid() * 1000)


class Fault(Exception):
    """A run that did not come to a figure."""


def told(main):
    """The exit status of a script: a run that came to nothing is a line, and a failure."""
    try:
        return main()
    except (Fault, servers.brokerd.NotReady) as fault:
        print(fault)
        return 1


def words(server, workload, seconds, loadgen=None, more=()):
    """The command of one run."""
    arguments = list(workload.arguments) + list(more) + server.words
    destination = f"/{'topic' if workload.work == 'fanout' else 'queue'}/bench.{next(_numbers)}"
    if loadgen or server.protocol != "stomp":
        command = [loadgen, "--proto", server.protocol, "--work", workload.work]
        if "--no-persistent" in arguments:
            arguments.remove("--no-persistent")
            if server.protocol == "stomp":
                arguments += ["--send-header", "persistent:false"]
    else:
        command = [servers.BENCH, workload.work]
    command += ["--port", server.port, "--pid", server.pid, "--dest", destination, "--json"]
    if not workload.is_counted:
        command += ["--seconds", seconds, "--warmup", min(1, seconds / 3)]
    return [str(word) for word in command + arguments]


def generate(server, workload, seconds, loadgen=None, more=()):
    """The figures of one run."""
    os.sync()  # nothing of an earlier run may still be on its way to the disk
    done = subprocess.run(words(server, workload, seconds, loadgen, more), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=900)
    if not done.stdout.startswith("{"):
        raise Fault(f"{workload.name} on {server.name}: {done.stderr.strip() or done.stdout.strip()}")
    result = json.loads(done.stdout)
    result["faults"] = [f"{result[key]} {key}" for key in FAULTS if result.get(key)]
    if done.returncode and not result["faults"]:
        result["faults"] = [done.stderr.strip()]
    return result


def run(name, workload, seconds, loadgen=None, arguments=(), reference=None, seasoned=False):
    """The same on a fresh server; the broker may have had a burst before."""
    server = servers.make(name, arguments, reference)
    try:
        server.start()
        if seasoned and name == "brokerd":
            server.season()
        return generate(server, workload, seconds, loadgen)
    finally:
        server.remove()


def ratios(rates, base):
    """Of each round: what belongs together was measured at the same time."""
    return [rate / other for rate, other in zip(rates, base) if other > 0]


def spread(values):
    """Median, least, most."""
    return statistics.median(values), min(values), max(values)


def machine():
    """What a reader must know about it."""
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    release = os.uname().release.split("-")[0]
    return f"{os.cpu_count()} cores ({model}), Linux {release}"


def commit():
    done = subprocess.run(["git", "-C", servers.brokerd.ROOT, "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() or "unknown"
