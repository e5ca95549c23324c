"""The same rows, weights and mask from every kind of source give the same model and the same labels."""

import gzip
import json

import numpy as np
import pytest
import zarr

from daskgmm.storage.formats.model import load_model
from daskgmm.storage.formats.results_zarr import read_result
from tests.cli.test_commands import refused, run

N = 900
RNG = np.random.default_rng(0)
CENTRES = np.array([[0.0, 0, 0], [8, 0, 4], [0, 9, -5]])
ROWS = CENTRES[np.repeat([0, 1, 2], N // 3)] + RNG.standard_normal((N, 3))
ROWS = ROWS[RNG.permutation(N)]
WEIGHTS = RNG.uniform(0.5, 2, N)
VALID = RNG.random(N) < 0.8
NAMES = ("a", "b", "c")


def as_npy(path):
    for name, values in (("rows", ROWS), ("w", WEIGHTS), ("ok", VALID)):
        np.save(path / f"{name}.npy", values)
    return {"path": "rows.npy", "weights": "w.npy", "mask": "ok.npy"}


def as_npy_glob(path):
    as_npy(path)
    for number, part in enumerate(np.array_split(ROWS, 11)):
        np.save(path / f"part-{number}.npy", part)
    return {"path": "part-*.npy", "weights": "w.npy", "mask": "ok.npy"}


def as_zarr(path):
    group = zarr.create_group(path / "a.zarr")
    for name, values in (("rows", ROWS), ("w", WEIGHTS), ("land", ~VALID)):
        group.create_array(name, data=values, chunks=(200, *values.shape[1:]))
    return {"path": "a.zarr", "array": "rows", "weights": "w", "mask": "~land"}


def as_stacked_zarr(path):
    group = zarr.create_group(path / "a.zarr", zarr_format=2)
    for name, values in zip((*NAMES, "w", "ok"), (*ROWS.T, WEIGHTS, VALID), strict=True):
        group.create_array(name, data=np.ascontiguousarray(values), chunks=(200,))
    return {"path": "a.zarr", "arrays": list(NAMES), "weights": "w", "mask": "ok"}


def as_hdf5(path):
    h5py = pytest.importorskip("h5py", reason="needs the package h5py")
    with h5py.File(path / "a.h5", "w") as file:
        for name, values in (("rows", ROWS), ("w", WEIGHTS), ("ok", VALID)):
            file[f"group/{name}"] = values
    return {"path": "a.h5::group/rows", "weights": "group/w", "mask": "group/ok"}


def as_netcdf(path):
    xarray = pytest.importorskip("xarray", reason="needs the package xarray")
    pytest.importorskip("h5netcdf", reason="needs the package h5netcdf")
    columns = dict(zip(NAMES, ROWS.T, strict=True)) | {"w": WEIGHTS, "ok": VALID.astype("int8")}
    dataset = xarray.Dataset({name: (("row",), values) for name, values in columns.items()})
    dataset.to_netcdf(path / "a.nc", engine="h5netcdf")
    return {"path": "a.nc", "arrays": list(NAMES), "weights": "w", "mask": "ok"}


def table():
    pyarrow = pytest.importorskip("pyarrow", reason="needs the package pyarrow")
    columns = dict(zip(NAMES, ROWS.T, strict=True))
    return pyarrow.table({"id": [f"r{i}" for i in range(N)], **columns, "w": WEIGHTS, "ok": VALID.astype("int8")})


def as_parquet(path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the package pyarrow")
    parquet.write_table(table(), path / "a.parquet", row_group_size=130)
    return {"path": "a.parquet", "weights": "w", "mask": "ok", "keep": ["id"]}


def as_csv(path):
    csv = pytest.importorskip("pyarrow.csv", reason="needs the package pyarrow")
    csv.write_csv(table(), path / "a.csv")
    return {"path": "a.csv", "columns": ["?", "!w"], "weights": "w", "mask": "ok", "keep": ["id"]}


def as_csv_of_another_kind(path):
    csv = pytest.importorskip("pyarrow.csv", reason="needs the package pyarrow")
    csv.write_csv(table(), path / "a.csv", csv.WriteOptions(include_header=False, delimiter=";"))
    (path / "a.csv.gz").write_bytes(gzip.compress((path / "a.csv").read_bytes()))
    header = ["id", *NAMES, "w", "ok"]
    return {"path": "a.csv.gz", "header": header, "columns": list(NAMES), "weights": "w", "mask": "ok", "keep": ["id"]}


def as_vectors(path):
    feather = pytest.importorskip("pyarrow.feather", reason="needs the package pyarrow")
    vectors = table().select(["id", "w", "ok"]).append_column("emb", [ROWS.tolist()])
    feather.write_feather(vectors, path / "a.feather", chunksize=130)
    return {"path": "a.feather", "weights": "w", "mask": "ok", "keep": ["id"]}


def as_orc(path):
    orc = pytest.importorskip("pyarrow.orc", reason="needs the package pyarrow")
    orc.write_table(table(), path / "a.orc")
    return {"path": "a.orc", "weights": "w", "mask": "ok", "keep": ["id"]}


SOURCES = [
    *(as_npy, as_npy_glob, as_zarr, as_stacked_zarr, as_hdf5, as_netcdf),
    *(as_parquet, as_csv, as_csv_of_another_kind, as_vectors, as_orc),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_job(path, data, **sections):
    config = {"data": data, "model": {"n_components": 3}, "output": {"directory": "run", "report": False}, **sections}
    (path / "job.yaml").write_text(json.dumps(config))  # JSON is YAML


def labels_of(path):
    if (path / "results.parquet").exists():
        parquet = pytest.importorskip("pyarrow.parquet")
        return parquet.read_table(path / "results.parquet")["label"].to_numpy()
    return read_result(path, "labels")


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The model and the labels that NumPy files give."""
    path = tmp_path_factory.mktemp("expected")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        write_job(path, as_npy(path))
        run("fit", "job.yaml")
        return load_model("run").mixture, labels_of(path / "run")


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("write", "persist"),
    [*((write, False) for write in SOURCES), (as_npy, True), (as_zarr, True), (as_parquet, True)],
    ids=lambda value: getattr(value, "__name__", f"persist {value}"),
)
def test_every_kind_of_source_gives_the_same_model_and_labels(here, expected, write, persist):
    write_job(here, write(here), compute={"persist": persist})
    run("fit", "job.yaml")
    mixture = load_model("run").mixture
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(mixture, name), getattr(expected[0], name), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(labels_of(here / "run"), expected[1])
    np.testing.assert_array_equal(expected[1] == -2, ~VALID)


@pytest.mark.slow
@pytest.mark.rotated(every=3)
@pytest.mark.parametrize("write", [as_zarr, as_netcdf, as_parquet], ids=lambda write: write.__name__)
def test_a_cluster_of_processes_reads_them_too(here, expected, write):
    write_job(here, write(here), cluster={"kind": "local", "n_workers": 2}, compute={"chunk_bytes": 4096})
    run("fit", "job.yaml")
    deviation = 1.0  # of each cluster: the scale of what other chunks, and so another order of additions, change
    np.testing.assert_allclose(load_model("run").mixture.means, expected[0].means, rtol=0, atol=1e-9 * deviation)
    np.testing.assert_array_equal(labels_of(here / "run"), expected[1])


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_units_of_the_columns_change_nothing(here, covariance_type):
    """Spherical covariance alone depends on units, as it must: it compares the features."""
    units = np.array([1e-6, 1.0, 1e6])
    np.save("rows.npy", ROWS)
    np.save("scaled.npy", ROWS * units)
    model = {"n_components": 3, "covariance_type": covariance_type}
    write_job(here, {"path": "rows.npy"}, model=model)
    run("fit", "job.yaml")
    run("fit", "job.yaml", "data.path=scaled.npy", "output.directory=scaled")
    plain, scaled = load_model("run").mixture, load_model("scaled").mixture
    np.testing.assert_array_equal(labels_of(here / "run"), labels_of(here / "scaled"))
    np.testing.assert_allclose(scaled.means / units, plain.means, rtol=0, atol=1e-8)  # deviations are about 1
    squares = units**2 if covariance_type == "diag" else np.outer(units, units)
    relative = scaled.covariances / squares - plain.covariances
    assert np.abs(relative).max() < 1e-8


def test_a_grid_comes_back_with_its_axes_and_its_holes(here):
    xarray = pytest.importorskip("xarray", reason="needs the package xarray")
    pytest.importorskip("h5netcdf", reason="needs the package h5netcdf")
    fields = ROWS.reshape(9, 10, 10, 3).copy()
    fields[:, 2, 3] = np.nan  # land
    axes = ("time", "lat", "lon")
    coords = {
        "time": np.arange("2020-01-01", "2020-01-10", dtype="datetime64[D]").astype("datetime64[ns]"),
        "lat": np.linspace(-45, 45, 10),
        "lon": np.linspace(0, 9, 10),
    }
    variables = {name: (axes, fields[..., i]) for i, name in enumerate(NAMES)}
    xarray.Dataset(variables, coords).to_netcdf("fields.nc", engine="h5netcdf")
    write_job(here, {"path": "fields.nc", "mask": "nan"})
    run("fit", "job.yaml", "output.log_density=true", "compute.chunk_bytes=4096")
    with xarray.open_zarr("run/labels.zarr", consolidated=False) as labels:
        assert labels["labels"].dims == axes
        assert (labels["labels"].sel(lon=3.0).isel(lat=2) == -2).all()
        assert (labels["labels"] == -2).sum() == 9
        for name, values in coords.items():
            np.testing.assert_array_equal(labels[name], values)
    with xarray.open_zarr("run/log_density.zarr", consolidated=False) as density:
        assert int(density["log_density"].isnull().sum()) == 9
    assert "mask: nan" in refused("fit", "job.yaml", "data.mask=null", "--overwrite", code=3)


def test_features_of_another_order_are_refused(here):
    write_job(here, as_parquet(here))
    run("fit", "job.yaml")
    message = refused("predict", "run", "data.columns=[b, a, c]", code=3)
    assert "the data have the features b, a, c, but the model was fitted on a, b, c" in message


def test_keys_of_csv_come_back_as_they_are_written_in_the_order_of_the_rows(here):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the package pyarrow")
    codes = [f"{i:05d}" for i in range(N)]
    lines = [f"{i},{code},{','.join(map(str, row))}" for i, (code, row) in enumerate(zip(codes, ROWS, strict=True))]
    (here / "a.csv").write_text("\n".join([",zip,a,b,c", *lines]))
    write_job(here, {"path": "a.csv", "keep": ["zip"]})
    assert "a.csv: 'Unnamed: 0' of pandas or dask is an index, and no feature" in run("fit", "job.yaml").stdout
    assert load_model("run").feature_names == NAMES
    assert parquet.read_table(here / "run/results.parquet")["zip"].to_pylist() == codes


@pytest.mark.parametrize("name", ["label", "cluster"])
def test_a_key_that_a_result_would_overwrite_is_refused_before_the_fit(here, name):
    write_job(here, {**as_parquet(here), "keep": [name]})
    message = refused("fit", "job.yaml", code=2)
    assert f"data.keep: the results have a column {name!r} of their own" in message
    assert not (here / "run").exists()


def spoil_parquet_part(path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the package pyarrow")
    (path / "parts").mkdir()
    parquet.write_table(table(), path / "parts/part-0.parquet")
    parquet.write_table(table().drop_columns(["b"]), path / "parts/part-1.parquet")
    return {"path": "parts", "keep": ["id"]}, "part-1.parquet"


def spoil_key_type(path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the package pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (path / "parts").mkdir()
    parquet.write_table(table(), path / "parts/part-0.parquet")
    other = table().set_column(0, "id", pyarrow.array(range(N)))
    parquet.write_table(other, path / "parts/part-1.parquet")
    return {"path": "parts", "keep": ["id"]}, "part-1.parquet has the column 'id' as int64"


def spoil_text_column(path):
    return {**as_parquet(path), "keep": []}, "'id'"


def spoil_weights(path):
    np.save(path / "short.npy", WEIGHTS[:-1])
    return {**as_npy(path), "weights": "short.npy"}, "(899,)"


def spoil_stack(path):
    data = as_stacked_zarr(path)
    zarr.open_group(path / "a.zarr").create_array("short", data=ROWS[:-1, 0].copy())
    return {**data, "arrays": ["a", "short"]}, "short (899,)"


def spoil_chunk(path):
    data = as_zarr(path)
    chunk = path / "a.zarr/rows/c/2/0"
    chunk.write_bytes(chunk.read_bytes()[:100])
    return data, "c/2/0"


def spoil_hdf5(path):
    data = as_hdf5(path)
    (path / "a.h5").write_bytes((path / "a.h5").read_bytes()[:-4000])
    return data, "a.h5"


@pytest.mark.parametrize(
    "spoil",
    [spoil_parquet_part, spoil_key_type, spoil_text_column, spoil_weights, spoil_stack, spoil_chunk, spoil_hdf5],
    ids=lambda spoil: spoil.__name__,
)
def test_what_is_wrong_with_a_source_is_named_in_a_line(here, spoil):
    data, named = spoil(here)
    write_job(here, data)
    assert named in refused("fit", "job.yaml", code=3)
    assert not (here / "run").exists()


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("write", SOURCES, ids=lambda write: write.__name__)
def test_predictions_need_no_weights_and_take_none_for_features(here, expected, write):
    data = write(here)
    write_job(here, data)
    run("fit", "job.yaml")
    run("predict", "run")
    np.testing.assert_array_equal(labels_of(here / "run/predictions"), expected[1])


def test_a_mask_that_leaves_no_row_out_is_told(here):
    np.save("rows.npy", ROWS)
    write_job(here, {"path": "rows.npy", "mask": -999})
    assert "note: data.mask -999 leaves no row out" in run("fit", "job.yaml").output


def test_a_value_that_is_not_finite_is_named_as_the_files_are_with_a_mask_that_is_not_set_already(here):
    for i, part in enumerate(np.split(np.where(VALID[:, None], ROWS, np.nan), 3)):
        np.save(here / f"part-{i}.npy", part)
    spoilt = np.load(here / "part-1.npy")
    spoilt[7, 1] = -np.inf
    np.save(here / "part-1.npy", spoilt)
    write_job(here, {"path": "part-*.npy", "mask": "nan"})
    line = refused("fit", "job.yaml", code=3)
    assert "1 values are not finite, the first in row 7, column 1 of part-1.npy: " in line
    assert line.endswith("data.mask: [nan, -inf]")
    n_left_out = int((~VALID).sum()) + bool(VALID[307])
    told = run("fit", "job.yaml", "data.mask=[nan, -inf]").output
    assert f"note: data.mask [nan, -inf] leaves {n_left_out} of 900 rows out, in which" in told
    assert (labels_of(here / "run") < 0).sum() == n_left_out
    line = refused("predict", "run", "data.mask=nan", "output.directory=scored", code=3)
    assert "row 7, column 1 of part-1.npy is -inf: " in line
    assert line.endswith("data.mask: [nan, -inf]")


def test_a_list_of_fill_values_holds_no_names(here):
    write_job(here, {"path": "rows.npy", "mask": ["nan", "land"]})
    assert "should be a number, nan, inf or -inf in a list: 'land' is none" in refused("fit", "job.yaml", code=2)


def test_a_mask_with_the_axes_of_the_rows_in_another_order_is_refused(here):
    xarray = pytest.importorskip("xarray", reason="needs the package xarray")
    pytest.importorskip("h5netcdf", reason="needs the package h5netcdf")
    square = ROWS[:, 0].reshape(30, 30)
    variables = {"t": (("lat", "lon"), square), "land": (("lon", "lat"), (square > 0).astype("int8"))}
    xarray.Dataset(variables).to_netcdf("a.nc", engine="h5netcdf")
    write_job(here, {"path": "a.nc", "arrays": ["t"], "mask": "land"})
    assert "land has the axes lon, lat, but the rows of" in refused("fit", "job.yaml", code=3)


def test_packed_values_are_decoded_unless_the_stored_ones_are_asked_for(here):
    xarray = pytest.importorskip("xarray", reason="needs the package xarray")
    values = np.where(VALID, ROWS[:, 0], np.nan)
    packing = {"t": {"dtype": "int16", "scale_factor": 0.01, "add_offset": 3.0, "_FillValue": -32768}}
    dataset = xarray.Dataset({"t": (("row",), values)})
    dataset.to_zarr("a.zarr", encoding=packing, zarr_format=2, consolidated=False)
    write_job(here, {"path": "a.zarr", "arrays": ["t"]})
    assert "are not finite" in refused("fit", "job.yaml", code=3)
    run("fit", "job.yaml", "data.mask=nan")
    np.testing.assert_array_equal(labels_of(here / "run") == -2, ~VALID)
    run("fit", "job.yaml", "data.format=zarr", "--overwrite")
    assert (labels_of(here / "run") >= 0).all()


def test_names_of_a_source_that_results_cannot_have_are_left_behind(here):
    xarray = pytest.importorskip("xarray", reason="needs the package xarray")
    group = zarr.create_group("a.zarr")
    cube = ROWS[:, :2].reshape(10, 90, 2)
    group.create_array("rows", data=cube, dimension_names=("labels", "component", "band"))
    group.create_array("labels", data=np.arange(10), dimension_names=("labels",))
    group.create_array("component", data=np.arange(3), dimension_names=("component",))
    group.create_array("band", data=np.array(["u", "v", "w"], np.dtypes.StringDType()), dimension_names=("band",))
    write_job(here, {"path": "a.zarr", "array": "rows"})
    run("fit", "job.yaml", "output.probabilities=true")
    assert load_model("run").feature_names is None  # three labels for two features are none
    with xarray.open_zarr("run/probabilities.zarr", consolidated=False) as result:
        assert result["probabilities"].dims == ("axis_0", "axis_1", "component")


def test_texts_along_an_axis_go_along_and_no_warning_comes_up(here):
    xarray = pytest.importorskip("xarray", reason="needs the package xarray")
    group = zarr.create_group("a.zarr")
    group.create_array("rows", data=ROWS.reshape(3, 300, 3), dimension_names=("site", "day", "band"))
    group.create_array("site", data=np.array(["x", "yy", "z"], np.dtypes.StringDType()), dimension_names=("site",))
    group.create_array("band", data=np.array([*"abc"], np.dtypes.StringDType()), dimension_names=("band",))
    write_job(here, {"path": "a.zarr", "array": "rows"})
    run("fit", "job.yaml")
    assert load_model("run").feature_names == NAMES
    with xarray.open_zarr("run/labels.zarr", consolidated=False) as result:
        assert result["site"].values.tolist() == ["x", "yy", "z"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.path=''", "data.path should have at least 1 character"),
        ("data.weights=''", "data.weights should have at least 1 character"),
        ("data.mask=''", "data.mask should be the name of an array or a fill value"),
        ("data.synthetic.n_samples=5", "data.synthetic is for sample, and rows.npy is npy: leave it out"),
        ("data.storage_options=[{key: AK, secret: topsecret99}]", "data.storage_options should be a section of keys"),
        ("output.storage_options=topsecret99", "output.storage_options should be a section of keys"),
    ],
)
def test_mistakes_in_the_configuration_are_named_without_secrets(here, override, message):
    np.save("rows.npy", ROWS)
    write_job(here, {"path": "rows.npy"})
    line = refused("fit", "job.yaml", override, code=2)
    assert message in line
    assert "topsecret99" not in line


def test_credentials_in_a_url_are_neither_told_nor_written(here, web):
    zarr.create_group("a.zarr").create_array("rows", data=ROWS)
    url = f"{web.url}/a.zarr".replace("http://", "http://bob:pw123@")
    write_job(here, {"path": url, "array": "rows"})
    out = run("fit", "job.yaml").output
    written = [one for one in (here / "run").rglob("*") if one.is_file()]
    assert not any(b"pw123" in one.read_bytes() for one in written)
    assert "pw123" not in out
    web.always = 403
    line = refused("fit", "job.yaml", "output.directory=other", code=3)
    assert "pw123" not in line
    assert "access is denied" in line
