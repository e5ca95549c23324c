"""selection.json: the table of a sweep, next to the best model.

The format, version 2 (JSON; a value that there is not, or that is not finite, is null):

    daskgmm_kind: "selection"    daskgmm_format: 2    daskgmm_version: "0.1.0"
    criterion: "bic"             bic | aic | aicc | icl | heldout | evidence
    smaller_is_better: true      false for heldout and evidence
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
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from ...core.selection.criterion import Criterion
from ...core.selection.table import Row, Selection
from ...errors import DataError
from ...filesystem.location import guard_write, read_file
from ...filesystem.retry import reason
from ...provenance import installed_version
from ..schema import FORMAT_VERSION, check_version


def write_selection(selection: Selection, path: Path) -> None:
    """Write the table."""
    document = {
        "daskgmm_kind": "selection",
        "daskgmm_format": FORMAT_VERSION,
        "daskgmm_version": installed_version("daskgmm"),
        "criterion": selection.criterion,
        "smaller_is_better": selection.smaller_is_better,
        "best": selection.best,
        "weight_sum": selection.weight_sum,
        "n_folds": selection.n_folds,
        "elbow": dict(selection.elbow),
        "candidates": [asdict(row) for row in selection.rows],
    }
    with guard_write(path):
        path.write_text(json.dumps(_finite(document), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_selection(path: Path) -> Selection:
    """Return the table at `path`; raise DataError, naming the file, where it is missing, damaged or none."""
    try:
        content = read_file(path)
        attributes = from_json(content, allow_inf_nan=False)
        check_version(attributes if isinstance(attributes, dict) else {}, path, "selection")
        table = _Document.model_validate_json(content)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not the table of a sweep, or is damaged: {reason(error)}") from None
    names = [row.name for row in table.candidates]
    if table.best not in names or len(set(names)) < len(names):
        raise DataError(f"{path} is damaged: its best, {table.best!r:.100}, is not one of {len(names)} candidates")
    return Selection(table.criterion, table.best, table.candidates, table.elbow, table.weight_sum, table.n_folds)


class _Document(BaseModel):
    """The format, as far as a table is read from it."""

    model_config = ConfigDict(strict=True)

    criterion: Criterion
    best: str
    weight_sum: float
    n_folds: int
    elbow: dict[str, int | None]
    candidates: tuple[Row, ...]


def _finite(value: Any) -> Any:
    """Return the value with what is not finite as None, at every depth."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
