"""Folders that a hostile hand has edited: what may happen when one is opened, for tests of models and checkpoints."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from daskgmm.errors import DaskGMMError

VALUES = [
    *(None, True, -1, 0, 1.5, 2**31, 2**63, 10**30, "", "../x", "pickle", "float64", "object", [], {}, [0], [-1]),
    *([2**40], [10**9, 10**9], ["2"], [[2]], {"name": "numcodecs.pickle", "configuration": {}}, float("nan")),
]


def open_or_refuse(load: Callable[[Path], object], folder: Path) -> object:
    """Return what is loaded, or the refusal; it must be one line for a person."""
    outcome: object
    try:
        outcome = load(folder)
    except DaskGMMError as error:
        outcome = error
    if isinstance(outcome, DaskGMMError):
        assert "\n" not in str(outcome)
        assert 0 < len(str(outcome)) < 1000
    return outcome


def damage_bytes(folder: Path, chance: random.Random) -> None:
    """Cut, flip, lengthen, empty or remove one of the folder's files."""
    path = chance.choice(sorted(one for one in folder.rglob("*") if one.is_file()))
    content = bytearray(path.read_bytes())
    match chance.choice(("cut", "flip", "longer", "empty", "remove", "replace")):
        case "cut":
            path.write_bytes(content[: chance.randrange(len(content) + 1)])
        case "flip":
            for _ in range(chance.randint(1, 8) if content else 0):  # an earlier damage may have emptied it
                content[chance.randrange(len(content))] = chance.randrange(256)
            path.write_bytes(content)
        case "longer":
            path.write_bytes(content + chance.randbytes(chance.randint(1, 64)))
        case "empty":
            path.write_bytes(b"")
        case "remove":
            path.unlink()
        case "replace":
            path.write_bytes(chance.randbytes(len(content)))


def damage_tree(folder: Path, chance: random.Random) -> None:
    """Swap two files, copy one over another, or remove or empty a directory; as disks and people do."""
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    directories = sorted(one for one in folder.rglob("*") if one.is_dir()) or [folder]
    first, second = chance.choice(files), chance.choice(files)
    match chance.choice(("swap", "swap", "copy", "remove", "empty")):
        case "swap":
            one, other = first.read_bytes(), second.read_bytes()
            first.write_bytes(other)
            second.write_bytes(one)
        case "copy":
            first.write_bytes(second.read_bytes())
        case "remove":
            shutil.rmtree(chance.choice(directories))
        case "empty":
            for one in chance.choice(directories).iterdir():
                shutil.rmtree(one) if one.is_dir() else one.unlink()


def damage_json(folder: Path, chance: random.Random) -> None:
    """Replace, remove or add one value anywhere in one of the folder's JSON files."""
    path = chance.choice(sorted(folder.rglob("*.json")))
    try:
        document = json.loads(path.read_bytes())
        at, key = chance.choice(list(_places(document)))
    except (ValueError, IndexError):  # damaged before
        return
    if chance.random() < 0.15:
        del at[key]
    else:
        at[key] = chance.choice(VALUES)
    path.write_text(json.dumps(document))


def _places(value):
    """Yield each container of a JSON document with each of its keys or indices."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list) and inner:
            yield from _places(inner)


def copied(folder: Path, target: Path) -> Path:
    """Return a fresh copy of the folder at the target."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(folder, target))


def run_in_little_memory(*arguments: str, more: int = 2**30) -> subprocess.CompletedProcess[str]:
    """Run a command of daskgmm that can take up to `more` bytes of address space beyond what its libraries take."""
    program = (
        "import resource, sys, psutil; import daskgmm.cli.main, daskgmm.chunked.prediction;"
        "[daskgmm.cli.main.main.get_command(None, name) for name in daskgmm.cli.main.COMMANDS];"
        f"limit = psutil.Process().memory_info().vms + {more};"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit));"
        "sys.argv[0] = 'daskgmm'; daskgmm.cli.main.run()"
    )
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
