"""Damage anywhere in what a fit left unfinished: going on gives the same bits, or one line that says what is wrong."""

import random
import shutil

import numpy as np
import pytest
import zarr

from daskgmm.config import load_config
from daskgmm.events import Iteration, Phase, ignore
from daskgmm.jobs.fit import fit
from daskgmm.storage.formats.model import fingerprint, load_model
from daskgmm.storage.formats.results_zarr import ZarrWriter
from tests.hostile import copied, damage_bytes, damage_json, damage_tree, open_or_refuse
from tests.jobs.test_resume import metrics

OPTIONS = (
    *("fit.sample_size=30", "fit.n_init=2", "fit.tol=1e-12", "fit.max_iter=3", "compute.chunk_bytes=2400"),
    *("output.probabilities=true", "output.log_density=true", "output.report=false"),
)
RESULTS = ("labels", "probabilities", "log_density")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with a configuration, `whole` (a fit) and the same fit left at several moments."""
    folder = tmp_path_factory.mktemp("damage")
    rng = np.random.default_rng(0)
    np.save(folder / "rows.npy", np.concatenate([rng.standard_normal((300, 3)), rng.standard_normal((300, 3)) + 1.5]))
    (folder / "job.yaml").write_text(f"data: {{path: '{folder}/rows.npy'}}\nmodel: {{n_components: 2}}\n")
    fit(settings(folder, "whole"))
    stopped(folder, "in the fit", interrupt_if(lambda event: isinstance(event, Iteration) and event.iteration == 2))
    stopped(folder, "after the fit", interrupt_if(lambda event: isinstance(event, Phase) and event.name == "predict"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("daskgmm.storage.formats.results_zarr.ZarrWriter.__call__", stop_after(4))
        stopped(folder, "in the results", ignore)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("daskgmm.storage.run.staging._place", interrupted)
        stopped(folder, "complete", ignore)
    return folder


MOMENTS = ("in the fit", "after the fit", "in the results", "complete")


def settings(folder, name):
    return load_config(str(folder / "job.yaml"), (*OPTIONS, f"output.directory={folder}/{name}"))


def stopped(folder, name, listen):
    with pytest.raises(KeyboardInterrupt):
        fit(settings(folder, name), listen)


def interrupted(*arguments):
    raise KeyboardInterrupt


def interrupt_if(it_is_time):
    def listen(event):
        if it_is_time(event):
            raise KeyboardInterrupt

    return listen


def stop_after(n_regions):
    """Return what writes that many regions and then stops."""
    write, written = ZarrWriter.__call__, []

    def write_or_stop(*arguments):
        if len(written) >= n_regions:
            raise KeyboardInterrupt
        write(*arguments)
        written.append(arguments)

    return write_or_stop


def bits_of(directory):
    """Return all that a run found, in values that compare."""
    arrays = [zarr.open_array(f"{directory}/{name}.zarr", path=name)[...].tobytes() for name in RESULTS]
    model = load_model(directory)
    return fingerprint(model), model.summary, metrics(directory), *arrays


def try_damage(folder, seed):
    """Damage a copy of an interrupted fit, and go on with it; return whether it ended in bits or in a refusal."""
    chance = random.Random(seed)
    run = copied(folder / chance.choice(MOMENTS), folder / "run")
    for _ in range(chance.randint(1, 3)):
        chance.choice([damage_bytes, damage_json, damage_tree, damage_tree])(run / ".unfinished", chance)
    outcome = open_or_refuse(lambda run: fit(settings(folder, "run"), resume=True), run)
    if isinstance(outcome, Exception):
        return "refused"
    assert bits_of(run) == bits_of(folder / "whole")
    assert not (run / ".unfinished").exists()
    return "whole"


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_is_left_at_any_moment_is_gone_on_with(folder, moment):
    shutil.rmtree(folder / "run", ignore_errors=True)
    run = copied(folder / moment, folder / "run")
    fit(settings(folder, "run"), resume=True)
    assert bits_of(run) == bits_of(folder / "whole")


@pytest.mark.parametrize("seed", range(12))
def test_damage_gives_the_same_bits_or_a_refusal(folder, seed):
    try_damage(folder, seed)


@pytest.mark.slow
def test_any_of_many_damages_gives_the_same_bits_or_a_refusal(folder):
    outcomes = [try_damage(folder, seed) for seed in range(1000, 1400)]
    assert outcomes.count("whole") > 200
