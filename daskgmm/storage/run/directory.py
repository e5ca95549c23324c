"""The run directory: what a job leaves behind, and the rules for writing there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from uuid import uuid4

from annotated_types import Ge, Gt, Lt

from ...errors import ConfigurationError, DataError
from ...events import Listener, ignore
from ...filesystem.location import guard_write, public, remove_if_empty, write_first
from ...filesystem.retry import reason, trouble
from ...options import STRICT
from ...text import is_text
from ..schema import RESULTS
from .lock import hold_lock
from .manifest import MANIFEST, Plan
from .metrics import METRICS
from .staging import Unfinished, is_unfinished, settle, stage_run


@dataclass(frozen=True)
class OutputOptions:
    """What is written, and where."""

    __pydantic_config__: ClassVar = STRICT

    directory: str = "runs/fit"
    """The run directory: a path or an fsspec URL."""
    labels: bool = True
    """Write the most probable component of each row; -2 for rows that are left out."""
    probabilities: bool = False
    """Write the probability of each component for each row."""
    top_m: Annotated[int, Ge(1)] | None = None
    """Write probabilities of the m most probable components of each row only, and which components these are."""
    log_density: bool = False
    """Write log p(x) of each row, in nats."""
    anomaly_quantile: Annotated[float, Gt(0), Lt(1)] | None = None
    """Flag rows whose log-density is below this quantile of the fitted rows'; 0.001 flags the strangest 0.1 percent."""
    clusters: Annotated[int, Ge(1)] | Literal["auto"] | None = None
    """Merge components by entropy to that many clusters, and write the cluster of each row; auto takes the elbow."""
    imputed: bool = False
    """Write the rows with missing values replaced by their means given the others; data.missing must be marginal."""
    imputed_error: bool = False
    """Write the standard errors of these, 0 where values are observed."""
    checkpoint_every: Annotated[int, Ge(0)] = 1
    """Iterations between two checkpoints, which --resume continues from; 0 for none. At most one in two seconds."""
    mlflow: bool = False
    """Keep parameters, iterations, criteria, model and report in MLflow too, at MLFLOW_TRACKING_URI or here."""
    performance_report: bool = False
    """Write dask's performance report, performance.html; on a cluster only, and its scheduler needs bokeh."""
    report: bool = True
    """Draw report.html of a fit or a sweep; `daskgmm report` draws it again."""
    report_rows: Annotated[int, Ge(0)] = 20_000
    """Maximum number of rows that record.zarr keeps for the report, a random sample of 8 MiB at most; 0: none."""
    storage_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Options of the fsspec file system, where the directory is a URL."""

    @property
    def has_probabilities(self) -> bool:
        """Whether probabilities are written, all or some."""
        return self.probabilities or self.top_m is not None

    @property
    def has_results(self) -> bool:
        """Whether anything is written of each row."""
        of_some = self.labels or self.has_probabilities or self.log_density or self.imputed or self.imputed_error
        return of_some or self.anomaly_quantile is not None or self.clusters is not None


CONFIG, MODEL, PICTURE = "config.yaml", "model.zarr", "segmentation.png"
RECORD, REPORT, SELECTION, PERFORMANCE = "record.zarr", "report.html", "selection.json", "performance.html"
HISTORY = "history.json"
CLUSTERS, CLUSTERS_FOLDER = "clusters.json", "clusters"
EXPORTS = ("model.json", "model.joblib", "model.onnx")
CONTENT = (
    CONFIG,
    MODEL,
    METRICS,
    PICTURE,
    RECORD,
    REPORT,
    SELECTION,
    HISTORY,
    CLUSTERS,
    PERFORMANCE,
    MANIFEST,
    *EXPORTS,
    *RESULTS,
)


FIT_FILES = (METRICS, SELECTION, HISTORY)
"""Files in addition to the model that must be whole to continue with a fit after its end."""


@dataclass(frozen=True)
class RunDirectory:
    """A directory that one job writes to."""

    path: Path

    @property
    def holds_model(self) -> bool:
        """Whether a fitted model is there."""
        return (self.path / MODEL).exists()

    @property
    def holds_report(self) -> bool:
        """Whether the report of a fit is there."""
        return (self.path / REPORT).exists()

    @property
    def holds_run(self) -> bool:
        """Whether results of a run are there."""
        return any((self.path / name).exists() for name in CONTENT)

    def check_writable(self, overwrite: bool, resume: bool = False) -> None:
        """Raise before any work where the job could not write: results that are there, or a place that takes none."""
        with guard_write(self.path):
            settle(self.path, CONTENT)
            holds_run, goes_on = self.holds_run, is_unfinished(self.path)
        if holds_run and not overwrite and not (resume and goes_on):
            raise ConfigurationError(
                f"output.directory {str(self.path)!r} already holds a run: choose another one, or give --overwrite"
            )
        if goes_on and not (overwrite or resume):
            raise ConfigurationError(
                f"output.directory {str(self.path)!r} holds unfinished results: give --resume to go on, or "
                "--overwrite to start over"
            )
        self._probe()

    def _probe(self) -> None:
        if isinstance(self.path, Path) and not is_text(full := str(self.path.absolute())):
            raise ConfigurationError(f"output.directory {full!r} has bytes that are no text: rename the folder")
        try:
            existed = self.path.exists()
            probe = self.path / f".probe-{uuid4().hex[:8]}"
            write_first(probe, b"")
            probe.unlink()
        except Exception as error:  # stores raise errors of many classes
            if not isinstance(self.path, Path) and (told := trouble(public(str(self.path)), "written to", error)):
                raise DataError(f"output.directory {told}") from None
            why = getattr(error, "strerror", None) or reason(error)
            remedy = "" if isinstance(self.path, Path) else ": check that URL and output.storage_options"
            raise ConfigurationError(
                f"output.directory {str(self.path)!r} cannot be written to: {why}{remedy}"
            ) from None
        if not existed:
            remove_if_empty(self.path)

    @contextmanager
    def hold_lock(self, listen: Listener = ignore) -> Iterator[None]:
        """Hold the directory for one job; raise before any work where it takes nothing, or belongs to another."""
        self._probe()
        with ExitStack() as stack:
            with guard_write(self.path):
                stack.enter_context(hold_lock(self.path, listen))
            yield

    @contextmanager
    def write_fit(self, config_yaml: str, plan: Plan, resume: bool, overwrite: bool) -> Iterator[Unfinished]:
        """Give the folder that a fit, or a sweep, writes to; all of it takes the place of an earlier run, or none."""
        with stage_run(self.path, plan, CONTENT, resume=resume, overwrite=overwrite) as work:
            with guard_write(self.path):
                (work.path / CONFIG).write_text(config_yaml, encoding="utf-8")
            yield work

    @contextmanager
    def write_prediction(self, config_yaml: str, plan: Plan, resume: bool, overwrite: bool) -> Iterator[Unfinished]:
        """Give the folder that a prediction writes to; what is finished of it outlives an interruption."""
        with stage_run(self.path, {"job": "prediction", **plan}, CONTENT, resume=resume, overwrite=overwrite) as work:
            with guard_write(self.path):
                (work.path / CONFIG).write_text(config_yaml, encoding="utf-8")
            yield work
