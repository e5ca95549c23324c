"""Missing values in jobs: what sources declare as missing, imputed results, and prediction from some features."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from daskgmm import GaussianMixture, load_model
from daskgmm.config import parse_config
from daskgmm.core.em.loop import State, Trial
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.errors import ConfigurationError, DataError
from daskgmm.jobs.fit import fit, predict
from daskgmm.storage.run.checkpoint import Checkpoint, from_bytes, to_bytes


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    rows = np.round(10 * np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 5]))
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows


def config_of(path, directory, data="", output=""):
    return parse_config(
        f"data: {{path: {path}, missing: marginal{data}}}\n"
        f"model: {{n_components: 2}}\noutput: {{directory: {directory}, report: false{output}}}\n",
        name="test",
    )


def stored_parquet(rows, path):
    masked = [pa.array(np.nan_to_num(column).astype(int), mask=np.isnan(column)) for column in rows.T]
    pq.write_table(pa.table(masked, names=["a", "b"]), path)


def stored_zarr(rows, path):
    values = np.where(np.isnan(rows), -999, rows).astype("i4")
    array = zarr.create_array(path, data=values, chunks=(50, 2), attributes={"missing_value": -999})
    assert array.shape == rows.shape


@pytest.mark.parametrize(("name", "store"), [("rows.parquet", stored_parquet), ("rows.zarr", stored_zarr)])
def test_declared_missing_values_of_whole_numbers_are_integrated_out(tmp_path, rows, name, store):
    store(rows, tmp_path / name)
    found = fit(config_of(tmp_path / name, tmp_path / "run", output=", imputed: true, imputed_error: true"))
    expected = GaussianMixture(2, missing="marginal", random_state=0).fit(rows)
    order = np.argsort(found.mixture.means[:, 0]), np.argsort(expected.means_[:, 0])
    np.testing.assert_allclose(found.mixture.means[order[0]], expected.means_[order[1]], rtol=1e-3)
    if name == "rows.zarr":
        group = zarr.open_group(tmp_path / "run" / "imputed.zarr", mode="r")
        imputed, errors = group["imputed"][:], group["imputed_error"][:]
    else:
        table = pq.read_table(tmp_path / "run" / "results.parquet")
        imputed = np.column_stack([table[f"imputed_{name}"] for name in "ab"])
        errors = np.column_stack([table[f"imputed_error_{name}"] for name in "ab"])
    gaps = np.isnan(rows)
    np.testing.assert_array_equal(imputed[~gaps], rows[~gaps])
    assert np.isfinite(imputed).all()
    np.testing.assert_array_equal(errors > 0, gaps)


def test_a_prediction_from_some_features_imputes_the_others(tmp_path, rows):
    stored_parquet(rows, tmp_path / "rows.parquet")
    fit(config_of(tmp_path / "rows.parquet", tmp_path / "run"))
    model = load_model(tmp_path / "run")
    pq.write_table(pa.table({"b": [0.0, 50.0]}), tmp_path / "new.parquet")
    options = {"data": ", given: [b]", "output": ", imputed: true, log_density: true"}
    predict(config_of(tmp_path / "new.parquet", tmp_path / "out", **options), model)
    table = pq.read_table(tmp_path / "out" / "results.parquet").to_pydict()
    for at, value in enumerate([0.0, 50.0]):
        conditional = model.condition(["b"], [value])
        assert table["imputed_a"][at] == pytest.approx(float(conditional.weights @ conditional.means[:, 0]))
        assert table["imputed_b"][at] == value
    with pytest.raises(DataError, match="there is no feature 'z'"):
        predict(config_of(tmp_path / "new.parquet", tmp_path / "out2", data=", given: [z]"), model)
    with pytest.raises(DataError, match="given names a"):
        predict(config_of(tmp_path / "new.parquet", tmp_path / "out2", data=", given: [a]"), model)
    with pytest.raises(ConfigurationError, match="given names all 2 features"):
        predict(config_of(tmp_path / "new.parquet", tmp_path / "out2", data=", given: [b, a]"), model)


@pytest.mark.parametrize(
    ("data", "output", "message"),
    [
        (", mask: nan", "", "drop one of them"),
        (", mask: [-999, nan]", "", "drop one of them"),
        (", given: [a]", "", "data.given is for predict"),
        (", missing: error", ", imputed: true", "data.missing is error"),
    ],
)
def test_options_that_cannot_act_are_refused(tmp_path, rows, data, output, message):
    complete = np.nan_to_num(rows)
    stored_parquet(complete, tmp_path / "rows.parquet")
    text = config_of(tmp_path / "rows.parquet", tmp_path / "run", output=output)
    settings = text if not data else None
    if settings is None:
        own = "" if "missing" in data else ", missing: marginal"
        settings = parse_config(
            f"data: {{path: {tmp_path / 'rows.parquet'}{own}{data}}}\nmodel: {{n_components: 2}}\n"
            f"output: {{directory: {tmp_path / 'run'}, report: false{output}}}\n",
            name="test",
        )
    with pytest.raises(ConfigurationError, match=message):
        fit(settings)


def test_a_checkpoint_keeps_the_gaps_of_the_summary_bit_for_bit(tmp_path, rows):
    summary = summarise_rows(rows, np.linspace(0.1, 1, len(rows)), missing=True)
    model = GaussianMixture(2, missing="marginal", random_state=0).fit(np.nan_to_num(rows))
    state = State(summary, (Trial(model._mixture()),))
    kept = from_bytes(to_bytes(Checkpoint({"fit": state})), tmp_path).states["fit"].data_summary
    assert (kept.n_gaps, kept.value_weights) == (summary.n_gaps, summary.value_weights)
    np.testing.assert_array_equal(kept.total_covariance, summary.total_covariance)


def test_results_of_which_two_columns_would_have_one_name_are_refused_before_the_fit(tmp_path, rows):
    masked = [pa.array(column, mask=np.isnan(column)) for column in rows.T]
    pq.write_table(pa.table(masked, names=["a", "error_a"]), tmp_path / "rows.parquet")
    both = config_of(tmp_path / "rows.parquet", tmp_path / "run", output=", imputed: true, imputed_error: true")
    with pytest.raises(ConfigurationError, match="two columns of results would be named 'imputed_error_a'"):
        fit(both)
    assert not (tmp_path / "run").exists()
