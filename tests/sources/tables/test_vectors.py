"""Columns of lists as features, and the formats of pyarrow: what it writes is read to the same numbers and places."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source

EVERYTHING = (slice(None), slice(None))
READS_NULLS = int(pa.__version__.partition(".")[0]) >= 26  # 21 still refuses its own fixed-size lists that are null


def write_stream(table, path, size):
    with pa.ipc.new_stream(path, table.schema) as sink:
        sink.write_table(table, max_chunksize=size)


def write_file(table, path, size):
    options = pa.ipc.IpcWriteOptions(compression="zstd" if size % 2 else None)
    with pa.ipc.new_file(path, table.schema, options=options) as sink:
        sink.write_table(table, max_chunksize=size)


WRITERS = {
    "a.parquet": lambda table, path, size: pq.write_table(table, path, row_group_size=size),
    "a.pq": lambda table, path, size: pq.write_table(table, path, row_group_size=size, compression="zstd"),
    "a.arrow": write_file,
    "b.arrow": write_stream,  # as Hugging Face's data sets are
    "a.feather": write_file,
    "a.orc": lambda table, path, size: pa.orc.write_table(table, path, stripe_size=1024, batch_size=max(size, 1)),
}
LISTS = {
    "list": lambda kind, width: pa.list_(kind),
    "large list": lambda kind, width: pa.large_list(kind),
    "fixed": lambda kind, width: pa.list_(kind, width),
    "tensor": lambda kind, width: pa.fixed_shape_tensor(kind, [width]),
}


def embedding(values, kind, width):
    """Return rows (n, width) as an arrow array of lists; rows of NaN are null."""
    rows = [None if np.isnan(row).all() else row.tolist() for row in values]
    if isinstance(kind, pa.FixedShapeTensorType):
        return pa.ExtensionArray.from_storage(kind, pa.array(rows, kind.storage_type))
    return pa.array(rows, kind)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(sorted(WRITERS)),
    kind=st.sampled_from(sorted(LISTS)),
    n=st.integers(1, 30),
    width=st.integers(1, 4),
    size=st.integers(1, 9),
)
def test_what_pyarrow_writes_is_read_to_the_same_numbers_in_the_same_places(
    tmp_path_factory, data, name, kind, n, width, size
):
    if name == "a.orc" and kind != "list":
        return  # ORC has one kind of list
    numbers = st.floats(-1e6, 1e6, width=32)
    values = np.array(data.draw(st.lists(numbers, min_size=n * (width + 1), max_size=n * (width + 1)))).reshape(n, -1)
    if READS_NULLS or kind not in {"fixed", "tensor"} or name not in {"a.parquet", "a.pq"}:
        values[np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n))), 1:] = np.nan
    values[0, 1:] = 7.0
    vectors = embedding(values[:, 1:], LISTS[kind](pa.float32(), width), width)
    table = pa.table({"id": [f"k{i}" for i in range(n)], "x": values[:, 0], "emb": vectors})
    path = tmp_path_factory.mktemp("vectors") / name
    WRITERS[name](table, path, size)
    source = pickle.loads(pickle.dumps(open_source(DataOptions(str(path), keep=("id",)))))
    assert source.feature_names == ("x", *(f"emb[{i}]" for i in range(width)))
    assert source.stored_chunks is not None
    assert sum(source.stored_chunks[0]) == n
    np.testing.assert_array_equal(source.array[EVERYTHING], values)
    start, stop = sorted((data.draw(st.integers(0, n)), data.draw(st.integers(0, n))))
    features = data.draw(
        st.sampled_from([slice(None), slice(1, None), slice(0, 1), slice(None, None, -1), slice(1, 2)])
    )
    np.testing.assert_array_equal(source.array[(slice(start, stop), features)], values[start:stop, features])
    assert source.keys(start, stop)["id"].to_pylist() == [f"k{i}" for i in range(start, stop)]


@pytest.mark.parametrize(
    ("number", "dtype"),
    [(np.float16, "float32"), (np.float32, "float32"), (np.float64, "float64"), (np.int8, "float32")],
)
def test_lists_are_float32_where_that_is_exact(tmp_path, number, dtype):
    lists = [[number(1), number(2)], [number(3), None]]
    pq.write_table(pa.table({"emb": pa.array(lists, pa.list_(pa.from_numpy_dtype(number)))}), tmp_path / "a.parquet")
    array = open_source(DataOptions(str(tmp_path / "a.parquet"))).array
    assert array.dtype == dtype
    np.testing.assert_array_equal(array[EVERYTHING], [[1, 2], [3, np.nan]])


def test_a_list_of_another_length_is_named_with_file_row_and_column(tmp_path):
    for i, rows in enumerate(([[1.0, 2.0]] * 5, [[1.0, 2.0], [1.0], [3.0, 4.0]])):
        pq.write_table(pa.table({"emb": rows}), tmp_path / f"{i}.parquet")
    source = open_source(DataOptions(str(tmp_path)))
    np.testing.assert_array_equal(source.array[(slice(4, 6), slice(None))], [[1, 2], [1, 2]])
    with pytest.raises(DataError, match=r"1\.parquet: row 1 has 1 numbers in the column 'emb', others have 2"):
        source.array[EVERYTHING]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[], [1.0]]), "the first list of the column 'emb' is empty"),
        (pa.array([None, None], pa.list_(pa.float64())), "the first list of the column 'emb' is empty"),
        (pa.array([["a"], ["b"]]), "not numbers: 'emb'"),
        (pa.array([[[1.0]], [[2.0]]]), "not numbers: 'emb'"),
    ],
    ids=str,
)
def test_lists_that_are_no_features_are_refused(tmp_path, column, message):
    pq.write_table(pa.table({"emb": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        open_source(DataOptions(str(tmp_path / "a.parquet")))


def test_lists_and_numbers_in_files_of_a_table_are_refused(tmp_path):
    pq.write_table(pa.table({"emb": [[1.0]]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"emb": [1.0]}), tmp_path / "1.parquet")
    with pytest.raises(DataError, match=r"1\.parquet has the column 'emb' as double, but .*0\.parquet as list"):
        open_source(DataOptions(str(tmp_path)))


def test_lists_are_no_weights(tmp_path):
    pq.write_table(pa.table({"x": [1.0], "w": [[1.0]]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="the column 'w' holds lists"):
        open_source(DataOptions(str(tmp_path / "a.parquet"), weights="w"))


@pytest.mark.parametrize("name", ["a.arrow", "b.arrow", "a.orc"])
def test_a_damaged_file_is_named(tmp_path, name):
    table = pa.table({"x": np.arange(5000.0)})
    WRITERS[name](table, tmp_path / name, 1000)
    whole = (tmp_path / name).read_bytes()
    for content in (b"", b"x", b"FEA1" + bytes(99), b"x,y\n1,2\n" * 20, whole[: len(whole) // 2]):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}.*convert it to parquet") as caught:
            open_source(DataOptions(str(tmp_path / name)))
        assert "\n" not in str(caught.value)


def test_a_stream_that_is_cut_between_two_batches_is_refused(tmp_path):
    table = pa.table({"x": np.arange(100.0)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=50)
        size = sink.tell()
    (tmp_path / "a.arrow").write_bytes(sink.getvalue().to_pybytes()[:size])
    with pytest.raises(DataError, match=r"a\.arrow is truncated: the mark that ends a stream is missing"):
        open_source(DataOptions(str(tmp_path / "a.arrow")))


def test_stripes_are_the_pieces_of_orc_files(tmp_path):
    values = np.random.default_rng(0).normal(size=(40_000, 2))
    pa.orc.write_table(pa.table({"x": values[:, 0], "y": values[:, 1]}), tmp_path / "a.orc", stripe_size=65_536)
    source = open_source(DataOptions(str(tmp_path / "a.orc")))
    assert len(source.stored_chunks[0]) > 1
    np.testing.assert_array_equal(source.array[(slice(9_990, 30_010), slice(None))], values[9_990:30_010])


def test_a_key_that_parquet_cannot_hold_is_refused_before_a_fit(tmp_path):
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
    write_file(pa.table({"x": [1.0, 2.0], "id": union}), tmp_path / "a.arrow", 2)
    with pytest.raises(DataError, match=r"data\.keep names 'id', which is .*union.* and cannot be written to parquet"):
        open_source(DataOptions(str(tmp_path / "a.arrow"), columns=("x",), keep=("id",)))
