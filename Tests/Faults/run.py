#!/usr/bin/env python3
"""Runs the tests of this directory and counts; see scripts/faults."""
import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
import traceback

import suite
import brokerd

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


class Run:
    def __init__(self, options, shim):
        self.options, self.shim = options, shim
        self.passed = self.failed = self.left_out = 0

    def one(self, test):
        lab = suite.Lab(test, self.options, self.shim)
        began = time.monotonic()
        numbers = ", ".join(map(str, test.numbers))
        try:
            test.function(lab)
            self.passed += 1
            result = "ok", lab.seen
        except suite.LeftOut as reason:
            self.left_out += 1
            result = "left out", str(reason)
        except Exception as problem:  # whatever it is, it is this test's result
            self.failed += 1
            place = [f"{os.path.basename(p.filename)}:{p.lineno}" for p in traceback.extract_tb(problem.__traceback__)][1:]
            result = "not ok", f"{type(problem).__name__}: {str(problem)[:2000]} ({' '.join(place)})"
        finally:
            lab.close()
        word, seen = result
        print(f"{word} {test.name} [{numbers}] ({time.monotonic() - began:.1f} s){': ' + seen if seen else ''}", flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--long", action="store_true", help="many more states, and the tests that take minutes")
    options.add_argument("--only", metavar="WORD", action="append", help="tests whose name has WORD, or of the fault case with this number")
    options.add_argument("--list", action="store_true")
    options.add_argument("--seed", default="1")
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
    run = Run(options, shim)
    for test in tests:
        run.one(test)
    if run.left_out:
        print(f"{run.left_out} left out")
    print(f"{run.passed} passed, {run.failed} failed (seed {options.seed})")
    return 1 if run.failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
