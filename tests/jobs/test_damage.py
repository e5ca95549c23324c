"""Damage of what is left or finished gives the same bits, or a refusal in one line: a sample of tests/fuzz.py."""

import random
import shutil

import pytest

from daskgmm.filesystem.checksums import seal, unseal
from tests.fuzz import KINDS, MOMENTS, bits_of, prepare, resume
from tests.hostile import copied


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    prepare(folder)
    return folder


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_is_left_at_any_moment_is_gone_on_with(folder, moment):
    copied(folder / moment, folder / "run")
    assert resume(folder)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_damage_gives_the_same_bits_or_a_refusal(folder, kind, seed):
    KINDS[kind](folder, random.Random(seed))


@pytest.mark.slow
@pytest.mark.rotated(every=6)  # of five kinds: each day several of them
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", range(1000, 1050, 10))
def test_any_of_many_damages_gives_the_same_bits_or_a_refusal(folder, kind, first):
    for seed in range(first, first + 10):
        KINDS[kind](folder, random.Random(seed))


CHUNK = "labels.zarr/labels/c/3"
FINISHED = {
    "a chunk cut to half": lambda run: (run / CHUNK).write_bytes((run / CHUNK).read_bytes()[:50]),
    "a chunk emptied": lambda run: (run / CHUNK).write_bytes(b""),
    "a chunk removed": lambda run: (run / CHUNK).unlink(),
    "a chunk of another region": lambda run: shutil.copy(run / "labels.zarr/labels/c/0", run / CHUNK),
    "a result removed": lambda run: shutil.rmtree(run / "log_density.zarr"),
    "the description of a result": lambda run: (run / "labels.zarr/labels/zarr.json").write_text("{}"),
    "the model removed": lambda run: shutil.rmtree(run / "model.zarr"),
    "a number of the model": lambda run: (run / "model.zarr/means/c/0/0").write_bytes(b"\1" * 48),
    "the iterations": lambda run: (run / "metrics.jsonl").write_bytes(b""),
    "the record": lambda run: shutil.rmtree(run / "record.zarr"),
    "the configuration": lambda run: (run / "config.yaml").write_text("- 1"),
    "a link to itself": lambda run: link_to_itself(run / "config.yaml"),
    "a chunk that links to itself": lambda run: link_to_itself(run / CHUNK),
}


def link_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("damage", FINISHED.values(), ids=FINISHED)
def test_what_is_damaged_of_a_finished_run_is_written_again_at_resume(folder, damage):
    run = copied(folder / "whole", folder / "run")
    damage(run)
    assert resume(folder)
    assert bits_of(run) == bits_of(folder / "whole")
    for name in ("config.yaml", "record.zarr/zarr.json", ".manifest"):
        assert (run / name).stat().st_size > 100


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_run_without_a_whole_manifest_is_not_taken_for_finished(folder, damage):
    damage(copied(folder / "whole", folder / "run") / ".manifest")
    assert not resume(folder)


def test_a_damaged_run_of_another_job_is_refused_and_stays(folder):
    run = copied(folder / "whole", folder / "run")
    FINISHED["a chunk emptied"](run)
    assert not resume(folder, "model.n_components=3")
    assert (run / "model.zarr").exists()


def test_a_whole_manifest_that_names_what_is_elsewhere_is_refused(folder):
    run = copied(folder / "whole", folder / "run")
    content = unseal("manifest", (run / ".manifest").read_bytes(), run)
    (run / ".manifest").write_bytes(seal("manifest", content.replace(b'"metrics.jsonl"', b'"model.zarr/../../x"')))
    assert not resume(folder)
    assert not (folder / "x").exists()
