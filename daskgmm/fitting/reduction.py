"""The projection front of a fit: principal components are found in one read, and rows are fitted in their place."""

from __future__ import annotations

from dataclasses import dataclass

from ..chunked.memory import Persist, fits
from ..chunked.projection import find_projection, project_rows
from ..chunked.rows import Rows
from ..core.mixture.projection import Projection
from ..core.options.reduce import REDUCE_AND_MISSING, Reduce
from ..errors import ConfigurationError
from ..events import Listener, Phase
from ..text import pluralize


@dataclass(frozen=True, eq=False)
class Reduced:
    """Rows as they are fitted and scored, and the projection that they are in."""

    rows: Rows
    projection: Projection | None

    @property
    def n_columns(self) -> int:
        """The number of features of the rows as they are stored."""
        return self.rows.n_features if self.projection is None else self.projection.n_columns


def reduce_rows(
    rows: Rows, reduce: Reduce | None, seed: int, persist: Persist, listen: Listener, before: Projection | None = None
) -> Reduced:
    """Return rows as they are: or on principal components, which are found in one read unless `before` has them.

    Projected rows are kept in memory if they fit, else projected again at each pass.
    """
    if rows.missing and (reduce or before):
        raise ConfigurationError(REDUCE_AND_MISSING)
    if before is None:
        if reduce is None:
            return Reduced(rows, None)
        listen(Phase("reduce", f"principal components of {pluralize(rows.n_features, 'column')}"))
        before, rows = find_projection(rows, reduce, seed)
    return Reduced(in_projection(rows, before, persist), before)


def in_projection(rows: Rows, projection: Projection, persist: Persist) -> Rows:
    """Return rows in the coordinates of a projection, kept in memory if they fit."""
    projected = project_rows(rows, projection)
    return projected.persist() if fits(projected, persist) else projected
