"""A first run without a configuration, and a commented one to continue from."""

import numpy as np
import pytest

from daskgmm.config import load_config, parse_config
from daskgmm.storage.formats.model import load_model
from tests.cli.test_commands import refused, run


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "\n".join(f"{x:.3f},{y:.3f}" for x, y in np.random.default_rng(0).normal(size=(60, 2)))
    (tmp_path / "rows.csv").write_text(f"length,width\n{text}\n")
    return tmp_path


@pytest.mark.usefixtures("rows")
def test_data_are_fitted_without_a_configuration():
    run("fit", "rows.csv", "-k", "2", "-o", "first", "output.report=false", "model.covariance_type=diag")
    model = load_model("first")
    assert (model.mixture.n_components, model.mixture.covariance_type) == (2, "diag")
    assert model.feature_names == ("length", "width")


def test_the_options_override_a_configuration_that_is_given(rows):
    (rows / "job.yml").write_text("data: {path: rows.csv}\nmodel: {n_components: 5}\noutput: {report: false}\n")
    run("fit", "job.yml", "-k", "1", "-o", "one")
    assert load_model("one").mixture.n_components == 1
    assert "model.n_components" in refused("fit", "rows.csv", "-k", "many", code=2)


def test_a_commented_configuration_is_one_with_all_defaults(rows):
    assert run("init", "rows.csv").output.strip() == "fit.yaml"
    text = (rows / "fit.yaml").read_text()
    assert "60 rows of 2 features (length, width)" in text
    assert '  # covariance_type: "full"' in text
    minimal = parse_config("data: {path: rows.csv}\nmodel: {n_components: 8}\n")
    assert load_config("fit.yaml") == minimal
    keys = [line for line in text.splitlines() if line.startswith("  # ") and line[4].islower() and ": " in line]
    assert len(keys) > 30
    assert "is there already" in refused("init", "rows.csv", code=2)
    assert "no.csv" in refused("init", "no.csv", "-o", "other.yaml", code=3)
    assert not (rows / "other.yaml").exists()
