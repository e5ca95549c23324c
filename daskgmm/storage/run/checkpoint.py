"""Checkpoints: the state of the EM loop, in files that hold it bit for bit. JSON and plain arrays; no code.

daskgmm checkpoint SHA-256 of all that follows this line
{the header: JSON in one line, with the place of each array}
the arrays, one after the other: float64, little endian
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...core.em.anderson import Step
from ...core.em.loop import State, StopReason, Trial
from ...core.mixture.data_summary import DataSummary
from ...core.mixture.mixture import Mixture, check_parts
from ...core.mixture.noise import Noise
from ...core.mixture.projection import Projection
from ...core.mixture.statistics import Statistics
from ...errors import DataError
from ...events import Listener, Notice, ignore
from ...filesystem.checksums import seal, unseal
from ...filesystem.location import guard_write, make_directory, read_file, remove, write_durably
from ...filesystem.retry import reason, retry
from ...provenance import installed_version
from ..schema import (
    CHECKPOINT_HISTORY,
    CHECKPOINT_SUMMARY,
    CHECKPOINT_SUMS,
    FORMAT_VERSION,
    MODEL_MEANS,
    MODEL_WEIGHTS,
    PROJECTION,
    ArraySpec,
    check_version,
    covariances_spec,
)

CHECKPOINTS = "checkpoint"  # the folder of them, among what is unfinished
_N_KEPT = 2
_NAME = re.compile(r"\d{8}\.checkpoint")
_KIND = "checkpoint"
_DTYPE = "<f8"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a job."""

    states: Mapping[str, State]  # by name: a fit has one, a sweep one for each of its models
    metrics: tuple[str, ...] = ()  # the lines of metrics.jsonl so far
    notes: Mapping[str, Any] = field(default_factory=dict)  # what else the job continues with: values that JSON has
    projection: Projection | None = None  # of the rows that the states are of

    @property
    def iteration(self) -> int:
        """Passes made, as the notes say, else those of the state that is furthest."""
        furthest = max((state.iteration for state in self.states.values()), default=0)
        return int(self.notes.get("iteration", furthest))


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the checkpoint next to the one before it, whole or not at all; return its path. Raise as `guard_write`."""
    with guard_write(folder):
        make_directory(folder)
        before = _names(folder)
        path = folder / f"{int(before[-1][:8]) + 1 if before else 1:08d}.checkpoint"
        data = to_bytes(checkpoint)
        retry(lambda: write_durably(path, data))
        kept = {*before[1 - _N_KEPT :], path.name}
        for one in list(folder.iterdir()):
            if one.name not in kept:  # older ones, and what a process that was killed had begun
                remove(one)
    return path


def load_checkpoint(folder: Path, listen: Listener = ignore) -> Checkpoint | None:
    """Return the newest checkpoint that is whole, None where there is none; tell of those that are damaged."""
    names = _names(folder)
    for name in reversed(names):
        try:
            return from_bytes(_read(folder / name), folder / name)
        except DataError as error:
            listen(Notice(f"{error}; " + ("there is no other" if name == names[0] else "the one before it is taken")))
    return None


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the content of the checkpoint's file."""
    arrays = _Arrays()
    header = {
        "daskgmm_kind": _KIND,
        "daskgmm_format": FORMAT_VERSION,
        "daskgmm_version": installed_version("daskgmm"),
        "metrics": list(checkpoint.metrics),
        "notes": dict(checkpoint.notes),
        "states": {name: _describe_state(state, arrays) for name, state in checkpoint.states.items()},
    }
    if checkpoint.projection is not None:
        header["projection"] = {spec.name: arrays.add(getattr(checkpoint.projection, spec.name)) for spec in PROJECTION}
    content = json.dumps(header).encode() + b"\n" + b"".join(arrays.parts)
    return seal(_KIND, content)


def from_bytes(data: bytes, path: Path) -> Checkpoint:
    """Return the checkpoint in a file's content; raise DataError, naming the file, where it is damaged or none."""
    content = unseal(_KIND, data, path)
    try:
        text, _, arrays = content.partition(b"\n")
        header = json.loads(text)
        check_version(header, path, _KIND)
        data_summaries: dict[str, DataSummary] = {}
        states = {str(name): _state(one, arrays, data_summaries) for name, one in header["states"].items()}
        notes = {str(name): one for name, one in header["notes"].items()}
        projection = _projection(header["projection"], arrays) if "projection" in header else None
        return Checkpoint(states, tuple(str(line) for line in header["metrics"]), notes, projection)
    except DataError:
        raise
    except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def _names(folder: Path) -> list[str]:
    names = [one.name for one in folder.iterdir()] if folder.exists() else []
    return sorted(name for name in names if _NAME.fullmatch(name))


def _read(path: Path) -> bytes:
    try:
        return retry(lambda: read_file(path))
    except Exception as error:  # stores raise errors of many classes
        raise DataError(f"{path} cannot be read: {reason(error)}") from None


class _Arrays:
    """The arrays of a checkpoint while it is put together; one that several states share is there once."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self._places: dict[int, tuple[NDArray[np.float64], dict[str, Any]]] = {}  # by id, which is the array's as held

    def add(self, values: NDArray[np.float64]) -> dict[str, Any]:
        """Take an array; return its place, shape and order, which decides how products of it round."""
        if id(values) in self._places:
            return self._places[id(values)][1]
        order: Literal["C", "F"] = "F" if values.flags.f_contiguous and not values.flags.c_contiguous else "C"
        self.parts.append(values.astype(_DTYPE, copy=False).tobytes(order))
        at, self.size = self.size, self.size + len(self.parts[-1])
        place = {"at": at, "shape": list(values.shape), "order": order}
        self._places[id(values)] = values, place
        return place


def _describe_state(state: State, arrays: _Arrays) -> dict[str, Any]:
    data_summary: dict[str, Any] = {
        spec.name: arrays.add(getattr(state.data_summary, spec.name)) for spec in CHECKPOINT_SUMMARY
    }
    scalars = {name: _plain(getattr(state.data_summary, name)) for name in _summary_scalars()}
    return {
        "iteration": int(state.iteration),
        "survey": data_summary | scalars,
        "trials": [_describe_trial(trial, arrays) for trial in state.trials],
    }


def _describe_trial(trial: Trial, arrays: _Arrays) -> dict[str, Any]:
    statistics = trial.statistics
    return {
        **_describe_mixture(trial.mixture, arrays),
        **{name: _plain(getattr(trial, name)) for name in _TRIAL_SCALARS},
        "steps": [_describe_step(step, arrays) for step in trial.steps],
        "history": arrays.add(np.array(trial.history, np.float64)),
        "proposal": trial.proposal and _describe_mixture(trial.proposal, arrays),
        "stop": trial.stop.name if trial.stop else None,
        "statistics": statistics
        and {
            "sums": arrays.add(statistics.sums),
            **{name: _plain(getattr(statistics, name)) for name in _STATISTICS_SCALARS},
        },
    }


def _describe_step(step: Step, arrays: _Arrays) -> dict[str, Any]:
    mixture, image = _describe_mixture(step.mixture, arrays), _describe_mixture(step.image, arrays)
    return {"mixture": mixture, "image": image, "suggested": step.suggested}


def _describe_mixture(mixture: Mixture, arrays: _Arrays) -> dict[str, Any]:
    specs = _mixture_specs(mixture.covariance_type)
    return {
        "covariance_type": mixture.covariance_type,
        **{spec.name: arrays.add(getattr(mixture, spec.name)) for spec in specs},
        **({"noise": asdict(mixture.noise)} if mixture.noise else {}),
        **({"frozen": list(mixture.frozen)} if mixture.frozen else {}),
    }


_TRIAL_SCALARS = ("extrapolated", "came_back", "n_rejected", "overfit", "n_before", "verified", "n_unsound")
_STATISTICS_SCALARS = ("log_likelihood", "entropy", "weight_sum", "centred")


def _summary_scalars() -> Iterator[str]:
    arrays = {spec.name for spec in CHECKPOINT_SUMMARY}
    return (one.name for one in fields(DataSummary) if one.name not in arrays)


def _mixture_specs(covariance_type: str) -> tuple[ArraySpec, ...]:
    return MODEL_WEIGHTS, MODEL_MEANS, covariances_spec(covariance_type)


def _plain(value: Any) -> Any:
    """Return a number, or a pair of them, as Python's own, which JSON holds to the last bit."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class _Stored:
    """The arrays of one state, read with dimensions that agree with each other."""

    data: bytes
    sizes: dict[str, int]  # of the dimensions that were met

    def __getitem__(self, spec_and_entry: tuple[ArraySpec, Mapping[str, Any]]) -> NDArray[np.float64]:
        spec, entry = spec_and_entry
        shape, at, order = tuple(entry["shape"]), entry["at"], entry["order"]
        if len(shape) != len(spec.dims) or not all(type(size) is int and size >= 0 for size in (*shape, at)):
            raise ValueError(f"{spec.name} has the shape {shape} at {at}")
        for dim, size in zip(spec.dims, shape, strict=True):
            if dim != "pass" and self.sizes.setdefault(dim.removesuffix("_2"), size) != size:
                raise ValueError(f"{spec.name} has the shape {shape}, which other arrays contradict")
        part = self.data[at : at + prod(shape) * 8]
        return np.frombuffer(part, _DTYPE).astype(np.float64).reshape(shape, order=order)


def _state(entry: Mapping[str, Any], data: bytes, data_summaries: dict[str, DataSummary]) -> State:
    """Return a state; `data_summaries` holds those already read, by their text: all states of a sweep share one."""
    text = json.dumps(entry["survey"])
    data_summary = data_summaries.get(text) or data_summaries.setdefault(text, _data_summary(entry["survey"], data))
    trials = tuple(_trial(one, _Stored(data, {"feature": data_summary.n_features})) for one in entry["trials"])
    return State(data_summary, trials, int(entry["iteration"]))


def _data_summary(entry: Mapping[str, Any], data: bytes) -> DataSummary:
    arrays = _Stored(data, {})
    scalars = {name: _tuple(entry[name]) for name in _summary_scalars() if name in entry}
    values: dict[str, Any] = {spec.name: arrays[spec, entry[spec.name]] for spec in CHECKPOINT_SUMMARY}
    return DataSummary(**scalars, **values)


def _trial(entry: Mapping[str, Any], arrays: _Stored) -> Trial:
    statistics = entry["statistics"]
    steps = (
        Step(_mixture(one["mixture"], arrays), _mixture(one["image"], arrays), bool(one["suggested"]))
        for one in entry["steps"]
    )
    mixture = _mixture(entry, arrays)
    if statistics and statistics["sums"]["shape"][0] != len(mixture.all_weights):
        raise ValueError(f"sums of {statistics['sums']['shape'][0]} components, of {len(mixture.all_weights)}")
    return Trial(
        mixture,
        tuple(arrays[CHECKPOINT_HISTORY, entry["history"]].tolist()),
        statistics and _statistics(statistics, arrays),
        StopReason[entry["stop"]] if entry["stop"] is not None else None,
        tuple(steps),
        entry["proposal"] and _mixture(entry["proposal"], arrays),
        bool(entry["extrapolated"]),
        bool(entry["came_back"]),
        int(entry["n_rejected"]),
        float(entry["overfit"]),
        int(entry["n_before"]),
        bool(entry["verified"]),
        int(entry["n_unsound"]),
    )


def _mixture(entry: Mapping[str, Any], arrays: _Stored) -> Mixture:
    kind = str(entry["covariance_type"])
    weights, means, covariances = (arrays[spec, entry[spec.name]] for spec in _mixture_specs(kind))
    mixture = Mixture(kind, weights, means, covariances, _noise(entry.get("noise")), tuple(entry.get("frozen", ())))
    check_parts(mixture)
    return mixture


def _noise(entry: Mapping[str, Any] | None) -> Noise | None:
    if entry is None:
        return None
    box = entry["box"] and tuple(tuple(map(float, corner)) for corner in entry["box"])
    return Noise(float(entry["weight"]), float(entry["log_volume"]), box)


def _projection(entry: Mapping[str, Any], data: bytes) -> Projection:
    arrays = _Stored(data, {})
    return Projection(**{spec.name: arrays[spec, entry[spec.name]] for spec in PROJECTION})


def _statistics(entry: Mapping[str, Any], arrays: _Stored) -> Statistics:
    log_likelihood, entropy, weight_sum = (float(entry[name]) for name in _STATISTICS_SCALARS[:3])
    sums = arrays[CHECKPOINT_SUMS, entry["sums"]]
    return Statistics(sums, log_likelihood, entropy, weight_sum, bool(entry["centred"]))


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
