"""The figure of the merge tree: how the entropy falls as components are merged to clusters."""

from __future__ import annotations

import numpy as np

from .report_data import ReportData
from .svg import ACCENT, FAINT, INK, Drawing, figure, to_svg

_MAX_CLUSTERS = 12  # clusters that the caption lists
_MAX_MEMBERS = 12  # components of each


def draw_merging(data: ReportData) -> Drawing | None:
    """Return the entropy of each number of clusters, with the chosen one; None where nothing was merged."""
    if data.clusters is None or data.mixture.n_components < 2:
        return None
    tree, n_clusters = data.clusters.tree, data.clusters.n_clusters
    drawn, axes = figure(400, 290)
    numbers = np.arange(1, tree.n_components + 1)
    axes.plot(numbers, tree.entropies, color=ACCENT, linewidth=1.6, marker="o", markersize=4)
    axes.plot(n_clusters, tree.entropies[n_clusters - 1], "o", color=ACCENT, markersize=9)
    if n_clusters == tree.elbow and n_clusters > 1:
        for part in (slice(0, n_clusters), slice(n_clusters - 1, None)):
            if len(numbers[part]) > 1:
                line = np.polynomial.Polynomial.fit(numbers[part], tree.entropies[part], 1)
                axes.plot(numbers[part], line(numbers[part]), color=FAINT, linewidth=1.0, linestyle="--")
    axes.annotate(
        str(n_clusters),
        (n_clusters, tree.entropies[n_clusters - 1]),
        xytext=(0, 10),
        textcoords="offset points",
        ha="center",
        color=INK,
    )
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("number of clusters")
    axes.set_ylabel("entropy, nats")
    title = "Clusters of components"
    text = f"Components are merged pair by pair, each time the pair that lowers the entropy most. {_members(data)}"
    return Drawing(title, to_svg(drawn, "merging", title, text), text)


def _members(data: ReportData) -> str:
    """Return the components of each cluster in words."""
    assert data.clusters is not None
    partition = data.clusters.tree.partition(data.clusters.n_clusters)
    listed = "; ".join(f"{number}: {_few(own)}" for number, own in enumerate(partition[:_MAX_CLUSTERS]))
    more = f"; and {len(partition) - _MAX_CLUSTERS} more" if len(partition) > _MAX_CLUSTERS else ""
    how = "where the entropy bends" if data.clusters.n_clusters == data.clusters.tree.elbow else "as asked for"
    return f"The clusters, {len(partition)} {how}, by their components: {listed}{more}."


def _few(members: tuple[int, ...]) -> str:
    more = f" and {len(members) - _MAX_MEMBERS} more" if len(members) > _MAX_MEMBERS else ""
    return " ".join(map(str, members[:_MAX_MEMBERS])) + more
