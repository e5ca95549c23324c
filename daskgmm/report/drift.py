"""How a model went on with new rows, as lines of text, for terminal and page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..core.scoring.drift import Drift
from ..text import pluralize

_MAX_NAMED = 8  # components that are named


def drift_lines(drift: Drift) -> list[str]:
    """Describe the drift of new rows from those before them, in lines."""
    is_known = drift.standard_errors != 0 or drift.mean_log_density == 0
    errors = f"{abs(drift.standard_errors):.1f} standard errors" if is_known else "too few rows for a standard error"
    more = "more" if drift.mean_log_density >= 0 else "less"
    density = (
        f"new rows are {more} likely under the old model than the old rows, by {abs(drift.mean_log_density):.4g} "
        f"nats/row: {errors}"
    )
    return [density, *_weights(drift), *_noise(drift), *_name_emptied(drift), _advice(drift)]


def _weights(drift: Drift) -> Iterator[str]:
    moved = drift.weights_moved
    if not moved:
        return
    named = [f"{one}: {drift.weights_before[one]:.4f} to {drift.weights_after[one]:.4f}" for one in moved[:_MAX_NAMED]]
    more = f" and {len(moved) - _MAX_NAMED} more" if len(moved) > _MAX_NAMED else ""
    yield f"weights of {pluralize(len(moved), 'component')} moved by more than a tenth: {', '.join(named)}{more}"


def _noise(drift: Drift) -> Iterator[str]:
    if drift.noise_before is not None and drift.noise_after is not None:
        yield f"weight of the noise: {drift.noise_before:.4f} to {drift.noise_after:.4f}"


def _name_emptied(drift: Drift) -> Iterator[str]:
    if drift.emptied:
        yield f"components without rows: {', '.join(map(str, drift.emptied))}"


def _advice(drift: Drift) -> str:
    if drift.refit_advised:
        return "a refit is advised: the new rows are of another source, so fit all rows or give update.full_pass=true"
    return "no refit is advised: that is no clear drift"


def update_lines(updates: Iterable[tuple[str, int, Drift]]) -> list[str]:
    """Return the updates that a model has had, by the path and the number of their rows: what each found."""
    return [
        line
        for path, n_rows, drift in updates
        for line in (f"updated by {n_rows:,} rows of {path}:", *(f"  {one}" for one in drift_lines(drift)))
    ]
