"""Many features: the peak memory of one process, measured beside the one that --dry-run plans, of short fits.

Each fit of few rows runs in a process of its own, if at most 4 GiB are planned for it.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from .wide import STRUCTURES, job, planned

_MAX_GIB = 4.0  # planned, of a fit that is tried
_SHORT = {"n_init": 1, "max_iter": 2}
# VmHWM is this process's own; getrusage's maximum starts from that of the process that started it.
_FIT = """
import sys
from pathlib import Path
from daskgmm.config import parse_config
from daskgmm.jobs.fit import fit
fit(parse_config(sys.argv[1]))
print(Path("/proc/self/status").read_text())
"""


def run(tiny: bool = False) -> str:
    """Return the table for numbers of features d and of components k."""
    widths, sizes = ((24,), (2,)) if tiny else ((256, 1024, 4096), (10, 100))
    lines = ["GiB measured / planned", f"| d, k, rows | {' | '.join(STRUCTURES)} |"]
    for d in widths:
        with tempfile.TemporaryDirectory() as directory:
            path, n = Path(directory) / "rows.npy", 300 if tiny else max(4 * d, 2000)
            rng = np.random.default_rng(0)
            shift = 2 * rng.integers(10, size=(n, 1)).astype(np.float32)
            np.save(path, rng.standard_normal((n, d), np.float32) + shift)
            lines += [_line(path, d, k, n, tiny) for k in sizes]
    return "\n".join(lines)


def _line(path: Path, d: int, k: int, n: int, tiny: bool) -> str:
    structures = {**STRUCTURES, "full, reduced to 50": {"reduce": {"features": 5}}} if tiny else STRUCTURES
    return f"| {d}, {k}, {n:,} | {' | '.join(_compare(job(path, k, one, _SHORT)) for one in structures.values())} |"


def _compare(text: str) -> str:
    bound = planned(text)
    if bound == "refused" or float(bound) > _MAX_GIB:
        return f"- / {bound}"
    done = subprocess.run([sys.executable, "-c", _FIT, text], capture_output=True, text=True, check=True)
    peak = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert peak is not None, "Linux tells the peak of a process"
    return f"{int(peak[1]) / 2**20:.2f} / {bound}"
