"""selection.json: the table of a sweep, beside the best model.

The format, version 1 (JSON; a value that there is not, or that is not finite, is null):

    daskgmm_kind: "selection"    daskgmm_format: 1    daskgmm_version: "0.1.0"
    criterion: "bic"             bic | aic | aicc | icl | heldout
    smaller_is_better: true      false for heldout alone
    best: "tied-3"               name of the chosen candidate
    weight_sum: 272.0            of the rows; their number without row weights
    n_folds: 0                   parts that were held out in turn; 0 for none
    elbow: {"full": 2, ...}      by structure: where the log-likelihood bends most over n_components, or null
    candidates: [...]            one object each, by structure and within it by size, with the fields of
                                 `core.selection_table.Row` in their order: name, covariance_type, n_components, ...
"""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

from ..core.selection_table import Row, Selection
from ..errors import DataError
from .places import writing
from .schema import FORMAT_VERSION, check_version


def write_selection(selection: Selection, path: Path) -> None:
    """Write the table."""
    document = {
        "daskgmm_kind": "selection",
        "daskgmm_format": FORMAT_VERSION,
        "daskgmm_version": version("daskgmm"),
        "criterion": selection.criterion,
        "smaller_is_better": selection.smaller_is_better,
        "best": selection.best,
        "weight_sum": selection.weight_sum,
        "n_folds": selection.n_folds,
        "elbow": dict(selection.elbow),
        "candidates": [asdict(row) for row in selection.rows],
    }
    with writing(path):
        path.write_text(json.dumps(_finite(document), indent=1, allow_nan=False) + "\n")


def read_selection(path: Path) -> Selection:
    """Return the table at `path`; raise DataError where it is none."""
    try:
        document = json.loads(path.read_text())
        check_version(document, path, "selection")
        rows = tuple(
            Row(**{**one, "collapsed": tuple(one["collapsed"]), "held_out_folds": tuple(one["held_out_folds"])})
            for one in document["candidates"]
        )
        return Selection(
            document["criterion"],
            document["best"],
            rows,
            document["elbow"],
            document["weight_sum"],
            document["n_folds"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not the table of a sweep: {error}") from None


def _finite(value: Any) -> Any:
    """Return the value with what is not finite as None, at every depth."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
