"""Peak memory of whole processes: a fit streamed from a zarr store, and a fit of an array in memory."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import zarr

_STREAMED = """
from daskgmm.jobs.fit import fit
from daskgmm.config import parse_config
import resource
fit(parse_config('''
data: {{path: {path}}}
model: {{n_components: 8}}
fit: {{max_iter: 3}}
compute: {{persist: false}}
output: {{directory: {path}-run, labels: true}}
'''))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""

_IN_MEMORY = """
import resource
import numpy as np
from daskgmm.chunked.e_step import Expectation
from daskgmm.chunked.rows import Rows
from daskgmm.chunked.initialization import run_restarts
from daskgmm.chunked.data_summary import summarise_and_sample
from daskgmm.core.em.loop import State, Trial, iterate
from daskgmm.core.options.fit import FitOptions, ModelOptions
rows = np.empty(({n}, 16))
rng = np.random.default_rng(0)
for at in range(0, {n}, 65536):
    part = rows[at : at + 65536]
    part[:] = rng.standard_normal(part.shape) + 4 * rng.integers(8, size=len(part))[:, None]
held, model, options = Rows.of_memory(rows), ModelOptions(n_components=8), FitOptions(max_iter=3)
data_summary, sample = summarise_and_sample(held, options.n_sample(model, 16), 0)
mixtures = run_restarts(sample, options.seed_options(model, data_summary), 0).mixtures
state = State(data_summary, tuple(Trial(one) for one in mixtures))
iterate(state, Expectation(held, data_summary), options.em(model, data_summary))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def run(tiny: bool = False) -> str:
    """Return the peaks, and what they exceed the data by."""
    streamed_bytes = 2**22 if tiny else 2**32
    in_memory_rows = (10_000, 50_000) if tiny else (1_000_000, 8_000_000)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.zarr"
        _write(path, streamed_bytes // (16 * 4))
        peak = _peak(_STREAMED.format(path=path))
    lines = [f"streamed from {streamed_bytes / 2**20:,.0f} MiB of zarr: peak {peak / 2**20:,.0f} MiB"]
    for n in in_memory_rows:
        peak, data = _peak(_IN_MEMORY.format(n=n)), n * 16 * 8
        over = (peak - data) / 1e6
        lines.append(f"in memory, {data / 2**20:,.0f} MiB: peak {peak / 2**20:,.0f} MiB, {over:,.0f} MB over the data")
    return "\n".join(lines)


def _write(path: Path, n: int) -> None:
    """Write n rows x 16 float32 as zarr, a chunk at a time."""
    chunk = min(n, 131_072)
    array = zarr.create_array(str(path), shape=(n, 16), chunks=(chunk, 16), dtype="float32")
    rng = np.random.default_rng(0)
    for at in range(0, n, chunk):
        size = min(chunk, n - at)
        array[at : at + size] = rng.standard_normal((size, 16), np.float32) + 4 * rng.integers(8, size=(size, 1))


def _peak(program: str) -> int:
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    return int(out.stdout.split()[-1])
