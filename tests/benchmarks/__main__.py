"""Run benchmarks by name, all if none is named: python -m tests.benchmarks kernel passes [--tiny]."""

import argparse

from . import (
    cost,
    curves,
    embeddings,
    estimator,
    kernel,
    memory,
    missing,
    outofcore,
    overhead,
    passes,
    peers,
    quality,
    scale,
    select,
    startup,
    streaming,
    structures,
    unseen,
    updates,
    wide,
    wide_memory,
    wide_passes,
)

BENCHMARKS = {
    "kernel": kernel,
    "passes": passes,
    "structures": structures,
    "memory": memory,
    "missing": missing,
    "streaming": streaming,
    "estimator": estimator,
    "overhead": overhead,
    "scale": scale,
    "select": select,
    "peers": peers,
    "quality": quality,
    "unseen": unseen,
    "cost": cost,
    "outofcore": outofcore,
    "curves": curves,
    "startup": startup,
    "wide": wide,
    "wide_memory": wide_memory,
    "wide_passes": wide_passes,
    "embeddings": embeddings,
    "updates": updates,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="default: all")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that they run; figures mean nothing")
    arguments = parser.parse_args()
    for name in arguments.names or BENCHMARKS:
        doc = BENCHMARKS[name].__doc__
        print(f"{name}: {doc.strip() if doc else ''}\n{BENCHMARKS[name].run(arguments.tiny)}\n", flush=True)


if __name__ == "__main__":
    main()
