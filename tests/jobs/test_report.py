import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr
from click.testing import CliRunner
from distributed import Client
from PIL import Image

from daskgmm.chunked.worker_usage import usage
from daskgmm.cli.main import main
from daskgmm.config import load_config
from daskgmm.events import Notice, Phase
from daskgmm.jobs import fit as job
from daskgmm.jobs import report as reporting
from daskgmm.jobs.select import select
from daskgmm.storage.formats.provenance import load_record
from daskgmm.storage.formats.results_zarr import read_result
from daskgmm.storage.formats.selection import write_selection
from tests.browser import browser, why_not
from tests.report.html.stories import sweep


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    """Fit rows (or what `data` names) in a directory of their own; return the run directory."""
    monkeypatch.chdir(tmp_path)

    def fitted(rows=None, *overrides, listen=lambda event: None, **data):
        if rows is not None:
            np.save("rows.npy", rows)
        Path("job.yaml").write_text(yaml.safe_dump({"data": {"path": "rows.npy", **data}}))
        small = ("fit.sample_size=500", "fit.n_init=2", "output.directory=run")
        job.fit(load_config("job.yaml", (*small, *overrides)), listen, overwrite=True)
        return Path("run")

    return fitted


def clusters(n=600, d=2):
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(n, d)), rng.normal(size=(n, d)) + 9])


def test_a_fit_keeps_a_bounded_sample_and_its_course(fitted):
    rows = clusters()
    run = fitted(rows, "model.n_components=2", "output.report_rows=100")
    record = load_record(run / "record.zarr")
    assert record.beginning.rows.shape == (100, 2)
    assert {tuple(row) for row in record.beginning.rows} <= {tuple(row) for row in rows}
    np.testing.assert_array_equal(record.beginning.maximum, rows.max(axis=0))
    assert [curve.stage for curve in record.beginning.curves] == ["restart", "restart", "finalist"]
    (curve,) = record.course.curves
    logged = [json.loads(line)["log_likelihood"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert curve.history == tuple(logged)
    assert curve.chosen
    assert [span.name for span in record.course.spans] == ["start", "read", "seed", "fit", "predict"]
    assert record.course.versions["daskgmm"] == version("daskgmm")
    assert [load.name for load in record.course.loads] == ["this process"]
    labels = read_result(run, "labels")
    assert record.course.labelled == tuple(np.bincount(labels))
    assert "labelled rows" in (run / "report.html").read_text()


def test_the_same_data_have_the_same_fingerprint_and_others_another(fitted):
    prints = [
        load_record(fitted(rows, "model.n_components=2") / "record.zarr").beginning.fingerprint
        for rows in (clusters(), clusters(), clusters() + 1e-9)
    ]
    assert prints[0] == prints[1] != prints[2]


def test_the_report_is_drawn_anew_from_the_run_directory_alone(fitted):
    run = fitted(clusters(), "model.n_components=2")
    first = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    Path("rows.npy").unlink()
    done = CliRunner().invoke(main, ["report", "run"])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(Path("run") / "report.html")
    assert (run / "report.html").read_bytes() == first


def test_a_report_may_live_in_an_object_store(fitted):
    fitted(clusters(), "model.n_components=2", "output.directory=memory://reports/run")
    done = CliRunner().invoke(main, ["report", "memory://reports/run"])
    assert done.exit_code == 0, done.output


def test_no_report_and_no_rows_are_kept_where_they_are_not_wanted(fitted):
    run = fitted(clusters(), "model.n_components=2", "output.report=false", "output.report_rows=0")
    assert not (run / "report.html").exists()
    assert load_record(run / "record.zarr").beginning.rows.shape == (0, 2)
    assert "No rows were kept" in reporting.write_report(run).read_text()


def test_a_report_that_cannot_be_drawn_costs_nothing_of_the_fit(fitted, monkeypatch):
    heard = []
    monkeypatch.setattr(reporting, "SELECTION", "config.yaml")  # no JSON
    run = fitted(clusters(), "model.n_components=2", listen=heard.append)
    assert (run / "model.zarr").exists()
    assert not (run / "report.html").exists()
    assert any(isinstance(event, Notice) and "report.html could not be drawn" in event.message for event in heard)
    assert Phase("report", "report.html") in heard


def test_a_directory_without_a_fit_is_refused_in_a_line(tmp_path):
    done = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert done.exit_code == 3
    assert "there is no fitted model" in done.output


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("name", ["labels.zarr/labels/c/0/0", "labels.zarr/labels/zarr.json", "segmentation.png"])
def test_what_is_damaged_of_a_run_is_a_line(tmp_path, name):
    pixels = np.random.default_rng(0).integers(0, 255, (30, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "rows.png")
    (tmp_path / "job.yaml").write_text(
        f"data: {{path: '{tmp_path}/rows.png'}}\nmodel: {{n_components: 2}}\nfit: {{max_iter: 2}}\n"
        f"output: {{directory: '{tmp_path}/run'}}\n"
    )
    assert CliRunner().invoke(main, ["fit", str(tmp_path / "job.yaml"), "--quiet"]).exit_code == 0
    (tmp_path / "run" / name).write_bytes(b"{}")
    done = CliRunner().invoke(main, ["report", str(tmp_path / "run")])
    assert done.exit_code == 3
    assert "if something there is damaged" in done.output


def test_of_a_grid_the_middle_is_shown_with_what_is_left_out(fitted):
    rng = np.random.default_rng(0)
    group = zarr.create_group("grid.zarr")
    group.create_array("t", data=rng.normal(size=(5, 12, 20, 2)), dimension_names=("time", "lat", "lon", "band"))
    group.create_array("land", data=np.broadcast_to(np.arange(20) < 4, (5, 12, 20)).copy())
    run = fitted(None, "model.n_components=2", path="grid.zarr", array="t", mask="~land")
    data = reporting.story_of(run)
    assert data.labels.shape == (12, 20)
    assert data.labels_of == "time 2 of 5"
    assert (data.labels[:, :4] == -2).all()
    text = (run / "report.html").read_text()
    assert "240 other rows are left out" in text
    assert "Grey cells are left out" in text


def test_features_are_named_with_whatever_markup_their_names_hold(fitted):
    Path("rows.csv").write_text("<script>alert(1)</script>,b & $c$\n" + "\n".join(f"{a},{b}" for a, b in clusters()))
    run = fitted(None, "model.n_components=2", path="rows.csv")
    text = (run / "report.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_sweep_ends_with_a_report_that_has_its_candidates_and_the_course_of_the_best(fitted):
    np.save("rows.npy", clusters())
    Path("sweep.yaml").write_text(
        "data: {path: rows.npy}\nselect: {n_components: 1..3, covariance_type: [full, tied]}\n"
    )
    model, table = select(load_config("sweep.yaml", ("fit.sample_size=500", "output.directory=run")))
    told = reporting.story_of(Path("run"))
    assert told.selection == table
    assert told.record.beginning.rows.shape == (500, 2)
    (curve,) = [curve for curve in told.record.course.curves if curve.chosen]
    assert curve.history[-1] == model.summary.log_likelihood
    assert [span.name for span in told.record.course.spans] == ["start", "read", "seed", "fit", "predict"]
    text = (Path("run") / "report.html").read_text()
    assert "of 6 candidates by BIC" in text
    assert "2 clusters in 1,200 rows" in text


def test_a_damaged_table_of_a_sweep_is_told_in_a_line(fitted):
    run = fitted(clusters(), "model.n_components=2")
    (run / "selection.json").write_text('{"criterion": "bic", "candidates": [')
    done = CliRunner().invoke(main, ["report", "run"])
    assert done.exit_code == 3
    assert "selection.json is not the table of a sweep, or is damaged" in done.output
    assert done.output.count("\n") == 1


def test_each_worker_of_a_cluster_says_what_it_used():
    with Client(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"):
        used = usage()
    assert len(used) == 2
    assert all(one.threads == 1 and one.cpu_seconds > 0 and one.resident_bytes > 0 for one in used.values())


_DECODED = """
const sources = [...document.images].map(one => one.src)
  .concat([...document.querySelectorAll("svg image")].map(one => one.href.baseVal));
const width = source => new Promise(done => {
  const image = new Image();
  image.onload = () => done(image.naturalWidth);
  image.onerror = () => done(0);
  image.src = source;
});
Promise.all(sources.map(width));
"""


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=f"reports are not looked at: {why_not()}")
def test_a_browser_shows_it_without_a_complaint_or_a_request(fitted):
    runs = {
        "an image": lambda: fitted(None, "model.n_components=8", path="sample:china"),
        "a sweep": lambda: fitted(clusters(d=16), "model.n_components=2"),
    }
    for name, fit in runs.items():
        run = fit()
        if name == "a sweep":
            write_selection(sweep("full-2", {"full-1": 40.0, "full-2": 30.0}), run / "selection.json")
            reporting.write_report(run)
        with browser() as tab:
            for width, dark in ((1280, False), (1280, True), (390, False), (390, True)):
                tab.open(run / "report.html", width, dark)
                sizes = tab.value(_DECODED)
                assert sizes, name
                assert min(sizes) > 0
                assert tab.value("document.documentElement.scrollWidth") <= width
                assert tab.faults() == []
                assert tab.requested() == [(run / "report.html").absolute().as_uri()]
                assert tab.value("[...document.querySelectorAll('svg')].every(one => one.clientWidth > 0)")


@pytest.mark.skipif(why_not() is not None, reason=f"nothing is looked at: {why_not()}")
def test_the_browser_would_tell_of_complaints_requests_and_broken_images(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<img src='http://127.0.0.1:1/x.png'><img src='data:image/png;base64,AA'><script>lost()</script>")
    with browser() as tab:
        tab.open(page)
        assert any("lost is not defined" in fault for fault in tab.faults())
        assert "http://127.0.0.1:1/x.png" in tab.requested()
        assert tab.value("[...document.images].map(one => one.naturalWidth)") == [0, 0]


def test_of_a_cluster_that_is_gone_nothing_is_known():
    client = Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    with client.as_current():
        client.cluster.close()
        assert usage() == {}
    client.close()
