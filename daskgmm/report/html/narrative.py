"""A fit in plain language: what was found, and what to mind about it, each with a remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...core.mixture.covariance import DEFAULT_TYPES, STRUCTURES
from ...text import pluralize
from .report_data import Story

_STRONG, _ALIKE = 0.5, 0.8  # Bhattacharyya coefficients
_SURE = 0.9  # probability of the most probable component
_FEW_ROWS = 10  # per parameter
_SAME_END = 1e-3  # nats per row: restarts this close ended in the same place
_NARROW = 1.001  # times the least deviation that a component may have


def headline(story: Story) -> str:
    """Return the fit in half a line."""
    k = len(story.filled)
    if story.clusters is not None:
        return (
            f"{pluralize(story.clusters.n_clusters, 'cluster')} of {pluralize(k, 'component')} in {story.n_rows:,} rows"
        )
    return f"{pluralize(k, 'cluster')} in {story.n_rows:,} rows"


def summary(story: Story) -> list[str]:
    """Return what was found, in paragraphs."""
    found = " ".join([*_sizes(story), *_overlaps(story), *_certainty(story)])
    return [f"{_what(story)} {_course(story)}", *([found] if found else [])]


def _what(story: Story) -> str:
    mixture, beginning = story.mixture, story.record.beginning
    gaussians = "One Gaussian" if mixture.n_components == 1 else f"A mixture of {mixture.n_components} Gaussians"
    q = mixture.structure.layout.n_factors
    of_factors = f"with covariances of {pluralize(q, 'factor')} and noise ({mixture.covariance_type})"
    gaussians += f" {of_factors}" if q else f" of {mixture.covariance_type} covariance"
    if mixture.noise is not None:
        gaussians += f" and noise, which holds {_percent(mixture.noise.weight)} of the rows,"
    d, projection = story.model.n_features, story.model.projection
    features = "one feature" if d == 1 else f"{d} features"
    reduced = ""
    if projection is not None:
        n = pluralize(projection.n_features, "principal component")
        reduced = f", reduced to {n}, of which log-likelihood and criteria are"
    text = f"{gaussians} was fitted to {beginning.n_rows:,} rows of {features} ({beginning.description}){reduced}"
    if story.history:
        text += f", which went on from {story.n_rows - beginning.n_rows:,} rows before them"
    if beginning.n_left_out:
        text += f"; {beginning.n_left_out:,} other rows are left out by a mask or their weight"
    return text + "."


def _sizes(story: Story) -> Iterator[str]:
    weights = story.mixture.weights
    filled = story.filled
    if len(filled) < 2:
        return
    largest, *_, smallest = filled
    yield (
        f"The largest cluster, {largest}, holds {_percent(weights[largest])} of the rows, the smallest, {smallest}, "
        f"{_percent(weights[smallest])}."
    )
    if story.mixture.n_features > 1:
        names = [story.names[feature] for feature in story.separating[:2]]
        yield f"They differ most in {' and '.join(names)}."


def _overlaps(story: Story) -> Iterator[str]:
    pairs = find_overlaps(story, _STRONG)
    if pairs:
        named = [f"{one} and {other} ({value:.2f})" for one, other, value in pairs[:3]]
        more = f", and {len(pairs) - 3} more pairs" if len(pairs) > 3 else ""
        yield f"Overlapping strongly (1 would be the same Gaussian): {join_words(named)}{more}."
    elif len(story.compared) > 1:
        (one, other), distance = _closest(story)
        value = _small_share(float(np.exp(-distance)))
        yield f"No two overlap strongly: the closest are {one} and {other}, with an overlap of {value}."


def _closest(story: Story) -> tuple[tuple[int, int], float]:
    own = min(story.nearest, key=lambda one: story.nearest[one][1])
    other, distance = story.nearest[own]
    return (min(own, other), max(own, other)), distance


def find_overlaps(story: Story, least: float) -> list[tuple[int, int, float]]:
    """Return the pairs of components whose Bhattacharyya coefficient is at least this, the largest first."""
    if len(story.compared) < 2:
        return []
    pairs = np.argwhere(np.triu(story.overlap, k=1) >= least)
    values = story.overlap[tuple(pairs.T)]
    ranked = np.argsort(-values, kind="stable")
    return [(*(int(story.compared[at]) for at in pairs[i]), float(values[i])) for i in ranked]  # type: ignore[misc]


def share_of_sure(story: Story) -> float | None:
    """Return the share of the sampled rows whose component is certain; None without a sample or a choice."""
    if not len(story.rows) or len(story.mixture.all_weights) < 2:
        return None
    return float(story.row_weights[story.certainties >= _SURE].sum() / story.row_weights.sum())


def _certainty(story: Story) -> Iterator[str]:
    sure = share_of_sure(story)
    if sure is not None:
        seen = _rows_seen(story)
        yield f"{_percent(sure)} of {seen} belong to their cluster with a probability of {_SURE:g} or more."


def _rows_seen(story: Story) -> str:
    """Return which rows the report has looked at one by one."""
    n_seen, n_rows = len(story.rows), story.record.beginning.n_rows
    if n_seen < n_rows:
        return f"{n_seen:,} {story.sampled}"
    return "the new rows" if story.history else "the rows"


def _course(story: Story) -> str:
    summary, spans = story.model.summary, story.record.course.spans
    passes = f"{pluralize(summary.n_iter + 1, 'pass')} over all rows"
    how = "EM converged" if summary.converged else "EM stopped before it converged,"
    time = f"; the whole job took {duration(sum(span.seconds for span in spans))}" if spans else ""
    return f"{how} after {passes}{time}."


def warnings(story: Story) -> list[tuple[str, str]]:
    """Return what to mind, and the remedy."""
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
    return [one for find in found for one in find(story)]


def _unconverged(story: Story) -> Iterator[tuple[str, str]]:
    summary = story.model.summary
    if not summary.converged:
        what, _, remedy = summary.stop_reason.partition(": ")
        remedy = remedy or "fit again"
        yield f"The fit {what}.", f"{remedy[0].upper()}{remedy[1:]}."


def _empty(story: Story) -> Iterator[tuple[str, str]]:
    empty = story.mixture.empty
    if empty:
        yield (
            f"{len(empty)} of {story.mixture.n_components} components have no rows: {join_words(empty[:8])}"
            f"{' and others' if len(empty) > 8 else ''}.",
            "Decrease model.n_components: the data have fewer clusters, or fewer distinct rows.",
        )


def _alike(story: Story) -> Iterator[tuple[str, str]]:
    pairs = find_overlaps(story, _ALIKE)
    if pairs:
        named = join_words([f"{one} and {other}" for one, other, _ in pairs[:5]])
        more = f" and {len(pairs) - 5} more pairs" if len(pairs) > 5 else ""
        yield (
            f"Components {named}{more} nearly coincide: together they may describe one cluster of another shape.",
            "Take them as one cluster, or try a smaller model.n_components and compare BIC or ICL.",
        )


def _narrow(story: Story) -> Iterator[tuple[str, str]]:
    beginning = story.record.beginning
    varies = beginning.minimum < beginning.maximum
    least = np.array(beginning.least or np.zeros(story.mixture.n_features))
    narrow = (story.deviations <= _NARROW * least) & (story.mixture.weights > 0)[:, None]
    narrow &= varies & ~narrow.all(axis=0)  # where all are, the column tells them not apart
    if narrow.any():
        component, feature = (int(at) for at in np.argwhere(narrow)[0])
        more = f" ({int(narrow.sum()) - 1} more like it)" if narrow.sum() > 1 else ""
        yield (
            f"Component {component} is as narrow in {story.names[feature]} as it may be{more}: it sits on repeated "
            "values.",
            "That is a real group if the value means something; if it stands for missing or saturated values, leave it "
            "out with data.mask.",
        )


def _small(story: Story) -> Iterator[tuple[str, str]]:
    d, sizes = story.mixture.n_features, story.mixture.weights * story.record.beginning.n_rows
    small = np.sort(story.filled[sizes[story.filled] < d + 1])
    if len(small) and story.mixture.n_components > 1:
        yield (
            f"Too few rows for a covariance of {d} features, less than {d + 1}, are in "
            f"{'component' if len(small) == 1 else 'components'} "
            f"{join_words([str(one) for one in small[:8]])}{' and others' if len(small) > 8 else ''}.",
            f"Decrease model.n_components{_simpler(story, ', or ')}.",
        )


def _few_rows(story: Story) -> Iterator[tuple[str, str]]:
    rows, parameters = story.record.beginning.n_rows, story.mixture.n_parameters
    if rows < _FEW_ROWS * parameters:
        yield (
            f"{rows:,} rows are few for {parameters:,} parameters: part of what was found may be chance.",
            f"Choose fewer components or fewer features{_simpler(story, ', or ')}.",
        )


def _simpler(story: Story, joined: str) -> str:
    """Return the advice to choose covariances of fewer parameters than those of the fit, if there are any."""
    k, d = story.mixture.n_components, story.mixture.n_features
    own = story.mixture.n_parameters
    fewer = [name for name in DEFAULT_TYPES if k - 1 + k * d + STRUCTURES[name].n_parameters(k, d) < own]
    return f"{joined}covariance_type {join_choices(fewer)}" if fewer else ""


def join_choices(parts: Sequence[str]) -> str:
    """Return the parts as people list what they may choose from."""
    return " or ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])} or {parts[-1]}"


def _unsure(story: Story) -> Iterator[tuple[str, str]]:
    sure = share_of_sure(story)
    if sure is not None and sure < 0.5:
        yield (
            f"Only {_percent(sure)} of {_rows_seen(story)} belong to one component with a probability of {_SURE:g} or "
            "more.",
            "Use probabilities (output.probabilities: true) instead of labels, or fewer components.",
        )


def _lonely_winner(story: Story) -> Iterator[tuple[str, str]]:
    """Warn of an optimum that one restart alone found, unless the finalists left it behind by moving components."""
    curves = story.record.beginning.curves
    ends, later = ([one.history[-1] for one in curves if one.stage == stage] for stage in ("restart", "finalist"))
    same = sum(max(ends) - end < _SAME_END for end in ends) if ends else 0
    if same == 1 and len(ends) > 1 and max(later, default=-np.inf) - max(ends) < _SAME_END:
        yield (
            f"Only one of {len(ends)} restarts found this optimum (the next is "
            f"{max(ends) - sorted(ends)[-2]:.2g} nats per row behind): there may be better ones.",
            "Raise fit.n_init, and fit.n_finalists so that several go on to all rows.",
        )


def _edge_of_sweep(story: Story) -> Iterator[tuple[str, str]]:
    tried = sorted({row.n_components for row in story.selection.rows}) if story.selection else []
    if len(tried) > 1 and story.mixture.n_components == tried[-1]:
        yield (
            f"The chosen number of components, {tried[-1]}, is the largest that was tried.",
            "Sweep further: more components may be better still.",
        )


def _close_call(story: Story) -> Iterator[tuple[str, str]]:
    table = story.selection
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
