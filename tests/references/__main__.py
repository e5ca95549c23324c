"""Compare the package with the answers of other programs, and print how many are reached or exceeded.

Without a folder these are the answers that the tests know.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from . import likelihood, others
from .answers import SMALL, Answer, Folder

Check = Callable[[Folder, str], Iterator[Answer]]

# The check of a list is that of the longest of these names that its name begins with.
CHECKS: dict[str, Check] = {
    "families": likelihood.families,
    "common_orientation": likelihood.common_orientation,
    "weighted": likelihood.weighted,
    "noise": likelihood.noise,
    "semi_supervised": likelihood.semi_supervised,
    "prior": likelihood.prior,
    "variational": likelihood.variational,
    "merging": others.merging,
    "missing": others.missing,
    "conditional": others.conditional,
    "factor_analysers": others.factor_analysers,
    "bootstrap_lrt": others.bootstrap_lrt,
}


def check_of(name: str) -> Check | None:
    """Return the check of a list, or None if there is none."""
    return next((check for prefix, check in CHECKS.items() if name.startswith(prefix)), None)


def row(name: str, answers: list[Answer]) -> str:
    """Return a line of the table: how many answers are reached, and the least gap."""
    gaps = [answer.gap for answer in answers]
    worst = "nan" if np.isnan(gaps).any() else f"{min(gaps, default=np.nan):+.2g}"
    return f"{name:28}{len(answers):>9}{sum(answer.reached for answer in answers):>9}{worst:>12}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.references", description=__doc__)
    parser.add_argument("lists", nargs="*", help="names of lists; default: all of the folder")
    parser.add_argument("--folder", type=Path, default=SMALL, help="default: tests/data/references")
    arguments = parser.parse_args()
    folder = Folder(arguments.folder)
    print(f"{'list':28}{'answers':>9}{'reached':>9}{'least gap':>12}")
    for name in arguments.lists or folder.names:
        check, began = check_of(name), time.process_time()
        if check is None:
            print(f"{name:28}  not compared: there is nothing of the kind in the package")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some stop at max_iter
            answers = list(check(folder, name))
        print(f"{row(name, answers)}   {time.process_time() - began:.0f} s of processor", flush=True)
        for answer in answers:
            if not answer.reached:
                print(f"    missed: {answer.name}: {answer.gap:+.3g} {answer.note}", flush=True)


if __name__ == "__main__":
    main()
