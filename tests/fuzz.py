"""Damage what jobs leave and are given, many times: python -m tests.fuzz [NAME ...] [--seed 1] [--times 300].

Each command must then end in the same bits, or be refused: an exit code of 2, 3 or 5 and one line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from daskgmm.cli.main import main
from daskgmm.config import load_config
from daskgmm.events import Event, Iteration, Listener, Phase, ignore
from daskgmm.jobs.fit import fit
from daskgmm.storage.formats.model import fingerprint, load_model
from daskgmm.storage.formats.results_zarr import ZarrWriter
from tests.hostile import copied, damage_bytes, damage_json, damage_tree

OPTIONS = (
    *("fit.sample_size=30", "fit.n_init=2", "fit.tol=1e-12", "fit.max_iter=3", "compute.chunk_bytes=2400"),
    *("output.probabilities=true", "output.log_density=true", "output.report=false"),
)
RESULTS = ("labels", "probabilities", "log_density")
MOMENTS = ("in the fit", "after the fit", "in the results", "complete")
REFUSALS = {2, 3, 5}
_TIMED = {"seconds", "rows_per_second"}

Damage = Callable[[Path, random.Random], None]
DAMAGES: tuple[Damage, ...] = (damage_bytes, damage_json, damage_tree, damage_tree)


def prepare(folder: Path) -> None:
    """Make a configuration, `whole` (a fit) and the same fit left at several moments."""
    rng = np.random.default_rng(0)
    np.save(folder / "rows.npy", np.concatenate([rng.standard_normal((300, 3)), rng.standard_normal((300, 3)) + 1.5]))
    (folder / "job.yaml").write_text(f"data: {{path: '{folder}/rows.npy'}}\nmodel: {{n_components: 2}}\n")
    (folder / "long.yaml").write_text(load_config(str(folder / "job.yaml"), _overrides(folder, "run")).to_yaml())
    fit(_settings(folder, "whole"))
    _stop(folder, "in the fit", _interrupt_if(lambda event: isinstance(event, Iteration) and event.iteration == 2))
    _stop(folder, "after the fit", _interrupt_if(lambda event: isinstance(event, Phase) and event.name == "predict"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("daskgmm.storage.formats.results_zarr.ZarrWriter.__call__", _stop_after(4))
        _stop(folder, "in the results", ignore)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("daskgmm.storage.run.staging._place", _interrupted)
        _stop(folder, "complete", ignore)


def _overrides(folder: Path, name: str) -> tuple[str, ...]:
    return (*OPTIONS, f"output.directory={folder}/{name}")


def _settings(folder: Path, name: str):
    return load_config(str(folder / "job.yaml"), _overrides(folder, name))


def _stop(folder: Path, name: str, listen: Listener) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        fit(_settings(folder, name), listen)
        raise AssertionError("the fit was to be interrupted")


def _interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


def _interrupt_if(it_is_time: Callable[[Event], bool]) -> Listener:
    def listen(event: Event) -> None:
        if it_is_time(event):
            raise KeyboardInterrupt

    return listen


def _stop_after(n_regions: int) -> Callable[..., None]:
    """Return what writes that many regions and then stops."""
    write, written = ZarrWriter.__call__, []

    def write_or_stop(*arguments):
        if len(written) >= n_regions:
            raise KeyboardInterrupt
        write(*arguments)
        written.append(arguments)

    return write_or_stop


def bits_of(directory: Path) -> tuple[object, ...]:
    """Return all that a run found, in values that compare."""
    model = load_model(directory)
    return fingerprint(model), model.summary, results_of(directory), metrics_of(directory)


def results_of(directory: Path) -> list[bytes]:
    return [zarr.open_array(f"{directory}/{name}.zarr", path=name)[...].tobytes() for name in RESULTS]


def metrics_of(directory: Path) -> list[dict[str, object]]:
    """Return the lines of metrics.jsonl, without what a clock says."""
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in _TIMED} for line in lines]


def is_done(*arguments: str) -> bool:
    """Return whether a command succeeds; raise AssertionError unless it does, or is refused in one line."""
    result = CliRunner().invoke(main, arguments)
    if result.exit_code == 0:
        return True
    line = result.stderr.strip()
    assert result.exit_code in REFUSALS, (result.exit_code, line)
    assert line.startswith("daskgmm: "), line
    assert "\n" not in line, line
    assert not line.startswith("daskgmm: unexpected "), line
    return False


def _damage(folder: Path, chance: random.Random, damages: tuple[Damage, ...] = DAMAGES) -> None:
    for _ in range(chance.randint(1, 3)):
        if any(one.is_file() for one in folder.rglob("*")):
            chance.choice(damages)(folder, chance)


def resume(folder: Path, *overrides: str) -> bool:
    """Continue with the run; return whether that gave the bits of the whole one, rather than a refusal."""
    if not is_done("fit", str(folder / "job.yaml"), *_overrides(folder, "run"), *overrides, "--resume", "--quiet"):
        return False
    assert bits_of(folder / "run") == bits_of(folder / "whole"), "other bits"
    assert not (folder / "run/.unfinished").exists()
    return True


def try_unfinished(folder: Path, chance: random.Random) -> bool:
    run = copied(folder / chance.choice(MOMENTS), folder / "run")
    _damage(run / ".unfinished", chance)
    return resume(folder)


def try_checkpoint(folder: Path, chance: random.Random) -> bool:
    run = copied(folder / "in the fit", folder / "run")
    _damage(run / ".unfinished/checkpoint", chance, (damage_bytes, damage_tree))
    return resume(folder)


def try_finished(folder: Path, chance: random.Random) -> bool:
    run = copied(folder / "whole", folder / "run")
    _damage(run, chance)
    return resume(folder)


def try_model(folder: Path, chance: random.Random) -> bool:
    """Use a run whose model is damaged."""
    run = copied(folder / "whole", folder / "run")
    _damage(run / "model.zarr", chance)
    used = {
        "status": ("status", str(run)),
        "inspect": ("inspect", str(run)),
        "report": ("report", str(run)),
        "export": ("export", str(run), "--format", "json"),
        "predict": ("predict", str(run), "--quiet"),
    }
    done = {name: is_done(*arguments) for name, arguments in used.items()}
    assert len(set(done.values())) == 1, done
    if done["predict"]:
        assert fingerprint(load_model(run)) == fingerprint(load_model(folder / "whole")), "another model"
        assert results_of(run / "predictions") == results_of(folder / "whole"), "other bits"
    return done["predict"]


def try_configuration(folder: Path, chance: random.Random) -> bool:
    """Plan with a configuration that is damaged: what it then says may be another thing, but is said in one line."""
    path = folder / "damaged.yaml"
    content = bytearray((folder / "long.yaml").read_bytes())
    for _ in range(chance.randint(1, 3)):
        content = chance.choice(_TEXT_DAMAGES)(content, chance)
    path.write_bytes(content)
    return is_done("fit", str(path), "--dry-run")


def _flip(content: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.randint(1, 4)):
        if content:
            content[chance.randrange(len(content))] = chance.choice((chance.randrange(256), *b"{}[]:,-&*!|>'\"%@`# \n"))
    return content


def _move_lines(content: bytearray, chance: random.Random) -> bytearray:
    lines = content.splitlines(keepends=True) or [content]
    first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[first], lines[second] = chance.choice(((lines[second], lines[first]), (lines[second],) * 2, (b"", b"  ")))
    return bytearray(b"".join(lines))


def _put_value(content: bytearray, chance: random.Random) -> bytearray:
    lines = content.splitlines(keepends=True) or [content]
    at = chance.randrange(len(lines))
    key = lines[at].partition(b":")[0]
    lines[at] = bytearray(key + b": " + chance.choice(_VALUES) + b"\n")
    return bytearray(b"".join(lines))


_VALUES = (
    *(b"null", b"-1", b"0", b"1e400", b".nan", b".inf", b"9999999999999999999999", b"[1, 2]", b"{a: 1}", b"true"),
    *(b"''", b"!!python/object:os.system x", b"&a [*a]", b"2026-01-01", b"0x10", b"1_000", b"'\\x00'", b'"\\u202e"'),
    *(b"|", b"s3://", b"http://[", b"::", b"[" * 200, b"~/x", b"/", b".", b"yes", b"1:30", b"<<"),
)
_TEXT_DAMAGES = (
    _flip,
    _flip,
    _move_lines,
    _put_value,
    _put_value,
    lambda content, chance: content[: chance.randrange(len(content) + 1)],
    lambda content, chance: content + chance.randbytes(chance.randint(1, 64)),
    lambda content, chance: bytearray(chance.randbytes(len(content))) if chance.random() < 0.1 else content,
)

Try = Callable[[Path, random.Random], bool]
KINDS: dict[str, Try] = {
    "unfinished": try_unfinished,
    "finished": try_finished,
    "model": try_model,
    "checkpoint": try_checkpoint,
    "configuration": try_configuration,
}


def run_fuzz() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(KINDS)}; all if none is given")
    parser.add_argument("--seed", type=int, default=1, help="of the first damage; the next one has the next seed")
    parser.add_argument("--times", type=int, default=300, help="damages of each kind")
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        prepare(folder)
        for kind in arguments.names or KINDS:
            outcomes: Counter[str] = Counter()
            for seed in range(arguments.seed, arguments.seed + arguments.times):
                try:
                    outcomes["same bits" if KINDS[kind](folder, random.Random(seed)) else "refused"] += 1
                except AssertionError as error:
                    outcomes["WRONG"] += 1
                    print(f"{kind} {seed}: {str(error).splitlines()[0]:.300}", flush=True)
            failed |= outcomes["WRONG"] > 0
            print(f"{kind}, seeds {arguments.seed} to {seed}: {dict(outcomes)}", flush=True)
    raise SystemExit(failed)


if __name__ == "__main__":
    run_fuzz()
