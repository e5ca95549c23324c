"""What --dry-run says a job takes, beside what it takes."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from daskgmm.config import parse_config
from daskgmm.errors import ConfigurationError, DataError
from daskgmm.fitting.width import machine_bytes
from daskgmm.jobs.dry_run import describe_fit, describe_sweep
from daskgmm.jobs.fit import fit
from daskgmm.jobs.select import select

_JOB = """
data: {{path: {path}}}
model: {{n_components: 4}}
fit: {{max_iter: 2}}
compute: {{persist: false, chunk_bytes: 8388608}}
output: {{directory: {path}-run}}
"""

# VmHWM is this process's own; getrusage's maximum starts from that of the process that started it.
_PROGRAM = """
import re, sys
from pathlib import Path
from distributed import default_client
from daskgmm.config import parse_config
from daskgmm.events import Phase
from daskgmm.jobs.fit import fit

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

def listen(event):
    if isinstance(event, Phase) and event.name == "predict" and config.cluster.kind == "local":
        print(max(default_client().run(peak).values()))

if __name__ == "__main__":
    config = parse_config(sys.argv[1], sys.argv[2:])
    fit(config, listen)
    print(peak())
"""

STREAMED = {
    "threads": (),
    "far ahead": ("compute.read_ahead=8",),
    "results and a larger sample": ("fit.sample_size=400000", "output.probabilities=true", "output.log_density=true"),
    "local": ("cluster.kind=local", "cluster.n_workers=1", "cluster.threads_per_worker=2"),
}


def create_rows(path):
    """Create 256 MiB of rows x 16 float32, none of which is written."""
    return zarr.create_array(path, shape=(32 * 131_072, 16), chunks=(131_072, 16), dtype="float32")


@pytest.fixture
def path(tmp_path):
    create_rows(tmp_path / "rows.zarr")
    return tmp_path / "rows.zarr"


@pytest.fixture(scope="module")
def rows_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.zarr"
    array = create_rows(path)
    rng, chunk = np.random.default_rng(0), array.chunks[0]
    for at in range(0, array.shape[0], chunk):
        array[at : at + chunk] = rng.standard_normal((chunk, 16), np.float32) + 4 * rng.integers(4, size=(chunk, 1))
    return path


def said(path, *overrides):
    """Return the MiB that --dry-run names for each process."""
    return peak_of(parse_config(_JOB.format(path=path), overrides))


def peak_of(config):
    shown = describe_fit(config)
    return int(re.search(r"^peak memory: +at most (\d+) MiB in each process", shown, re.MULTILINE)[1])


REFUSED = {
    "factors": ("covariance_type low_rank has 7 factors for 4", "model.covariance_type=low_rank", "model.n_factors=7"),
    "one feature": ("covariance_type V is for one feature", "model.covariance_type=V"),
    "prior mean": ("mean has 3 numbers", "fit.inference=map", "model.prior={mean: [1, 2, 3]}"),
    "freedom": ("must be above 3", "fit.inference=map", "model.prior={degrees_of_freedom: 1}"),
    "prior covariance": ("positive definite 4 x 4", "fit.inference=map", "model.prior={covariance: [1, 2, 3]}"),
    "reduce": ("model.reduce acts with em only", "fit.inference=map", "model.reduce={features: 2}"),
    "noise": ("act with em only", "fit.inference=map", "model.noise=true"),
    "rows": ("60 rows of positive weight cannot be split into 61 components", "model.n_components=61"),
    "labels": (
        "labelled rows are not for covariance_type low_rank",
        "model.covariance_type=low_rank",
        "model.n_factors=2",
        "data.labels=FOLDER/labels.npy",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_values_of_the_rows_could_carry_is_refused_before_any_is_read(name, tmp_path):
    message, *overrides = REFUSED[name]
    np.save(tmp_path / "rows.npy", np.full((60, 4), np.nan))  # which a job that reads them refuses otherwise
    np.save(tmp_path / "labels.npy", np.zeros(60))
    text = _JOB.format(path=tmp_path / "rows.npy")
    for run in (describe_fit, fit):
        with pytest.raises((ConfigurationError, DataError), match=message):
            run(parse_config(text, [one.replace("FOLDER", str(tmp_path)) for one in overrides]))


def test_a_sweep_that_no_values_of_the_rows_could_carry_is_refused_before_any_is_read(tmp_path):
    np.save(tmp_path / "rows.npy", np.full((60, 4), np.nan))
    for run in (describe_sweep, select):
        with pytest.raises(ConfigurationError, match="covariance_type V is for one feature"):
            run(parse_config(_JOB.format(path=tmp_path / "rows.npy"), ["select.covariance_type=[full, V]"]))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak of a process there")
@pytest.mark.parametrize("name", STREAMED)
def test_a_streamed_fit_takes_no_more_memory_than_was_said(rows_path, name, tmp_path):
    overrides = (*STREAMED[name], f"output.directory={tmp_path / 'run'}")
    program = tmp_path / "job.py"  # a file, which worker processes can import
    program.write_text(_PROGRAM)
    command = [sys.executable, str(program), _JOB.format(path=rows_path), *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak, bound = max(int(line) for line in done.stdout.split()), said(rows_path, *overrides)
    assert peak <= bound <= 3 * peak


def test_more_threads_chunks_and_results_take_more(path):
    default = said(path, "cluster.n_workers=2")
    assert said(path, "cluster.n_workers=2", "compute.read_ahead=2") == default
    no_results = ("cluster.n_workers=2", "output.labels=false")
    assert said(path, *no_results, "compute.read_ahead=3") == said(path, *no_results) + 3 * 8
    assert said(path, "cluster.n_workers=2", "compute.read_ahead=3") > default + 3 * 8
    assert said(path, "cluster.n_workers=4") > default
    assert said(path, "cluster.n_workers=2", "compute.chunk_bytes=16777216") > default + 4 * 3 * 7
    assert said(path, "cluster.n_workers=2", "output.probabilities=true") > default
    assert said(path, "cluster.n_workers=2", "compute.persist=true") == default + 256


def test_processes_share_the_rows_that_are_held(path):
    local = ("cluster.kind=local", "compute.persist=true")
    one, four = (said(path, *local, f"cluster.n_workers={n}") for n in (1, 4))
    assert one - four == 256 * 3 // 4


def test_many_features_are_refused_or_advised(tmp_path):
    path = tmp_path / "wide.npy"
    np.lib.format.open_memmap(path, "w+", np.float32, (100_000, 4096))  # a hole: takes no room
    text = f"{{data: {{path: {path}}}, output: {{directory: {tmp_path}/run}}}}"
    with pytest.raises(ConfigurationError, match=r"take .*at most \d+ components"):
        describe_fit(parse_config(text, ["model.n_components=100000"]))
    diagonal = ["model.covariance_type=diag"]
    assert "fit.dtype=float32 takes about half the time" in describe_fit(parse_config(text, diagonal))
    assert "fit.dtype=float32 takes" not in describe_fit(parse_config(text, [*diagonal, "fit.dtype=float32"]))
    assert "covariances:" not in describe_fit(parse_config(text, diagonal))
    assert "products in a pass are about 114 times those of low_rank" in describe_fit(parse_config(text))
    by_variance = ["model.n_components=100000", "model.reduce={variance: 0.9}"]
    assert "covariances:" not in describe_fit(parse_config(text, by_variance))


def test_options_of_less_memory_are_named_if_this_machine_has_less_than_planned(tmp_path):
    path, d = tmp_path / "wide.npy", 1024
    np.lib.format.open_memmap(path, "w+", np.float32, (100_000, d))  # a hole: takes no room
    text = f"{{data: {{path: {path}}}, output: {{directory: {tmp_path}/run}}}}"
    k = machine_bytes() // (3 * 8 * d * d)  # the largest that is not refused
    shown = re.search(r"^memory here: .*$", describe_fit(parse_config(text, [f"model.n_components={k}"])), re.MULTILINE)
    named = re.search(r"low_rank with n_factors 16 \((\d+) MiB\) or reduce to 50 features \((\d+) MiB\)", shown[0])
    low_rank = [f"model.n_components={k}", "model.covariance_type=low_rank", "model.n_factors=16"]
    assert peak_of(parse_config(text, low_rank)) == int(named[1])
    assert peak_of(parse_config(text, [f"model.n_components={k}", "model.reduce.features=50"])) == int(named[2])
    assert "memory here" not in describe_fit(parse_config(text, low_rank))


def test_no_option_is_named_that_a_job_with_missing_values_could_not_use(tmp_path):
    path, d = tmp_path / "wide.npy", 1024
    np.lib.format.open_memmap(path, "w+", np.float32, (100_000, d))  # a hole: takes no room
    text = f"{{data: {{path: {path}, missing: marginal}}, output: {{directory: {tmp_path}/run}}}}"
    k = machine_bytes() // (3 * 8 * d * d)  # the largest that is not refused
    shown = describe_fit(parse_config(text, [f"model.n_components={k}"]))
    named = re.search(r"^memory here: .*$", shown, re.MULTILINE)
    assert "diag (" in named[0]
    assert "low_rank" not in shown
    assert "reduce" not in shown
