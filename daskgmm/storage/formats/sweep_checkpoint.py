"""A sweep as a checkpoint holds it: the states of its candidates, and notes of all else that changes on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ...core.selection.sweep import Candidate, Sweep, fold_name
from ...errors import DataError
from ...filesystem.retry import reason
from ..run.checkpoint import Checkpoint


class _Notes(BaseModel):
    """The fields of a sweep that are neither states nor told by the configuration."""

    model_config = ConfigDict(strict=True)

    held_out: dict[str, float]
    failures: dict[str, str]
    seconds: dict[str, float]
    iteration: int


def notes_of(sweep: Sweep) -> Mapping[str, Any]:
    """Return the part of a sweep's checkpoint that is not states."""
    return {name: getattr(sweep, name) for name in _Notes.model_fields}


def sweep_of(checkpoint: Checkpoint, candidates: Sequence[Candidate], n_folds: int) -> Sweep:
    """Return the sweep where a checkpoint has it; raise DataError where it is none of these candidates."""
    try:
        notes = _Notes.model_validate(dict(checkpoint.notes))
    except ValidationError as error:
        raise DataError(f"the checkpoint is that of no sweep ({reason(error)}): start over with --overwrite") from None
    needed = {
        name
        for one in candidates
        if one.name not in notes.failures
        for name in (one.name, *(fold_name(one, fold) for fold in range(n_folds)))
    }
    if not needed or needed != set(checkpoint.states):
        raise DataError(
            f"the checkpoint is of {len(checkpoint.states)} other models than the {len(needed)} of this sweep: "
            "start over with --overwrite"
        )
    data_summary = next(iter(checkpoint.states.values())).data_summary
    return Sweep(tuple(candidates), data_summary, checkpoint.states, n_folds, **vars(notes))
