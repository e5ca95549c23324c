"""Files of .npy, one or many."""

from __future__ import annotations

from dataclasses import replace
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from .base import Source
from .composite import Concatenated, NonZero
from .container import Member, features_last
from .file_names import natural
from .guarded import Guard, Reliable
from .readable import NpyReader, Readable
from .source_format import SourceFormat

if TYPE_CHECKING:
    from .options import DataOptions


def open_npy(options: DataOptions, guard: Guard, weighted: bool) -> Source:
    """Return the source in a .npy file, in a directory of them or in those that match a pattern, end to end."""
    weights, mask = options.weights, options.mask_name
    opened = _open_npy_files("data.path", options.path, guard)
    axis = options.feature_axis
    arrays = {name: features_last(Member(array), axis, name).array for name, array in opened.items()}
    files = tuple((name, array.shape[0]) for name, array in arrays.items() if array.ndim)
    source = Source(Concatenated.of(arrays), options.path, files=files, notices=_notices(options.path))
    if weighted and weights is not None:
        source = replace(source, weights=Concatenated.of(_open_npy_files("data.weights", weights, guard)))
    if weighted and options.labels is not None:
        source = replace(source, labels=Concatenated.of(_open_npy_files("data.labels", options.labels, guard)))
    if mask is not None:
        array = Concatenated.of(_open_npy_files("data.mask", mask, guard))
        source = replace(source, valid=NonZero.of(mask, array, options.mask_is_inverted))
    return source


def _open_npy_files(key: str, path: str, guard: Guard) -> dict[str, Readable]:
    files = npy_files(path)
    if not files:
        raise DataError(f"{key} {path!r} does not exist, or matches no .npy file (working directory {Path.cwd()})")
    return {str(file): Reliable(NpyReader.open(file), str(file), guard) for file in files}


def npy_files(path: str) -> list[Path]:
    """Return the file, all .npy files below the directory, or those that the pattern matches; 9 comes before 10.

    A directory that the pattern matches stands for all .npy files below it; ** matches folders of any depth.
    """
    found = map(Path, glob(path, recursive=True)) if has_magic(path) and not Path(path).exists() else [Path(path)]
    files = {file for one in found for file in (_npy_files_below(one) if one.is_dir() else [one])}
    return sorted((file for file in files if file.is_file()), key=lambda file: natural(str(file)))


def _npy_files_below(folder: Path) -> list[Path]:
    below = list(folder.rglob("*"))
    link = next((one for one in below if one.is_symlink() and one.is_dir()), None)
    if link is not None:
        raise DataError(f"{folder} has links to folders, which are not followed, such as {link}: name that folder")
    return [one for one in below if _is_npy(one)]


def _is_npy(file: Path) -> bool:
    return file.suffix.lower() == ".npy"


def _notices(path: str) -> tuple[str, ...]:
    """Return the notice on files below a directory that are not read."""
    below = Path(path).rglob("*") if Path(path).is_dir() else ()
    shown = (file for file in below if file.is_file() and not file.name.startswith("."))
    others = sorted(str(file) for file in shown if not _is_npy(file))
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return (f"{others[0]}{more}: not read, as no .npy",) if others else ()


NPY = SourceFormat("npy", open_npy, (".npy",), takes=frozenset({"feature_axis"}), from_many=True)
