"""Tables with a log: only the files that the log says are read, or none."""

import json
import sys
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source

EVERYTHING = (slice(None), slice(None))
TABLE = pa.table({"x": np.arange(6.0), "y": np.arange(6.0) + 0.5})


def rows_of(path, **options):
    return sorted(open_source(DataOptions(str(path), **options)).array[EVERYTHING][:, 0].tolist())


def refusal(path, **options):
    with pytest.raises(DataError) as caught:
        open_source(DataOptions(str(path), **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


MARKS = [(".hoodie/hoodie.properties", "Hudi"), ("_spark_metadata/0", "Spark streaming")]


@pytest.mark.parametrize(("mark", "kind"), MARKS)
def test_tables_of_hudi_and_spark_are_refused(tmp_path, mark, kind):
    table = tmp_path / "table"
    (table / mark).parent.mkdir(parents=True)
    (table / mark).write_text("v1")
    (table / "day=1").mkdir()
    pq.write_table(TABLE, table / "day=1" / "a.parquet")
    assert f"is a {kind} table, which is not read" in refusal(table)
    for part in ("day=1", "*/*.parquet", "day=1/*.parquet", "*"):
        assert f"names files of the {kind} table {table}, whose log says" in refusal(table / part, format="parquet")
    assert f"names files of the {kind} table" in refusal(tmp_path, format="parquet")


@pytest.mark.parametrize("mark", [".hoodie", "_spark_metadata", "_delta_log"])
def test_a_log_without_entries_is_one(tmp_path, mark):
    pytest.importorskip("deltalake", reason="needs the package deltalake")
    (tmp_path / mark).mkdir()
    pq.write_table(TABLE, tmp_path / "a.parquet")
    assert "which is not read" in refusal(tmp_path) or "cannot be read" in refusal(tmp_path)


@pytest.fixture
def delta(tmp_path):
    """A Delta table of which some rows and files are no longer part."""
    deltalake = pytest.importorskip("deltalake", reason="needs the package deltalake")
    deltalake.write_deltalake(tmp_path / "delta", TABLE)
    deltalake.DeltaTable(tmp_path / "delta").delete("x >= 4")
    return tmp_path / "delta"


def test_a_delta_table_is_read_as_its_log_says(delta):
    assert len(list(delta.glob("*.parquet"))) == 2
    assert rows_of(delta) == [0, 1, 2, 3]
    assert f"names files of the Delta table {delta}" in refusal(delta / "*.parquet")


def test_a_delta_table_in_a_bucket_is_read_as_its_log_says(delta, s3):
    s3fs = pytest.importorskip("s3fs")
    system = s3fs.S3FileSystem(**s3.storage_options)
    system.put(str(delta), "rows/lake/delta", recursive=True)
    options = {"storage_options": s3.storage_options}
    assert rows_of(f"{s3.url}/lake/delta", **options) == [0, 1, 2, 3]
    for path in ("lake", "lake/delta/*.parquet", "lake/*/*.parquet"):
        assert f"names files of the Delta table {s3.url}/lake/delta, whose" in refusal(f"{s3.url}/{path}", **options)


def test_columns_that_stand_in_the_log_only_are_told_of(tmp_path):
    deltalake = pytest.importorskip("deltalake", reason="needs the package deltalake")
    deltalake.write_deltalake(
        tmp_path / "d", TABLE.append_column("city", [["New York", "a/b", "é"] * 2]), partition_by="city"
    )
    source = open_source(DataOptions(str(tmp_path / "d")))
    assert source.feature_names == ("x", "y")
    assert rows_of(tmp_path / "d") == [0, 1, 2, 3, 4, 5]
    assert source.notices == (f"{tmp_path}/d: city stand in the log of the table only: these are no features",)


def test_a_delta_table_whose_files_do_not_hold_its_rows_is_refused(delta):
    log = sorted((delta / "_delta_log").glob("*.json"))[-1]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"]}
    protocol["writerFeatures"] = protocol["readerFeatures"]
    log.write_text(f"{log.read_text()}\n{json.dumps({'protocol': protocol})}\n")
    assert "is a Delta table with deletionVectors, whose files do not hold its rows" in refusal(delta)


def test_a_damaged_log_and_a_missing_file_are_named(delta):
    deltalake = pytest.importorskip("deltalake")
    name = deltalake.DeltaTable(delta).file_uris()[0]
    with open(name, "rb") as file:
        content = file.read()
    (delta / name).unlink()
    assert "does not exist" in refusal(delta)
    (delta / name).write_bytes(content)
    for log in (delta / "_delta_log").glob("*.json"):
        log.write_text("{")
    assert f"the log of the Delta table {delta} cannot be read" in refusal(delta)


@contextmanager
def catalog_of(**options):
    """An Iceberg catalog in memory, whose database is closed at the end."""
    catalogs = pytest.importorskip("pyiceberg.catalog.memory", reason="needs the package pyiceberg")
    pytest.importorskip("sqlalchemy", reason="pyiceberg's catalog needs the package sqlalchemy")
    catalog = catalogs.InMemoryCatalog("memory", **options)
    try:
        yield catalog
    finally:
        catalog.engine.dispose()


@pytest.fixture
def iceberg(tmp_path):
    """An Iceberg table of which some files are no longer part, with the path of its files."""
    with catalog_of(warehouse=f"file://{tmp_path}") as catalog:
        catalog.create_namespace("n")
        table = catalog.create_table("n.t", schema=TABLE.schema)
        table.append(TABLE)
        table.overwrite(TABLE.slice(0, 2))
        table.append(TABLE.slice(3, 2))
        yield table, next(tmp_path.rglob("metadata")).parent


def newest(folder):
    return max((folder / "metadata").glob("*.metadata.json"))


def test_an_iceberg_table_is_read_as_the_metadata_say(iceberg):
    _, folder = iceberg
    line = refusal(folder)
    assert "whose current version only its catalog knows" in line
    assert str(newest(folder)) in line
    assert rows_of(newest(folder)) == [0, 1, 3, 4]
    for hint in (newest(folder).name, newest(folder).name.removesuffix(".metadata.json")):
        (folder / "metadata" / "version-hint.text").write_text(hint)
        assert rows_of(folder) == [0, 1, 3, 4]
    for path in ("data", "data/*.parquet"):
        assert "names files of the Iceberg table" in refusal(folder / path)


def test_an_iceberg_table_in_a_bucket_is_read_as_the_metadata_say(s3):
    options, place = s3.storage_options, s3.storage_options["client_kwargs"]
    access = {"s3.access-key-id": options["key"], "s3.secret-access-key": options["secret"]}
    where = {
        "s3.endpoint": place["endpoint_url"],
        "s3.region": place["region_name"],
        "warehouse": f"{s3.url}/warehouse",
    }
    with catalog_of(**where, **access, **{"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"}) as catalog:
        catalog.create_namespace("n")
        table = catalog.create_table("n.t", schema=TABLE.schema)
        table.append(TABLE)
        table.overwrite(TABLE.slice(0, 2))
        assert rows_of(table.metadata_location, storage_options=options) == [0, 1]
        folder = table.metadata_location.rpartition("/metadata")[0]
        assert f"such as {table.metadata_location}" in refusal(folder, storage_options=options)
        assert f"of the Iceberg table {folder}, whose" in refusal(f"{folder}/data/*.parquet", storage_options=options)


@pytest.mark.parametrize(("mark", "kind"), MARKS)
def test_marks_of_logs_are_seen_in_buckets(s3, tmp_path, mark, kind):
    s3fs = pytest.importorskip("s3fs")
    system = s3fs.S3FileSystem(**s3.storage_options)
    pq.write_table(TABLE, tmp_path / "a.parquet")
    table = f"marked/{kind[0]}"
    system.put(str(tmp_path / "a.parquet"), f"rows/{table}/day=1/a.parquet")
    system.pipe(f"rows/{table}/{mark}", b"{}")
    options = {"storage_options": s3.storage_options}
    assert f"{s3.url}/{table} is a {kind} table, which is not read" in refusal(f"{s3.url}/{table}", **options)
    for path in ("day=1", "*/*.parquet"):
        assert f"files of the {kind} table {s3.url}/{table}, whose" in refusal(f"{s3.url}/{table}/{path}", **options)


def test_an_iceberg_table_with_renamed_columns_is_refused(iceberg):
    table, folder = iceberg
    with table.update_schema() as update:
        update.rename_column("y", "z")
    assert "is an Iceberg table with renamed columns" in refusal(newest(folder))


@pytest.mark.parametrize("package", ["deltalake", "pyiceberg.table"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    mark = {"deltalake": "_delta_log/0.json", "pyiceberg.table": "metadata/v1.metadata.json"}[package]
    (tmp_path / mark).parent.mkdir()
    (tmp_path / mark).write_text("{}")
    extra = {"deltalake": "delta", "pyiceberg.table": "iceberg"}[package]
    pq.write_table(TABLE, tmp_path / "a.parquet")
    assert f"pip install 'daskgmm[{extra}]'" in refusal(tmp_path, format="parquet")
