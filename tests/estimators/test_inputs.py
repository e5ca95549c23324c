"""What the estimator takes as rows, and in what form results come back."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import xarray as xr
import zarr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from daskgmm import GaussianMixture, GaussianMixtureSelector, bootstrap, likelihood_ratio_test
from daskgmm.errors import ConfigurationError, DataError

ROWS = np.random.default_rng(0).normal(size=(60, 2)) + 8 * (np.arange(60) % 2)[:, None]
GRID = ROWS.reshape(6, 10, 2)
TEXT = np.arange(60).astype("U3").reshape(30, 2)
TIMES = np.full((30, 2), np.datetime64("2020-01-01", "ns"))
TIMES[7, 0] = np.datetime64("NaT")
NAMED = pd.DataFrame(ROWS, columns=["a", "b"])


def in_dask(array, **options):
    return da.from_array(array, chunks=(20, *array.shape[1:]), **options)


def in_blocks(make, dtype=float):
    """Return a dask array of one block that is made when it is read, of which dask is told no more than dtype."""
    return da.from_delayed(dask.delayed(make)(), shape=(60, 2), dtype=dtype)


def in_zarr(array):
    stored = zarr.create_array({}, shape=array.shape, dtype=array.dtype)
    stored[:] = array
    return stored


def fitted_means(data, **options):
    model = GaussianMixture(2, random_state=0, **options).fit(data)
    return np.sort(model.means_, axis=0)


REFUSED = {
    "complex, dask": (lambda: in_dask(ROWS * 1j), "dtype complex128"),
    "complex, zarr": (lambda: in_zarr(ROWS * 1j), "dtype complex128"),
    "complex, xarray": (lambda: xr.DataArray(ROWS * 1j), "dtype complex128"),
    "text, dask": (lambda: in_dask(TEXT), "dtype <U3"),
    "text, xarray": (lambda: xr.DataArray(TEXT), "dtype <U3"),
    "text, Dataset": (lambda: xr.Dataset({"a": ("t", TEXT[:, 0]), "b": ("t", ROWS[:30, 0])}), "variable 'a'.*<U3"),
    "text, frame": (lambda: dd.from_pandas(NAMED.assign(b="x"), npartitions=2), "column 'b' is of dtype"),
    "time, dask": (lambda: in_dask(TIMES), "dtype datetime64"),
    "time, pandas": (lambda: NAMED.assign(when=TIMES[0, 0]), "column 'when' is of dtype datetime64"),
    "time, xarray": (lambda: xr.DataArray(TIMES), "dtype datetime64"),
    "time difference": (lambda: in_dask(TIMES - TIMES[0]), "dtype timedelta64"),
    "time, frame": (lambda: dd.from_pandas(NAMED.assign(b=TIMES[0, 1]), npartitions=2), "column 'b' is of dtype"),
    "objects": (lambda: in_dask(ROWS.astype(object)), "dtype object"),
    "text in blocks that are told to be numbers": (lambda: in_blocks(lambda: TEXT.repeat(2, 0)), "dtype <U3"),
    "masked": (lambda: np.ma.array(ROWS, mask=ROWS > 9), "masked values: fill them with NaN"),
    "masked rows in a list": (lambda: [np.ma.array(row, mask=row > 9) for row in ROWS], "masked values"),
    "masked, dask": (lambda: in_dask(np.ma.array(ROWS, mask=ROWS > 9)), "da.ma.filled"),
    "masked blocks": (lambda: in_blocks(lambda: np.ma.array(ROWS, mask=ROWS > 9)), "masked values"),
    "sparse blocks": (lambda: in_dask(ROWS).map_blocks(sp.csr_matrix), "csr_matrix"),
    "sparse blocks that are told to be arrays": (lambda: in_blocks(lambda: sp.csr_matrix(ROWS)), "csr_matrix"),
    "no variables": (xr.Dataset, "no variables"),
    "no rows' dimension": (lambda: xr.DataArray(ROWS[:, 0]), "dimensions"),
    "unknown number of features": (lambda: in_blocks(lambda: ROWS)[:, in_blocks(lambda: ROWS)[0] < 99], "known"),
    "no features": (lambda: in_dask(ROWS)[:, :0], "1 or more"),
    "missing values": (
        lambda: dd.from_pandas(NAMED.astype("Float64").mask(NAMED > 9), npartitions=2),
        "values are not finite, the first in row 3, column 0",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_array_of_real_numbers_is_refused(kind):
    make, message = REFUSED[kind]
    with pytest.raises(DataError, match=message):
        GaussianMixture(2, random_state=0).fit(make())


@pytest.mark.parametrize(
    "kind", ["masked", "masked, dask", "masked blocks", "text in blocks that are told to be numbers"]
)
def test_results_of_such_data_are_refused_too(kind):
    make, message = REFUSED[kind]
    model = GaussianMixture(2, random_state=0).fit(ROWS)
    for method in (model.predict, model.predict_proba, model.score_samples, model.score, model.bic):
        with pytest.raises(DataError, match=message):
            np.asarray(method(make()))


@pytest.mark.parametrize(
    "data",
    [
        np.ma.array(ROWS),
        in_blocks(lambda: np.ma.array(ROWS)),
        dd.from_pandas(NAMED.astype("Float64"), npartitions=2),
        xr.Dataset({name: (("feature", "t"), ROWS[:, i].reshape(6, 10)) for i, name in enumerate("ab")}),
        xr.DataArray(GRID, dims=("component", "x", "feature")),
    ],
    ids=["nothing masked", "nothing masked in blocks", "nullable", "Dataset with a dimension feature", "DataArray"],
)
def test_unusual_forms_of_real_numbers_are_fitted(data):
    np.testing.assert_allclose(fitted_means(data), fitted_means(ROWS), rtol=1e-6)


@pytest.mark.parametrize("chunks", [None, {}])
def test_dim_names_the_dimension_of_the_features(chunks):
    data = xr.DataArray(GRID, dims=("y", "x", "band"), coords={"y": np.arange(6)}).transpose("band", "y", "x")
    data = data if chunks is None else data.chunk(chunks)
    model = GaussianMixture(2, random_state=0, dim="band").fit(data)
    np.testing.assert_allclose(np.sort(model.means_, axis=0), fitted_means(ROWS), rtol=1e-6)
    labels = model.predict(data)
    assert labels.dims == ("y", "x")
    np.testing.assert_array_equal(labels, model.predict(ROWS).reshape(6, 10))
    assert model.predict_proba(data).dims == ("y", "x", "component")


@pytest.mark.parametrize("dim", ["t", "y"])
def test_a_dimension_that_is_not_there_is_refused(dim):
    with pytest.raises(DataError, match=f"dim is '{dim}', but"):
        GaussianMixture(2, dim=dim).fit(xr.DataArray(ROWS, dims=("x", "band")))


def test_features_that_seem_to_come_first_are_asked_for():
    data = xr.DataArray(ROWS.T, dims=("band", "x"))
    with pytest.raises(DataError, match="set dim='band'"):
        GaussianMixture(2).fit(data)
    assert GaussianMixture(2, dim="x").fit(data.T.rename(band="x", x="band")).means_.shape == (2, 2)


@pytest.mark.parametrize("chunks", [None, {"x": 20}])
@pytest.mark.parametrize("labels", [["red", "nir"], [1, 2], [0.6, 0.8]])
def test_labels_of_the_features_are_their_names(labels, chunks):
    data = xr.DataArray(ROWS * [1, 5], dims=("x", "band"), coords={"band": labels})
    data = data if chunks is None else data.chunk(chunks)
    model = GaussianMixture(2, random_state=0).fit(data)
    assert model.feature_names_in_.tolist() == [str(label) for label in labels]
    assert model.score(data) == model.score(data.rename(band="b").to_dataset(dim="b"))
    names = ", ".join(map(str, labels))
    for other in (data.isel(band=[1, 0]), data.assign_coords(band=["red", "other"])):
        with pytest.raises(
            DataError, match=f"feature names should match .* fitted on {names}, in this order"
        ) as refusal:
            model.predict(other)
        assert "\n" not in str(refusal.value)


def test_the_dimension_of_components_has_a_name_of_its_own():
    data = xr.DataArray(GRID, dims=("component", "x", "f"), coords={"component_1": ("x", np.arange(10))})
    model = GaussianMixture(2, random_state=0).fit(data)
    assert model.predict_proba(data).dims == ("component", "x", "component_2")


def test_rows_without_any_number_are_left_out_of_results():
    holed = GRID.copy()
    holed[:2] = np.nan
    data = xr.DataArray(holed, dims=("y", "x", "f"))
    counted = data.notnull().all("f")
    model = GaussianMixture(2, random_state=0).fit(data, sample_weight=counted)
    labels, kept = model.predict(data), counted.values
    assert (labels.values[~kept] == -2).all()
    np.testing.assert_array_equal(labels.values[kept], model.predict(holed[kept]))
    assert np.isnan(model.predict_proba(data).values[~kept]).all()
    assert np.isnan(model.score_samples(data).values[~kept]).all()
    assert model.score(data, sample_weight=counted) == pytest.approx(model.score(holed[kept]))
    assert model.bic(data, sample_weight=counted) == pytest.approx(model.bic(holed[kept]))
    with pytest.raises(DataError, match=r"row \(0, 0\), column 0 is nan.*sample_weight to 0 in fit and score"):
        model.score(data)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_with_some_numbers_is_refused_by_its_name(bad):
    model, holed = GaussianMixture(2, random_state=0).fit(ROWS), ROWS.copy()
    holed[7, 1] = bad
    with pytest.raises(DataError, match=f"row 7, column 1 is {bad}: .*fill or drop"):
        model.predict(holed)


def halved(block):
    return block[: len(block) // 2]


def doubled(block):
    return np.concatenate([block, block])


def without_a_column(block):
    return block[:, 1:]


def twice_the_columns(block):
    return np.concatenate([block, block], axis=1)


def as_list(block):
    return block.tolist()


SHAPED = np.concatenate([np.random.default_rng(0).standard_normal((8000, 3)), np.full((8000, 3), 9.0)])
SHAPED[8000:] += np.random.default_rng(1).standard_normal((8000, 3))


def that_lies(make, chunk=4000):
    """Return rows in blocks that a function makes others of than dask is told; of 100 rows they are rechunked."""
    return da.from_array(SHAPED, chunks=(chunk, 3)).map_blocks(make, dtype=float, meta=np.empty((0, 0)))


@pytest.mark.parametrize("chunk", [4000, 100])
@pytest.mark.parametrize("make", [halved, doubled, without_a_column, twice_the_columns, as_list])
def test_blocks_of_other_shapes_than_their_array_says_are_refused(make, chunk):
    fitted = GaussianMixture(2, random_state=0).fit(SHAPED)
    rows = that_lies(make, chunk)
    for use in (GaussianMixture(2).fit, GaussianMixture(2, persist=False).fit, fitted.score, fitted.bic):
        with pytest.raises(DataError, match=r"a block (of rows has the shape .*, where its dask|is of type list)"):
            use(rows)


@pytest.mark.parametrize("make", [without_a_column, twice_the_columns])
def test_results_of_blocks_of_other_widths_are_refused(make):
    fitted, gaps = (GaussianMixture(2, random_state=0, missing=one).fit(SHAPED) for one in ("error", "marginal"))
    reduced = GaussianMixture(2, random_state=0, reduce={"features": 2}).fit(SHAPED)
    rows = that_lies(make)
    for lazy in (fitted.predict(rows), fitted.predict_proba(rows), gaps.impute(rows), reduced.predict(rows)):
        with pytest.raises(DataError, match=r"a block of rows has the shape .*, where its dask array says"):
            lazy.compute()


def test_blocks_of_a_grid_that_are_turned_are_refused():
    grid = da.from_array(SHAPED.reshape(160, 100, 3), chunks=(80, 100, 3))
    turned = grid.map_blocks(lambda block: block.swapaxes(0, 1), dtype=float, meta=np.empty((0, 0, 0)))
    weights = np.ones((160, 100))
    with pytest.raises(DataError, match=r"the shape \(100, 80, 3\), where its dask array says \(80, 100, 3\)"):
        GaussianMixture(2).fit(turned, sample_weight=weights)


@pytest.mark.parametrize("chunk", [4000, 100])
def test_weights_and_labels_of_other_shapes_than_their_array_says_are_refused(chunk):
    rows, weights = da.from_array(SHAPED, chunks=(4000, 3)), da.ones(16000, chunks=chunk)
    with pytest.raises(DataError, match=r"a block of weights has the shape \(.*,\), where its dask array says"):
        GaussianMixture(2).fit(rows, sample_weight=weights.map_blocks(halved, dtype=float, meta=np.empty(0)))
    labels = da.from_array(np.where(np.arange(16000) % 2, -1, np.arange(16000) // 8000), chunks=chunk)
    for make in (halved, doubled):
        with pytest.raises(DataError, match=r"a block of labels has the shape \(.*,\), where its dask array says"):
            GaussianMixture(2).fit(rows, labels.map_blocks(make, dtype=int, meta=np.empty(0, int)))


class Wandering:
    """Rows that are others at each read."""

    def __init__(self):
        self.n_reads = 0

    def __call__(self, block):
        self.n_reads += 1
        return block + self.n_reads / 1000


def wandering_rows():
    values = np.concatenate([np.random.default_rng(0).standard_normal((200, 3)), np.full((200, 3), 9.0)])
    values[200:] += np.random.default_rng(1).standard_normal((200, 3))
    lazy = da.from_array(values, chunks=(100, 3))
    return lazy.map_blocks(Wandering(), dtype=float, meta=np.empty((0, 0)), token=1)


@pytest.mark.parametrize("reduce", [None, {"features": 2}])
@pytest.mark.parametrize("estimator", [GaussianMixture(2), GaussianMixtureSelector([1, 2])])
def test_rows_that_differ_at_each_read_are_refused_unless_they_are_held(estimator, reduce):
    rows, streamed = wandering_rows(), clone(estimator).set_params(persist=False, reduce=reduce)
    with pytest.raises(DataError, match=r"rows \[.*\] of the data are not what they were .* fit array.persist\(\)"):
        clone(streamed).fit(rows)
    clone(streamed).fit(rows.persist())
    if reduce is None:
        clone(streamed).set_params(persist=True).fit(rows)


def test_fits_that_are_compared_are_of_one_read():
    rows, fitted = wandering_rows(), GaussianMixture(2, persist=True, n_init=1)
    with pytest.raises(DataError, match="are not what they were"):
        bootstrap(fitted.fit(rows).set_params(persist=False), rows, n_resamples=3)
    streamed = clone(fitted).set_params(persist=False)
    reads = []
    counted = da.from_array(rows.compute(), chunks=(100, 3)).map_blocks(
        lambda block: reads.append(len(block)) or block, dtype=float, meta=np.empty((0, 0))
    )
    likelihood_ratio_test(streamed, counted, [1], n_resamples=1, level=0.5, random_state=0)
    assert sum(reads) == 400


def test_a_fit_that_fails_leaves_the_features_of_the_one_before():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    model = GaussianMixture(1).fit(frame)
    swapped = frame[["b", "a"]].copy()
    swapped.iloc[3, 0] = np.nan
    with pytest.raises(DataError):
        model.fit(swapped)
    assert list(model.feature_names_in_) == ["a", "b"]
    likelihood_ratio_test(model, frame.values[:30], [1], n_resamples=1, level=0.5, random_state=0)
    with pytest.raises(ValueError, match="same order"):
        model.score(frame[["b", "a"]])
    fresh = GaussianMixture(1)
    with pytest.raises(DataError):
        fresh.fit(swapped)
    with pytest.raises(NotFittedError):
        fresh.predict(frame)


def test_a_start_goes_by_the_names_of_the_features():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    model = GaussianMixture(1, warm_start=True).fit(frame)
    with pytest.raises(ConfigurationError, match="of the features a, b, but X has b, a: give them in that order"):
        model.fit(frame[["b", "a"]])
    model.fit(frame.values)  # without names there is nothing to compare
    means = pd.DataFrame([[0.0, 1.0]], columns=["b", "a"])
    with pytest.raises(ValueError, match="means_init has the columns b, a, but X has a, b, in this order"):
        GaussianMixture(1, means_init=means).fit(frame)
    GaussianMixture(1, means_init=means[["a", "b"]]).fit(frame)


def test_variables_of_other_grids_and_packed_zarr_arrays_are_refused():
    values = np.random.default_rng(0).normal(size=(60, 3))
    data = xr.Dataset({"t": ("time", values[:, 0]), "s": ("time", values[:, 1])})
    assert GaussianMixture(1).fit(data).n_features_in_ == 2
    with pytest.raises(DataError, match=r"'t' and 'bounds' of the Dataset have the dimensions \('time',\) and"):
        GaussianMixture(1).fit(data.assign(bounds=(("time", "nv"), values[:, 1:])))
    packed = zarr.array((values * 100).astype("i2"), chunks=(30, 3))
    GaussianMixture(1).fit(packed)
    for name, value in (("scale_factor", 0.01), ("_FillValue", -32768)):
        packed.attrs.put({name: value})
        with pytest.raises(DataError, match=f"the zarr array has the attribute '{name}'"):
            GaussianMixture(1).fit(packed)
    plain = zarr.array(values, chunks=(30, 3), attributes={"_FillValue": "NaN"})
    GaussianMixture(1).fit(plain)
