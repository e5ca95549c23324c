"""`daskgmm update`: a finished run continues with new rows, and knows which it has seen."""

import dask.array as da
import numpy as np
import pytest
import zarr

from daskgmm import GaussianMixture
from daskgmm.config import load_config
from daskgmm.errors import DaskGMMError
from daskgmm.events import Iteration, Opened
from daskgmm.jobs.update import load_run, update
from daskgmm.storage.formats.history import read_history
from daskgmm.storage.formats.model import load_model
from tests.cli.test_commands import refused, run
from tests.clusters.processes import assert_same_bits

N_OLD, N_NEW = 600, 150


def draw(n, seed, shift=0.0, share=0.5):
    rng = np.random.default_rng(seed)
    first = rng.random(n) < share
    return np.where(first[:, None], rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) * 0.7 + [4 + shift, 2])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A directory with a run that was fitted to rows.zarr, in chunks of 100 rows."""
    folder = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        append("rows.zarr", draw(N_OLD, 0))
        (folder / "job.yaml").write_text(
            "data: {path: rows.zarr}\nmodel: {n_components: 2}\nfit: {tol: 1.0e-7}\noutput: {directory: run}\n"
            "compute: {chunk_bytes: 1600}\n"
        )
        run("fit", "job.yaml", "output.report=false")
    return folder


@pytest.fixture
def job(fitted, monkeypatch):
    monkeypatch.chdir(fitted)
    np.save("new.npy", draw(N_NEW, 1))
    return fitted


def append(path, rows):
    """Write rows to a store, after those that it has."""
    try:
        store = zarr.open_array(path)
    except FileNotFoundError:
        store = zarr.create_array(path, shape=(0, rows.shape[1]), chunks=(100, rows.shape[1]), dtype=rows.dtype)
    store.append(rows)


def settings(*overrides):
    return load_config("run/config.yaml", ("output.report=false", *overrides))


def updated(*overrides, listen=lambda event: None, run_dir="run", **options):
    return update(settings(*overrides), load_run(run_dir, load_model(run_dir)), listen, **options)


def test_the_command_does_what_the_estimator_does(job):
    before = load_model("run")
    command = ("update", "run", "data.path=new.npy", "output.directory=one", "output.report=true")
    out = run(*command).output
    assert "EM on 150 new rows, with the statistics of 600 old ones" in out
    expected = GaussianMixture.load("run").set_params(resolution=0).update(np.load("new.npy"))
    model = load_model("one")
    np.testing.assert_allclose(model.mixture.means, expected.means_, rtol=1e-9)
    assert model.summary.log_likelihood == pytest.approx(expected.lower_bound_, rel=1e-12)
    assert model.summary.weight_sum == N_OLD + N_NEW
    assert_same_bits(load_model("run"), before)
    assert zarr.open_array("one/labels.zarr", path="labels").shape == (N_NEW,)
    for shown in (run("inspect", "one").output, (job / "one/report.html").read_text().lower()):
        assert "updated by 150 rows of" in shown
        assert "no refit is advised" in shown
    assert "job:            update" in run("status", "one").output
    assert "finished already" in run(*command, "--resume").output
    assert "in 750 rows" in (job / "one/report.html").read_text()


def test_of_a_store_that_has_grown_only_the_new_rows_are_read(job):
    new, opened = draw(N_NEW, 2), []
    append("grown.zarr", np.concatenate([draw(N_OLD, 0), new]))
    run("fit", "job.yaml", "data.path=grown.zarr", "output.directory=whole", "output.report=false")
    assert "has no new rows" in refused("update", "whole", "output.directory=x", code=3)
    more = draw(N_NEW, 3)
    append("grown.zarr", more)
    run("update", "whole", "output.directory=grew", "output.report=false")
    entry = read_history(job / "grew/history.json").last
    assert (entry.rows.first, entry.rows.n_rows) == (N_OLD + N_NEW, N_NEW)
    np.save("more.npy", more)
    apart = load_run("whole", load_model("whole"))
    config = load_config("whole/config.yaml", ("data.path=more.npy", "output.directory=apart", "output.report=false"))
    update(config, apart, opened.append)
    assert next(one for one in opened if isinstance(one, Opened)).n_rows == N_NEW
    np.testing.assert_allclose(load_model("grew").mixture.means, load_model("apart").mixture.means, rtol=1e-12)
    assert "from 900 on" not in run("update", "whole", "--dry-run").output
    assert "from 750 on" in run("update", "whole", "--dry-run").output


@pytest.mark.parametrize("chunk_bytes", [1600, 3200])
def test_a_full_pass_refuses_old_rows_that_have_changed(job, chunk_bytes):
    old, name = draw(N_OLD, 0), f"old-{chunk_bytes}"
    np.save(f"{name}.npy", old)
    run("fit", "job.yaml", f"data.path={name}.npy", f"output.directory={name}", "output.report=false")
    again = (
        "update",
        name,
        "data.path=new.npy",
        f"output.directory={name}-updated",
        f"compute.chunk_bytes={chunk_bytes}",
    )
    np.save(f"{name}.npy", np.concatenate([old[:410], old[411:412], old[411:]]))
    line = refused(*again, "update.full_pass=true", code=3)
    assert "update.full_pass reads all rows again, but rows [400:500] of the data are not what they were" in line
    np.save(f"{name}.npy", old)
    run(*again, "update.full_pass=true", "output.report=false", "--resume")
    assert load_model(f"{name}-updated").summary.weight_sum == N_OLD + N_NEW


@pytest.mark.parametrize("stored", ["same", "backwards", "some"])
def test_rows_that_were_seen_are_refused_unless_wanted(job, stored):
    rows = draw(N_OLD, 0)
    np.save(
        "again.npy",
        {"same": rows, "backwards": rows[::-1], "some": np.concatenate([draw(100, 5), rows[100:200]])}[stored],
    )
    line = refused("update", "run", "data.path=again.npy", "output.directory=again", code=3)
    assert "update.repeat=true" in line
    assert not (job / "again").exists()
    config = ("data.path=again.npy", f"output.directory={stored}", "update.repeat=true", "output.labels=false")
    assert updated(*config).summary.weight_sum == N_OLD + len(np.load("again.npy"))


def test_a_store_with_other_rows_in_place_of_old_ones_is_refused(job):
    append("changed.zarr", draw(N_OLD, 0))
    run("fit", "job.yaml", "data.path=changed.zarr", "output.directory=changed", "output.report=false")
    append("changed.zarr", draw(N_NEW, 3))
    zarr.open_array("changed.zarr")[590] = 0
    assert "rows before 600 are not those" in refused("update", "changed", code=3)
    zarr.open_array("changed.zarr").resize((500, 2))
    assert "is not the same store" in refused("update", "changed", code=3)


@pytest.mark.parametrize("case", [{"shift": 0.5}, {"share": 0.8}], ids=["moved", "weights"])
def test_a_pass_over_all_rows_comes_closer_to_the_fit_to_all_of_them(job, case):
    new = draw(N_NEW, 6, **case)
    np.save("six.npy", new)
    every = np.concatenate([draw(N_OLD, 0), new])
    refit = GaussianMixture(2, tol=1e-9, random_state=0).fit(every).score(every)
    options = ("data.path=six.npy", "output.labels=false")
    first = updated(*options, "output.directory=first", overwrite=True)
    closer = updated(*options, "output.directory=closer", "update.full_pass=true", overwrite=True)
    gaps = [refit - GaussianMixture.from_model(one).score(every) for one in (first, closer)]
    assert -1e-9 <= gaps[1] <= gaps[0] < 0.03
    assert closer.summary.log_likelihood <= GaussianMixture.from_model(closer).score(every) + 1e-12
    assert closer.kept.data_summary.n_rows == len(every)


def test_rows_that_are_forgotten_do_not_count(job):
    config = ("data.path=new.npy", "output.labels=false", "update.forget=0", "output.directory=forgot")
    model, rows = updated(*config, overwrite=True), np.load("new.npy")
    assert model.summary.log_likelihood == pytest.approx(GaussianMixture.from_model(model).score(rows), rel=1e-12)
    half = updated(
        "data.path=new.npy", "update.forget=0.5", "update.full_pass=true", "output.directory=half", overwrite=True
    )
    assert half.summary.weight_sum == N_OLD / 2 + N_NEW
    shares = [one.rows.share for one in read_history(job / "half/history.json").entries]
    assert shares == [0.5, 1.0]


@pytest.mark.parametrize("persist", ["true", "false"])
def test_an_interrupted_update_does_not_go_on_with_other_rows(job, persist):
    new, name = draw(320, 2), f"changed-{persist}"
    config = (f"data.path={name}.npy", "compute.chunk_bytes=1024", f"compute.persist={persist}")
    np.save(f"{name}.npy", new)

    def stop(event):
        if isinstance(event, Iteration):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        updated(*config, f"output.directory={name}", listen=stop)
    for chunk in range(5):  # three are compared by the plan
        changed = new.copy()
        changed[64 * chunk] += 1
        np.save(f"{name}.npy", changed)
        with pytest.raises(DaskGMMError, match=r"cannot be resumed|does not hold the rows with which the job"):
            updated(*config, f"output.directory={name}", resume=True)
    np.save(f"{name}.npy", new)
    expected = updated(*config, f"output.directory={name}-whole")
    assert_same_bits(updated(*config, f"output.directory={name}", resume=True), expected)


@pytest.mark.parametrize("at", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_an_interrupted_update_goes_on_to_the_same_bits(job, at):
    config = ("data.path=new.npy", "fit.tol=1e-12", "output.directory=stopped")
    expected = updated("data.path=new.npy", "fit.tol=1e-12", "output.directory=ran", overwrite=True)

    def stop(event):
        if isinstance(event, Iteration) and event.iteration >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        updated(*config, listen=stop, overwrite=True)
    assert "the same daskgmm update with --resume" in run("status", "stopped").output
    assert_same_bits(updated(*config, resume=True), expected)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    "options",
    [
        ("model.covariance_type=tied",),
        ("fit.inference=map", "model.prior=default"),
        ("fit.inference=variational",),
        ("data.missing=marginal",),
        ("data.missing=marginal", "model.noise=true"),
        ("model.noise=60.0", "model.covariance_type=tied"),
        ("fit.start=run", "model.frozen=[1]"),
    ],
    ids=["tied", "map", "variational", "missing", "noise", "hypervolume", "frozen"],
)
def test_all_inferences_go_on(job, options):
    new = draw(N_NEW, 7)
    if "data.missing=marginal" in options:
        new[::7, 0] = np.nan
    np.save("seven.npy", new)
    run("fit", "job.yaml", *options, "output.directory=kind", "output.report=false", "--overwrite")
    levels = []
    config = load_config("kind/config.yaml", ("data.path=seven.npy", "update.full_pass=true", "output.directory=went"))
    model = update(
        config,
        load_run("kind", load_model("kind")),
        lambda event: levels.append(event.objective) if isinstance(event, Iteration) else None,
        overwrite=True,
    )
    assert (np.diff(levels) >= 0).all()
    summary = model.summary
    objective = summary.log_likelihood if summary.objective is None else summary.objective
    assert objective >= levels[-1]
    assert summary.weight_sum == N_OLD + N_NEW


def test_what_cannot_go_on_is_refused_in_one_line(job):
    assert "the model is that of the run" in refused("update", "run", "model.n_components=3", code=2)
    for itself in ("run", str(job / "run")):
        line = refused("update", "run", "data.path=new.npy", f"output.directory={itself}", "--overwrite", code=2)
        assert "that of the run itself" in line
    assert "less than or equal to 1" in refused("update", "run", "data.path=new.npy", "update.forget=2", code=2)
    np.save("three.npy", np.ones((10, 3)))
    refused("update", "run", "data.path=three.npy", "output.directory=three", code=3)
    factors = ("model.covariance_type=low_rank", "model.n_factors=1", "output.directory=factors", "--overwrite")
    run("fit", "job.yaml", *factors, "output.report=false")
    assert "low_rank keeps no sum" in refused("update", "factors", "data.path=new.npy", code=2)


def test_chunks_and_weights_of_grids_update_as_rows(job):
    grid = draw(N_NEW, 8).reshape(15, 10, 2)
    weights = np.random.default_rng(9).integers(0, 3, (15, 10)).astype(float)
    zarr.save_group("grid.zarr", rows=grid, weights=weights)
    config = ("data.path=grid.zarr", "data.array=rows", "data.weights=weights", "output.directory=grid")
    model = updated(*config, overwrite=True)
    expected = GaussianMixture.load("run").set_params(resolution=0)
    expected.update(da.from_array(grid, chunks=(4, 10, 2)), da.from_array(weights, chunks=(4, 10)))
    np.testing.assert_allclose(model.mixture.means, expected.means_, rtol=1e-9)
    assert model.summary.weight_sum == N_OLD + weights.sum()


@pytest.mark.parametrize("how", ["compute.persist=false", "cluster.n_workers=1"])
def test_an_update_has_the_same_bits_however_it_is_computed(job, how):
    expected = updated("data.path=new.npy", "output.directory=plain", overwrite=True)
    other = updated("data.path=new.npy", how, "output.directory=other", overwrite=True)
    assert_same_bits(other, expected)
    np.testing.assert_array_equal(other.kept.moments.covariances, expected.kept.moments.covariances)


def test_weights_of_new_rows_count_as_repeated_rows(job):
    rows, weights = draw(N_NEW, 10), np.random.default_rng(11).integers(0, 3, N_NEW)
    zarr.save_group("weighted.zarr", rows=rows, weights=weights.astype(float))
    np.save("repeated.npy", np.repeat(rows, weights, axis=0))
    options = ("data.array=rows", "data.weights=weights", "output.directory=weighted")
    weighted = updated("data.path=weighted.zarr", *options, overwrite=True)
    repeated = updated("data.path=repeated.npy", "output.directory=repeated", overwrite=True)
    np.testing.assert_allclose(weighted.mixture.means, repeated.mixture.means, rtol=1e-9)
    assert weighted.summary.bic == pytest.approx(repeated.summary.bic, rel=1e-12)


def test_updates_of_updates_remember_all_rows(job):
    np.save("second.npy", draw(50, 12))
    run("update", "run", "data.path=new.npy", "output.directory=once", "update.forget=0.5")
    run("update", "once", "data.path=second.npy", "output.directory=twice", "update.forget=0.5")
    history = read_history(job / "twice/history.json")
    assert [one.rows.share for one in history.entries] == [0.25, 0.5, 1.0]
    assert load_model("twice").summary.weight_sum == N_OLD / 4 + N_NEW / 2 + 50
    assert "seen" in refused("update", "twice", "data.path=new.npy", "output.directory=x", code=3)
    again = ("update.full_pass=true", "update.forget=0", "data.path=rows.zarr", "update.repeat=true")
    assert updated(*again, "output.directory=only", run_dir="twice").summary.weight_sum == N_OLD


def test_history_that_is_damaged_is_named(job, tmp_path):
    run("update", "run", "data.path=new.npy", "output.directory=damaged")
    path = job / "damaged/history.json"
    path.write_bytes(path.read_bytes()[:-9])
    assert "history.json is damaged" in refused("update", "damaged", "data.path=new.npy", "output.directory=x", code=3)
    again = run("update", "run", "data.path=new.npy", "output.directory=damaged", "--resume").output
    assert "damaged or missing in the finished run" in again
    assert read_history(path).last.job == "update"


def test_an_update_leaves_a_small_gap_to_the_refit_and_a_pass_over_all_rows_a_smaller_one(job):
    """New rows whose components overlap and have other weights."""

    def overlapping(n, seed, share):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(n, 2)) + np.where(rng.random(n)[:, None] < share, 0.0, [2.5, 0.0])

    old, new = overlapping(8_000, 0, 0.5), overlapping(2_000, 1, 0.8)
    np.save("evenly.npy", old)
    np.save("most.npy", new)
    run(
        "fit",
        "job.yaml",
        "data.path=evenly.npy",
        "output.directory=evenly",
        "output.report=false",
        "output.labels=false",
    )
    every = np.concatenate([old, new])
    refit = GaussianMixture(2, tol=1e-10, random_state=0).fit(every).score(every)
    gaps = []
    for name in ("false", "true"):
        overrides = ("data.path=most.npy", f"update.full_pass={name}", f"output.directory=closed-{name}")
        config = load_config("evenly/config.yaml", overrides)
        gaps.append(
            refit - GaussianMixture.from_model(update(config, load_run("evenly", load_model("evenly")))).score(every)
        )
    assert -1e-9 < gaps[1] < gaps[0] < 1e-5


@pytest.mark.slow
def test_a_run_on_principal_components_takes_new_rows_in_their_columns_and_keeps_its_axes(job):
    turn = np.random.default_rng(5).normal(size=(2, 4))
    wide = [draw(n, seed) @ turn + [0, 10, 0, 500] for n, seed in ((N_OLD, 0), (N_NEW, 2), (N_NEW, 3))]
    append("wide.zarr", np.concatenate(wide[:2]))
    run(
        "fit",
        "job.yaml",
        "data.path=wide.zarr",
        "model.reduce.features=2",
        "compute.chunk_bytes=3200",
        "output.directory=of_two",
    )
    append("wide.zarr", wide[2])
    assert "from 750 on" in run("update", "of_two", "--dry-run").output
    before = load_model("of_two")
    run("update", "of_two", "output.directory=of_three", "update.full_pass=true", "output.report=true")
    after = load_model("of_three")
    np.testing.assert_array_equal(after.projection.axes, before.projection.axes)
    assert after.summary.weight_sum == N_OLD + 2 * N_NEW
    np.testing.assert_allclose(after.mixture.weights @ after.marginals.means, np.concatenate(wide).mean(0), rtol=1e-3)
    run("update", "of_two", "output.directory=quick", "output.report=false")
    expected = GaussianMixture.load("of_two").update(wide[2])
    np.testing.assert_allclose(load_model("quick").mixture.means, expected.means_, rtol=1e-9)
    assert "has no new rows" in refused("update", "quick", "output.directory=x", code=3)
    np.save("seen.npy", wide[0])
    assert "seen before" in refused("update", "of_two", "data.path=seen.npy", "output.directory=x", code=3)
    np.save("narrow.npy", wide[0][:, :2])
    assert "have 2 features" in refused("update", "of_two", "data.path=narrow.npy", "output.directory=x", code=3)
