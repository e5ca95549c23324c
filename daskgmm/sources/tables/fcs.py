"""FCS files of flow cytometry: events as rows, channels as columns, decoded whole by FlowIO."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError, DataError
from .files import StoredFile, guard_open, guard_read

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".fcs",)
_PIECE_ROWS = 131_072
_MATRICES = {"spill", "spillover", "comp"}  # keywords of compensation, which is a choice of the analyst


@dataclass(frozen=True)
class FcsPart:
    """An FCS file; `pieces` are rows of its chunks, each process decodes it once."""

    file: StoredFile
    pieces: tuple[int, ...]
    notice: str | None = None

    def batches(self, start: int, stop: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the events [start:stop) of the channels that a schema names, on a linear scale."""
        import pyarrow as pa

        with _ONE_AT_A_TIME, guard_read(self.file.name):
            names, values = _events(self.file)
        if len(values) != sum(self.pieces):
            raise DataError(f"{self.file.name} has changed since it was opened: start over")
        columns = [np.ascontiguousarray(values[start:stop, names.index(name)]) for name in schema.names]
        yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names=schema.names)


def open_fcs(files: Sequence[StoredFile]) -> list[tuple[FcsPart, pa.Schema]]:
    """Return parts with their channels; raise DataError for a file that is damaged, no FCS, or of several data sets."""
    _require_flowio(files[0].name)
    return [_open_part(file) for file in files]


def _open_part(file: StoredFile) -> tuple[FcsPart, pa.Schema]:
    import pyarrow as pa

    with guard_open(file.name, "FCS"):
        data = _flow_data(file, only_text=True)
        _check_text(data.text)
    full, rest = divmod(data.event_count, _PIECE_ROWS)
    pieces = (*[_PIECE_ROWS] * full, *[rest] * (rest > 0))
    matrices = sorted(_MATRICES & {key.lstrip("$") for key in data.text})
    notice = f"{file.name}: {', '.join(matrices)} is in it, and is not applied: compensate before" if matrices else None
    return FcsPart(file, pieces, notice), pa.schema([(name, pa.float64()) for name in data.pnn_labels])


def _check_text(text: Mapping[str, str]) -> None:
    """Raise ValueError for data that FlowIO would take for others: histograms, mixed types, bytes in another order."""
    types = {value.upper() for key, value in text.items() if re.fullmatch(r"datatype|p\d+datatype", key)}
    read = {"mode": {"L"}, "byteord": {"1,2,3,4", "4,3,2,1", "1,2", "2,1"}}
    unknown = {key: text.get(key, "") for key, known in read.items() if text.get(key, "").strip().upper() not in known}
    if len(types) != 1 or not types <= {"I", "F", "D"}:
        unknown["datatype"] = ", ".join(sorted(types))
    if unknown:
        listed = ", ".join(f"${key.upper()} {value!r}" for key, value in unknown.items())
        raise ValueError(f"its data are of a kind that is not read: {listed}")


_ONE_AT_A_TIME = Lock()  # or each thread would decode the file


@lru_cache(maxsize=2)
def _events(file: StoredFile) -> tuple[list[str], NDArray[np.float64]]:
    """Return the names of the channels, and the events (n, channels) with gain, logarithm and time step taken off."""
    data = _flow_data(file, only_text=False)
    values: NDArray[np.float64] = data.as_array(preprocess=True)
    return list(data.pnn_labels), values


def _require_flowio(path: str) -> None:
    try:
        import flowio  # noqa: F401
    except ModuleNotFoundError:
        raise ConfigurationError(f"{path} needs the package flowio: pip install 'daskgmm[fcs]'") from None


def _flow_data(file: StoredFile, *, only_text: bool) -> Any:
    from flowio import FlowData, exceptions

    if file.read(0, min(3, file.size)) != b"FCS":
        raise DataError(f"{file.name} is no FCS file, as it begins otherwise")
    try:
        with file.system.open(file.path, "rb") as stream:
            return FlowData(stream, only_text=only_text)
    except exceptions.MultipleDataSetsError:
        raise DataError(f"{file.name} holds several data sets: store each in a file of its own") from None
    except (exceptions.FCSParsingError, KeyError, EOFError) as error:
        raise DataError(f"{file.name} cannot be read: {' '.join(str(error).split())}") from None
