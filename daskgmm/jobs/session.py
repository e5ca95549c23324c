"""Where a job computes, and the rows that it computes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext

from ..chunked.memory import fits
from ..chunked.read_ahead import ready
from ..chunked.rows import Rows
from ..clusters.connection import Cluster, Connection
from ..clusters.task_progress import watch_tasks
from ..concurrency import own_read_ahead
from ..config import Config
from ..core.em.loop import State
from ..core.mixture.projection import Projection
from ..events import Connected, Listener, Notice, Opened, Phase
from ..fitting.iteration_events import iteration_events
from ..fitting.reduction import Reduced, reduce_rows
from ..sources import Source
from ..storage.run.checkpoint_policy import Checkpoints
from ..text import pluralize
from .performance_report import performance_report
from .plan import FitPlan
from .preflight import check_cluster


@contextmanager
def open_session(plan: FitPlan, listen: Listener) -> Iterator[Rows]:
    """Connect to the place where the job computes, and give the rows of the plan there, once it can do the job."""
    config, source = plan.config, plan.source
    with (
        own_read_ahead(config.compute.read_ahead),
        _connect(config.cluster, listen) as connection,
        watch_tasks(connection.client, config.cluster.compute_threads) as look,
    ):
        listen(Connected(connection.description, connection.dashboard, look))
        keep = fits(plan.fitted, config.compute.persist)
        check_cluster(connection, plan, listen, keep=keep)
        _tell(source.notices, listen)
        performance = (
            performance_report(connection, config.output) if config.output.performance_report else nullcontext()
        )
        rows = plan.rows.fuse()
        listen(Phase("read", f"{_describe(rows, source)}, {'kept in memory' if keep else 'streamed at each pass'}"))
        keep = keep and config.model.reduce is None  # else the principal components are kept, once they are known
        row_bytes = rows.n_features * rows.array.dtype.itemsize
        listen(Opened(rows.n_rows, row_bytes, streamed=not keep))
        with performance, ready(rows, keep, source.description) as ready_rows:
            yield ready_rows


def keep_iterations(checkpoints: Checkpoints, n_rows: int, listen: Listener) -> Callable[[State], None]:
    """Return a function that keeps each state of a fit, then emits it as an iteration: what is reported is kept."""
    event_of = iteration_events(n_rows)

    def keep(state: State) -> None:
        event = event_of(state)
        if event is not None:
            checkpoints.metrics(event)
        checkpoints.keep({"fit": state})
        if event is not None:
            listen(event)

    return keep


def reduce_rows_of(rows: Rows, config: Config, listen: Listener, before: Projection | None) -> Reduced:
    """Return the rows of a fit as its model takes them: on principal components if it is to, else as they are."""
    return reduce_rows(rows, config.model.reduce, config.fit.random_state, config.compute.persist, listen, before)


@contextmanager
def _connect(cluster: Cluster, listen: Listener) -> Iterator[Connection]:
    """Connect, and tell at the end what of the cluster may still run: it spoils no job that is complete."""
    with ExitStack() as stack, cluster.connect() as connection:
        stack.callback(_tell, connection.leftovers, listen)
        yield connection


def _tell(messages: Iterable[str], listen: Listener) -> None:
    for message in messages:
        listen(Notice(message))


def _describe(rows: Rows, source: Source) -> str:
    shape = " x ".join(f"{size:,}" for size in rows.grid)
    what = f"{source.description}: {shape} rows x {pluralize(rows.n_features, 'feature')} ({rows.array.dtype})"
    return f"{what}, {pluralize(len(rows.block_sizes), 'chunk')}"
