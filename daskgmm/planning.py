"""The plan of a fit: what --dry-run shows."""

from __future__ import annotations

from .chunked.memory import estimate
from .config import Config
from .opening import rows_of
from .results import written_at_once
from .storage.sources import open_source

_MIB = 2**20
_SAMPLE_COPIES = 4  # the sample as read, in random order, standardised, and as k-means or EM works on it


def plan(config: Config) -> str:
    """Return the plan as text, from the source's shape alone: no row is read and nothing is written."""
    source = open_source(config.data)
    rows = rows_of(source, config.compute)
    n_sample = min(config.fit.n_sample(config.model, rows.n_features), rows.n_rows)
    needs = estimate(rows, config.compute.persist, config.model.n_components, config.model.covariance_type)
    sample_bytes = n_sample * rows.n_features * 8 * _SAMPLE_COPIES
    per_thread = needs.per_thread + written_at_once(rows, config)
    kept = "kept in memory" if needs.rows_held else "streamed from the source at each pass"
    facts = {
        "source": source.description,
        "rows": f"{' x '.join(f'{size:,}' for size in rows.grid)} = {rows.n_rows:,}",
        "features": f"{rows.n_features} ({rows.array.dtype})",
        "chunks": f"{needs.n_chunks} of at most {needs.largest_chunk / _MIB:.2f} MiB",
        "tasks": f"{needs.n_tasks} in each pass",
        "sample": f"{n_sample:,} rows, about {sample_bytes / _MIB:.0f} MiB while it is fitted",
        "rows in memory": f"{needs.rows_held / _MIB:.1f} MiB over all workers ({kept})",
        "memory": f"{per_thread / _MIB:.1f} MiB for each worker thread, beside about 300 MiB for each process",
    }
    return "\n".join(f"{name + ':':16s}{value}" for name, value in facts.items())
