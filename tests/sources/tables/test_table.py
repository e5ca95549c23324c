import bz2
import errno
import gzip
import io
import lzma
import pickle
import sys
from decimal import Decimal
from itertools import pairwise

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from daskgmm.errors import ConfigurationError, DataError
from daskgmm.filesystem.retry import RetryPolicy
from daskgmm.sources import DataOptions, open_source
from daskgmm.sources.tables.columns import Columns
from daskgmm.sources.tables.csv import PIECE_BYTES, open_csv
from daskgmm.sources.tables.csv_dialect import CsvOptions
from daskgmm.sources.tables.files import find_files
from daskgmm.sources.tables.table import Table, open_table

HASTY = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=0.02, jitter=0.0)
EVERYTHING = (slice(None), slice(None))


def parquet(path, row_group_size=None, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return str(path)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def csv_table(path, piece_bytes):
    parts = open_csv(find_files(path, (".csv",), {}).files, piece_bytes=piece_bytes)
    columns = Columns.of(path, ((part.file.name, schema) for part, schema in parts))
    return Table(path, tuple(part for part, _ in parts), columns, is_text=True)


@pytest.fixture
def memory():
    """A file system that is no local one."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


slices = st.builds(
    slice,
    st.none() | st.integers(-40, 40),
    st.none() | st.integers(-40, 40),
    st.none() | st.sampled_from([1, 2, 3, -1, -2]),
)


@given(data=st.data(), sizes=st.lists(st.integers(0, 20), min_size=1, max_size=4))
def test_any_slice_of_parquet_files_is_that_of_their_rows(data, sizes):
    sizes[0] = max(sizes[0], 1)
    edges = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.arange(edges[-1] * 3.0).reshape(-1, 3)
    keys = [f"key {i}" for i in range(len(rows))]
    system = fsspec.filesystem("memory")
    system.store.clear()
    for i, (a, b) in enumerate(pairwise(edges)):
        table = pa.table({"x": rows[a:b, 0], "key": keys[a:b], "y": rows[a:b, 1], "z": rows[a:b, 2]})
        with system.open(f"/table/part.{i}.parquet", "wb") as file:
            pq.write_table(table, file, row_group_size=data.draw(st.integers(1, 20)))
    table = open_table("memory://table", "parquet")
    wanted, columns = data.draw(slices), data.draw(st.sampled_from([slice(None), slice(1, 3), slice(0, 1)]))
    np.testing.assert_array_equal(table.reader(["x", "y", "z"])[(wanted, columns)], rows[wanted, columns])
    np.testing.assert_array_equal(table.column("y")[(wanted,)], rows[wanted, 1])
    start, stop, _ = slice(wanted.start, wanted.stop).indices(len(rows))
    assert table.keys(["key"])(start, stop).column("key").to_pylist() == keys[start:stop]
    assert sum(table.pieces) == table.n_rows == len(rows)


numbers = st.sampled_from(["0", "-3", "1.5", "1e-3", '"7"', "NA", "", "nan", '""', " 2 "])
words = st.text('a",;é ', max_size=5).map(lambda word: f"t{word}")


def parsed(number):
    bare = number.strip('" ')
    return float(bare) if bare not in {"", "NA"} else np.nan


@given(
    data=st.data(),
    files=st.lists(st.lists(st.tuples(numbers, words, numbers), max_size=12), min_size=1, max_size=3),
    line_end=st.sampled_from(["\n", "\r\n"]),
    piece_bytes=st.integers(1, 60),
)
def test_any_slice_of_csv_files_is_that_of_their_rows_wherever_they_are_cut(data, files, line_end, piece_bytes):
    files[0] = [("1", "t", "2"), *files[0]]
    system = fsspec.filesystem("memory")
    system.store.clear()
    for i, lines in enumerate(files):
        content = ["x,word,y"]
        for x, word, y in lines:
            content += [""] * data.draw(st.integers(0, 2))
            content.append(",".join([x, '"' + word.replace('"', '""') + '"', y]))
        end = line_end * data.draw(st.integers(0, 3))
        mark = data.draw(st.sampled_from(["", "\ufeff"]))
        system.pipe(f"/table/{i}.csv", (mark + line_end.join(content) + end).encode())
    table = csv_table("memory://table", piece_bytes)
    rows = np.array([[parsed(x), parsed(y)] for lines in files for x, _, y in lines])
    keys = [word for lines in files for _, word, _ in lines]
    wanted = data.draw(slices)
    np.testing.assert_array_equal(table.reader(["x", "y"])[(wanted, slice(None))], rows[wanted])
    start, stop, _ = slice(wanted.start, wanted.stop).indices(len(rows))
    assert table.keys(["word"])(start, stop).column("word").to_pylist() == keys[start:stop]
    assert sum(table.pieces) == table.n_rows == len(rows)


def test_a_csv_is_cut_at_line_ends_into_pieces_of_about_the_bytes_that_are_asked_for(tmp_path):
    path = text(tmp_path / "a.csv", "x,y\n" + "1,2\n" * 100)
    assert csv_table(path, 40).pieces == (10,) * 10
    assert csv_table(path, 42).pieces == (10, 11, 10, 11, 10, 11, 10, 11, 10, 6)
    assert csv_table(path, PIECE_BYTES).pieces == (100,)


def test_row_groups_are_the_pieces_of_parquet_files_in_natural_order(tmp_path):
    for i in (10, 9, 2):
        parquet(tmp_path / f"part.{i}.parquet", row_group_size=i, x=np.full(12, float(i)))
    table = open_table(str(tmp_path), "parquet")
    assert table.pieces == (2, 2, 2, 2, 2, 2, 9, 3, 10, 2)
    np.testing.assert_array_equal(table.column("x")[(slice(None),)], np.repeat([2.0, 9.0, 10.0], 12))


def test_only_the_row_groups_that_hold_the_rows_are_read(tmp_path):
    path = parquet(tmp_path / "a.parquet", row_group_size=1000, x=np.random.default_rng(0).random(5000))
    start = pq.ParquetFile(path).metadata.row_group(3).column(0).dictionary_page_offset
    with open(path, "r+b") as file:  # row group 3 is damaged
        file.seek(start)
        file.write(bytes(1000))
    column = open_table(path, "parquet").column("x")
    assert len(column[(slice(2000, 3000),)]) == 1000
    assert len(column[(slice(4000, None),)]) == 1000
    with pytest.raises(DataError, match=r"a\.parquet cannot be read"):
        column[(slice(2999, 3001),)]


def test_only_the_columns_that_are_chosen_are_parsed(tmp_path):
    table = open_table(text(tmp_path / "a.csv", b"x,y\n" + b"1,2\n" * 300_000 + b"3,bad\n"), "csv")
    assert table.column("x")[(slice(-1, None),)] == [3.0]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (pa.array([1, None], pa.int8()), "float32"),
        (pa.array([1, None], pa.uint16()), "float32"),
        (pa.array([1, None], pa.int32()), "float64"),
        (pa.array([1, None], pa.uint64()), "float64"),
        (pa.array([np.float16(1), None], pa.float16()), "float32"),
        (pa.array([1, None], pa.float32()), "float32"),
        (pa.array([1, None], pa.float64()), "float64"),
        (pa.array([True, None]), "float32"),
        (pa.array([Decimal("1.00"), None]), "float64"),
        (pa.array([1, None], pa.int16()).dictionary_encode(), "float32"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_numbers_of_every_type_are_read_as_the_smallest_float_that_is_exact_and_nulls_as_nan(tmp_path, values, dtype):
    column = open_table(parquet(tmp_path / "a.parquet", x=values), "parquet").column("x")
    read = column[(slice(None),)]
    assert column.dtype == read.dtype == dtype
    np.testing.assert_array_equal(read, [1, np.nan])


def test_one_column_that_needs_float64_makes_all_float64(tmp_path):
    table = open_table(parquet(tmp_path / "a.parquet", x=pa.array([1], pa.int16()), y=pa.array([0.1])), "parquet")
    assert table.reader(["x"]).dtype == np.float32
    assert table.reader(["x", "y"]).dtype == np.float64
    np.testing.assert_array_equal(table.reader(["y", "x"])[EVERYTHING], [[0.1, 1]])


def test_files_may_store_a_column_in_different_types_of_one_sort(tmp_path):
    parquet(
        tmp_path / "1.parquet", x=pa.array([1], pa.int16()), key=["a"], empty=pa.nulls(1), t=pa.array([0], "time32[s]")
    )
    parquet(
        tmp_path / "2.parquet",
        key=pa.array(["b"]).dictionary_encode(),
        x=pa.array([2**24 + 1], pa.int32()),
        t=pa.array([1], "time32[ms]"),
        empty=[2.5],
    )
    table = open_table(str(tmp_path), "parquet")
    np.testing.assert_array_equal(table.reader(["x", "empty"])[EVERYTHING], [[1, np.nan], [2**24 + 1, 2.5]])
    rows = table.keys(["key", "x", "t"])(0, 2).drop_columns("t")
    assert rows.to_pydict() == {"key": ["a", "b"], "x": [1, 2**24 + 1]}
    assert rows.schema.field("x").type == pa.int32()


def test_keys_of_any_type_are_carried_over_as_they_are_stored(tmp_path):
    columns = {"id": pa.array([2**60 + 1, 2]), "day": pa.array([0, 1], pa.date32()), "tags": [["a"], ["b", "c"]]}
    table = open_table(parquet(tmp_path / "a.parquet", x=[1.0, 2.0], **columns), "parquet")
    assert table.keys(["tags", "id", "day"])(0, 2) == pa.table(columns).select(["tags", "id", "day"])
    assert table.keys([])(0, 2).num_columns == 0


def test_keys_of_a_csv_are_the_very_text(tmp_path):
    rows = ("00501,9007199254740993,A 01,2020-01-01,1.50", "2,NA,,x, true")
    table = open_table(text(tmp_path / "a.csv", "\n".join(("zip,id,code,day,d", *rows))), "csv")
    names = ["zip", "id", "code", "day", "d"]
    values = table.keys(names)(0, 2).to_pydict()
    assert values == dict(zip(names, map(list, zip(*(row.split(",") for row in rows), strict=True)), strict=True))


@pytest.mark.parametrize(
    ("one", "other", "kind", "values"),
    [
        (pa.array([1], pa.int32()), pa.array([2**60 + 1]), "int64", [1, 2**60 + 1]),
        (pa.array([2**31 - 1], pa.int32()), pa.array([0.5], pa.float32()), "double", [2**31 - 1, 0.5]),
        (pa.array([2**53 + 1]), pa.array([0.5]), "string", ["9007199254740993", "0.5"]),
        (pa.array([2**64 - 1], pa.uint64()), pa.array([-1]), "string", ["18446744073709551615", "-1"]),
        (pa.array([True]), pa.array([1]), "string", ["true", "1"]),
        (
            pa.array([Decimal("123.45")]),
            pa.array([Decimal("1234567.1")]),
            "decimal128(9, 2)",
            [Decimal("123.45"), Decimal("1234567.10")],
        ),
        (pa.array([Decimal("1.50")]), pa.array([7]), "string", ["1.50", "7"]),
        (pa.array([1], pa.timestamp("s")), pa.array([2_000_000], pa.timestamp("us")), "timestamp[us]", None),
        (
            pa.array([2**36], pa.timestamp("s")),  # beyond what nanoseconds reach
            pa.array([1], pa.timestamp("ns")),
            "string",
            ["4147-08-20 07:32:16.000", "1970-01-01 00:00:00.000000001"],
        ),
        (pa.array(["a"]).dictionary_encode(), pa.array(["b"], pa.large_string()), "large_string", ["a", "b"]),
        (pa.nulls(1), pa.array([1], pa.int8()), "int8", [None, 1]),
        (pa.array([[1]]), pa.array([[2]]), "list<element: int64>", [[1], [2]]),
    ],
    ids=str,
)
def test_keys_whose_types_differ_over_the_parts_keep_their_values(tmp_path, one, other, kind, values):
    parquet(tmp_path / "1.parquet", id=one)
    parquet(tmp_path / "2.parquet", id=other)
    rows = open_table(str(tmp_path), "parquet").keys(["id"])(0, 2)
    assert str(rows.schema.field("id").type) == kind
    assert values is None or rows["id"].to_pylist() == values


@pytest.mark.parametrize(
    ("one", "other"), [(["a"], [1.0]), ([[1]], [[0.5]]), (pa.array([1], pa.timestamp("s", "UTC")), ["a"])], ids=str
)
def test_keys_of_another_sort_of_type_are_refused_with_the_part(tmp_path, one, other):
    parquet(tmp_path / "1.parquet", id=one)
    parquet(tmp_path / "2.parquet", id=other)
    with pytest.raises(DataError, match=r"2\.parquet has the column 'id' as .*, but .*1\.parquet as .*: store it"):
        open_table(str(tmp_path), "parquet").keys(["id"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "x,y\n1,2\n3,4"),
        ("a.csv", "x;y\n1;2\n3;4\n"),
        ("a.tsv", "x\ty\n1\t2\n3\t4\n"),
        ("a.csv", "x\ty\n1\t2\n3\t4\n"),
        ("a.csv", "\ufeffx,y\r\n1,2\r\n3,4\r\n\r\n\r\n"),
        ("a.csv", '"x", y\n"1", 2\n\n"3",4\n\n'),
        ("a.csv", "x,y\n1,2\r\n\r\n\n3,4\n"),
    ],
)
def test_dialects_of_csv(tmp_path, name, content):
    table = open_table(text(tmp_path / name, content), "csv")
    assert table.features() == ("x", "y")
    np.testing.assert_array_equal(table.reader(["x", "y"])[EVERYTHING], [[1, 2], [3, 4]])


def test_whole_numbers_at_the_start_of_a_csv_may_be_followed_by_fractions_and_gaps_by_numbers(tmp_path):
    content = "x,gap\n" + "1,\n" * 600_000 + "1.5,2.5\n"
    table = open_table(text(tmp_path / "a.csv", content), "csv")
    np.testing.assert_array_equal(table.reader(["x", "gap"])[(slice(-2, None), slice(None))], [[1, np.nan], [1.5, 2.5]])


def test_columns_of_a_csv_that_hold_true_and_false_serve_as_a_mask(tmp_path):
    mask = open_table(text(tmp_path / "a.csv", "x,m\n1,true\n2,False\n3,\n"), "csv").column("m")
    assert mask.shape == (3,)
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask[(slice(None),)], [1, 0, np.nan])


def test_whole_numbers_are_column_names_only_where_it_is_said(tmp_path):
    path = text(tmp_path / "a.csv", "0,1,2\n5,6,7\n")
    refused(
        path, "csv", "no header that is sure: its first line is '0,1,2', where '0' is like a value; set data.header"
    )
    assert open_table(path, "csv", csv_options=CsvOptions(header=True)).features() == ("0", "1", "2")


@pytest.fixture
def table(tmp_path):
    one = pa.array([1.0])
    path = parquet(
        tmp_path / "t.parquet", id=["a"], x1=one, x2=one, x10=one, Y=one, w=one, **{"z[0]": one, "day": ["b"]}
    )
    return open_table(path, "parquet")


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["x2", "x1"], ("x2", "x1")),
        (["Y", "x*"], ("Y", "x1", "x2", "x10")),
        (["x?", "x*"], ("x1", "x2", "x10")),
        (["x*", "!x1?"], ("x1", "x2")),
        (["!x1*", "x*"], ("x2",)),
        (["!id", "!day"], ("x1", "x2", "x10", "Y", "z[0]")),
        (["z[0]"], ("z[0]",)),
        (["[wY]"], ("Y",)),
        (["w", "x1"], ("w", "x1")),
    ],
)
def test_columns_are_chosen_by_names_and_patterns(table, patterns, names):
    assert table.features(patterns, left_out={"w"}) == names


def test_all_columns_are_chosen_but_those_with_a_role(table):
    assert table.features(None, left_out=["id", "day", "w"]) == ("x1", "x2", "x10", "Y", "z[0]")


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["y"], r"no column of .*t\.parquet matches 'y', did you mean Y"),
        (["x3"], "matches 'x3', did you mean x"),
        (["q*"], r"matches 'q\*'; it has id, x1, x2, x10, Y, w, z\[0\], day"),
        (["!q"], "matches 'q'; it has id"),
        (["x1", "!x1"], "data.columns leave no column"),
        (None, r"""not numbers: 'id' \(string\), 'day' \(string\); leave them out with .*: \["!id", "!day"\]"""),
        (["id", "x1"], r"""not numbers: 'id' \(string\); leave them out with data.columns: \["!id"\]"""),
    ],
)
def test_columns_that_cannot_be_chosen_are_named_with_a_remedy(table, patterns, message):
    with pytest.raises(DataError, match=message):
        table.features(patterns)


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("us"),
        pa.date32(),
        pa.duration("s"),
        pa.list_(pa.string()),
        pa.list_(pa.list_(pa.int64())),
        pa.struct([("a", pa.int64())]),
        pa.null(),
    ],
)
def test_columns_of_other_types_are_no_numbers(tmp_path, kind):
    table = open_table(parquet(tmp_path / "a.parquet", x=[1.0], odd=pa.nulls(1, kind)), "parquet")
    with pytest.raises(DataError, match="not numbers: 'odd'"):
        table.features()


def test_weights_must_be_a_column_of_numbers(table):
    with pytest.raises(DataError, match="the column 'id' is string, not numbers"):
        table.column("id")
    with pytest.raises(DataError, match="has no column 'W', did you mean w"):
        table.column("W")
    with pytest.raises(DataError, match="has no column 'ids', did you mean id"):
        table.keys(["ids"])(0, 1)


def test_tables_and_readers_are_picklable(tmp_path, memory):
    with memory.open("/a.parquet", "wb") as file:
        pq.write_table(pa.table({"x": [1.0, 2.0]}), file)
    memory.pipe("/a.csv", b"x\n1\n2\n")
    for path, kind in (("memory://a.parquet", "parquet"), ("memory://a.csv", "csv")):
        table = pickle.loads(pickle.dumps(open_table(path, kind)))
        reader = pickle.loads(pickle.dumps(table.reader(["x"])))
        np.testing.assert_array_equal(reader[EVERYTHING], [[1.0], [2.0]])


def test_a_reader_does_not_grow_with_the_columns_that_it_leaves_alone(tmp_path):
    wide = {f"column {i}": [1.0] for i in range(1000)}
    reader = open_table(parquet(tmp_path / "a.parquet", **wide), "parquet").reader(["column 7"])
    assert len(pickle.dumps(reader)) < 3000


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_directories_and_globs_hold_the_files_that_are_data(tmp_path, kind):
    def write(name, value):
        if kind == "csv":
            text(tmp_path / f"{name}.csv", f"x\n{value}\n")
        else:
            parquet(tmp_path / f"{name}.parquet", x=[float(value)])

    for value, name in enumerate(["d/a", "d/sub/b", "d/_hidden", "d/.hidden", "d/_tmp/c", "e/a"]):
        write(name, value)
    text(tmp_path / "d" / "_SUCCESS", "")
    text(tmp_path / "d" / "notes.txt", "notes")

    def values(path):
        return open_table(str(tmp_path / path), kind).column("x")[(slice(None),)].tolist()

    assert values("d") == [0, 1]
    assert values(f"d/_hidden.{kind}") == [2]
    assert values(f"*/a.{kind}") == [0, 5]
    assert values("[de]") == [0, 1, 5]


def refused(path, kind, message, **options):
    with pytest.raises(DataError, match=message) as refusal:
        open_table(str(path), kind, options)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_nothing_there_is_said(tmp_path, kind):
    refused(tmp_path / "nowhere", kind, "nowhere does not exist")
    refused(tmp_path / "*.x", kind, rf"\*\.x has no files: names that end in \.{kind}")
    refused(tmp_path, kind, "has no files")
    refused("memory://nowhere/a", kind, "memory://nowhere/a does not exist")
    with pytest.raises(ConfigurationError, match="nosuch://a: no file system is known for nosuch://"):
        open_table("nosuch://a", kind)


def test_a_truncated_parquet_file_is_named(tmp_path):
    parquet(tmp_path / "1.parquet", x=np.arange(1000.0))
    whole = (tmp_path / "1.parquet").read_bytes()
    for n_bytes in (0, 3, len(whole) // 2, len(whole) - 1):
        (tmp_path / "2.parquet").write_bytes(whole[:n_bytes])
        refused(tmp_path, "parquet", r"2\.parquet cannot be read: Parquet")


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    refused(text(tmp_path / "a.parquet", "x,y\n" * 100), "parquet", r"a\.parquet cannot be read: .* not a parquet file")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ({"x": 1.0, "y": 1.0}, {"x": 1.0}, r"2\.{kind} lacks the column 'y', which .*1\.{kind} has"),
        ({"x": 1.0}, {"y": 1.0, "x": 1.0}, r"1\.{kind} lacks the column 'y', which .*2\.{kind} has"),
        ({"x": 1.0, "y": 1.0}, {"x": 1.0, "y": "a"}, r"2\.{kind} has the column 'y' as string, but .*1\.{kind} as "),
    ],
    ids=["lacking", "additional", "another sort"],
)
def test_a_part_with_another_column_is_named_where_the_column_is_wanted(tmp_path, kind, one, other, message):
    for name, columns in (("1", one), ("2", other)):
        if kind == "csv":
            text(tmp_path / f"{name}.csv", "\n".join(",".join(map(str, line)) for line in (columns, columns.values())))
        else:
            parquet(tmp_path / f"{name}.parquet", **{column: [value] for column, value in columns.items()})
    table = open_table(str(tmp_path), kind)
    for ask in (table.features, lambda: table.features(["?"]), lambda: table.column("y")):
        with pytest.raises(DataError, match=message.format(kind=kind)):
            ask()
    for patterns in (["x"], ["!y"]):
        assert table.features(patterns) == ("x",)
    assert table.features(left_out=["y"]) == ("x",)
    np.testing.assert_array_equal(table.reader(["x"])[EVERYTHING], [[1.0], [1.0]])


def test_a_part_with_another_sort_of_type_is_named_among_those_that_agree(tmp_path):
    for i, values in enumerate((pa.nulls(1), pa.array([1]), pa.array([0.5]), pa.array(["a"]))):
        parquet(tmp_path / f"{i}.parquet", id=values)
    table = open_table(str(tmp_path), "parquet")
    for ask in (table.features, lambda: table.keys(["id"])):
        with pytest.raises(DataError, match=r"3\.parquet has the column 'id' as string, but .*1\.parquet as int64"):
            ask()


def test_a_key_that_a_part_lacks_is_named(tmp_path):
    parquet(tmp_path / "1.parquet", x=[1.0], id=["a"])
    parquet(tmp_path / "2.parquet", x=[1.0])
    with pytest.raises(DataError, match=r"2\.parquet lacks the column 'id'"):
        open_table(str(tmp_path), "parquet").keys(["id"])


def test_csv_files_may_order_their_columns_differently(tmp_path):
    text(tmp_path / "1.csv", "x,y,id\n1,2,a\n")
    text(tmp_path / "2.csv", "id,y,x\nb,4,3\n")
    table = open_table(str(tmp_path), "csv")
    np.testing.assert_array_equal(table.reader(["x", "y"])[EVERYTHING], [[1, 2], [3, 4]])
    assert table.keys(["id"])(0, 2).to_pydict() == {"id": ["a", "b"]}


def test_index_columns_of_pandas_are_no_features_unless_they_are_named(tmp_path):
    pandas = pytest.importorskip("pandas", reason="needs the package pandas")
    frame = pandas.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
    for index, name in ((pandas.Index([5, 3]), "__index_level_0__"), (pandas.Index([5, 6], name="id"), "id")):
        frame.set_index(index).to_parquet(tmp_path / "a.parquet", index=True)
        table = open_table(str(tmp_path / "a.parquet"), "parquet")
        assert table.features() == table.features(["*"]) == table.features([f"!{name}"]) == ("x", "y")
        assert table.features(["x", name]) == ("x", name)
        assert table.keys([name])(0, 2).to_pydict() == {name: list(index)}
    frame.to_csv(tmp_path / "a.csv")
    table = open_table(str(tmp_path / "a.csv"), "csv")
    assert table.features() == ("x", "y")
    assert table.features(["x", "Unnamed: 0"]) == ("x", "Unnamed: 0")
    np.testing.assert_array_equal(table.reader(["y"])[EVERYTHING], [[3], [4]])


def test_the_index_of_dask_is_no_feature(tmp_path):
    path = parquet(tmp_path / "a.parquet", __null_dask_index__=[0], __index_level_1__=[0], x=[1.0], index_level=[2.0])
    assert open_table(path, "parquet").features() == ("x", "index_level")


def test_a_key_or_mask_of_csv_files_may_show_another_sort_of_value_in_each(tmp_path):
    text(tmp_path / "1.csv", "x,id,ok\n1,001,\n")
    text(tmp_path / "2.csv", "x,id,ok\n2,A1,true\n")
    table = open_table(str(tmp_path), "csv")
    assert table.keys(["id"])(0, 2).to_pydict() == {"id": ["001", "A1"]}
    np.testing.assert_array_equal(table.column("ok")[(slice(None),)], [np.nan, 1])


def test_names_of_folders_are_no_columns(tmp_path):
    parquet(tmp_path / "year=2020" / "a.parquet", x=[1.0])
    table = open_table(str(tmp_path), "parquet")
    for ask in (table.column, lambda name: table.keys([name]), lambda name: table.features([name])):
        with pytest.raises(DataError, match=r"'year': folders that are named year=\.\.\. are no columns"):
            ask("year")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_names_of_equal_numbers_have_one_order(tmp_path, kind):
    names = [f"p-{number}" for number in ("001", "01", "1", "002", "2", "10")]
    for i, name in enumerate(names):
        if kind == "csv":
            text(tmp_path / f"{name}.csv", f"x\n{i}\n")
        else:
            parquet(tmp_path / f"{name}.parquet", x=[float(i)])
    values = open_table(str(tmp_path), kind).column("x")[(slice(None),)]
    np.testing.assert_array_equal(values, range(len(names)))


def test_tables_without_rows_are_refused(tmp_path):
    refused(parquet(tmp_path / "a.parquet", x=pa.array([], pa.float64())), "parquet", "holds no rows")
    for header in ("x,y", "x,y\n", "x,y\r\n\r\n\n"):
        refused(text(tmp_path / "a.csv", header), "csv", "holds no rows")


def test_columns_of_one_name_are_refused(tmp_path):
    pq.write_table(pa.table([[1.0], [2.0]], names=["x", "x"]), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "parquet", r"a\.parquet has several columns with the name 'x'")
    refused(text(tmp_path / "a.csv", "x,y,x\n1,2,3\n"), "csv", r"a\.csv has several columns with the name 'x'")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3.5,4\n5,6\n", r"2\.csv has no header that is sure: its first line is .* is like a value; set data.header"),
        ("1.5,2.5\n5,6\n", r"2\.csv has no header that is sure: its first line is .* is like a value; set data.header"),
        ("1.0,2.0\n5,6\n", r"2\.csv has no header that is sure: its first line is .* is like a value; set data.header"),
        ("nan,inf\n5,6\n", r"2\.csv has no header that is sure: its first line is .* is like a value; set data.header"),
        ("", r"2\.csv has no header: its first line is empty"),
        ("\nx,y\n1,2\n", r"2\.csv has no header: its first line is empty"),
        (b"x,\xe9\n1,2\n", r"2\.csv is not UTF-8 text"),
        ("x" * 2**21, r"2\.csv has no line end in its first 1048576 bytes: it is no CSV"),
        ("x,y\n1,2\n3\n", r"2\.csv: CSV parse error: row 1: Expected 2 columns, got 1: 3"),
    ],
)
def test_a_csv_that_does_not_fit_is_named(tmp_path, content, message):
    text(tmp_path / "1.csv", "x,y\n1,2\n")
    text(tmp_path / "2.csv", content)
    refused(tmp_path, "csv", message)


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": pa.Codec("zstd").compress}


def pack(suffix, content):
    packed = PACKERS[suffix](content.encode())
    return packed if isinstance(packed, bytes) else packed.to_pybytes()


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_compressed_csv_is_one_piece_with_a_notice(tmp_path, suffix):
    lines = [f"{i},{i / 2}\n" for i in range(1000)]
    content = pack(suffix, "x,y\n" + "".join(lines[:300])) + pack(suffix, "".join(lines[300:]))  # cat of two
    path = text(tmp_path / f"A.CSV.{suffix}", content)
    source = open_source(DataOptions(path))
    assert source.stored_chunks == ((1000,),)
    assert f"A.CSV.{suffix}: each read of a compressed file decompresses all of it" in source.notices[0]
    np.testing.assert_array_equal(source.array[(slice(299, 302), slice(None))], [[i, i / 2] for i in range(299, 302)])


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_compressed_csv_that_is_truncated_or_damaged_is_named(tmp_path, suffix):
    packed = pack(suffix, "x,y\n" + "".join(f"{i},{i}\n" for i in range(1000)))
    half = len(packed) // 2
    damaged = [] if suffix == "zst" else [packed[:half] + bytes(8) + packed[half + 8 :]]  # zstd needs no checksum
    for content in (packed[:half], packed[:-1], *damaged, b"no such format"):
        refused(text(tmp_path / f"a.csv.{suffix}", content), "csv", rf"a\.csv\.{suffix} cannot be decompressed: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("abc,2", r"a\.csv: row 600001 holds 'abc' in the column 'x', which is no double"),
        ("1", r"a\.csv: CSV parse error: row 600001: Expected 2 columns, got 1: 1"),
    ],
)
def test_a_line_that_does_not_fit_is_named_where_it_is_read(tmp_path, line, message):
    path = text(tmp_path / "a.csv", "x,y\n" + "1,2\n" * 600_001 + line + "\n1,2\n")
    reader = open_table(path, "csv").reader(["x", "y"])
    for start in (0, 100, 600_000):
        with pytest.raises(DataError, match=message):
            reader[(slice(start, None), slice(None))]


def test_a_quoted_value_with_a_line_break_is_told_where_it_is_read(tmp_path):
    table = open_table(text(tmp_path / "a.csv", 'x,word\n1,"a"\n2,"b\nc"\n3,"d"\n'), "csv")
    for columns in (["x"], ["x", "word"]):
        with pytest.raises(DataError, match=r"a\.csv: 4 lines .* hold 3 rows; a row must be one line"):
            table.keys(columns)(0, 4)


def test_a_key_of_a_csv_may_be_of_another_sort_than_in_the_first_rows(tmp_path):
    table = open_table(text(tmp_path / "a.csv", "id\n" + "1\n" * 600_000 + "A1\n"), "csv")
    assert table.keys(["id"])(599_999, 600_001).to_pydict() == {"id": ["1", "A1"]}


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_file_that_changed_or_vanished_is_named_where_it_is_read(tmp_path, memory, kind):
    def content(n):
        if kind == "csv":
            return "".join(["x\n", *("1\n" for _ in range(n))]).encode()
        pq.write_table(pa.table({"x": np.ones(n)}), buffer := io.BytesIO())
        return buffer.getvalue()

    for path in (str(tmp_path / f"a.{kind}"), f"memory://a.{kind}"):
        system, name = fsspec.url_to_fs(path)
        system.pipe_file(name, content(9))
        column = open_table(path, kind).column("x")
        system.pipe_file(name, content(7))
        with pytest.raises(DataError, match=rf"a\.{kind} .*has changed since it was opened"):
            column[(slice(None),)]
        system.rm(name)
        with pytest.raises(DataError, match=rf"a\.{kind} does not exist"):
            column[(slice(None),)]


class FailingFileSystem(MemoryFileSystem):
    """A file system whose reads fail when it is told so."""

    protocol = "failing"
    error = None

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("failing://", "memory://"))

    def cat_file(self, *args, **kwargs):
        return self._or_fail(super().cat_file, *args, **kwargs)

    def _open(self, *args, **kwargs):
        return self._or_fail(super()._open, *args, **kwargs)

    def _or_fail(self, read, *args, **kwargs):
        if type(self).error:
            raise type(self).error
        return read(*args, **kwargs)


@pytest.fixture
def failing(memory):
    fsspec.register_implementation("failing", FailingFileSystem, clobber=True)
    memory.pipe("/a.csv", b"x\n1\n")
    with memory.open("/a.parquet", "wb") as file:
        pq.write_table(pa.table({"x": [1.0]}), file)
    yield FailingFileSystem
    FailingFileSystem.error = None


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), ConnectionResetError("reset"), TimeoutError("late")]
)
def test_errors_that_may_pass_stay_as_they_are(failing, kind, error):
    column = open_table(f"failing://a.{kind}", kind).column("x")
    failing.error = error
    with pytest.raises(type(error)) as raised:
        column[(slice(None),)]
    assert raised.value is error
    failing.error = None
    assert column[(slice(None),)] == [1.0]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_errors_that_do_not_pass_name_the_file(failing, kind):
    column = open_table(f"failing://a.{kind}", kind).column("x")
    failing.error = PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(DataError, match=rf"failing:///?a\.{kind} cannot be read: access is denied .*credentials"):
        column[(slice(None),)]


def test_a_missing_package_comes_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ConfigurationError, match=r"needs a package that reads gs://: pip install 'daskgmm\[gcs\]'"):
        open_table("gs://bucket/a", "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'daskgmm\[tables\]'"):
        open_table(str(tmp_path), "parquet")


def test_options_that_a_file_system_does_not_take_are_told_in_one_line(memory):
    refused("github://a/b", "csv", "cannot be opened: .*positional argument", username="x")


@pytest.fixture(params=["parquet", "csv"])
def web_table(web, tmp_path, request):
    """The URL of a table on a server."""
    pytest.importorskip("aiohttp", reason="needs the package aiohttp")
    if request.param == "csv":
        text(tmp_path / "a.csv", "x,y\n1,2\n3,4\n")
    else:
        parquet(tmp_path / "a.parquet", x=[1.0, 3.0], y=[2.0, 4.0])
    return f"{web.url}/a.{request.param}"


@pytest.mark.parametrize("when", ["opened", "read"])
def test_a_server_that_is_busy_for_a_while_is_asked_again_for_a_table(web, web_table, when):
    web.refusals = [503, 503] if when == "opened" else []
    source = open_source(DataOptions(web_table), HASTY)
    web.refusals = [503, 503] if when == "read" else []
    np.testing.assert_array_equal(source.array[EVERYTHING], [[1, 2], [3, 4]])
    assert web.n_refused == 2


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (503, r"cannot be read: the server answers 503, .*, after 3 attempts: try again later"),
        (403, r"cannot be read: access is denied \(the server answers 403, .*data\.storage_options"),
        (404, r"cannot be opened: 404"),
    ],
)
def test_a_server_that_refuses_a_table_is_named_in_one_line(web, web_table, status, message):
    web.always = status
    with pytest.raises(DataError, match=web_table + " " + message) as refusal:
        open_source(DataOptions(web_table), HASTY)
    assert "\n" not in str(refusal.value)
    assert web.n_refused == (6 if status == 503 else 2)  # HEAD and GET, at each attempt


@pytest.mark.parametrize(("status", "message"), [(503, "after 3 attempts"), (403, "access is denied")])
def test_a_refusal_of_a_url_with_a_query_is_not_taken_for_a_pattern_without_files(web, web_table, status, message):
    web.always = status
    kind = web_table.rpartition(".")[2]
    with pytest.raises(DataError, match=message):
        open_source(DataOptions(f"{web_table}?version=1", format=kind), HASTY)


def test_a_server_of_a_table_that_is_not_there_is_asked_again():
    pytest.importorskip("aiohttp", reason="needs the package aiohttp")
    with pytest.raises(DataError, match=r"^http://127\.0\.0\.1:1/a\.csv cannot be read: .*after 3 attempts"):
        open_source(DataOptions("http://127.0.0.1:1/a.csv"), HASTY)


@pytest.mark.parametrize("name", ["a.csv", "*.parquet"])
def test_missing_credentials_of_a_bucket_with_tables_are_told(s3, monkeypatch, name):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "nowhere")
    options = {"client_kwargs": s3.storage_options["client_kwargs"]}
    with pytest.raises(DataError, match=r"access is denied .*data\.storage_options or the environment must hold"):
        open_source(DataOptions(f"{s3.url}/{name}", storage_options=options), HASTY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": ("id", "id")}, "data.keep names 'id' twice"),
        ({"keep": ("id", "x")}, "data.keep and data.columns both name 'x': a key is no feature"),
        *(
            ({"keep": (name,)}, f"data.keep: the results have a column '{name}' of their own: rename")
            for name in ("label", "probability_0", "component_12", "log_density", "anomaly")
        ),
    ],
)
def test_keys_that_cannot_stand_in_the_results_are_refused(tmp_path, options, message):
    names = ("id", "label", "probability_0", "component_12", "log_density", "anomaly", "x")
    path = parquet(tmp_path / "a.parquet", **{name: [1.0] for name in names})
    with pytest.raises(ConfigurationError, match=message):
        open_source(DataOptions(path, columns=("x",), **options))


def test_keys_with_almost_the_name_of_a_result_are_kept(tmp_path):
    names = ("labels", "probability", "component_a", "x")
    path = parquet(tmp_path / "a.parquet", **{name: [1.0] for name in names})
    source = open_source(DataOptions(path, keep=names[:3]))
    assert source.feature_names == ("x",)
    assert source.keys(0, 1).column_names == list(names[:3])


def test_npy_files_of_a_directory_are_all_those_below_it(tmp_path):
    names = ("d-2/p-01", "d-2/p-1", "d-10/p-1", "d-10/e/f/p", "top")
    for i, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        np.save(tmp_path / f"{name}.npy", np.full((1, 2), float(i)))
    for path, rows in (
        ("", {0, 1, 2, 3, 4}),
        ("**/*.npy", {0, 1, 2, 3, 4}),
        ("d-*", {0, 1, 2, 3}),
        ("**", {0, 1, 2, 3, 4}),
    ):
        read = open_source(DataOptions(str(tmp_path / path), format="npy")).array[EVERYTHING][:, 0]
        assert set(read) == rows
        assert len(read) == len(rows)
