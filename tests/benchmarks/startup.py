"""Start-up: whole processes from a cold compile on, imports, a small fit; each command in a process of its own.

Compiled kernels are kept in numba's cache; the cold compile has an empty one of its own, which the runs after it then
find, and the workers of a cluster another. Python keeps its bytecode, as it does unless it is told not to.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_FIT = """
import numpy as np
from daskgmm import GaussianMixture
rng = np.random.default_rng(0)
GaussianMixture(2, random_state=0).fit(rng.standard_normal((272, 2)) + 4 * rng.integers(2, size=(272, 1)))
"""

_FIT_WITH_GAPS = """
import numpy as np
from daskgmm import GaussianMixture
rng = np.random.default_rng(0)
rows = rng.standard_normal((272, 2)) + 4 * rng.integers(2, size=(272, 1))
rows[rng.random(272) < 0.1, 1] = np.nan
GaussianMixture(2, missing="marginal", random_state=0).fit(rows)
"""

_CLUSTER = """
import time
from distributed import Client, LocalCluster
import dask.array as da
from daskgmm import GaussianMixture
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        rows = da.random.default_rng(0).standard_normal((20_000, 2), chunks=(5_000, 2)).persist()
        start = time.perf_counter()
        GaussianMixture(2, max_iter=2, tol=1.0, random_state=0).fit(rows)
        print(time.perf_counter() - start)
"""

_CONFIG = """
data: {{path: {folder}/faithful.csv}}
model: {{n_components: 2}}
output: {{directory: {folder}/run, labels: true}}
"""


def run(tiny: bool = False) -> str:
    """Return medians of whole processes: seconds, and those of the processor."""
    rounds = 1 if tiny else 7
    with tempfile.TemporaryDirectory() as folder:
        cache = _cache(folder, "fits")
        job = _job(Path(folder))
        cold, cold_processor = _measure([sys.executable, "-c", _FIT], cache)
        gaps, gaps_processor = _measure([sys.executable, "-c", _FIT_WITH_GAPS], _cache(folder, "gaps"))
        first, second = (_told([sys.executable, _script(Path(folder))], _cache(folder, "workers")) for _ in range(2))
        lines = [
            _line("python -c pass", ["-c", "pass"], rounds, cache),
            _line("import daskgmm", ["-c", "import daskgmm"], rounds, cache),
            _line(
                "import daskgmm.core.kernels.compiled", ["-c", "import daskgmm.core.kernels.compiled"], rounds, cache
            ),
            _line("daskgmm --help", ["-m", "daskgmm", "--help"], rounds, cache),
            f"{'fit of 272 x 2, empty cache (compiles)':42s} {cold:6.2f} s, {cold_processor:6.2f} s of processor",
            f"{'the same with missing values':42s} {gaps:6.2f} s, {gaps_processor:6.2f} s of processor",
            _line("fit of 272 x 2, warm", ["-c", _FIT], rounds, cache),
            _line("daskgmm fit of 272 x 2, warm", job, rounds, cache),
            _line("the same, output.report=false", [*job, "output.report=false"], rounds, cache),
            f"{'fit on two worker processes, empty cache':42s} {first:6.2f} s (the fit alone)",
            f"{'fit on two new worker processes, warm':42s} {second:6.2f} s (the fit alone)",
        ]
    return "\n".join(lines)


def _line(name: str, arguments: list[str], rounds: int, environment: dict[str, str]) -> str:
    each = [_measure([sys.executable, *arguments], environment) for _ in range(rounds + 1)][1:]
    seconds, processor = zip(*each, strict=True)
    spread = f"({min(seconds):.2f} to {max(seconds):.2f})"
    return (
        f"{name:42s} {statistics.median(seconds):6.2f} s {spread}, {statistics.median(processor):6.2f} s of processor"
    )


def _measure(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the seconds that a process takes, and those of the processor."""
    start, processor_start = time.perf_counter(), _processor_of_children()
    _output(command, environment)
    return time.perf_counter() - start, _processor_of_children() - processor_start


def _processor_of_children() -> float:
    used = os.times()
    return used.children_user + used.children_system


def _told(command: list[str], environment: dict[str, str]) -> float:
    return float(_output(command, environment).split()[-1])


def _output(command: list[str], environment: dict[str, str]) -> str:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | environment
    done = subprocess.run(command, capture_output=True, text=True, env=own, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _cache(folder: str, name: str) -> dict[str, str]:
    """Return a cache that is empty until it is used first."""
    return {"NUMBA_CACHE_DIR": str(Path(folder) / name)}


def _script(folder: Path) -> str:
    path = folder / "cluster.py"
    path.write_text(_CLUSTER)
    return str(path)


def _job(folder: Path) -> list[str]:
    """Write rows as many as Old Faithful has, and a job over them; return the arguments that run it."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((272, 2)) + 4 * rng.integers(2, size=(272, 1))
    np.savetxt(folder / "faithful.csv", rows, delimiter=",", header="eruptions,waiting", comments="")
    (folder / "job.yaml").write_text(_CONFIG.format(folder=folder))
    return ["-m", "daskgmm", "fit", str(folder / "job.yaml"), "--overwrite"]
