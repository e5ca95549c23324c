"""Each kind of source: what its reference library writes is read to the same numbers and names in the same places."""

import warnings
from functools import partial

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from daskgmm.sources import DataOptions, open_source

pa = pytest.importorskip("pyarrow", reason="needs the package pyarrow")

FEW = settings(max_examples=10, deadline=None)
DTYPES = st.sampled_from(["<f4", ">f4", "<f8", "i1", "u2", "<i4"])
GRIDS = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)


def write_zarr(folder, values, chunks, zarr_format):
    zarr.create_array(str(folder / "a.zarr"), data=values, chunks=chunks, zarr_format=zarr_format)
    return folder / "a.zarr"


def write_sharded_zarr(folder, values, chunks):
    shards = tuple(2 * size for size in chunks)
    zarr.create_array(str(folder / "a.zarr"), data=values, chunks=chunks, shards=shards)
    return folder / "a.zarr"


def write_hdf5(folder, values, chunks):
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("inner/rows", data=values, chunks=chunks, compression="gzip", shuffle=True)
    return folder / "a.h5"


def write_npy(folder, values, chunks):
    for i, start in enumerate(range(0, len(values), chunks[0])):
        part = values[start : start + chunks[0]]
        np.save(folder / f"{i}.npy", np.asfortranarray(part) if i % 2 else part)
    return folder


ARRAYS = {
    "zarr 2": partial(write_zarr, zarr_format=2),
    "zarr 3": partial(write_zarr, zarr_format=3),
    "zarr in shards": write_sharded_zarr,
    "hdf5": write_hdf5,
    "npy": write_npy,
}


@pytest.mark.parametrize("kind", ARRAYS)
@FEW
@given(data=st.data(), dtype=DTYPES, grid=GRIDS, n_features=st.integers(1, 3))
def test_arrays(tmp_path_factory, kind, data, dtype, grid, n_features):
    values = data.draw(arrays(dtype, (*grid, n_features), elements=st.integers(-99 if dtype[-2] != "u" else 0, 99)))
    chunks = tuple(data.draw(st.integers(1, size)) for size in values.shape)
    path = ARRAYS[kind](tmp_path_factory.mktemp("arrays"), values, chunks)
    source = open_source(DataOptions(str(path)))
    assert source.grid == grid
    slices = tuple(slice(data.draw(st.integers(0, size - 1)), None) for size in grid)
    np.testing.assert_array_equal(source.array[(*slices, slice(None))], values[slices])


@pytest.mark.parametrize("kind", ["netcdf4", "netcdf3", "zarr 2", "zarr 3"])
@FEW
@given(data=st.data(), shape=st.tuples(st.integers(1, 4), st.integers(1, 4)), packed=st.booleans())
def test_variables_of_xarray(tmp_path_factory, kind, data, shape, packed):
    fields = {name: data.draw(arrays("f8", shape, elements=st.integers(-99, 99))) for name in ("salt", "temp")}
    fields["temp"].flat[0] = np.nan
    places = {"lat": np.arange(shape[0]) * 10.0, "lon": np.arange(shape[1]) * 20.0}
    dataset = xr.Dataset({name: (("lat", "lon"), values) for name, values in fields.items()}, places)
    encoding = {"temp": {"dtype": "i2", "scale_factor": 0.5, "_FillValue": -999}} if packed else {}
    folder = tmp_path_factory.mktemp("xarray")
    path = folder / ("a.zarr" if kind.startswith("zarr") else "a.nc")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata are no part of zarr 3 yet
        if kind.startswith("zarr"):
            dataset.to_zarr(path, zarr_format=int(kind[-1]), encoding=encoding)
        else:
            engine = {"netcdf4": "h5netcdf", "netcdf3": "scipy"}[kind]
            dataset.to_netcdf(path, engine=engine, encoding=encoding)
    source = open_source(DataOptions(str(path)))
    assert source.feature_names == ("salt", "temp")
    for axis, values in places.items():
        np.testing.assert_array_equal(source.coordinates[axis].values, values)
    expected = np.stack([fields["salt"], fields["temp"]], axis=-1)
    np.testing.assert_array_equal(source.array[(slice(None),) * 3], expected)


def write_parquet(folder, table):
    import pyarrow.parquet as pq

    pq.write_table(table, folder / "a.parquet", row_group_size=3)
    return folder / "a.parquet"


def write_csv(folder, table):
    from pyarrow import csv

    csv.write_csv(table, folder / "a.csv")
    return folder / "a.csv"


def write_feather(folder, table):
    from pyarrow import feather

    feather.write_feather(table, folder / "a.feather", chunksize=3)
    return folder / "a.feather"


def write_stream(folder, table):
    with pa.ipc.new_stream(folder / "a.arrows", table.schema) as stream:
        stream.write_table(table, max_chunksize=3)
    return folder / "a.arrows"


def write_orc(folder, table):
    from pyarrow import orc

    orc.write_table(table, folder / "a.orc")
    return folder / "a.orc"


def write_delta(folder, table):
    deltalake = pytest.importorskip("deltalake", reason="needs the package deltalake")
    deltalake.write_deltalake(folder / "a", table.slice(0, 1))
    deltalake.write_deltalake(folder / "a", table, mode="overwrite")
    return folder / "a"


def write_iceberg(folder, table):
    catalogs = pytest.importorskip("pyiceberg.catalog.sql", reason="needs the package pyiceberg")
    catalog = catalogs.SqlCatalog("rows", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
    catalog.create_namespace("rows")
    stored = catalog.create_table("rows.a", table.schema)
    stored.append(table.slice(0, 1))
    stored.overwrite(table)
    catalog.close()
    return stored.metadata_location.removeprefix("file://")


TABLES = {
    "parquet": write_parquet,
    "csv": write_csv,
    "arrow file": write_feather,
    "arrow stream": write_stream,
    "orc": write_orc,
    "delta": write_delta,
    "iceberg": write_iceberg,
}
NUMBERS = st.floats(-1e6, 1e6) | st.none()
LABELS = st.text(st.characters(codec="ascii", categories=["L", "Nd"]), min_size=1, max_size=5).map("k{}".format)


@pytest.mark.parametrize("kind", [pytest.param(one, marks=[pytest.mark.slow] * (one == "iceberg")) for one in TABLES])
@settings(max_examples=5, deadline=None)
@given(rows=st.lists(st.tuples(NUMBERS, st.integers(-99, 99), LABELS), min_size=1, max_size=9), data=st.data())
def test_tables(tmp_path_factory, kind, rows, data):
    first, second, labels = (list(column) for column in zip(*rows, strict=True))
    first[0] = 0.5  # a column of missing values only has no type in CSV
    table = pa.table({"a": pa.array(first, pa.float64()), "b": pa.array(second, pa.int32()), "key": labels})
    path = TABLES[kind](tmp_path_factory.mktemp("tables"), table)
    source = open_source(DataOptions(str(path), keep=("key",)))
    assert source.feature_names == ("a", "b")
    expected = np.array([first, second], float).T
    start = data.draw(st.integers(0, len(rows) - 1))
    np.testing.assert_array_equal(source.array[(slice(start, None), slice(None))], expected[start:])
    assert source.keys(start, len(rows))["key"].to_pylist() == labels[start:]
