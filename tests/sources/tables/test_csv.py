"""CSV as people have it: read right, or refused in one line with the text found and the option that helps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskgmm.errors import ConfigurationError, DataError
from daskgmm.sources import DataOptions, open_source
from daskgmm.sources.tables.csv import PIECE_BYTES, open_csv
from daskgmm.sources.tables.files import find_files

EVERYTHING = (slice(None), slice(None))
ROWS = [f"{i / 4},{-i / 2},{i}.5" for i in range(1, 301)]
VALUES = np.array([[i / 4, -i / 2, i + 0.5] for i in range(1, 301)])
NAMES = ["a,b,c"]


@pytest.fixture
def source(tmp_path):
    """Open lines of text, or bytes, as a CSV."""

    def opened(lines, name="x.csv", **options):
        content = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode()
        (tmp_path / name).write_bytes(content)
        return open_source(DataOptions(str(tmp_path / name), **options))

    return opened


@pytest.fixture
def refusal(source):
    """Return the one line by which lines of text are refused."""

    def refused(lines, **options):
        with pytest.raises(DataError) as caught:
            source(lines, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refused


@pytest.mark.parametrize(
    "first",
    [
        *("1,2,3", "1.5,a,b", "id0,2.5,kind", "NA,b,c", "-,b,c", "a,b,2020-01-31", "31/01/2020,b,c", "12:30,a,b"),
        *("a,b,true", "1e5,a,b", "-inf,a,b", "nan,a,b", '"1,5",a,b', "5 %,a,b", "$3,a,b", "2020-01-31T10:00:00Z,a,b"),
        *("31-Jan-2020,a,b", "Jan 5 2020,b,c", "0,1,2", ",0,1", "0x1F,a,b", "12.5 mm,a,b", "null,b,c", "?,b,c"),
    ],
)
def test_a_first_line_that_may_be_a_row_is_refused(refusal, first):
    line = refusal([first, *ROWS])
    assert "no header that is sure" in line
    assert f"its first line is {first!r}" in line
    assert "set data.header: true if it holds names, false if it is a row" in line


@pytest.mark.parametrize("first", ["id0,b,c", "kind0,b,c"])
def test_a_first_line_that_is_like_the_texts_below_it_is_refused(refusal, first):
    rows = [f"{first[:-5]}{1 + i % 3},{i}.5,{i}" for i in range(9)]
    assert "data.header" in refusal([first, *rows], columns=("b", "c"))


@pytest.mark.parametrize("names", ["x1,x2,x3", "2m_temp,t (K),p", "NAN_count,Inflow,na_share", "été,a b,c.d", "A,B,C"])
def test_names_are_taken_for_names(source, names):
    got = source([names, *ROWS])
    assert got.feature_names == tuple(name for name in names.split(",") if name)
    np.testing.assert_array_equal(got.array[EVERYTHING], VALUES[:, 3 - len(got.feature_names) :])


def test_the_header_is_given_by_an_option(source):
    for header, names in ((False, ("column_0", "column_1", "column_2")), (("p", "q", "r"), ("p", "q", "r"))):
        got = source(ROWS, header=header)
        assert got.feature_names == names
        np.testing.assert_array_equal(got.array[EVERYTHING], VALUES)
    got = source(["2019,2020,2021", *ROWS], header=True)
    assert got.feature_names == ("2019", "2020", "2021")
    np.testing.assert_array_equal(got.array[EVERYTHING], VALUES)
    marked = b"\xef\xbb\xbf" + "\n".join(ROWS).encode()
    np.testing.assert_array_equal(source(marked, header=False).array[EVERYTHING], VALUES)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", ":", "^"])
def test_any_delimiter_is_read_where_it_is_given_and_the_usual_ones_are_found(source, refusal, delimiter):
    lines = [line.replace(",", delimiter) for line in NAMES + ROWS]
    np.testing.assert_array_equal(source(lines, delimiter=delimiter).array[EVERYTHING], VALUES)
    if delimiter in ",;\t|":
        np.testing.assert_array_equal(source(lines).array[EVERYTHING], VALUES)
    else:
        assert "data.delimiter" in refusal(lines)


def test_a_name_or_value_may_hold_another_delimiter(source):
    lines = ["temp, C;b;c", *(row.replace(",", ";") for row in ROWS)]
    got = source(lines)
    assert got.feature_names == ("temp, C", "b", "c")
    np.testing.assert_array_equal(got.array[EVERYTHING], VALUES)


def test_two_delimiters_that_fit_are_refused(refusal):
    line = refusal(["a,x;b", *(f"{i},5;{i},5" for i in range(9))][1:], header=False)
    assert "',' (3 columns) and ';' (2 columns) would all be delimiters: set data.delimiter" in line


def test_decimal_commas_are_read_where_they_are_said(source, refusal):
    lines = ["a;b;c", *(row.replace(",", ";").replace(".", ",") for row in ROWS)]
    np.testing.assert_array_equal(source(lines, decimal=",").array[EVERYTHING], VALUES)
    assert "'a' is not numbers: row 0 holds '0,25': set data.decimal: \",\"" in refusal(lines)
    points = ["a;b;c", *(row.replace(",", ";") for row in ROWS)]
    assert 'set data.decimal: "."' in refusal(points, decimal=",")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("-", "data.na_values"),
        ("n.a.", "data.na_values"),
        ("1,234", "thousands separator"),
        ("1,234.5", "thousands separator"),
        ("1.234,5", "thousands separator"),
        ("1 234.5", "thousands separator"),
        ("1\u00a0234", "thousands separator"),
        ("b", "the header"),
    ],
)
def test_one_value_that_is_no_number_is_named_with_row_column_and_remedy(refusal, value, words):
    rows = [*ROWS[:200], f'1,"{value}",3', *ROWS[200:]]
    line = refusal([*NAMES, *rows])
    assert f"row 200 holds {value!r}" in line
    assert words in line
    assert f"row 200 holds {value!r}" in refusal([*NAMES, *rows], columns=("a",), weights="b")


def test_texts_that_mean_a_missing_value_are_given_by_an_option(source):
    rows = [*ROWS[:200], "-,?, -", *ROWS[200:]]
    got = source([*NAMES, *rows], na_values=("-", "?")).array[EVERYTHING]
    np.testing.assert_array_equal(got, np.insert(VALUES, 200, np.nan, axis=0))


def test_a_header_that_stands_again_far_below_is_named(source):
    lines = [*NAMES, *(["1,2,3"] * 300_000), *NAMES, "1,2,3"]
    with pytest.raises(DataError, match=r"row 300000 holds 'a' in the column 'a'.*the header stands there again"):
        source(lines).array[(slice(299_999, None), slice(None))]


def test_a_column_of_texts_is_shown_with_its_first_value(refusal):
    line = refusal(["a,town", *(f"{i},Kyoto" for i in range(9))])
    assert "'town' (string, row 0 holds 'Kyoto'); leave them out with data.columns: [\"!town\"]" in line


def test_a_column_of_times_is_no_number_with_a_fault(refusal):
    line = refusal(["a,when", *(f"{i},2020-01-01 10:0{i}:00" for i in range(9))])
    assert "'when' (string, row 0 holds '2020-01-01 10:00:00'); leave them out" in line


def test_a_delimiter_at_the_end_of_each_line_is_an_empty_column_without_a_name(source, refusal):
    lines = [f"{line}," for line in NAMES + ROWS]
    assert "'Unnamed: 3' (empty); leave them out" in refusal(lines)
    np.testing.assert_array_equal(source(lines, columns=("!Unnamed: 3",)).array[EVERYTHING], VALUES)
    assert "Expected 3 columns, got 4" in refusal([*NAMES, *(f"{row}," for row in ROWS)])


def test_row_numbers_without_a_name_are_left_out_with_a_notice(source):
    for first in ("", "Unnamed: 0"):
        got = source([f"{first},a,b,c", *(f"{i},{row}" for i, row in enumerate(ROWS))])
        assert got.feature_names == ("a", "b", "c")
        assert "'Unnamed: 0' of pandas or dask is an index, and no feature" in got.notices[0]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "shift_jis", "utf-8-sig"])
def test_texts_of_other_encodings_are_read_by_an_option(source, encoding):
    word = "ソ" if encoding == "shift_jis" else "Köln"
    content = "\n".join(["a,b,c,Ö" if encoding != "shift_jis" else "a,b,c,カ", *(f"{row},{word}" for row in ROWS)])
    name = content.split("\n")[0][6:]
    got = source(content.encode(encoding), encoding=encoding, keep=(name,))
    assert got.feature_names == ("a", "b", "c")
    assert got.keys(1, 3).to_pydict() == {name: [word, word]}
    np.testing.assert_array_equal(got.array[EVERYTHING], VALUES)


def test_a_byte_that_is_no_utf8_is_named_with_row_and_column_when_the_table_is_opened(refusal):
    rows = [*(f"{row},Ulm" for row in ROWS), "1,2,3,Köln", "4,5,6,Ulm"]
    line = refusal("\n".join(["a,b,c,town", *rows]).encode("latin-1"), columns=("a",), keep=("town",))
    assert "row 300 in the column 'town' holds '1,2,3,Köln' if it is latin-1: set data.encoding" in line


def test_utf_16_is_refused_with_the_conversion(refusal, source):
    content = "\n".join(NAMES + ROWS)
    assert "iconv" in refusal(content.encode("utf-16"))
    for encoding in ("utf-16", "nosuch"):
        with pytest.raises(ConfigurationError, match=r"data\.encoding"):
            source(content.encode(), encoding=encoding)


def test_options_of_csv_are_refused_for_other_formats(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    with pytest.raises(ConfigurationError, match=r"is for csv, and .* is npy"):
        open_source(DataOptions(str(tmp_path / "a.npy"), delimiter=";"))


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    n=st.integers(1, 12),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
    encoding=st.sampled_from(["utf-8", "latin-1", "cp1252"]),
    header=st.booleans(),
)
def test_what_pandas_writes_is_read_to_the_same_numbers_and_texts(
    tmp_path_factory, data, n, delimiter, decimal, encoding, header
):
    pandas = pytest.importorskip("pandas", reason="needs the package pandas")
    if delimiter == decimal:
        return
    numbers = st.floats(allow_nan=True, allow_infinity=False, width=64)
    frame = pandas.DataFrame({name: data.draw(st.lists(numbers, min_size=n, max_size=n)) for name in ("x", "y")})
    words = st.text("aé ,;'\"|", max_size=5).map(lambda word: f"t{word}")
    frame["wörd"] = data.draw(st.lists(words, min_size=n, max_size=n))
    text = frame.to_csv(None, sep=delimiter, decimal=decimal, index=False, header=header, na_rep="-")
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(text.encode(encoding))
    names = ("x", "y", "wörd")
    options = {"delimiter": delimiter, "decimal": decimal, "encoding": encoding, "na_values": ("-",)}
    got = open_source(DataOptions(str(path), columns=("x", "y"), keep=("wörd",), header=header or names, **options))
    np.testing.assert_array_equal(got.array[EVERYTHING], frame[["x", "y"]])
    assert got.keys(0, n)["wörd"].to_pylist() == list(frame["wörd"])


def test_a_number_that_means_a_missing_value_does_so_however_it_is_written(source):
    rows = ["-999,1,2", "3,-999.0,4", "5,6,-9.99e2", "7,8,-99"]
    expected = [[np.nan, 1, 2], [3, np.nan, 4], [5, 6, np.nan], [7, 8, -99]]
    for missing in ("-999", -999, -999.0):
        got = source([*NAMES, *rows], na_values=(missing,))
        np.testing.assert_array_equal(got.array[EVERYTHING], expected)
    commas = ["a;b;c", *(row.replace(",", ";").replace(".", ",") for row in rows)]
    np.testing.assert_array_equal(source(commas, na_values=("-999,0",), decimal=",").array[EVERYTHING], expected)


@pytest.mark.parametrize("delimiter", ["§", '"', "\n", "."])
def test_a_delimiter_that_cannot_be_one_is_refused(source, delimiter):
    with pytest.raises(ConfigurationError, match=r"data\.delimiter"):
        source(NAMES + ROWS, delimiter=delimiter)


def test_a_missing_value_may_be_a_text_that_is_almost_a_number(source):
    got = source([*NAMES, '"1,000",2,3', "4,5,6"], na_values=("1,000",))
    np.testing.assert_array_equal(got.array[EVERYTHING], [[np.nan, 2, 3], [4, 5, 6]])


def test_lines_that_end_with_cr_only_are_refused(refusal):
    assert "ends its lines with CR only" in refusal("\r".join(NAMES + ROWS).encode())


@pytest.mark.parametrize(
    "lines",
    [
        ["sep=;", "a;b", "1;2"],
        ["# made by a logger", "a,b", "1,2"],
        ["# a, b", "a,b", "1,2"],
        ["a,b", "m/s,K", "1,2"],
        ["a,b", "1,2", "total,3"],
        ["a,b", "1,2", "# end"],
        ["a,b", "5%,1", "6%,2"],
        ["a,b,", "1,2", "3,4"],
        ["a,b", "1,2", "3,4,5"],
        ["a,b", "1,2", '"3', '4",5'],
        ["a b", "1 2", "3 4"],
        ["a,b", "$1,2", "$3,4"],
        ["a,a", "1,2"],
        ["a,b", "yes,1", "no,2"],
        ["a,b", "0x1F,1", "0x2F,2"],
        ["a,b", ",1", ",2"],
        ["time,a", "12:30,1", "12:31,2"],
        ["a,,b", "1,2,3"],
        ["a,b,", "1,2,3"],
        [",a,b", "1.5,2,3"],
    ],
)
def test_what_people_write_around_numbers_is_refused_in_one_line(source, lines):
    with pytest.raises(DataError) as caught:
        _ = source(lines).array[EVERYTHING]
    assert "\n" not in str(caught.value)
    assert "x.csv" in str(caught.value)


@pytest.mark.parametrize("piece_bytes", [PIECE_BYTES, 3])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_empty_line_among_the_values_of_an_only_column_is_refused(tmp_path, piece_bytes, end):
    """A missing value looks so, as pyarrow writes it."""
    path = tmp_path / "x.csv"
    for lines, row in ((["a", "1", "", "3", "4"], 1), (["a", "", "3"], 0), (["a", "1", "3", "", "", "5"], 2)):
        path.write_bytes(end.join(lines).encode())
        with pytest.raises(DataError, match=f"x.csv: an empty line is before row {row} of its only column"):
            open_csv(find_files(str(path), (".csv",), {}).files, piece_bytes=piece_bytes)
    path.write_bytes(end.join(["a", "1", "3", "", ""]).encode())
    ((part, _),) = open_csv(find_files(str(path), (".csv",), {}).files, piece_bytes=piece_bytes)
    assert sum(part.pieces) == 2
    path.write_bytes(end.join(["a,b", "1,2", "", "3,4"]).encode())  # nothing else than an empty line
    ((part, _),) = open_csv(find_files(str(path), (".csv",), {}).files, piece_bytes=piece_bytes)
    assert sum(part.pieces) == 2
