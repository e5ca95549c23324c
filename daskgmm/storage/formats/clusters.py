"""clusters.json: the merge tree of a run's components, and which cluster each belongs to.

The format, version 2 (JSON):

    daskgmm_kind: "clusters"     daskgmm_format: 2    daskgmm_version: "0.1.0"
    model: "4f0c..."             fingerprint of the mixture whose components are merged
    n_clusters: 3                the number that was chosen
    clusters: [0, 1, 0, ...]     the number of the cluster of each component
    elbow: 3                     the number at which the entropies bend
    entropies: [0.0, ...]        of 1, 2, ..., n_components clusters, nats
    n_components: 5
    merges: [{"first": [2], "second": [3], "gain": 83.6}, ...]   in their order; gain: by how much the entropy falls
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from ...core.em.fitted_model import Model
from ...core.scoring.merging import Clusters, Merge, MergeTree
from ...errors import DaskGMMError, DataError
from ...filesystem.location import guard_write, read_file
from ...filesystem.retry import reason
from ...provenance import installed_version
from ..run.directory import CLUSTERS, CLUSTERS_FOLDER
from ..schema import FORMAT_VERSION, check_version
from .model import fingerprint


def write_clusters(clusters: Clusters, model: Model, path: Path) -> None:
    """Write the tree and the clusters of the components of a model."""
    tree = clusters.tree
    document = {
        "daskgmm_kind": "clusters",
        "daskgmm_format": FORMAT_VERSION,
        "daskgmm_version": installed_version("daskgmm"),
        "model": fingerprint(model),
        "n_clusters": clusters.n_clusters,
        "clusters": clusters.numbers,
        "elbow": tree.elbow,
        "entropies": tree.entropies.tolist(),
        **asdict(tree),
    }
    with guard_write(path):
        path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def find_clusters(run_dir: Path, model: Model) -> Clusters | None:
    """Return the clusters of a run's model, from its folder or from that of `daskgmm merge`; None if there are none.

    Raises DataError where the file is damaged.
    """
    for path in (run_dir / CLUSTERS, run_dir / CLUSTERS_FOLDER / CLUSTERS):
        if path.exists() and (found := read_clusters(path, model)) is not None:
            return found
    return None


def read_clusters(path: Path, model: Model) -> Clusters | None:
    """Return the clusters at `path`, None if they are of another model; raise DataError where it is damaged."""
    try:
        content = read_file(path)
        attributes = from_json(content, allow_inf_nan=False)
        check_version(attributes if isinstance(attributes, dict) else {}, path, "clusters")
        document = _Document.model_validate_json(content)
        if document.model != fingerprint(model):
            return None
        tree = MergeTree(document.n_components, document.merges)
        tree.check()
        tree.clusters(document.n_clusters)
    except DataError:
        raise
    except (OSError, ValidationError, ValueError, DaskGMMError) as error:
        raise DataError(f"{path} is damaged: {reason(error)}") from None
    return Clusters(tree, document.n_clusters)


class _Document(BaseModel):
    """What is read of the file; the rest follows from it."""

    model_config = ConfigDict(strict=True)

    model: str
    n_clusters: int
    n_components: int
    merges: tuple[Merge, ...]
