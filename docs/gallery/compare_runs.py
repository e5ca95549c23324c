"""
Compare runs
============

Two fits of the same flowers, with three components and with two: which clusters correspond, and which split?
"""

import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

folder = Path(mkdtemp())


def daskgmm(*arguments):
    """Run a command in the folder and return what it prints."""
    command = [sys.executable, "-m", "daskgmm", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


for k in (2, 3):
    daskgmm("fit", "sample:iris", "-k", str(k), "-o", f"iris-{k}")

# %%
# Components are matched by the overlap of their distributions, and the rows of both runs are counted.

print(daskgmm("compare", "iris-2", "iris-3"))

# %%
# With ``--html`` the same is a page, and it takes any number of runs.

print(daskgmm("compare", "iris-2", "iris-3", "--html", "compared.html").splitlines()[-1])

# %%
# What is known of one of them.

print(daskgmm("inspect", "iris-3"))
