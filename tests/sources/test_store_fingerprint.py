import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import zarr

from daskgmm.errors import ConfigurationError, DataError
from daskgmm.sources import DataOptions, Source, open_source

ROWS = np.arange(24.0).reshape(8, 3)
KINDS = ["array", "group", "format 2", "format 2, consolidated", "xarray"]


def _write(path: Path, kind: str, rows: np.ndarray = ROWS) -> dict[str, str]:
    """Write rows and weights in format `kind`; return what names them in the section data."""
    if kind == "array":
        zarr.create_array(str(path), data=rows, chunks=(4, 3))
        return {}
    if kind == "xarray":
        xarray = pytest.importorskip("xarray")
        variables = dict.fromkeys("xw", ("y", rows[:, 0]))
        encoding = {name: {"chunks": (4,)} for name in "xw"}
        xarray.Dataset(variables).to_zarr(path, encoding=encoding, consolidated=False)
        return {"format": "xarray", "array": "x", "weights": "w"}
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if "2" in kind else 3)
    group.create_array("x", data=rows, chunks=(4, 3))
    group.create_array("w", data=rows[:, 0], chunks=(4,))
    if "consolidated" in kind:
        zarr.consolidate_metadata(str(path))
    return {"array": "x", "weights": "w"}


def _open(path: str, **options: str) -> Source:
    return open_source(DataOptions(path=path, **options), weighted=True)


def _arrays(source: Source) -> list:
    return [pickle.loads(pickle.dumps(one)) for one in (source.array, source.weights) if one is not None]


@pytest.mark.parametrize("as_url", [False, True], ids=["path", "URL"])
@pytest.mark.parametrize("kind", KINDS)
def test_reads_of_a_store_that_is_gone_are_refused_and_go_on_once_it_is_back(tmp_path, kind, as_url):
    path = tmp_path / "rows.zarr"
    options = _write(path, kind)
    arrays = _arrays(_open(f"file://{path}" if as_url else str(path), **options))
    before = [array[0:4,] for array in arrays]
    path.rename(tmp_path / "elsewhere")
    for array in arrays:
        with pytest.raises(DataError, match=r"rows\.zarr.* cannot be read .*is not there"):
            array[0:4,]
    (tmp_path / "elsewhere").rename(path)
    for array, values in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array[0:4,], values)


@pytest.mark.parametrize("kind", KINDS)
def test_reads_of_a_store_that_was_replaced_are_refused(tmp_path, kind):
    path = tmp_path / "rows.zarr"
    arrays = _arrays(_open(str(path), **_write(path, kind)))
    path.rename(tmp_path / "elsewhere")
    _write(path, kind, np.float32(np.arange(48).reshape(16, 3)))
    for array in arrays:
        with pytest.raises(DataError, match="is not what it was when the job began"):
            array[0:4,]


def test_changed_attributes_of_a_decoded_variable_are_refused(tmp_path):
    path = tmp_path / "rows.zarr"
    source = _open(str(path), **_write(path, "xarray"))
    metadata = path / "x" / "zarr.json"
    document = json.loads(metadata.read_text())
    document["attributes"]["scale_factor"] = 2.0
    metadata.write_text(json.dumps(document))
    with pytest.raises(DataError, match="is not what it was"):
        source.array[0:4,]


def test_chunks_that_were_never_written_are_fill_values(tmp_path):
    path = tmp_path / "rows.zarr"
    array = zarr.create_array(str(path), shape=(8, 3), chunks=(4, 3), dtype="f8", fill_value=7.0)
    array[:4] = 1.0
    np.testing.assert_array_equal(_open(str(path)).array[0:8,][:, 0], [1.0] * 4 + [7.0] * 4)


def _chunk(path: Path, kind: str) -> Path:
    """Return the file of the second chunk of the rows."""
    inside = {"array": "c/1/0", "group": "x/c/1/0", "xarray": "x/c/1"}
    return path / inside.get(kind, "x/1.0")


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_that_vanishes_after_the_opening_is_refused_though_the_metadata_are_there(tmp_path, kind):
    path = tmp_path / "rows.zarr"
    array, *_ = _arrays(_open(str(path), **_write(path, kind)))
    _chunk(path, kind).unlink()
    with pytest.raises(DataError, match=r"was there when the job began, and is gone"):
        array[4:8,]
    np.testing.assert_array_equal(np.squeeze(array[0:4,]).reshape(4, -1)[:, 0], ROWS[:4, 0])


def test_a_shard_that_vanishes_is_refused(tmp_path):
    path = tmp_path / "rows.zarr"
    zarr.create_array(str(path), data=ROWS, chunks=(2, 3), shards=(4, 3))
    source = _open(str(path))
    (path / "c/1/0").unlink()
    with pytest.raises(DataError, match="c/1/0 was there when the job began, and is gone"):
        source.array[4:6,]


@pytest.mark.parametrize("kind", KINDS)
def test_missing_chunks_are_an_error_where_that_is_asked_for(tmp_path, kind):
    path = tmp_path / "rows.zarr"
    options = _write(path, kind)
    _open(str(path), **options, missing_chunks="error")
    _chunk(path, kind).unlink()
    with pytest.raises(DataError, match=r"1 chunks are not there, the first .*, and data\.missing_chunks is error"):
        _open(str(path), **options, missing_chunks="error")
    assert np.asarray(_open(str(path), **options, missing_chunks="fill").array[0:8,]).shape[0] == 8


def test_missing_chunks_are_an_error_where_the_store_names_no_fill_value(tmp_path):
    path = tmp_path / "rows.zarr"
    array = zarr.create_array(
        str(path), shape=(8, 3), chunks=(4, 3), dtype="f8", fill_value=None, zarr_format=2, overwrite=True
    )
    array[:4] = 1.0
    with pytest.raises(DataError, match=r"the first 1\.0, and the store names no fill value: .*missing_chunks: fill"):
        _open(str(path))
    filled = _open(str(path), missing_chunks="fill").array[0:8,]
    np.testing.assert_array_equal(filled[:, 0], [1.0] * 4 + [0.0] * 4)


def test_missing_chunks_are_of_zarr_only(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    with pytest.raises(ConfigurationError, match=r"data\.missing_chunks is for zarr"):
        _open(f"{tmp_path}/x.npy", missing_chunks="fill")
