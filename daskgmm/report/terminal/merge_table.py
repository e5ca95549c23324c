"""The merge tree of a mixture's components as a table on a terminal."""

from __future__ import annotations

from rich.table import Table

from ...core.scoring.merging import Cluster, MergeTree

_MAX_MEMBERS = 8  # components of a cluster that are listed


def merge_table(tree: MergeTree, n_clusters: int) -> Table:
    """Return the entropy of each number of clusters, and the merge that led to it; the chosen number is marked."""
    table = Table("clusters", "entropy, nats", "merged")
    merges = (None, *tree.merges)
    for merge, number in zip(merges, range(tree.n_components, 0, -1), strict=True):
        mark = "* " if number == n_clusters else "  "
        merged = "" if merge is None else f"{_members(merge.first)} + {_members(merge.second)}"
        table.add_row(f"{mark}{number}", f"{tree.entropies[number - 1]:.6g}", merged)
    return table


def _members(cluster: Cluster) -> str:
    more = f" and {len(cluster) - _MAX_MEMBERS} more" if len(cluster) > _MAX_MEMBERS else ""
    return " ".join(map(str, cluster[:_MAX_MEMBERS])) + more
