#!/usr/bin/env python3
"""Runs the tests of this directory and counts; see scripts/faults."""
import argparse
import concurrent.futures
import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import suite
import brokerd
import table

NO_TESTS = ("run", "suite", "rules", "recording", "promises", "store", "load", "proxy", "table")


def load():
    """Imports every file of tests; they register themselves."""
    for file in sorted(os.listdir(suite.HERE)):
        name, end = os.path.splitext(file)
        if end == ".py" and name not in NO_TESTS:
            importlib.import_module(name)


def build_shim():
    compiler = suite.need("gcc", "gcc")
    target = os.path.join(tempfile.mkdtemp(prefix="faults-shim-"), "shim.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", target,
                    os.path.join(suite.HERE, "shim.c"), "-ldl", "-pthread"], check=True)
    return target


OPTIONS = None  # of this run, and the shim: what a worker inherits


def run_one(number):
    """Runs one test, in one of the workers: (result, what to print about it)."""
    test = suite.TESTS[number]
    options, shim = OPTIONS
    lab = suite.Lab(test, options, shim)
    began = time.monotonic()
    result, seen, logged = "ok", "", []
    # A fault that cannot be undone is a result too, and not the end of the run.
    for step in (lambda: test.function(lab), lab.close):
        try:
            step()
        except suite.LeftOut as reason:
            result, seen = "left out", str(reason)
        except Exception as problem:  # whatever it is, it is this test's result
            frames = traceback.extract_tb(problem.__traceback__)[1:]
            place = [f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames]
            result, seen = "not ok", f"{type(problem).__name__}: {str(problem)[:2000]} ({' '.join(place)})"
            logged += lab.last_logged()
    seen = seen or lab.seen
    if result == "not ok":
        seen += "".join(f"\n# {os.path.basename(log)}: {line}" for log, line in logged)
    numbers = ", ".join(map(str, test.numbers))
    return result, f"{result} {test.name} [{numbers}] ({time.monotonic() - began:.1f} s){': ' + seen if seen else ''}"


def run_all(tests, workers):
    """How many passed and failed. Those that take longest go first."""
    counts = {"ok": 0, "not ok": 0, "left out": 0}
    numbers = [suite.TESTS.index(test) for test in tests]
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=None) as pool:
        for work in concurrent.futures.as_completed([pool.submit(run_one, number) for number in numbers]):
            result, line = work.result()
            counts[result] += 1
            print(line, flush=True)
    return counts


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--long", action="store_true", help="many more states, and the tests that take minutes")
    options.add_argument("--only", metavar="WORD", action="append",
                         help="tests whose name has WORD, or of the fault case with this number")
    options.add_argument("--list", action="store_true")
    options.add_argument("--seed", default="1")
    options.add_argument("--workers", type=int, default=3, help="tests at the same time")
    options.add_argument("--minutes", type=float, default=10, help="how long the soak of --long takes")
    options = options.parse_args()
    load()
    tests = [t for t in suite.TESTS if options.long or not t.is_long]
    if options.only:
        tests = [t for t in suite.TESTS
                 if any(word in t.name or word in map(str, t.numbers) for word in options.only)]
        tests = [t for t in tests if options.long or not t.is_long]
    if options.list:
        for test in suite.TESTS:
            print(test.name, *test.numbers, "(long)" if test.is_long else "")
        return 0
    try:
        brokerd.binary()
        shim = build_shim()
    except (brokerd.NotReady, suite.LeftOut, AssertionError, subprocess.CalledProcessError) as problem:
        print(f"faults: {problem}\n0 passed, 1 failed")
        return 1
    global OPTIONS
    OPTIONS = options, shim
    counts = run_all(tests, options.workers)
    shutil.rmtree(os.path.dirname(shim))
    if not options.only:
        counts["not ok" if check_table() else "ok"] += 1
    if counts["left out"]:
        print(f"{counts['left out']} left out")
    print(f"{counts['ok']} passed, {counts['not ok']} failed (seed {options.seed})")
    return 1 if counts["not ok"] or not tests else 0


def check_table():
    """The last test: the table in docs/testing.md and the tests agree."""
    wrong = table.problems(suite.TESTS)
    for sentence in wrong:
        print(sentence)
    print("not ok table" if wrong else "ok table: every case has a row, every test that it names is there")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
