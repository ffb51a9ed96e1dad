#!/usr/bin/env python3
"""Builds the simulator with all faults of mutations.py in it, and switches them on one after the other.

Without a fault the simulator must find nothing; with one it must find a broken promise within the seeds stated.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time

from mutations import MUTATIONS

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

SWITCH = """import Glibc

/// Which deliberate fault is switched on; see Tests/Mutations.
public enum Mutation {
    private static let number: Int32 = getenv("BROKERD_MUTATION").map { atoi($0) } ?? 0
    public static func isOn(_ fault: Int32) -> Bool { number == fault }
}
"""

TARGETS = ["CSystem", "Base", "STOMP", "BrokerCore", "Sessions", "Storage", "LogStorage", "Simulation", "brokersim"]


def prepare(place):
    """Copies the source and puts the faults in. Returns the files changed."""
    sources = os.path.join(place, "Sources")
    shutil.rmtree(sources, ignore_errors=True)
    for target in TARGETS:
        shutil.copytree(os.path.join(ROOT, "Sources", target), os.path.join(sources, target))
    manifest = open(os.path.join(ROOT, "Package.swift"), encoding="utf-8").read()
    wanted = "|".join(TARGETS)
    kept = re.findall(rf"^ +(?:room|program|\.target)\(\s*(?:name: )?\"(?:{wanted})\".*?\)(?=,\n)", manifest, re.M | re.S)
    head = manifest[: manifest.index("let package = Package(")]
    with open(os.path.join(place, "Package.swift"), "w", encoding="utf-8") as file:
        file.write(head + "let package = Package(\n    name: \"brokerd\",\n    targets: [\n" + ",\n".join(kept)
                   + "\n    ],\n    swiftLanguageModes: [.v6]\n)\n")
    texts = {}
    for number, one in enumerate(MUTATIONS, 1):
        for name, old, new in ((one.file, one.old, one.new), *one.more):
            if name not in texts:
                texts[name] = open(os.path.join(ROOT, name), encoding="utf-8").read()
            count = texts[name].count(old)
            if count != 1:
                raise SystemExit(f"fault {number} ({one.name}): its place is in {name} {count} times")
            texts[name] = texts[name].replace(old, new.replace("MUTANT", f"Mutation.isOn({number})"))
    for name, text in texts.items():
        if "\nimport Base\n" not in "\n" + text:
            text = "import Base\n" + text
        open(os.path.join(place, name), "w", encoding="utf-8").write(text)
    open(os.path.join(sources, "Base", "Mutation.swift"), "w", encoding="utf-8").write(SWITCH)


def build(place):
    subprocess.run(["swift", "build", "-c", "release", "--product", "brokersim", "--package-path", place],
                   check=True, stdout=sys.stderr)
    return os.path.join(place, ".build", "release", "brokersim")


def simulate(program, number, seeds, first, steps):
    """The seed that failed and what it said; None if all passed."""
    environment = dict(os.environ, BROKERD_MUTATION=str(number))
    command = [program, "--seed", str(first), "--seeds", str(seeds), "--steps", str(steps), "--no-shrink"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600)
    if result.returncode == 0:
        return None
    found = re.search(r"^seed (\d+), step \d+: (.*)$", result.stdout, re.M)
    if found:
        return int(found[1]) - first + 1, found[2]
    # A trap is found too, though the seed is not told.
    return seeds, f"ended with status {result.returncode}: {result.stderr.strip()[:200]}"


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--only", type=int, nargs="*", help="numbers of faults")
    options.add_argument("--first", type=int, default=1, help="first seed")
    options.add_argument("--steps", type=int, default=2000)
    options.add_argument("--place", default=os.path.join(ROOT, ".build", "mutants"))
    options.add_argument("--list", action="store_true")
    options = options.parse_args()
    if options.list:
        for number, one in enumerate(MUTATIONS, 1):
            print(f"{number:3} {one.name} ({one.file}), within {one.seeds} seeds")
        return 0
    os.makedirs(options.place, exist_ok=True)
    prepare(options.place)
    program = build(options.place)
    passed = failed = 0
    began = time.time()
    clean = simulate(program, 0, 300, options.first, options.steps)
    passed, failed = (passed + 1, failed) if clean is None else (passed, failed + 1)
    print(f"  0 no fault: {'nothing found in 300 seeds' if clean is None else clean[1]}", flush=True)
    for number, one in enumerate(MUTATIONS, 1):
        if options.only and number not in options.only:
            continue
        found = simulate(program, number, one.seeds, options.first, options.steps)
        if found is None:
            failed += 1
            print(f"{number:3} NOT FOUND in {one.seeds} seeds: {one.name}", flush=True)
        else:
            passed += 1
            print(f"{number:3} {one.name}: seed {found[0]} of {one.seeds}: {found[1][:140]}", flush=True)
    print(f"{time.time() - began:.0f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
