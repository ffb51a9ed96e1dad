#!/usr/bin/env python3
"""Runs each workload on the floor, on the broker and, if wanted, on others, in turn, and prints what each reaches of
the floor in the same round; see scripts/bench."""
import argparse
import json
import statistics
import sys
import time

import document
import measure
import peers
import plot
import servers
import workloads

LATENCIES = ("p50", "p99", "p999")


class Comparison:
    """Rounds of runs; servers take turns, so that a change of the machine's mood hits all of them."""

    def __init__(self, options, names):
        self.options, self.names = options, names
        self.failed = False
        self.kept = {}
        # For each workload and server what each round found; None where it failed.
        self.results = {}

    def run(self, chosen):
        try:
            for workload in chosen:
                self.results[workload.name] = {name: [] for name in self.names}
                for turn in range(self.options.runs):
                    # Who goes first changes as well.
                    for name in self.names if turn % 2 == 0 else reversed(self.names):
                        self.results[workload.name][name].append(self.one(name, workload))
                for name in self.names:
                    self.line(workload, name)
        finally:
            for server in self.kept.values():
                server.remove()

    def one(self, name, workload):
        options = self.options
        started = workload.floor if name == "floor" and options.floors == "best" else name
        if name in peers.KINDS and workload.work in peers.KINDS[name].lacks:
            return None
        try:
            if name in peers.KINDS:
                result = measure.generate(self.keep(name), workload, options.seconds, self.generator(name))
            else:
                result = measure.run(started, workload, options.seconds, options.loadgen if options.all_loadgen else None,
                                     reference=options.reference, seasoned=options.seasoned)
        except (measure.Fault, servers.brokerd.NotReady) as fault:
            print(f"{workload.name} {name}: {fault}", flush=True)
            self.failed |= name not in peers.KINDS
            return None
        if result["faults"]:
            print(f"{workload.name} {name}: {', '.join(result['faults'])}", flush=True)
            self.failed |= name not in peers.KINDS
        if options.json:
            with open(options.json, "a") as file:
                file.write(json.dumps({"workload": workload.name, "server": name, **result}) + "\n")
        return result

    def keep(self, name):
        """What takes long to start serves all runs, each with a queue of its own."""
        if name not in self.kept:
            server = servers.make(name)
            server.start()
            self.kept[name] = server
        return self.kept[name]

    def generator(self, name):
        return self.options.loadgen if self.options.all_loadgen or peers.KINDS[name].protocol != "stomp" else None

    def rates(self, workload, name):
        return [result["rate"] if result else 0 for result in self.results[workload.name][name]]

    def ratios(self, workload, name):
        """To the first server, round by round."""
        return [ratio for ratio in measure.ratios(self.rates(workload, name), self.rates(workload, self.names[0])) if ratio]

    def line(self, workload, name):
        good = [result for result in self.results[workload.name][name] if result]
        if not good:
            return
        ratio = "" if name == self.names[0] else "{:>7.2f} {:>6.2f} {:>6.2f}".format(*(
            measure.spread(self.ratios(workload, name)) if self.ratios(workload, name) else (0, 0, 0)))
        times = [result[workload.times] for result in good] if workload.times else []
        middle = lambda values: statistics.median(list(values))  # noqa: E731
        late = "".join(f" {middle(t[key] for t in times):>10,.1f}" for key in LATENCIES) if times else " " * 33
        cores = middle(result.get("server_cores", 0) for result in good)
        own = middle(result.get("bench_cores", result.get("loadgen_cores", 0)) for result in good)
        shown = f"{name} ({workload.floor})" if name == "floor" and workload.floor != "floor" else name
        print(f"{workload.name:<24} {shown:<16} {middle(r['rate'] for r in good):>11,.0f} {ratio:<21}{late}"
              f" {cores:>6.2f} {own:>6.2f}", flush=True)


def heading():
    print(f"{'workload':<24} {'server':<16} {'a second':>11} {'ratio':>7} {'least':>6} {'most':>6}"
          f" {'p50 us':>10} {'p99 us':>10} {'p99.9 us':>10} {'cores':>6} {'load':>6}", flush=True)


def table(comparison, chosen):
    """Rows for the document: rates of all, ratios with their spread of all but the first."""
    names = comparison.names
    rows = [["workload", *[f"{name}, a second" for name in names], *[f"{name} to {names[0]}" for name in names[1:]]]]
    for workload in chosen:
        rates = [measure.spread([rate for rate in comparison.rates(workload, name) if rate] or [0])[0] for name in names]
        ratios = []
        for name in names[1:]:
            found = comparison.ratios(workload, name)
            ratios.append("{:.2f} ({:.2f} to {:.2f})".format(*measure.spread(found)) if found else "")
        rows.append([workload.name, *[f"{rate:,.0f}" if rate else "" for rate in rates], *ratios])
    return rows


def write(comparison, chosen):
    groups = []
    for workload in chosen:
        bars = [(name, *measure.spread(comparison.ratios(workload, name))) for name in comparison.names[1:]
                if comparison.ratios(workload, name)]
        groups.append((workload.name, bars))
    options = comparison.options
    note = (f"{time.strftime('%Y-%m-%d')}, commit {measure.commit()}, {measure.machine()}. {options.runs} rounds of"
            f" {options.seconds:g} s, median of the ratios (least to most)."
            + (" The broker had a burst of 1.1 million messages before each run." if options.seasoned else ""))
    drawing = "![Each workload as a share of the floor](performance.svg)"
    document.write("comparison", "\n\n".join([note, document.table(table(comparison, chosen)), drawing]))
    document.save("performance.svg", plot.bars(groups, "a second, as a share of the floor in the same round"))


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    parser.add_argument("--reference")
    parser.add_argument("--loadgen")
    parser.add_argument("--all-loadgen", action="store_true")
    parser.add_argument("--floors", choices=("best", "plain", "all"), default="best")
    parser.add_argument("--servers")
    parser.add_argument("--seasoned", action="store_true")
    parser.add_argument("--peers", nargs="?", const="all")
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def chosen_servers(options):
    names = options.servers.split(",") if options.servers else ["floor", "brokerd"]
    if options.floors == "all":
        names = [name for name in servers.FLOORS if name != "unsynced"] + [
            name for name in names if name not in servers.FLOORS]
    if options.reference:
        names.append("reference")
    if options.peers:
        wanted = list(peers.KINDS) if options.peers == "all" else options.peers.split(",")
        if options.install:
            peers.install(wanted)
        good, lines = peers.usable(wanted, options.loadgen)
        for line in lines:
            print(line)
        names += good
    return names


def main():
    options = parse()
    chosen = workloads.matching(options.only)
    comparison = Comparison(options, chosen_servers(options))
    heading()
    comparison.run(chosen)
    if options.write:
        write(comparison, chosen)
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main())
