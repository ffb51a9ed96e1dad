#!/usr/bin/env python3
"""Runs the tests of this directory and counts; see scripts/delivery."""
import argparse
import importlib
import os
import queue
import sys
import threading
import time
import traceback

import suite
import brokerd
import documents

HERE = suite.HERE


def load():
    """Imports every file of tests; they register themselves."""
    for folder in (HERE, os.path.join(HERE, "incumbents")):
        sys.path.insert(0, folder)
        for file in sorted(os.listdir(folder)):
            name, end = os.path.splitext(file)
            if end == ".py" and name not in ("run", "suite", "documents", "printed"):
                importlib.import_module(name)


def run(rig, test):
    """What is wrong, or None. The broker must be there behind the test."""
    lab = None
    try:
        lab = rig.lab(test)
        test.function(lab)
        if not lab.broker.is_running():
            return f"the broker ended with {lab.broker.process.returncode}"
    except Exception as problem:  # whatever it is, it is this test's result
        place = traceback.extract_tb(problem.__traceback__)
        lines = [f"{os.path.basename(p.filename)}:{p.lineno}" for p in place if "/Delivery/" in p.filename][1:]
        return f"{type(problem).__name__}: {str(problem)[:400]} ({' '.join(lines)})"
    finally:
        if lab:
            lab.close()
            if test.own is not None:
                lab.broker.remove()
    return None


class Run:
    """Workers, each with a broker of its own, that take tests from one list."""

    def __init__(self, tests, workers, verbose):
        self.tests, self.verbose = tests, verbose
        self.left = queue.SimpleQueue()
        for test in tests:
            self.left.put(test)
        self.passed = self.failed = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work) for _ in range(min(workers, len(tests)))]

    def work(self):
        rig = suite.Rig(self.tests)
        try:
            while True:
                test = self.left.get_nowait()
                began = time.monotonic()
                problem = run(rig, test)
                self.note(test, problem, time.monotonic() - began)
                if problem and not rig.broker.is_running() and rig.broker.process:
                    end = rig.broker.log_since(0)[-1500:].decode(errors="replace")
                    print(f"the broker ended with {rig.broker.process.returncode}: {end}", flush=True)
        except queue.Empty:
            return
        finally:
            rig.broker.remove()

    def note(self, test, problem, seconds):
        with self.lock:
            if problem:
                self.failed += 1
                print(f"not ok {test.name}: {problem}", flush=True)
                return
            self.passed += 1
            if self.verbose:
                print(f"ok {test.name} ({seconds:.1f} s)", flush=True)

    def all(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("names", nargs="*",
                         help="files (priority), tests (priority.higher_first), or beginnings of them")
    options.add_argument("--verbose", action="store_true")
    options.add_argument("--list", action="store_true", help="print the names of all tests, run nothing")
    options.add_argument("--workers", type=int, default=6, help="brokers at the same time")
    options.add_argument("--without", metavar="HEADER", action="append", default=[],
                         help="leave this header out of all frames (or `policies`): what is about it must fail")
    options = options.parse_args()
    load()
    suite.leave_out(options.without)
    tests = [t for t in suite.TESTS if not options.names or any(t.name.startswith(n) for n in options.names)]
    if options.list:
        for test in tests:
            print(test.name)
        return 0
    if not tests:
        print(f"delivery: no test begins with {' or '.join(options.names)}", file=sys.stderr)
        return 2
    try:
        brokerd.binary()
    except brokerd.NotReady as problem:
        print(f"delivery: {problem}\n0 passed, 1 failed")
        return 1
    run_ = Run(tests, options.workers, options.verbose)
    run_.all()
    if not options.names:
        wrong = documents.problems([t.base for t in suite.TESTS])
        for problem in wrong:
            print(f"not ok documents: {problem}")
        run_.failed += len(wrong)
        run_.passed += not wrong
    print(f"{run_.passed} passed, {run_.failed} failed")
    return 1 if run_.failed else 0


sys.exit(main())
