#!/usr/bin/env python3
"""Short runs of a few workloads on the floor and the broker in turn: fails when the broker reaches a third less of the
floor than recorded. See scripts/bench guard. Only ratios within a round count, never a time."""
import argparse
import json
import os
import statistics
import sys
import time

import measure
import servers
import workloads

PATH = os.path.join(servers.HERE, "guard.json")
# The least share of the recorded ratio, and how often a workload that fell short is tried in all.
LEAST, ROUNDS = 2 / 3, 6
RUNS, SECONDS = 3, 0.8


def falls_short(recorded, ratios):
    """Whether one round is below what it is held to."""
    return statistics.median(ratios) < recorded * LEAST


def verdict(recorded, rounds):
    """None while it cannot be said: short, but to be tried again. A round that is good enough is enough, since a noisy
    machine makes a broker slower and hardly ever faster."""
    if not falls_short(recorded, rounds[-1]):
        return True
    return False if len(rounds) >= ROUNDS else None


def ratios(workload, options):
    """Of one round."""
    rates = {"floor": [], "brokerd": []}
    for turn in range(options.runs):
        for name in ("floor", "brokerd") if turn % 2 == 0 else ("brokerd", "floor"):
            result = measure.run(workload.floor if name == "floor" else name, workload, options.seconds)
            if result["faults"]:
                raise measure.Fault(f"{workload.name} on {name}: {', '.join(result['faults'])}")
            rates[name].append(result["rate"])
    return measure.ratios(rates["brokerd"], rates["floor"])


def guarded(workload, recorded, options):
    """Whether it passes; says so in a line."""
    rounds = []
    while True:
        rounds.append(ratios(workload, options))
        passes = verdict(recorded, rounds)
        found = "{:.2f} ({:.2f} to {:.2f})".format(*measure.spread(rounds[-1]))
        word = {True: "ok", False: "FAILED", None: "again"}[passes]
        print(f"{word:<7} {workload.name:<20} {found} of the floor, recorded {recorded:.2f},"
              f" at least {recorded * LEAST:.2f}", flush=True)
        if passes is not None:
            return passes


def record(options):
    """Writes what is reached now. Ratios of one round are noisy: three are put together."""
    found = {}
    for name in workloads.GUARDED:
        all_ratios = [ratio for _ in range(ROUNDS) for ratio in ratios(workloads.named(name), options)]
        found[name] = round(statistics.median(all_ratios), 3)
        print(f"{name:<20} {found[name]:.2f}", flush=True)
    record = {"date": time.strftime("%Y-%m-%d"), "commit": measure.commit(), "ratios": found}
    with open(PATH, "w") as file:
        file.write(json.dumps(record, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    if options.record:
        record(options)
        return 0
    with open(PATH) as file:
        recorded = json.load(file)["ratios"]
    passed = failed = 0
    for name in workloads.GUARDED:
        try:
            if name not in recorded:
                raise measure.Fault(f"{name}: no ratio is recorded (scripts/bench guard --record)")
            good = guarded(workloads.named(name), recorded[name], options)
        except (measure.Fault, servers.brokerd.NotReady) as fault:
            print(f"FAILED  {fault}", flush=True)
            good = False
        passed, failed = passed + good, failed + (not good)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
