"""What --dry-run shows: the plan of a job as text. Nothing is written."""

from __future__ import annotations

from ..chunked.memory import fits
from ..config import Config
from ..fitting.checks import check_width
from ..sources import open_source
from .plan import PROCESS_BYTES, FitPlan, plan_fit, plan_reads, plan_sweep
from .update import FinishedRun, check_update, open_new

_MIB = 2**20
_WIDE = 256  # features, from which float32 is suggested


def describe_fit(config: Config) -> str:
    """Return the plan of a fit as text; raise ConfigurationError if this machine cannot hold such a mixture."""
    plan = plan_fit(config, open_source(config.data))
    if config.model.reduce is None or config.model.reduce.features:
        check_width(config.model, plan.fitted.n_features)
    return _text(_facts(plan))


def describe_sweep(config: Config) -> str:
    """Return the plan of a sweep as text."""
    plan, select = plan_sweep(config, open_source(config.data)), config.select
    sizes, types = ", ".join(map(str, select.sizes)), ", ".join(select.types)
    folds = f" with {select.n_folds} folds" if select.n_folds else ""
    shared = plan_reads(config, plan.fitted.n_features)
    of_each = f"{shared.n_reads} reads of at most {select.batch_bytes / _MIB:.0f} MiB each"
    reads = "one read" if shared.n_reads == 1 else of_each
    named = {
        "candidates": f"{len(select.candidates)} by {select.criterion}{folds}: {types}, each of {sizes} components",
        "passes": f"shared by all live candidates: at first {shared.statistics / _MIB:.2f} MiB of statistics, in "
        f"{reads}",
    }
    return _text({**named, **_facts(plan)})


def describe_update(config: Config, run: FinishedRun) -> str:
    """Return the plan of an update as text; nothing is read but the shape of the source."""
    check_update(config, run)
    new = open_new(config, run)
    old = f"{run.kept.survey.n_rows:,} of {run.path}, which count for {config.update.forget:g}"
    again = "read once more after EM" if config.update.full_pass else "not read again"
    return _text(
        {"old rows": f"{old}: {again}", "new rows": f"from {new.first:,} on", **_facts(plan_fit(config, new.source))}
    )


def _facts(plan: FitPlan) -> dict[str, str]:
    rows, needs, keep = plan.rows, plan.needs, fits(plan.fitted, plan.config.compute.persist)
    memory = plan.memory(keep=keep)
    kept = "kept in memory" if keep else "streamed from the source at each pass"
    return {
        "source": plan.source.description,
        "rows": f"{' x '.join(f'{size:,}' for size in rows.grid)} = {rows.n_rows:,}",
        "features": f"{rows.n_features} ({rows.array.dtype}){_count_axes(plan)}",
        **_suggestions(plan),
        "chunks": f"{needs.n_chunks} of at most {needs.largest_chunk / _MIB:.2f} MiB",
        "tasks": f"{needs.n_tasks} in each pass",
        "sample": f"{plan.n_sample:,} rows, about {memory.sample / _MIB:.0f} MiB while it is fitted",
        "rows in memory": f"{(plan.fitted.n_bytes if keep else 0) / _MIB:.1f} MiB over all workers ({kept})",
        "memory": f"{memory.per_computer / _MIB:.1f} MiB for each of {plan.config.cluster.compute_threads} threads "
        f"that compute, {memory.per_reader / _MIB:.1f} MiB for each of {plan.n_threads} that read",
        "peak memory": f"at most {memory.peak / _MIB:.0f} MiB in each process, "
        f"{PROCESS_BYTES / _MIB:.0f} MiB of it for libraries",
    }


def _suggestions(plan: FitPlan) -> dict[str, str]:
    """Return the advice to compute products of many features in float32, if that is not done already."""
    if plan.fitted.n_features < _WIDE or plan.config.fit.dtype != "float64":
        return {}
    return {"products": "float64: with so many features fit.dtype=float32 takes about half the time; sums stay float64"}


def _count_axes(plan: FitPlan) -> str:
    """Return how many principal components the features are reduced to."""
    reduce = plan.config.model.reduce
    if reduce is None:
        return ""
    return f", reduced to {'' if reduce.features else 'at most '}{plan.fitted.n_features} principal components"


def _text(facts: dict[str, str]) -> str:
    return "\n".join(f"{name + ':':16s}{value}" for name, value in facts.items())
