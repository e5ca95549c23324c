import errno
import io
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
from daskgmm.storage.sources.tables.columns import merged_schema
from daskgmm.storage.sources.tables.csv_files import PIECE_BYTES, open_csv
from daskgmm.storage.sources.tables.filesystem import find_files
from daskgmm.storage.sources.tables.table import Table, open_table

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
    parts = open_csv(find_files(path, (".csv",), {}), piece_bytes)
    return Table(path, tuple(part for part, _ in parts), merged_schema((part.file.name, one) for part, one in parts))


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
    assert table.arrow(start, stop, ["key"]).column("key").to_pylist() == keys[start:stop]
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
    assert table.arrow(start, stop, ["word"]).column("word").to_pylist() == keys[start:stop]
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
        (pa.array([1, None], pa.float16()), "float32"),
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
    rows = table.arrow(0, 2, ["key", "x"])
    assert rows.to_pydict() == {"key": ["a", "b"], "x": [1, 2**24 + 1]}
    assert rows.schema.field("x").type == pa.int32()


def test_keys_of_any_type_are_carried_over_as_they_are_stored(tmp_path):
    columns = {"id": pa.array([2**60 + 1, 2]), "day": pa.array([0, 1], pa.date32()), "tags": [["a"], ["b", "c"]]}
    table = open_table(parquet(tmp_path / "a.parquet", x=[1.0, 2.0], **columns), "parquet")
    assert table.arrow(0, 2, ["tags", "id", "day"]) == pa.table(columns).select(["tags", "id", "day"])
    assert table.arrow(0, 2, []).num_columns == 0


def test_keys_of_a_csv_are_whole_numbers_or_the_very_text(tmp_path):
    table = open_table(text(tmp_path / "a.csv", "id,code,day\n9007199254740993,A 01,2020-01-01\n2,,x\n"), "csv")
    assert table.arrow(0, 2, ["id", "code", "day"]).to_pydict() == {
        "id": [9007199254740993, 2],
        "code": ["A 01", ""],
        "day": ["2020-01-01", "x"],
    }


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


def test_consecutive_whole_numbers_are_column_names(tmp_path):
    assert open_table(text(tmp_path / "a.csv", "0,1,2\n5,6,7\n"), "csv").features() == ("0", "1", "2")


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
        pa.list_(pa.int64()),
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
        table.arrow(0, 1, ["ids"])


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


def test_a_part_that_lacks_a_column_is_named_with_it(tmp_path):
    parquet(tmp_path / "1.parquet", x=[1.0], y=[1.0])
    parquet(tmp_path / "2.parquet", x=[1.0])
    refused(tmp_path, "parquet", r"2\.parquet lacks the column 'y', which .*1\.parquet has")


@pytest.mark.parametrize(("one", "other"), [(["a"], [1.0]), ([[1]], [1]), ([[1]], ["a"])])
def test_a_part_with_another_sort_of_type_is_named(tmp_path, one, other):
    parquet(tmp_path / "1.parquet", x=one)
    parquet(tmp_path / "2.parquet", x=other)
    refused(tmp_path, "parquet", r"2\.parquet has the column 'x' as .*, but .*1\.parquet as .*: store it as one type")


def test_text_in_one_csv_and_numbers_in_another_are_refused(tmp_path):
    text(tmp_path / "1.csv", "x\n1\n")
    text(tmp_path / "2.csv", "x\none\n")
    refused(tmp_path, "csv", r"2\.csv has the column 'x' as string, but .*1\.csv as int64")


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
        ("x,z\n3,4\n", r"2\.csv has another header than .*1\.csv: column 2 is 'z', not 'y'"),
        ("x,y,z\n3,4,5\n", r"2\.csv has another header than .*1\.csv: 3 columns, not 2"),
        ("3,4\n5,6\n", r"2\.csv has another header than .*1\.csv: column 1 is '3', not 'x'"),
        ("3.5,4\n5,6\n", r"2\.csv has no header: its first line holds numbers"),
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


@pytest.mark.parametrize("suffix", ["gz", "zst", "bz2"])
def test_a_compressed_csv_is_refused_with_the_remedy(tmp_path, suffix):
    text(tmp_path / f"a.csv.{suffix}", "")
    for path in (tmp_path, tmp_path / f"a.csv.{suffix}"):
        refused(path, "csv", rf"a\.csv\.{suffix} is compressed .*: decompress it or convert it to parquet")


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
            table.arrow(0, 4, columns)


def test_a_key_of_another_type_than_the_first_rows_is_named(tmp_path):
    table = open_table(text(tmp_path / "a.csv", "id\n" + "1\n" * 600_000 + "A1\n"), "csv")
    with pytest.raises(DataError, match="row 600000 holds 'A1' in the column 'id', which is no int64"):
        table.arrow(599_999, 600_001, ["id"])


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
