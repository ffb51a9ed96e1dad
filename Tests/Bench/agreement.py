#!/usr/bin/env python3
"""Whether brokerbench and another load generator find the same of the same server: both in turn, medians; see
scripts/bench agreement."""
import argparse
import statistics
import sys

import measure
import workloads


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--loadgen", required=True)
    parser.add_argument("--server", default="brokerd")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--within", type=float, default=0.1)
    options = parser.parse_args()
    passed = failed = 0
    print(f"{'workload':<24} {'brokerbench':>12} {'other':>12} {'ratio':>6} {'least':>6} {'most':>6}")
    for workload in workloads.matching(options.only):
        rates = {None: [], options.loadgen: []}
        for turn in range(options.runs):
            for loadgen in rates if turn % 2 == 0 else reversed(list(rates)):
                result = measure.run(options.server, workload, options.seconds, loadgen)
                if result["faults"]:
                    raise measure.Fault(f"{workload.name}: {', '.join(result['faults'])}")
                rates[loadgen].append(result["rate"])
        ours, theirs = (statistics.median(found) for found in rates.values())
        middle = ours / theirs
        _, least, most = measure.spread(measure.ratios(rates[None], rates[options.loadgen]))
        good = abs(middle - 1) <= options.within
        passed, failed = passed + good, failed + (not good)
        print(f"{workload.name:<24} {ours:>12,.0f} {theirs:>12,.0f} {middle:>6.2f} {least:>6.2f} {most:>6.2f}"
              f"{'' if good else '  FAILED'}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(measure.told(main))
