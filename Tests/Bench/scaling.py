#!/usr/bin/env python3
"""How rates change with the number of connections and queues and the size of bodies, floor and broker in turn; and
what each connection, queue and message costs in memory. See scripts/bench scaling."""
import argparse
import statistics
import sys
import time

import document
import footprint
import measure
import plot
import workloads

# In all producers, so that many connections do not mean many messages on the way.
IN_FLIGHT = 10_000
IN_FLIGHT_BYTES = 64 << 20
# More than the settings allow as they come.
ROOMY = ["--set", "limits.queues=1000000", "--set", "limits.destinations_per_connection=200000"]


def connections(count):
    window = max(2, min(1000, IN_FLIGHT // count))
    return ("--size", 100, "--producers", count, "--window", window)


def queues(count):
    return ("--size", 100, "--producers", 2, "--dest", f"/queue/scale.{{1..{count}}}" if count > 1 else "/queue/scale")


def sizes(size):
    return ("--size", size, "--producers", 2, "--window", max(1, min(1000, IN_FLIGHT_BYTES // 2 // size)))


# Name, what the x axis is, its points, the arguments of brokerbench, whether bytes a second are the figure.
CURVES = [
    ("connections", "producers", (1, 10, 100, 1000, 5000), connections, False),
    ("queues", "queues", (1, 10, 100, 1000, 10_000, 100_000), queues, False),
    ("sizes", "bytes of a body", (16, 100, 1000, 10_000, 100_000, 1_000_000, 16 << 20), sizes, True),
]


def point(options, server, arguments, in_bytes):
    """The median rate of some runs."""
    workload = workloads.Workload("publish", "publish", arguments, "floor", "confirm_us")
    found = []
    for _ in range(options.runs):
        result = measure.run(server, workload, options.seconds, arguments=ROOMY)
        if result["faults"]:
            raise measure.Fault(f"{arguments} on {server}: {', '.join(result['faults'])}")
        found.append(result["mb_s"] if in_bytes else result["rate"])
    return statistics.median(found)


def curve(options, name, axis, points, words, in_bytes):
    unit = "MB a second" if in_bytes else "messages a second"
    rows = [[axis, f"floor, {unit}", f"brokerd, {unit}", "ratio"]]
    found = {"floor": [], "brokerd": []}
    for x in points:
        for server in found:
            found[server].append((x, point(options, server, words(x), in_bytes)))
        floor, broker = found["floor"][-1][1], found["brokerd"][-1][1]
        ratio = f"{broker / floor:.2f}" if floor else "none"  # a run too short for so many connections
        rows.append([f"{x:,}", f"{floor:,.0f}", f"{broker:,.0f}", ratio])
        print(f"{name:<12} {x:>12,} {floor:>12,.0f} {broker:>12,.0f} {ratio:>6}", flush=True)
    return (f"publish: {unit}", axis, found), rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--most", type=int, default=1 << 62, help="leave points above this out")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    panels, tables = [], []
    print(f"{'':<12} {'':>12} {'floor':>12} {'brokerd':>12} {'ratio':>6}")
    for name, axis, points, words, in_bytes in CURVES:
        if options.only not in name:
            continue
        points = [x for x in points if x <= options.most]
        panel, rows = curve(options, name, axis, points, words, in_bytes)
        panels.append(panel)
        tables.append(document.table(rows))
    if options.only in "memory":
        rows = [["memory of the broker for each", "KiB"], *footprint.costs()]
        for name, figure in rows[1:]:
            print(f"{name:<36} {figure:>8}", flush=True)
        tables.append(document.table(rows))
    if options.write and not options.only:
        note = (f"{time.strftime('%Y-%m-%d')}, commit {measure.commit()}, {measure.machine()}. Median of"
                f" {options.runs} runs of {options.seconds:g} s.")
        drawing = "![Rates over connections, queues and sizes](scaling.svg)"
        document.write("scaling", "\n\n".join([note, *tables, drawing]))
        document.save("scaling.svg", plot.curves(panels))
    return 0


if __name__ == "__main__":
    sys.exit(measure.told(main))
