"""What is measured: each workload with the words that brokerbench takes for it."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    work: str
    arguments: tuple
    # The floor that is the highest for it, as `scripts/bench calibrate` found.
    floor: str
    # Where the report has its times.
    times: str
    # It goes by --messages, not by time.
    is_counted: bool = False


def _publish(size, producers, floor):
    return Workload(f"publish {size}B P{producers}", "publish", ("--size", size, "--producers", producers), floor,
                    "confirm_us")


def _end_to_end(size, floor, rate=0):
    words = ("--size", size, "--producers", 2, "--consumers", 2) + (("--rate", rate) if rate else ())
    return Workload(f"e2e {size}B{f' {rate}/s' if rate else ''} P2 C2", "e2e", words, floor, "e2e_us")


WORKLOADS = [
    _publish(100, 1, "floor"),
    _publish(100, 4, "floor"),
    _publish(1024, 1, "prealloc"),
    _publish(1024, 4, "prealloc"),
    Workload("publish 1024B W1", "publish", ("--size", 1024, "--window", 1), "inline-prealloc", "confirm_us"),
    _end_to_end(100, "floor"),
    _end_to_end(1024, "prealloc"),
    Workload("drain 1024B C2", "drain",
             ("--messages", 200_000, "--size", 1024, "--producers", 4, "--consumers", 2), "floor", "", True),
    Workload("fanout 100B x10", "fanout", ("--size", 100, "--consumers", 10, "--window", 10_000), "floor",
             "deliver_us"),
    Workload("rtt 100B stored", "rtt", ("--size", 100, "--persistent"), "inline-prealloc", "rtt_us"),
    Workload("rtt 100B unstored", "rtt", ("--size", 100, "--no-persistent"), "floor", "rtt_us"),
]

# The ones that the guard runs.
GUARDED = ["publish 100B P1", "publish 1024B P1", "e2e 100B P2 C2", "fanout 100B x10", "rtt 100B stored"]


def named(name):
    return next(workload for workload in WORKLOADS if workload.name == name)


def matching(word):
    found = [workload for workload in WORKLOADS if word in workload.name]
    if not found:
        names = ", ".join(f"'{workload.name}'" for workload in WORKLOADS)
        raise SystemExit(f"scripts/bench: no workload has '{word}' in its name; there are {names}")
    return found
