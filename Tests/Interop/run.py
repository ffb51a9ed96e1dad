#!/usr/bin/env python3
"""Runs the client scripts beside this file and counts; see scripts/interop."""
import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import brokerd  # noqa: E402

CLIENTS = {
    "python": [os.path.join(brokerd.ROOT, ".venv/bin/python"), "python_stomp.py"],
    "ruby": ["ruby", "ruby_stomp.rb"],
    "perl": ["perl", "perl_net_stomp.pl"],
    "php": ["php", "php_stomp.php"],
}
SECONDS = 300  # for one client's script: a library that hangs is a failure, not a hang of ours


def run(client, port):
    """Prints the client's lines; returns how many cases passed and failed."""
    program, script = CLIENTS[client]
    try:
        # A script's warnings are part of the truth: they go where ours go.
        done = subprocess.run([program, os.path.join(HERE, script), "127.0.0.1", str(port)],
                              stdout=subprocess.PIPE, text=True, timeout=SECONDS)
        lines, status = done.stdout.splitlines(), done.returncode
    except (OSError, subprocess.TimeoutExpired) as problem:
        print(f"{client}: not ok runs: {problem}")
        return 0, 1
    passed = [line for line in lines if line.startswith("ok ")]
    failed = [line for line in lines if line.startswith("not ok ")]
    for line in failed:
        print(f"{client}: {line}")
    if status != 0 or "done" not in lines:
        print(f"{client}: not ok runs to its end: exit status {status}")
        failed.append("end")
    print(f"{client}: {len(passed)} passed, {len(failed)} failed", flush=True)
    return len(passed), len(failed)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int)
    options.add_argument("--only", choices=CLIENTS)
    options = options.parse_args()
    broker = None
    port = options.port
    passed = failed = 0
    try:
        if port is None:
            broker = brokerd.Broker()
            broker.start()
            port = broker.port
        for client in [options.only] if options.only else CLIENTS:
            ok, bad = run(client, port)
            passed, failed = passed + ok, failed + bad
        if broker and not broker.is_running():
            print("the broker did not survive")
            failed += 1
    except brokerd.NotReady as problem:
        print(f"interop: {problem}")
        failed += 1
    finally:
        if broker:
            broker.remove()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
