"""report.html of a run directory, drawn from what the directory holds alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from ..errors import DaskGMMError, DataError
from ..events import Listener, Notice, Phase
from ..filesystem.location import guard_read, guard_write, read_file, write_whole, zarr_store
from ..filesystem.retry import reason
from ..report.html.page import page
from ..report.html.report_data import ReportData
from ..storage.formats.clusters import find_clusters
from ..storage.formats.history import read_history, updates
from ..storage.formats.model import load_model
from ..storage.formats.provenance import load_record
from ..storage.formats.selection import read_selection
from ..storage.run.directory import (
    CONFIG,
    HISTORY,
    MODEL,
    PICTURE,
    RECORD,
    REPORT,
    SELECTION,
    OutputOptions,
    RunDirectory,
)
from ..yaml_text import parse_yaml
from .status import describe_work

_LOGGER = logging.getLogger(__name__)

_MAP_SIDE = 700  # cells of the map of labels along its longer side
_MAX_CELLS = 2**28  # cells of labels that are read for it


def write_report(directory: Path) -> Path:
    """Draw report.html of the run in the directory; return its path. Raises DataError where there is no whole fit."""
    text = page(story_of(directory))
    with guard_write(directory), write_whole(directory / REPORT) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return directory / REPORT


def draw_again(directory: Path) -> Path:
    """Draw report.html of a run that no job writes to meanwhile; return its path. Raises as `write_report`."""
    with guard_read(directory):
        if not (directory / MODEL).exists():
            raise DataError(
                describe_work(directory)
                or f"there is no fitted model in {directory}: a report is made of the run directory of a fit"
            )
        with RunDirectory(directory).hold_lock(), _drawable(directory):
            return write_report(directory)


@contextmanager
def _drawable(directory: Path) -> Iterator[None]:
    """Turn what a damaged file makes libraries raise into a DataError of one line."""
    try:
        yield
    except DaskGMMError:
        raise
    except Exception as error:  # codecs of arrays and pictures raise errors of many classes
        raise DataError(
            f"{REPORT} cannot be drawn from what {directory} holds ({type(error).__name__}: {reason(error)}): if "
            "something there is damaged, the same fit with --resume writes it again"
        ) from error


def report_of_fit(directory: Path, listen: Listener) -> None:
    """Draw the report of a fit that has just ended; a failure is reported, and does not touch the fit."""
    listen(Phase("report", REPORT))
    try:
        write_report(directory)
    except Exception as error:  # whatever it is: the fit is there
        _LOGGER.debug("%s was not drawn", REPORT, exc_info=True)
        listen(Notice(f"{REPORT} could not be drawn ({type(error).__name__}: {error}), but the fit is complete"))


def leave_finished(run: RunDirectory, output: OutputOptions, listen: Listener) -> None:
    """Tell that a run is finished; draw its report where that is all that it lacks: it is drawn last of all."""
    listen(Notice("the run is finished already: nothing is left to do"))
    if output.report and not run.holds_report:
        report_of_fit(run.path, listen)


def story_of(directory: Path) -> ReportData:
    """Return all that the report of the run tells."""
    model, record = load_model(directory), load_record(directory / RECORD)
    configuration = read_file(directory / CONFIG).decode()
    options = parse_yaml(configuration, str(directory / CONFIG))
    picture = read_file(directory / PICTURE) if (directory / PICTURE).exists() else None
    labels, of = _labels(directory, record.beginning.grid)
    return ReportData(
        model=model,
        record=record,
        configuration=configuration,
        seed=int(options["fit"]["random_state"]),
        picture=picture,
        labels=labels,
        labels_of=of,
        selection=read_selection(directory / SELECTION) if (directory / SELECTION).exists() else None,
        clusters=find_clusters(directory, model),
        history=updates(read_history(directory / HISTORY)),
    )


def _labels(directory: Path, grid: tuple[int, ...]) -> tuple[NDArray[np.integer] | None, str]:
    """Return labels (height, width), thinned out, of a grid of two axes, or of the middle of one of more."""
    path = directory / "labels.zarr"
    if len(grid) < 2 or min(grid[-2:]) < 2 or not path.exists():
        return None, ""
    labels = zarr.open_array(**zarr_store(path), path="labels", mode="r")
    if labels.shape != grid or grid[-2] * grid[-1] > _MAX_CELLS:
        return None, ""
    middle: tuple[int | slice, ...] = tuple(size // 2 for size in grid[:-2])
    step = -(-max(grid[-2:]) // _MAP_SIDE)
    thinned = np.asarray(labels[(*middle, slice(None), slice(None))])[::step, ::step]
    names = labels.metadata.dimension_names or ()  # type: ignore[union-attr]
    places = [f"{names[axis] or axis} {at} of {grid[axis]}" for axis, at in enumerate(middle)]
    return thinned, ", ".join(places)
