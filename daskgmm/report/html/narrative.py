"""A fit in plain language: what was found, and what to mind about it, each with a remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...core.mixture.covariance import DEFAULT_TYPES, STRUCTURES
from ...text import pluralize
from .report_data import ReportData

_STRONG, _ALIKE = 0.5, 0.8  # Bhattacharyya coefficients
_SURE_PROBABILITY = 0.9  # probability of the most probable component
_MIN_ROWS_PER_PARAMETER = 10  # per parameter
_SAME_END_NATS = 1e-3  # nats per row: restarts this close ended in the same place
_NARROW_FACTOR = 1.001  # times the least deviation that a component may have


def headline(data: ReportData) -> str:
    """Return the fit in half a line."""
    k = len(data.filled)
    if data.clusters is not None:
        return (
            f"{pluralize(data.clusters.n_clusters, 'cluster')} of {pluralize(k, 'component')} in {data.n_rows:,} rows"
        )
    return f"{pluralize(k, 'cluster')} in {data.n_rows:,} rows"


def summary(data: ReportData) -> list[str]:
    """Return the findings, in paragraphs."""
    found = " ".join([*_sizes(data), *_overlaps(data), *_certainty(data)])
    return [f"{_what(data)} {_course(data)}", *([found] if found else [])]


def _what(data: ReportData) -> str:
    mixture, beginning = data.mixture, data.record.beginning
    gaussians = "One Gaussian" if mixture.n_components == 1 else f"A mixture of {mixture.n_components} Gaussians"
    q = mixture.structure.layout.n_factors
    of_factors = f"with covariances of {pluralize(q, 'factor')} and noise ({mixture.covariance_type})"
    gaussians += f" {of_factors}" if q else f" of {mixture.covariance_type} covariance"
    if mixture.noise is not None:
        gaussians += f" and noise, which holds {_percent(mixture.noise.weight)} of the rows,"
    d, projection = data.model.n_features, data.model.projection
    features = "one feature" if d == 1 else f"{d} features"
    reduced = ""
    if projection is not None:
        n = pluralize(projection.n_features, "principal component")
        reduced = f", reduced to {n}, of which log-likelihood and criteria are"
    text = f"{gaussians} was fitted to {beginning.n_rows:,} rows of {features} ({beginning.description}){reduced}"
    if data.history:
        text += f", which went on from {data.n_rows - beginning.n_rows:,} rows before them"
    if beginning.n_left_out:
        text += f"; {beginning.n_left_out:,} other rows are left out by a mask or their weight"
    return text + "."


def _sizes(data: ReportData) -> Iterator[str]:
    weights = data.mixture.weights
    filled = data.filled
    if len(filled) < 2:
        return
    largest, *_, smallest = filled
    yield (
        f"The largest cluster, {largest}, holds {_percent(weights[largest])} of the rows, the smallest, {smallest}, "
        f"{_percent(weights[smallest])}."
    )
    if data.mixture.n_features > 1:
        names = [data.names[feature] for feature in data.separating[:2]]
        yield f"They differ most in {' and '.join(names)}."


def _overlaps(data: ReportData) -> Iterator[str]:
    pairs = find_overlaps(data, _STRONG)
    if pairs:
        named = [f"{one} and {other} ({value:.2f})" for one, other, value in pairs[:3]]
        more = f", and {len(pairs) - 3} more pairs" if len(pairs) > 3 else ""
        yield f"Overlapping strongly (1 would be the same Gaussian): {join_words(named)}{more}."
    elif len(data.compared) > 1:
        (one, other), distance = _closest(data)
        value = _small_share(float(np.exp(-distance)))
        yield f"No two overlap strongly: the closest are {one} and {other}, with an overlap of {value}."


def _closest(data: ReportData) -> tuple[tuple[int, int], float]:
    own = min(data.nearest, key=lambda one: data.nearest[one][1])
    other, distance = data.nearest[own]
    return (min(own, other), max(own, other)), distance


def find_overlaps(data: ReportData, least: float) -> list[tuple[int, int, float]]:
    """Return the pairs of components whose Bhattacharyya coefficient is at least this, the largest first."""
    if len(data.compared) < 2:
        return []
    pairs = np.argwhere(np.triu(data.overlap, k=1) >= least)
    values = data.overlap[tuple(pairs.T)]
    ranked = np.argsort(-values, kind="stable")
    return [(*(int(data.compared[at]) for at in pairs[i]), float(values[i])) for i in ranked]  # type: ignore[misc]


def share_of_sure(data: ReportData) -> float | None:
    """Return the share of the sampled rows whose component is certain; None without a sample or a choice."""
    if not len(data.rows) or len(data.mixture.all_weights) < 2:
        return None
    return float(data.row_weights[data.certainties >= _SURE_PROBABILITY].sum() / data.row_weights.sum())


def _certainty(data: ReportData) -> Iterator[str]:
    sure = share_of_sure(data)
    if sure is not None:
        seen = _rows_seen(data)
        yield f"{_percent(sure)} of {seen} belong to their cluster with a probability of {_SURE_PROBABILITY:g} or more."


def _rows_seen(data: ReportData) -> str:
    """Return which rows the report has looked at one by one."""
    n_seen, n_rows = len(data.rows), data.record.beginning.n_rows
    if n_seen < n_rows:
        return f"{n_seen:,} {data.sampled}"
    return "the new rows" if data.history else "the rows"


def _course(data: ReportData) -> str:
    summary, spans = data.model.summary, data.record.course.spans
    passes = f"{pluralize(summary.n_iter + 1, 'pass')} over {data.passed}"
    how = "EM converged" if summary.converged else "EM stopped before it converged,"
    time = f"; the whole job took {duration(sum(span.seconds for span in spans))}" if spans else ""
    return f"{how} after {passes}{time}."


def warnings(data: ReportData) -> list[tuple[str, str]]:
    """Return the warnings, each with its remedy."""
    found = (
        _unconverged,
        _empty,
        _alike,
        _narrow,
        _small,
        _few_rows,
        _unsure,
        _lonely_winner,
        _edge_of_sweep,
        _close_call,
    )
    return [one for find in found for one in find(data)]


def _unconverged(data: ReportData) -> Iterator[tuple[str, str]]:
    summary = data.model.summary
    if not summary.converged:
        what, _, remedy = summary.stop_reason.partition(": ")
        remedy = remedy or "fit again"
        yield f"The fit {what}.", f"{remedy[0].upper()}{remedy[1:]}."


def _empty(data: ReportData) -> Iterator[tuple[str, str]]:
    empty = data.mixture.empty
    if empty:
        yield (
            f"{len(empty)} of {data.mixture.n_components} components have no rows: {join_words(empty[:8])}"
            f"{' and others' if len(empty) > 8 else ''}.",
            "Decrease model.n_components: the data have fewer clusters, or fewer distinct rows.",
        )


def _alike(data: ReportData) -> Iterator[tuple[str, str]]:
    pairs = find_overlaps(data, _ALIKE)
    if pairs:
        named = join_words([f"{one} and {other}" for one, other, _ in pairs[:5]])
        more = f" and {len(pairs) - 5} more pairs" if len(pairs) > 5 else ""
        yield (
            f"Components {named}{more} nearly coincide: together they may describe one cluster of another shape.",
            "Take them as one cluster, or try a smaller model.n_components and compare BIC or ICL.",
        )


def _narrow(data: ReportData) -> Iterator[tuple[str, str]]:
    beginning = data.record.beginning
    varies = beginning.minimum < beginning.maximum
    least = np.array(beginning.least or np.zeros(data.mixture.n_features))
    narrow = (data.deviations <= _NARROW_FACTOR * least) & (data.mixture.weights > 0)[:, None]
    narrow &= varies & ~narrow.all(axis=0)  # where all are, the column tells them not apart
    if narrow.any():
        component, feature = (int(at) for at in np.argwhere(narrow)[0])
        more = f" ({int(narrow.sum()) - 1} more like it)" if narrow.sum() > 1 else ""
        yield (
            f"Component {component} is as narrow in {data.names[feature]} as it may be{more}: it sits on repeated "
            "values.",
            "That is a real group if the value means something; if it stands for missing or saturated values, leave it "
            "out with data.mask.",
        )


def _small(data: ReportData) -> Iterator[tuple[str, str]]:
    d, sizes = data.mixture.n_features, data.mixture.weights * data.n_rows
    small = np.sort(data.filled[sizes[data.filled] < d + 1])
    if len(small) and data.mixture.n_components > 1:
        yield (
            f"Too few rows for a covariance of {d} features, less than {d + 1}, are in "
            f"{'component' if len(small) == 1 else 'components'} "
            f"{join_words([str(one) for one in small[:8]])}{' and others' if len(small) > 8 else ''}.",
            f"Decrease model.n_components{_simpler(data, ', or ')}.",
        )


def _few_rows(data: ReportData) -> Iterator[tuple[str, str]]:
    rows, parameters = data.n_rows, data.mixture.n_parameters
    if rows < _MIN_ROWS_PER_PARAMETER * parameters:
        yield (
            f"{rows:,} rows are few for {parameters:,} parameters: part of what was found may be chance.",
            f"Choose fewer components or fewer features{_simpler(data, ', or ')}.",
        )


def _simpler(data: ReportData, joined: str) -> str:
    """Return the advice to choose covariances of fewer parameters than those of the fit, if there are any."""
    k, d = data.mixture.n_components, data.mixture.n_features
    own = data.mixture.n_parameters
    fewer = [name for name in DEFAULT_TYPES if k - 1 + k * d + STRUCTURES[name].n_parameters(k, d) < own]
    return f"{joined}covariance_type {join_choices(fewer)}" if fewer else ""


def join_choices(parts: Sequence[str]) -> str:
    """Return the parts as people list what they may choose from."""
    return " or ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])} or {parts[-1]}"


def _unsure(data: ReportData) -> Iterator[tuple[str, str]]:
    sure = share_of_sure(data)
    if sure is not None and sure < 0.5:
        yield (
            f"Only {_percent(sure)} of {_rows_seen(data)} belong to one component with a probability of "
            f"{_SURE_PROBABILITY:g} or more.",
            "Use probabilities (output.probabilities: true) instead of labels, or fewer components.",
        )


def _lonely_winner(data: ReportData) -> Iterator[tuple[str, str]]:
    """Warn of an optimum that one restart alone found, unless the finalists left it behind by moving components."""
    curves = data.record.beginning.curves
    ends, later = ([one.history[-1] for one in curves if one.stage == stage] for stage in ("restart", "finalist"))
    same = sum(max(ends) - end < _SAME_END_NATS for end in ends) if ends else 0
    if same == 1 and len(ends) > 1 and max(later, default=-np.inf) - max(ends) < _SAME_END_NATS:
        yield (
            f"Only one of {len(ends)} restarts found this optimum (the next is "
            f"{max(ends) - sorted(ends)[-2]:.2g} nats per row behind): there may be better ones.",
            "Raise fit.n_init, and fit.n_finalists so that several go on to all rows.",
        )


def _edge_of_sweep(data: ReportData) -> Iterator[tuple[str, str]]:
    tried = sorted({row.n_components for row in data.selection.rows}) if data.selection else []
    if len(tried) > 1 and data.mixture.n_components == tried[-1]:
        yield (
            f"The chosen number of components, {tried[-1]}, is the largest that was tried.",
            "Sweep further: more components may be better still.",
        )


def _close_call(data: ReportData) -> Iterator[tuple[str, str]]:
    table = data.selection
    if table is None or table.criterion != "bic":
        return
    close = [row.name for row in table.rows if row.evidence == "weak" and row.name != table.best]
    if close:
        yield (
            f"The data hardly tell {table.best} from {join_words(close[:5])}: the BIC differs by 2 at most.",
            "Take the one that serves you best, or compare them on more rows.",
        )


def join_words(parts: Sequence[object]) -> str:
    """Return the parts as people list them."""
    texts = [str(part) for part in parts]
    return ", ".join(texts[:-1]) + f" and {texts[-1]}" if len(texts) > 1 else "".join(texts)


def duration(seconds: float) -> str:
    """Return a time in words that fit its size."""
    if seconds < 120:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _small_share(value: float) -> str:
    return "less than 0.01" if value < 0.01 else f"{value:.2f}"


def _percent(share: float) -> str:
    percent = 100 * share
    return (
        "under 0.1 percent"
        if percent < 0.1
        else f"{percent:.0f} percent"
        if percent >= 9.5
        else f"{percent:.1f} percent"
    )
