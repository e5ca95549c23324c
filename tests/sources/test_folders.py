"""Folders, patterns and URLs: all of their rows are read, or none and one line says why."""

import gzip
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source

EVERYTHING = (slice(None), slice(None))


def write(path, value=0.0, n=2):
    """Write n rows of one feature in the format that the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"x": np.full(n, value)})
    if path.suffix == ".npy":
        np.save(path, np.full((n, 1), value))
    elif path.suffix in {".csv", ".tsv"}:
        path.write_text("x\n" + f"{value}\n" * n)
    elif path.suffix in {".arrow", ".feather"}:
        with pa.ipc.new_file(path, table.schema) as sink:
            sink.write_table(table)
    else:
        pq.write_table(table, path)
    return path


def rows_of(path, **options):
    return open_source(DataOptions(str(path), **options)).array[EVERYTHING][:, 0].tolist()


def refusal(path, **options):
    with pytest.raises(DataError) as caught:
        open_source(DataOptions(str(path), **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["parquet", "pq", "parq", "csv", "tsv", "arrow", "feather", "npy"])
def test_a_folder_of_one_format_is_read_at_every_depth(tmp_path, suffix):
    for i, name in enumerate(("a", "b/a", "b/c/d/e/a")):
        write(tmp_path / f"{name}.{suffix}", i)
    assert rows_of(tmp_path) == [0, 0, 1, 1, 2, 2]
    assert rows_of(tmp_path / f"**/*.{suffix}") == [0, 0, 1, 1, 2, 2]
    assert rows_of(f"file://{tmp_path}/b") == [1, 1, 2, 2]


@pytest.mark.parametrize("other", ["index.npy", "sub/b.csv", "preview.png", "c.feather", "d.nc"])
def test_a_folder_of_several_formats_is_refused_with_a_file_of_each(tmp_path, other):
    write(tmp_path / "part-0.parquet")
    (tmp_path / other).parent.mkdir(exist_ok=True)
    (tmp_path / other).write_bytes(b"")
    line = refusal(tmp_path)
    assert "has files of several formats: " in line
    assert f"{tmp_path}/{other}" in line
    assert "set data.format" in line
    source = open_source(DataOptions(str(tmp_path), format="parquet"))
    assert f"{tmp_path}/{other}: not read, as no file of the table" in source.notices[0]


@pytest.mark.parametrize("suffix", ["parquet", "npy"])
def test_links_to_folders_are_refused_and_links_to_files_are_read(tmp_path, suffix):
    write(tmp_path / "b" / f"1.{suffix}", 1)
    write(tmp_path / "a" / f"0.{suffix}", 0)
    (tmp_path / "a" / f"1.{suffix}").symlink_to(tmp_path / "b" / f"1.{suffix}")
    assert rows_of(tmp_path / "a") == [0, 0, 1, 1]
    (tmp_path / "a" / "more").symlink_to(tmp_path / "b")
    assert f"not followed, such as {tmp_path}/a/more: name that folder" in refusal(tmp_path / "a")


def test_zarr_stores_in_a_folder_are_named(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "s.zarr", data=np.ones((3, 2)))
    assert f"name it, such as {tmp_path}/s.zarr" in refusal(tmp_path)
    assert "matches no file" in refusal(tmp_path / "n*")


def test_files_that_are_no_data_are_told_of(tmp_path):
    write(tmp_path / "part-0.parquet")
    for name in ("README.md", "part-1", "_SUCCESS", ".part-0.parquet.crc"):
        (tmp_path / name).write_text("text")
    source = open_source(DataOptions(str(tmp_path)))
    assert f"{tmp_path}/README.md and 1 more: not read" in source.notices[0]


@pytest.mark.parametrize("name", ["b.csv.zip", "b.csv.lz4", "b.parquet.gz"])
def test_a_packed_file_among_others_is_refused(tmp_path, name):
    suffix = name.split(".")[1]
    write(tmp_path / f"a.{suffix}")
    (tmp_path / name).write_bytes(b"packed")
    assert f"has files that cannot be read, such as {tmp_path}/{name}" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "b.h5", "c.nc"])
def test_patterns_and_folders_of_formats_of_one_file_are_refused_with_a_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert "read from one file: name it" in refusal(tmp_path / f"*{name[1:]}")
    assert f"read from one: name it, such as {tmp_path}/{name}" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", ["xlsx", "jsonl", "sqlite", "dta"])
def test_tables_that_are_not_read_are_refused_with_what_converts_them(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(b"x")
    assert f".{suffix} is not read: convert it to parquet, with pandas.read_" in refusal(tmp_path / f"a.{suffix}")
    (tmp_path / "a.unknown").write_bytes(b"x")
    assert "or convert it to parquet, .npy or zarr" in refusal(tmp_path / "a.unknown")


@pytest.mark.parametrize(
    ("suffix", "remedy"),
    [
        (".FITS", ".npy, with astropy.io.fits"),
        (".safetensors", ".npy, with safetensors"),
        (".grib2", "zarr, with xarray.open_dataset"),
    ],
)
def test_files_of_arrays_that_are_not_read_are_refused_with_what_converts_them(tmp_path, suffix, remedy):
    (tmp_path / f"a{suffix}").write_bytes(b"x")
    assert f"{suffix.lower()} is not read: convert it to {remedy}" in refusal(tmp_path / f"a{suffix}")


def test_an_npz_is_no_npy(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((3, 2)), y=np.ones(3))
    with pytest.raises(DataError, match=r"is an .npz of the arrays x, y: store the one to be read with numpy.save"):
        open_source(DataOptions(str(tmp_path / "a.npz"), format="npy"))


@pytest.mark.parametrize("name", ["csv", "npy", "npz", "h5::a", "h5ad", "nc", "mat", "tif", "png", "nii", "zarr"])
def test_a_pipe_is_refused(tmp_path, name):
    os.mkfifo(tmp_path / f"a.{name.partition(':')[0]}")
    assert "is a pipe or a device, which cannot be read twice" in refusal(tmp_path / f"a.{name}")


def test_the_home_directory_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "a.npy", 5)
    assert rows_of("~/a.npy") == [5, 5]


def test_folders_named_by_a_value_are_told_of(tmp_path):
    write(tmp_path / "year=2020" / "a.parquet")
    assert "folders are named year=...: these are no features" in open_source(DataOptions(str(tmp_path))).notices[0]


def test_a_parquet_page_whose_checksum_does_not_fit_is_refused(tmp_path):
    table = pa.table({"x": np.arange(1000.0)})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, compression=None, use_dictionary=False, write_page_checksum=True)
    assert rows_of(path) == table["x"].to_pylist()
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset + 3000
    content = bytearray(path.read_bytes())
    content[start : start + 8] = np.float64(1e6).tobytes()
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet cannot be read: .*checksum"):
        rows_of(path)


def test_an_index_of_other_parquet_files_is_refused(tmp_path):
    collected = []
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "a.parquet", metadata_collector=collected)
    collected[0].set_file_path("a.parquet")
    pq.write_metadata(pa.schema([("x", pa.float64())]), tmp_path / "_metadata", metadata_collector=collected)
    assert "describes the row groups of other files: name their folder" in refusal(
        tmp_path / "_metadata", format="parquet"
    )
    assert rows_of(tmp_path) == [1]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_the_format_of_a_folder_in_a_bucket_is_found_by_listing(s3, tmp_path, suffix):
    s3fs = pytest.importorskip("s3fs")
    system = s3fs.S3FileSystem(**s3.storage_options)
    for i in (0, 1):
        system.put(str(write(tmp_path / f"{i}.{suffix}", i)), f"rows/{suffix}-folder/sub/part-{i}.{suffix}")
    options = {"storage_options": s3.storage_options}
    assert rows_of(f"{s3.url}/{suffix}-folder", **options) == [0, 0, 1, 1]
    assert rows_of(f"{s3.url}/{suffix}-folder/*/part-1*", **options) == [1, 1]
    assert "does not exist" in refusal(f"{s3.url}/no-such-folder", **options)
    system.pipe(f"rows/{suffix}-folder/index.npy", b"")
    assert "several formats" in refusal(f"{s3.url}/{suffix}-folder", **options)


def test_zarr_in_a_bucket_needs_no_suffix(s3):
    zarr = pytest.importorskip("zarr")
    zarr.create_array(f"{s3.url}/plain", data=np.ones((3, 2)), storage_options=s3.storage_options)
    assert rows_of(f"{s3.url}/plain", storage_options=s3.storage_options) == [1, 1, 1]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_a_presigned_url_is_known_by_its_path(web, tmp_path, suffix):
    pytest.importorskip("aiohttp", reason="needs the package aiohttp")
    write(tmp_path / f"a.{suffix}", 3)
    assert rows_of(f"{web.url}/a.{suffix}?X-Amz-Signature=abc&X-Amz-Expires=9") == [3, 3]
    line = refusal(f"{web.url}/download?file=a.{suffix}&signature=secret-one")
    assert "set data.format" in line
    assert "secret-one" not in line


def test_a_presigned_url_of_a_compressed_csv_is_read_and_told_of_without_its_signature(web, tmp_path):
    pytest.importorskip("aiohttp", reason="needs the package aiohttp")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"x\n1\n2\n"))
    source = open_source(DataOptions(f"{web.url}/a.csv.gz?X-Amz-Signature=secret-one"))
    assert source.array[EVERYTHING].tolist() == [[1], [2]]
    assert "decompresses all of it" in source.notices[0]
    assert "secret-one" not in source.notices[0]


def test_a_folder_that_is_named_like_a_file_is_looked_into(tmp_path):
    write(tmp_path / "a.parquet" / "part-0.parquet", 1)
    assert rows_of(tmp_path / "a.parquet") == [1, 1]
    write(tmp_path / "a.parquet" / "part-1.csv")
    assert "several formats" in refusal(tmp_path / "a.parquet")
