#!/usr/bin/env python3
"""Runs the cases of this directory against one broker and counts; see scripts/hostile."""
import argparse
import os
import re
import subprocess
import sys
import time
import traceback

import suite
import brokerd
import wire
import syntax, connect, messages, settling, limits, process  # noqa: E401,F401  (they register their cases)


def run(target, rows, name, function, verbose):
    """True when the case passes. The broker must be well behind it, whatever it was."""
    began = time.monotonic()
    try:
        function(target)
        target.is_well()
    except Exception as problem:  # whatever it is, it is this case's result
        place = traceback.extract_tb(problem.__traceback__)
        line = next((p.lineno for p in reversed(place) if "/Hostile/" in p.filename and "suite" not in p.filename), 0)
        print(f"not ok [{rows}] {name}: {type(problem).__name__}: {str(problem)[:300]} (line {line})", flush=True)
        return False
    if verbose:
        print(f"ok [{rows}] {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def run_shards(workers, arguments):
    """The cases dealt to so many processes, each with a broker of its own: they wait more than they work."""
    shards = [subprocess.Popen([sys.executable, "-B", os.path.abspath(__file__), *arguments, "--shard", f"{at}/{workers}"],
                               stdout=subprocess.PIPE, text=True) for at in range(workers)]
    passed = failed = 0
    for shard in shards:
        said = shard.communicate()[0]
        count = re.search(r"(\d+) passed, (\d+) failed\n$", said)
        if not count:
            print(f"{said}hostile: a process of cases ended with {shard.returncode}")
            failed += 1
            continue
        sys.stdout.write(said[:count.start()])
        passed += int(count[1])
        failed += int(count[2])
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int)
    options.add_argument("--pid", type=int)
    options.add_argument("--only", default="", help="only cases with this in their rows or name")
    options.add_argument("--verbose", action="store_true")
    options.add_argument("--list", action="store_true", help="print rows and names, run nothing")
    options.add_argument("--workers", type=int, default=1, help="brokers, each with its part of the cases")
    options.add_argument("--shard", default="0/1", help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.list:
        for rows, name, _ in suite.CASES:
            print(f"{rows:<28} {name}")
        return 0
    if options.port and not options.pid:
        print("--port needs --pid: memory is looked at", file=sys.stderr)
        return 2
    if options.workers > 1:
        if options.port:
            print("--workers starts brokers of its own: not with --port", file=sys.stderr)
            return 2
        return run_shards(options.workers, [*(["--only", options.only] if options.only else []),
                                            *(["--verbose"] if options.verbose else [])])
    shard, shards = map(int, options.shard.split("/"))
    passed = failed = 0
    broker = None
    try:
        if options.port:
            target = suite.Target(options.port, options.pid)
        else:
            broker = brokerd.Broker()
            broker.start()
            target = suite.target_of(broker)
        for rows, name, function in suite.CASES[shard::shards]:
            if options.only and options.only not in f"{rows} {name}".split() and options.only not in name:
                continue
            if run(target, rows, name, function, options.verbose):
                passed += 1
                continue
            failed += 1
            if broker and not broker.is_running():
                print(f"the broker ended with {broker.process.returncode}: {broker.log_since(0)[-1500:].decode(errors='replace')}")
                broker.start()
                target = suite.target_of(broker)
    except (brokerd.NotReady, OSError, wire.Closed) as problem:
        print(f"hostile: {problem}")
        failed += 1
    finally:
        if broker:
            broker.remove()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
