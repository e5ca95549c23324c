"""What a report says of the data of a fit."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..chunked.rows import Rows
from ..core.mixture.data_summary import DataSummary
from ..provenance import DataInfo


def describe_data(
    description: str, rows: Rows, data_summary: DataSummary, kept: NDArray[Any], weights: NDArray[Any] | None
) -> DataInfo:
    """Return the record of the data alone, with some of their rows (m, d) and weights (m,)."""
    return DataInfo(
        description=description,
        grid=rows.grid,
        dtype=str(rows.array.dtype),
        chunk=tuple(max(sizes) for sizes in rows.array.chunks),
        n_chunks=len(rows.block_sizes),
        n_rows=data_summary.n_rows,
        fingerprint=fingerprint(rows, data_summary),
        minimum=data_summary.minimum,
        maximum=data_summary.maximum,
        rows=kept,
        row_weights=weights,
        curves=(),
    )


def fingerprint(rows: Rows, data_summary: DataSummary) -> str:
    """Return a short name of the data: equal for equal shapes, types, chunks and bits of their data summary."""
    digest = sha256(repr((rows.array.shape, str(rows.array.dtype), rows.array.chunks)).encode())
    for values in (
        data_summary.mean,
        data_summary.scatter,
        data_summary.minimum,
        data_summary.maximum,
        np.array([data_summary.weight_sum]),
    ):
        digest.update(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    return digest.hexdigest()[:16]
