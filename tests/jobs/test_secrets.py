"""No secret of a configuration ends up in what is printed, written or raised."""

from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr
from click.testing import CliRunner

from daskgmm.cli.main import main
from daskgmm.errors import DataError, without_credentials
from daskgmm.filesystem.location import resolve_location, zarr_store

SECRET = "VERY-SECRET-WORD"


def told(*arguments):
    """Run a command, and return all that it tells and the exception's own text."""
    result = CliRunner().invoke(main, arguments)
    assert SECRET not in result.output, result.output
    assert SECRET not in str(result.exception)
    return result


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Rows in a store of memory, and a configuration full of secrets, as the working directory."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).standard_normal((1000, 2))
    zarr.create_array(**zarr_store(resolve_location("memory://rows.zarr")), data=rows, chunks=(100, 2), overwrite=True)
    options = {"key": f"{SECRET}-key", "client_kwargs": {"aws_secret": SECRET, "endpoint_url": f"http://u:{SECRET}@h"}}
    document = {
        "data": {"path": "memory://rows.zarr", "storage_options": {"token": SECRET, **options}},
        "model": {"n_components": 2},
        "output": {"directory": "memory://bucket/run", "storage_options": {"secret": SECRET, **options}},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(document))
    return tmp_path


def assert_no_secret_in(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_secrets_of_storage_options_stay_out_of_a_run_and_its_prediction(job):
    local = ("output.directory=run", "output.storage_options={}", "output.log_density=true")
    for command in (("config", "show", "job.yaml"), ("fit", "job.yaml", "--dry-run"), ("fit", "job.yaml", *local)):
        assert told(*command).exit_code == 0
    token = f"data.storage_options={{token: {SECRET}}}"
    assert told("predict", "run", token).exit_code == 0
    assert (job / "run/predictions/labels.zarr").exists()
    (job / "job.yaml").unlink()
    assert_no_secret_in(job)


@pytest.mark.slow
def test_secrets_stay_out_of_the_plan_of_an_interrupted_prediction(job):
    local = ("output.directory=run", "output.storage_options={}", "output.report=false", "compute.chunk_bytes=1600")
    assert told("fit", "job.yaml", *local).exit_code == 0
    rows = zarr.open_array(**zarr_store(resolve_location("memory://rows.zarr")), mode="r+")
    rows[650, 1] = np.nan
    assert told("predict", "run", "cluster.n_workers=1", f"data.storage_options={{token: {SECRET}}}").exit_code == 3
    assert (job / "run/predictions/.unfinished/plan.json").exists()
    (job / "job.yaml").unlink()
    assert_no_secret_in(job)


URLS = [f"http://user:{SECRET}@127.0.0.1:1/", f"http://{SECRET}@127.0.0.1:1/", f"http://127.0.0.1:1/a?token={SECRET}"]


@pytest.mark.parametrize(
    "url", [*URLS, f"nosuch://u:{SECRET}@h/x", f"http://u:{SECRET}@h/x.png", f"http://u:{SECRET}@[x"]
)
@pytest.mark.parametrize("key", ["data.path", "output.directory", "data.weights", "data.array"])
def test_secrets_in_urls_stay_out_of_messages(job, key, url):
    overrides = ("data.storage_options={}", "output.storage_options={}", "output.directory=run", f"{key}={url}")
    told("config", "show", "job.yaml", *overrides)
    if key != "data.path":  # of which reads are tried again
        assert told("fit", "job.yaml", *overrides).exit_code
    if key == "output.directory":
        told("inspect", url)


@pytest.mark.parametrize(
    "override",
    [
        f"output.storage_options={SECRET}",
        f"output=[{{secret: {SECRET}}}]",
        f"cluster={{kind: gatewy, password: {SECRET}}}",
        f"data={{path: 3, storage_options: {{key: {SECRET}}}}}",
        f"cluster={{kind: gateway, address: 7, password: {SECRET}}}",
        f"cluster={{kind: ssh, hosts: [a, b], connect_options: {{password: {SECRET}}}}}",
    ],
)
def test_a_mistake_beside_a_secret_does_not_show_it(job, override):
    assert told("config", "show", "job.yaml", override).exit_code == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://user:pass@host/a b", "at https://host/a b"),
        ("'https://key:a@b@host/x?token=1#f' is", "'https://host/x' is"),
        ("s3://key:a@bucket/part-?.csv", "s3://bucket/part-?.csv"),
        ("(http://h/x?sig=a), mail a@b.c?", "(http://h/x mail a@b.c?"),
        ("model.zarr?", "model.zarr?"),
    ],
)
def test_urls_are_told_without_credentials(text, shown):
    assert without_credentials(text) == shown
    assert str(DataError(text)) == shown


def test_a_path_that_only_looks_like_a_url_is_kept():
    assert without_credentials(str(Path("a@b/c?d"))) == "a@b/c?d"
