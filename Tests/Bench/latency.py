#!/usr/bin/env python3
"""How long a message is on its way at half of what the broker can do, end to end; see scripts/bench latency."""
import argparse
import statistics
import sys
import time

import document
import measure
import workloads

SIZES = (100, 1024)
FIGURES = ("p50", "p99", "p999", "max")


def end_to_end(size, rate=0):
    words = ("--size", size, "--producers", 2, "--consumers", 2) + (("--rate", rate) if rate else ())
    return workloads.Workload(f"e2e {size}B at {rate or 'most'}", "e2e", words, "floor", "e2e_us")


def run(name, workload, seconds):
    result = measure.run(name, workload, seconds)
    if result["faults"]:
        raise measure.Fault(f"{workload.name} on {name}: {', '.join(result['faults'])}")
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows = [["body", "messages a second", "server", "p50 ms", "p99 ms", "p99.9 ms", "most ms"]]
    print("{:>8} {:>12} {:<10} {:>9} {:>9} {:>9} {:>9}".format("bytes", "a second", "server", *FIGURES))
    for size in SIZES:
        most = statistics.median(run("brokerd", end_to_end(size), options.seconds)["rate"] for _ in range(options.runs))
        workload = end_to_end(size, int(most / 2))
        found = {"floor": [], "brokerd": []}
        for _ in range(options.runs):
            for name, times in found.items():
                times.append(run(name, workload, options.seconds)["e2e_us"])
        for name, times in found.items():
            middle = [statistics.median(t[key] for t in times) / 1000 for key in FIGURES]
            print("{:>8,} {:>12,.0f} {:<10} {:>9.2f} {:>9.2f} {:>9.2f} {:>9.2f}".format(size, most / 2, name, *middle),
                  flush=True)
            rows.append([f"{size:,} B", f"{most / 2:,.0f}", name, *[f"{value:.2f}" for value in middle]])
    if options.write:
        note = (f"{time.strftime('%Y-%m-%d')}, commit {measure.commit()}, {measure.machine()}. Medians of"
                f" {options.runs} runs of {options.seconds:g} s.")
        document.write("latency", note + "\n\n" + document.table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(measure.told(main))
