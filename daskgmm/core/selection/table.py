"""What a sweep found: a row for each candidate, the choice, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..em.information_criteria import criteria
from ..em.loop import StopReason
from .criterion import CRITERIA, Criterion
from .sweep import (
    Candidate,
    Sweep,
    SweepOptions,
    best_candidate,
    collapsed_components,
    comparable,
    evidence_lower_bound,
    held_out_scores,
    standard_error,
    structure_name,
)

_EVIDENCE = ((2.0, "weak"), (6.0, "positive"), (10.0, "strong"), (np.inf, "very strong"))


@dataclass(frozen=True)
class Row:
    """What is known of one candidate; None where there is nothing."""

    name: str  # full-3
    covariance_type: str
    n_components: int
    n_parameters: int
    log_likelihood: float | None = None  # total, nats
    mean_log_likelihood: float | None = None  # nats per row
    aic: float | None = None
    aicc: float | None = None
    bic: float | None = None
    icl: float | None = None
    held_out: float | None = None  # mean log-likelihood of rows held out, nats per row
    held_out_error: float | None = None  # its standard error over the folds
    held_out_folds: tuple[float, ...] = ()  # of each fold that has rows
    criterion: float | None = None  # the value of the criterion that was asked for
    delta: float | None = None  # how much worse than the chosen one's, 0 or more; None where it is collapsed
    delta_bic: float | None = None  # above the smallest BIC of those that are not collapsed
    evidence: str | None = None  # against it, in words, by delta_bic (Raftery 1995)
    n_iter: int = 0  # M-steps; with held-out folds, the most that a fit of it took
    converged: bool = False
    stop_reason: str = ""
    seconds: float = 0.0  # its share of the passes over all rows
    collapsed: tuple[int, ...] = ()  # components of too few rows for their covariance: the criterion means little
    nested: str | None = None  # the smaller candidate whose log-likelihood this one takes over: it holds its mixture
    failed: bool = False  # stop_reason says why
    noise: bool | float = False  # whether it has a noise component, or its hypervolume if that was given
    evidence_lower_bound: float | None = None  # of a posterior, nats

    @property
    def structure(self) -> str:
        """What it has in common with candidates of other sizes: full, or full+noise."""
        return structure_name(self.covariance_type, self.noise)


@dataclass(frozen=True)
class Selection:
    """The table of a sweep, its choice and the elbows."""

    criterion: Criterion
    best: str  # name of the chosen candidate
    rows: tuple[Row, ...]  # in the order of the candidates: by structure, and within it by size
    elbow: Mapping[str, int | None]  # by structure: where the log-likelihood bends most; None for fewer than 3 sizes
    weight_sum: float  # of the rows; their number without row weights
    n_folds: int = 0

    @property
    def smaller_is_better(self) -> bool:
        return not CRITERIA[self.criterion].larger_is_better

    @property
    def chosen(self) -> Row:
        """The row of the chosen candidate."""
        return next(row for row in self.rows if row.name == self.best)


def selection(sweep: Sweep, options: SweepOptions) -> Selection | None:
    """Return the table of a sweep that has ended; None where every candidate failed."""
    best = best_candidate(sweep, options)
    if best is None:
        return None
    rows: list[Row] = []
    for one in sweep.candidates:
        rows.append(_never_below(_row(sweep, one, options), rows, sweep, options))
    judged = _judge_all(rows, best, options.criterion)
    elbows = {one.structure: _elbow(judged, one.structure) for one in rows}
    return Selection(options.criterion, best.name, tuple(judged), elbows, sweep.data_summary.weight_sum, sweep.n_folds)


def columns(table: Selection) -> dict[str, list[Any]]:
    """Return the table as columns by their names, one entry for each candidate."""
    return {one.name: [getattr(row, one.name) for row in table.rows] for one in fields(Row)}


def paired_error(one: Row, other: Row) -> float | None:
    """Return the standard error of the difference of two held-out log-likelihoods, nats per row.

    It is that of the differences on each fold: what a fold is like moves both. None without folds that both have.
    """
    folds = one.held_out_folds, other.held_out_folds
    if one.name == other.name or not folds[0] or len(folds[0]) != len(folds[1]):
        return None
    return standard_error(np.subtract(*folds))


def evidence(delta_bic: float) -> str:
    """Return in words what a difference in BIC says against the larger one (Raftery 1995, table 6)."""
    return next(words for bound, words in _EVIDENCE if delta_bic <= bound)


def elbow(sizes: Sequence[int], log_likelihoods: Sequence[float]) -> int | None:
    """Return the size at which the log-likelihood lies farthest above the line from the first to the last size.

    That is where it bends (Satopaa et al. 2011, Kneedle); None for fewer than three sizes, or a straight line.
    """
    x, y = np.asarray(sizes, float), np.asarray(log_likelihoods, float)
    if len(x) < 3 or y[-1] <= y[0]:
        return None
    above = (y - y[0]) / (y[-1] - y[0]) - (x - x[0]) / (x[-1] - x[0])
    return int(x[np.argmax(above)]) if above.max() > 1e-9 else None


def _row(sweep: Sweep, one: Candidate, options: SweepOptions) -> Row:
    d, seconds = sweep.data_summary.n_features, sweep.seconds.get(one.name, 0.0)
    size = one.n_components, one.n_parameters(d)
    row = Row(one.name, one.covariance_type, *size, seconds=seconds, noise=one.noise)
    if one.name in sweep.failures:
        return replace(row, failed=True, stop_reason=sweep.failures[one.name])
    trial = sweep.states[one.name].best
    assert trial.statistics is not None, "a sweep that has ended has judged all its trials"
    row = _with_likelihood(
        row, comparable(trial, sweep.data_summary), trial.statistics.entropy, sweep.data_summary.weight_sum
    )
    if sweep.n_folds:
        folds = held_out_scores(sweep, one)
        error = standard_error(folds)
        row = replace(row, held_out=float(folds.mean()), held_out_error=error, held_out_folds=tuple(folds.tolist()))
    if CRITERIA[options.criterion].of_posterior:
        row = replace(row, evidence_lower_bound=evidence_lower_bound(trial, sweep.data_summary))
    return replace(
        row,
        n_iter=max(sweep.states[name].best.n_iter for name in sweep.names(one)),
        converged=trial.stop is StopReason.CONVERGED,
        stop_reason=trial.stop.value if trial.stop else "",
        collapsed=collapsed_components(sweep, one, options),
    )


def _with_likelihood(row: Row, log_likelihood: float, entropy: float, weight_sum: float) -> Row:
    found = criteria(log_likelihood, entropy, row.n_parameters, weight_sum)
    return replace(row, log_likelihood=log_likelihood, mean_log_likelihood=log_likelihood / weight_sum, **vars(found))


def _never_below(row: Row, before: Sequence[Row], sweep: Sweep, options: SweepOptions) -> Row:
    """Return the row with at least the log-likelihood of the smaller candidates of its structure.

    A mixture with one of its components cut into two equal ones is one of the larger family with the same likelihood:
    that is the last start of each candidate, and where its own trials end below it (mostly those that left early),
    it is the best that is known of it. Cutting the lightest component adds log 2 for each of its rows to the entropy.
    """
    smaller = [
        one for one in before if one.structure == row.structure and one.log_likelihood is not None and not one.collapsed
    ]
    if row.log_likelihood is None or not smaller or options.em.inference.regularised:  # a prior counts parts
        return row
    best = max(smaller, key=lambda one: one.log_likelihood or -np.inf)
    if best.log_likelihood is None or best.log_likelihood <= row.log_likelihood:
        return row
    source = best.nested or best.name
    statistics = sweep.states[source].best.statistics
    assert statistics is not None, "as in _row"
    n_parts = _size(sweep, source)
    cut = float(statistics.counts[:n_parts].min()) * (row.n_components - n_parts)
    entropy = statistics.entropy + cut * float(np.log(2))
    row = _with_likelihood(row, best.log_likelihood, entropy, sweep.data_summary.weight_sum)
    return replace(row, nested=source)


def _size(sweep: Sweep, name: str) -> int:
    """Return the number of components of a candidate."""
    return sweep.states[name].best.mixture.n_components


def _judge_all(rows: Sequence[Row], best: Candidate, criterion: Criterion) -> list[Row]:
    values: dict[str, float | None] = {row.name: getattr(row, CRITERIA[criterion].column) for row in rows}
    chosen = values[best.name]
    assert chosen is not None, "the best candidate has a value"
    bics = [row.bic for row in rows if row.bic is not None and (not row.collapsed or row.name == best.name)]
    least = min(bics) if bics else None
    return [_judge(row, values[row.name], chosen, least) for row in rows]


def _judge(row: Row, value: float | None, best: float, least_bic: float | None) -> Row:
    row = replace(row, criterion=value)
    if value is None or row.bic is None or least_bic is None or (row.collapsed and value != best):
        return row
    delta = row.bic - least_bic
    return replace(row, delta=abs(value - best), delta_bic=delta, evidence=evidence(delta) if delta > 0 else None)


def _elbow(rows: Sequence[Row], structure: str) -> int | None:
    known = (row for row in rows if row.log_likelihood is not None and not row.collapsed)  # else it has no bound
    own = [row for row in known if row.structure == structure]
    return elbow([row.n_components for row in own], [row.log_likelihood or 0.0 for row in own])
