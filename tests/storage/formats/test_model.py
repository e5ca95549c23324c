import json
import shutil

import numpy as np
import pytest
import zarr

from daskgmm.core.em.fitted_model import FitSummary, Model
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.errors import DataError
from daskgmm.storage.formats.model import load_model, save_model

COVARIANCES = {
    "full": np.stack([np.eye(3), 2 * np.eye(3)]),
    "tied": np.eye(3),
    "diag": np.ones((2, 3)),
    "spherical": np.ones(2),
}
SUMMARY = FitSummary(-1.5, 100.0, 1.0, 2.0, 3.0, 7, True, "converged", (1,))


def model_of(covariance_type="full"):
    mixture = Mixture(
        covariance_type, np.array([0.25, 0.75]), np.arange(6.0).reshape(2, 3), COVARIANCES[covariance_type]
    )
    return Model(mixture, ("a", "b", "c"), SUMMARY)


@pytest.fixture
def saved(tmp_path):
    save_model(model_of(), tmp_path / "model.zarr")
    return tmp_path / "model.zarr"


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_a_model_comes_back_bit_for_bit(tmp_path, covariance_type):
    model = model_of(covariance_type)
    save_model(model, tmp_path / "model.zarr")
    loaded = load_model(tmp_path / "model.zarr")
    assert loaded.mixture.covariance_type == covariance_type
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(loaded.mixture, name), getattr(model.mixture, name))
    assert loaded.feature_names == model.feature_names
    assert loaded.summary == SUMMARY


def test_a_run_directory_stands_for_its_model(saved):
    assert load_model(saved.parent).summary == SUMMARY


def test_saving_again_replaces_and_leaves_nothing_else(saved):
    save_model(model_of("diag"), saved)
    assert load_model(saved).mixture.covariance_type == "diag"
    assert [one.name for one in saved.parent.iterdir()] == ["model.zarr"]


def test_a_failed_save_keeps_the_old_model(saved, monkeypatch):
    monkeypatch.setattr(zarr.Group, "create_array", lambda *a, **k: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        save_model(model_of("diag"), saved)
    assert load_model(saved).mixture.covariance_type == "full"
    assert [one.name for one in saved.parent.iterdir()] == ["model.zarr"]


def edit_attributes(path, **changes):
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"] |= changes
    (path / "zarr.json").write_text(json.dumps(document))


def test_an_unknown_format_version_is_refused(saved):
    edit_attributes(saved, daskgmm_format=99)
    with pytest.raises(DataError, match="format version 99, and this daskgmm reads version 2"):
        load_model(saved)


def test_another_zarr_group_is_no_model(tmp_path):
    zarr.create_group(str(tmp_path / "other.zarr"))
    with pytest.raises(DataError, match="is not a daskgmm model"):
        load_model(tmp_path / "other.zarr")


def test_no_model_there(tmp_path):
    with pytest.raises(DataError, match="there is no model at"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("weights", np.array([-0.5, 1.5])),
        ("weights", np.array([0.5, 0.1])),
        ("weights", np.ones(3) / 3),
        ("means", np.full((2, 3), np.nan)),
        ("means", np.zeros(3)),
        ("covariances", np.ones((2, 3))),
        ("covariances", -np.stack([np.eye(3)] * 2)),
    ],
)
def test_a_damaged_model_is_refused(saved, name, values):
    shutil.rmtree(saved / name)
    zarr.open_group(str(saved)).create_array(name, data=values)
    with pytest.raises(DataError, match="is damaged"):
        load_model(saved)
