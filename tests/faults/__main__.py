"""Try every fault many times and print a table: python -m tests.faults [NAME ...] [--times 20] [--at-once 1]."""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from .faults import FAULTS, RARER, Fault
from .trying import Reference, reference, tried

Seconds = list[float | None]  # after the fault, of each try; None: it did not end as it must


def attempt(fault: Fault, expected: Reference) -> float | None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            return tried(fault, expected, Path(folder)).seconds_after
        except AssertionError as error:
            print(f"{fault.name}: {error}", flush=True)
            return None


def table(found: dict[Fault, Seconds]) -> str:
    lines = [
        "| fault | the fit | tried | as it must | seconds from the fault to the end: median | longest |",
        "|---|---|---|---|---|---|",
    ]
    for fault, tries in found.items():
        good = [seconds for seconds in tries if seconds is not None]
        ends = "gives the same bits" if fault.message is None else f"stops with exit code {fault.code}"
        times = f"{median(good):.1f} | {max(good):.1f}" if good else "- | -"
        lines.append(f"| {fault.name} | {ends} | {len(tries)} | {len(good)} | {times} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of faults; all if none is given")
    parser.add_argument("--times", type=int, default=20, help="rounds through the list")
    parser.add_argument("--at-once", type=int, default=1, help="tries side by side; they wait more than they compute")
    arguments = parser.parse_args()
    faults = [one for one in FAULTS + RARER if not arguments.names or any(name in one.name for name in arguments.names)]
    found: dict[Fault, Seconds] = defaultdict(list)
    with reference() as expected, ThreadPoolExecutor(arguments.at_once) as threads:
        rounds = faults * arguments.times
        tries = threads.map(lambda fault: attempt(fault, expected), rounds)
        for number, (fault, seconds) in enumerate(zip(rounds, tries, strict=True)):
            found[fault].append(seconds)
            print(f"round {number // len(faults) + 1}: {fault.name}: {seconds}", flush=True)
            if fault is faults[-1]:
                print(f"{table(found)}\n", flush=True)
    if any(None in tries for tries in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
