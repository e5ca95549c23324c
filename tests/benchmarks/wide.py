"""Many features: the peak memory of one process that --dry-run plans, and what is refused."""

import json
import tempfile
from pathlib import Path

import numpy as np

from daskgmm.config import parse_config
from daskgmm.errors import ConfigurationError
from daskgmm.fitting.width import FitConditions, check_width
from daskgmm.jobs.plan import plan_fit
from daskgmm.sources import open_source

STRUCTURES = {
    "full": {"covariance_type": "full"},
    "tied": {"covariance_type": "tied"},
    "diag": {"covariance_type": "diag"},
    "low_rank, 16 factors": {"covariance_type": "low_rank", "n_factors": 16},
    "full, reduced to 50": {"covariance_type": "full", "reduce": {"features": 50}},
}
_ROWS = 1_000_000
_GIB = 2**30


def run(tiny: bool = False) -> str:
    """Return the table for numbers of features d and of components k."""
    widths, sizes = ((64,), (2, 3)) if tiny else ((256, 1024, 4096), (10, 100, 1000))
    lines = [f"GiB, {_ROWS:,} rows of float32, streamed", f"| d, k | {' | '.join(STRUCTURES)} |"]
    with tempfile.TemporaryDirectory() as directory:
        for d in widths:
            path = Path(directory) / f"{d}.npy"
            np.lib.format.open_memmap(path, "w+", np.float32, (_ROWS, d))  # a hole: takes no room
            lines += [_line(path, d, k) for k in sizes]
    return "\n".join(lines)


def _line(path: Path, d: int, k: int) -> str:
    return f"| {d}, {k} | {' | '.join(planned(job(path, k, options)) for options in STRUCTURES.values())} |"


def job(path: Path, k: int, options: dict[str, object], fit: dict[str, int] | None = None) -> str:
    """Return the configuration of a fit that streams the rows by one thread."""
    sections = {
        "data": {"path": str(path)},
        "model": {"n_components": k, **options},
        "fit": fit or {},
        "cluster": {"kind": "threads", "n_workers": 1},
        "compute": {"persist": False},
        "output": {"directory": f"{path}-{'-'.join(map(str, options.values()))}-{k}"},
    }
    return json.dumps(sections)


def planned(text: str) -> str:
    """Return the GiB that are planned for a configuration, or that it is refused."""
    config = parse_config(text)
    plan = plan_fit(config, open_source(config.data))
    try:
        check_width(config.model, plan.fitted.n_features, FitConditions())
    except ConfigurationError:
        return "refused"
    return f"{plan.memory(keep=False).peak / _GIB:.2f}"
