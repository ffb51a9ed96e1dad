#!/usr/bin/env python3
"""Ends the broker under mixed load again and again and holds it to what it promised; see scripts/crash-test."""
import argparse
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)
import brokerd  # noqa: E402
from cycle import Kill, Part  # noqa: E402
from load import Load  # noqa: E402
from power import MKFS, PowerCut, Refused, Volume, VolumeBroker  # noqa: E402
from syscalls import AtSyscall, Points  # noqa: E402

IS_CI = os.environ.get("CI") == "true"
# Cycles of each kind: by default, and where CI=true.
SHORT = {"kill": (20, 5), "syscalls": (20, 10), "power": (3, 2)}


class Test:
    """What was asked for, and what came of it."""

    def __init__(self, seed, keep):
        self.seed, self.keep = seed, keep
        self.passed = self.failed = 0

    def add(self, part):
        print(part.summary(), flush=True)
        self.passed += part.passed
        self.failed += part.failed

    def lacks(self, tools):
        """Says what is left out. As root everything can be installed, so that nothing may be missing in CI."""
        missing = [tool for tool in tools if not shutil.which(tool)]
        if not missing:
            return False
        must = IS_CI and os.geteuid() == 0
        self.failed += must
        print(f"{'failed' if must else 'left out'}: {', '.join(missing)} missing", flush=True)
        return True

    def kill(self, count):
        load = Load()
        broker = brokerd.Broker(arguments=load.arguments())
        part = Part("kill", self.seed, broker, load)
        part.run(count, Kill)
        self.add(part)
        self.clean(broker, part)

    def syscalls(self, count):
        if self.lacks(["strace"]):
            return
        load, points = Load(), Points()
        broker = brokerd.Broker(arguments=load.arguments())
        part = Part("syscalls", self.seed, broker, load)
        part.run(count, AtSyscall, points)
        print(points.summary())
        self.add(part)
        self.clean(broker, part)

    def power(self, count):
        for kind, mkfs in MKFS.items():
            if self.lacks([mkfs[0], "xfs_io", "mount"]):
                continue
            try:
                volume = Volume(kind)
            except Refused as problem:
                print(f"left out: {count} power cuts on {kind}: {problem}", flush=True)
                continue
            load = Load()
            broker = VolumeBroker(volume, load.arguments())
            part = Part(kind, self.seed, broker, load)
            part.run(count, PowerCut)
            self.add(part)
            broker.kill()
            volume.remove(self.tell_kept(volume.home, part))

    def clean(self, broker, part):
        if self.tell_kept(broker.home, part):
            broker.kill()
        else:
            broker.remove()

    def tell_kept(self, home, part):
        if part.failed or self.keep:
            print(f"{part.name}: data kept in {home}", flush=True)
        return part.failed or self.keep


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--cycles", type=int, metavar="N", help="kills at random moments")
    options.add_argument("--at-syscalls", type=int, metavar="N", help="kills at one call each")
    options.add_argument("--power-cuts", type=int, metavar="N", help="power cuts on each file system")
    options.add_argument("--only", choices=list(SHORT))
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--keep", action="store_true", help="keep the data directory also when all is well")
    options = options.parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}", flush=True)
    test = Test(seed, options.keep)
    asked = {"kill": options.cycles, "syscalls": options.at_syscalls, "power": options.power_cuts}
    for name, count in asked.items():
        count = SHORT[name][IS_CI] if count is None else count
        if count > 0 and options.only in (None, name):
            getattr(test, name)(count)
    print(f"{test.passed} passed, {test.failed} failed (seed {seed})")
    return 1 if test.failed else 0


sys.exit(main())
