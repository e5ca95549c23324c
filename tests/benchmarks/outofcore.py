"""Out of core: 1e8 x 16 float32 (6.4 GB) in zarr, fitted on 2 cores with 4 GB; rows/s of a pass beside reading alone.

The store is written once, to the folder that the environment variable DASKGMM_BENCHMARK_DATA names, else to a temporary
one. A process of its own reads it, then runs the job; its memory is that of the operating system's account.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .problems import problem

_CHUNK = 131_072  # rows, 8 MiB
_MEMORY = 4 * 2**30

_READ = """
import json, sys, time
import dask, zarr
from daskgmm.chunked.rows import Rows
from daskgmm.chunked.map_reduce import compute, map_reduce
def count(block, weights, shared, own):
    return len(block)
stored = zarr.open_array(sys.argv[1], mode="r")
rows = Rows.of_readable(stored, stored.chunks[:1]).fuse()
start = time.perf_counter()
with dask.config.set(scheduler="threads", num_workers=2):
    compute(map_reduce(rows, count, sum, None, dict.fromkeys(range(len(rows.block_sizes))), "read"))
print(json.dumps({"seconds": time.perf_counter() - start}))
"""

_FIT = """
import json, resource, sys, time
from daskgmm.config import parse_config
from daskgmm.events import Iteration, Phase
from daskgmm.jobs.fit import fit
passes, phases = [], {}
def listen(event):
    if isinstance(event, Phase):
        phases[event.name] = time.perf_counter()
    elif isinstance(event, Iteration):
        passes.append(event.seconds)
start = time.perf_counter()
model = fit(parse_config(f'''
data: {{path: {sys.argv[1]}}}
model: {{n_components: 16}}
cluster: {{kind: threads, n_workers: 2}}
compute: {{persist: false}}
output: {{directory: {sys.argv[2]}, labels: false}}
'''), listen)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({
    "seconds": time.perf_counter() - start, "summarised": phases["seed"] - start,
    "seeded": phases["fit"] - phases["seed"], "passes": passes,
    "converged": model.summary.converged, "peak": peak,
}))
"""


def run(tiny: bool = False) -> str:
    """Return rows/s of reading alone and of passes, their ratio, the number of passes and the peak memory."""
    n = 20_000 if tiny else 100_000_000
    given = os.environ.get("DASKGMM_BENCHMARK_DATA")
    with tempfile.TemporaryDirectory() as temporary, nullcontext(given or temporary) as folder:
        path = Path(folder) / f"rows-{n}.zarr"
        if not path.exists():
            _write(path, n)
        before = _alone(_READ, path)["seconds"]
        fit = _alone(_FIT, path, Path(temporary) / "run")
        after = _alone(_READ, path)["seconds"]
    return _told(n, (before, after), fit)


def _write(path: Path, n: int) -> None:
    """Write n rows x 16 float32 of a mixture of 16, a chunk at a time, under another name until all are there."""
    _, mixture = problem(16, 16, 1)
    unfinished, rng = path.with_suffix(".part"), np.random.default_rng(0)
    array = zarr.create_array(
        unfinished, shape=(n, 16), chunks=(min(n, _CHUNK), 16), dtype="float32", compressors=None, overwrite=True
    )
    for at in range(0, n, _CHUNK):
        rows, _ = mixture.sample(min(_CHUNK, n - at), rng)
        array[at : at + len(rows)] = rng.permutation(rows)
    unfinished.rename(path)


def _alone(program: str, *arguments: Path) -> dict[str, Any]:
    """Return what a program says, run in a process of its own that may hold 4 GB of data."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    out = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=_limit)
    if out.returncode:
        raise RuntimeError(f"the process ended with {out.returncode}: {out.stderr}")
    told: dict[str, Any] = json.loads(out.stdout.splitlines()[-1])
    return told


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))


def _told(n: int, reads: tuple[float, float], fit: dict[str, Any]) -> str:
    passes = fit["passes"]
    median, read = statistics.median(passes), statistics.mean(reads)
    lines = [
        f"reading alone          {n / read:14,.0f} rows/s ({reads[0]:.1f} s before the fit, {reads[1]:.1f} s after it)",
        f"summary and sample     {n / fit['summarised']:14,.0f} rows/s ({fit['summarised']:.1f} s)",
        f"seeding on the sample  {fit['seeded']:14.1f} s",
        f"a pass of EM           {n / median:14,.0f} rows/s ({median:.1f} s, {min(passes):.1f} to {max(passes):.1f})",
        f"a pass / reading alone {median / read:14.2f}",
        f"passes                 {1 + len(passes):14d} with that of the summary; converged: {fit['converged']}",
        f"the whole fit          {fit['seconds']:14.1f} s",
        f"peak memory            {fit['peak'] / 2**20:14,.0f} MiB resident (limit of the data segment: 4,096 MiB)",
    ]
    return "\n".join(lines)
