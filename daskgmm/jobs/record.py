"""The record of a job: what is kept of its data and starts for the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from ..chunked.data_summary import first_rows, summarise_and_sample
from ..chunked.rows import Rows
from ..config import Config
from ..core.init.starts import RestartResults
from ..core.mixture.data_summary import DataSummary
from ..core.mixture.floor import least_variances
from ..errors import DataError
from ..events import Listener, Notice
from ..fitting.data_info import describe_data
from ..provenance import DataInfo, TrialHistory
from ..sources import Source
from ..storage.formats.provenance import check_record, save_beginning
from ..storage.run.directory import RECORD
from ..storage.run.staging import Unfinished

_MAX_BYTES = 8 * 2**20  # of the rows that are kept


def keep_beginning(
    rows: Rows, source: Source, data_summary: DataSummary, sample: Delayed, results: RestartResults, config: Config
) -> DataInfo:
    """Return the record of data and starts, with at most output.report_rows sampled rows, and 8 MiB of them."""
    row_bytes = rows.n_features * rows.array.dtype.itemsize
    kept, weights = first_rows(sample, min(config.output.report_rows, _MAX_BYTES // row_bytes))
    winner = results.restarts[0] if results.restarts else None
    restarts = tuple(TrialHistory.of("restart", trial, trial is winner) for trial in results.restarts)
    finalists = tuple(TrialHistory.of("finalist", trial) for trial in results.finalists)
    return replace(
        describe_data(source.description, rows, data_summary, kept, weights),
        curves=restarts + finalists,
        is_image=source.is_image,
        least=tuple(np.sqrt(least_variances(data_summary, config.model.reg_covar)).tolist()),
        steps=tuple(_find_deciding_steps(data_summary, config.model.reg_covar).tolist()),
    )


def _find_deciding_steps(data_summary: DataSummary, reg_covar: float) -> NDArray[np.float64]:
    """Return the steps that set the floor, 0 where `reg_covar` does."""
    without = replace(data_summary, steps=np.zeros(data_summary.n_features))
    decides = least_variances(data_summary, reg_covar) > least_variances(without, reg_covar)
    steps: NDArray[np.float64] = np.where(decides, data_summary.steps, 0.0)
    return steps


def mend_record(rows: Rows, source: Source, config: Config, work: Unfinished, listen: Listener) -> None:
    """Write the beginning of a record again that an interrupted job left damaged, by a pass over the rows.

    What it said of the starts is lost with it.
    """
    if not work.going_on:
        return
    path = work.path / RECORD
    try:
        check_record(path)
    except DataError:
        listen(Notice(f"{path} is missing or damaged: the report will lack what it had of the starts"))
        size, resolution = max(config.output.report_rows, 1), config.model.resolution_of_rows
        data_summary, sample = summarise_and_sample(rows, size, config.fit.random_state, resolution)
        save_beginning(keep_beginning(rows, source, data_summary, sample, RestartResults((), ()), config), path)
