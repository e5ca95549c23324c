"""What --dry-run shows: the plan of a job as text. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ..chunked.memory import fits
from ..config import Config
from ..core.mixture.covariance import STRUCTURES
from ..fitting.width import Width, machine_bytes, narrower
from ..sources import Source, open_source
from .plan import PROCESS_BYTES, FitPlan, check_fit_plan, check_sweep_plan, plan_fit, plan_reads, plan_sweep
from .update import FinishedRun, check_update, open_new

Planner = Callable[[Config, Source], FitPlan]
Alternatives = Iterable[tuple[str, FitPlan]]

_MIB = 2**20
_MANY_FEATURES = 256  # from which float32 is suggested, and models of fewer products
_MANY_PRODUCTS = 4  # times those of another model, from which that is suggested
_SMALL_SAMPLE = 20_000  # of the sample, if there is little memory


def describe_fit(config: Config) -> str:
    """Return the plan of a fit as text; raise the error of one that no values of the rows could carry."""
    plan = plan_fit(config, open_source(config.data))
    check_fit_plan(plan)
    return _text({**_facts(plan, _with_less(config, plan, plan_fit)), **_count_restarts(plan)})


def describe_sweep(config: Config) -> str:
    """Return the plan of a sweep as text; raise the error of one that no values of the rows could carry."""
    plan, select = plan_sweep(config, open_source(config.data)), config.select
    check_sweep_plan(plan)
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
    return _text({**named, **_facts(plan, _with_less(config, plan, plan_sweep))})


def describe_update(config: Config, run: FinishedRun) -> str:
    """Return the plan of an update as text; nothing is read but the shape of the source."""
    check_update(config, run)
    new = open_new(config, run)
    old = f"{run.kept.data_summary.n_rows:,} of {run.path}, which count for {config.update.forget:g}"
    again = "read once more after EM" if config.update.full_pass else "not read again"
    plan = plan_fit(config, new.source)
    return _text({"old rows": f"{old}: {again}", "new rows": f"from {new.first:,} on", **_facts(plan)})


def _count_restarts(plan: FitPlan) -> dict[str, str]:
    """Return the line of the restarts, unless the fit starts from a model."""
    config = plan.config
    if config.fit.start is not None:
        return {}
    n_restarts = config.fit.n_restarts(config.model, plan.n_sample, plan.fitted.n_features)
    return {"restarts": f"{n_restarts} on the sample (fit.n_init {config.fit.n_init})"}


def _width_of(plan: FitPlan) -> Width:
    return Width(plan.config.model, plan.fitted.n_features, plan.conditions)


def _facts(plan: FitPlan, others: Alternatives = ()) -> dict[str, str]:
    """Return the lines of a plan; `others` are those of jobs that may take less memory, by their options."""
    rows, needs, keep = plan.rows, plan.needs, fits(plan.fitted, plan.config.compute.persist)
    memory = plan.memory(keep=keep)
    kept = "kept in memory" if keep else "streamed from the source at each pass"
    return {
        "source": plan.source.description,
        "rows": f"{' x '.join(f'{size:,}' for size in rows.grid)} = {rows.n_rows:,}",
        "features": f"{rows.n_features} ({rows.array.dtype}){_count_axes(plan)}",
        **_suggest_products(plan),
        "chunks": f"{needs.n_chunks} of at most {needs.largest_chunk / _MIB:.2f} MiB",
        "tasks": f"{needs.n_tasks} in each pass",
        "sample": f"{plan.n_sample:,} rows, about {memory.sample / _MIB:.0f} MiB while it is fitted",
        "rows in memory": f"{(plan.fitted.n_bytes if keep else 0) / _MIB:.1f} MiB over all workers ({kept})",
        "memory": f"{memory.per_computer / _MIB:.1f} MiB for each of {plan.config.cluster.compute_threads} threads "
        f"that compute, {memory.per_reader / _MIB:.1f} MiB for each of {plan.n_threads} that read",
        "peak memory": f"at most {memory.peak / _MIB:.0f} MiB in each process, "
        f"{PROCESS_BYTES / _MIB:.0f} MiB of it for libraries",
        **_suggest_memory(memory.peak, others),
    }


def _suggest_products(plan: FitPlan) -> dict[str, str]:
    """Return the advice of many features: products in float32, and models of fewer products than dense covariances."""
    wide, advice = _width_of(plan), dict[str, str]()
    if wide.n_features < _MANY_FEATURES:
        return advice
    if plan.knows_width and STRUCTURES[wide.model.family].layout.dense:
        times = {one.name: wide.n_products / one.n_products for one in narrower(wide)}
        fewer = [f"{ratio:.0f} times those of {name}" for name, ratio in times.items() if ratio >= _MANY_PRODUCTS]
        if fewer:
            advice["covariances"] = f"{wide.model.family}, whose products in a pass are about {', '.join(fewer)}"
    if plan.config.fit.dtype == "float64":
        advice["products"] = (
            "float64: with so many features fit.dtype=float32 takes about half the time; sums stay float64"
        )
    return advice


def _suggest_memory(peak: int, others: Alternatives) -> dict[str, str]:
    """Return which options lead to a peak that this machine has memory for, if it has less than planned."""
    memory = machine_bytes()
    if peak <= memory:
        return {}
    less = {name: _peak(plan) for name, plan in others}
    remedies = [f"{name} ({size / _MIB:.0f} MiB)" for name, size in less.items() if size <= memory]
    remedy = f"take {' or '.join(remedies)}" if remedies else "it may not be enough"
    return {"memory here": f"{memory / _MIB:.0f} MiB, less than the peak: {remedy}"}


def _peak(plan: FitPlan) -> int:
    return plan.memory(keep=fits(plan.fitted, plan.config.compute.persist)).peak


def _with_less(config: Config, plan: FitPlan, planner: Planner) -> Iterator[tuple[str, FitPlan]]:
    """Yield plans of jobs that may take less memory, by the names of their options."""
    for name, section, options in _options_of_less(config, plan):
        yield name, planner(config.model_copy(update={section: options}), plan.source)


def _options_of_less(config: Config, plan: FitPlan) -> Iterator[tuple[str, str, object]]:
    """Yield options that may take less memory: their name, their section, and the section with them."""
    yield "compute.persist=false", "compute", replace(config.compute, persist=False)
    if plan.n_sample > _SMALL_SAMPLE:
        yield f"fit.sample_size={_SMALL_SAMPLE}", "fit", replace(config.fit, sample_size=_SMALL_SAMPLE)
    for one in narrower(_width_of(plan)):
        yield one.name, "model", one.model
    half = config.model.n_components // 2
    if half and not config.model.frozen:
        yield f"{half} components", "model", replace(config.model, n_components=half)


def _count_axes(plan: FitPlan) -> str:
    """Return the number of principal components that the features are reduced to."""
    reduce = plan.config.model.reduce
    if reduce is None:
        return ""
    return f", reduced to {'' if reduce.features else 'at most '}{plan.fitted.n_features} principal components"


def _text(facts: dict[str, str]) -> str:
    return "\n".join(f"{name + ':':16s}{value}" for name, value in facts.items())
