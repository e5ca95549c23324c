"""FCS: what FlowIO writes is read to the same numbers, on a linear scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source

flowio = pytest.importorskip("flowio", reason="needs the package flowio")
NAMES = ["FSC-A", "CD3", "CD4"]
EVERYTHING = (slice(None), slice(None))


def write(path, events, names=NAMES, **keywords):
    with open(path, "wb") as file:
        flowio.create_fcs(file, events.ravel(), names, metadata_dict=keywords)
    return str(path)


def integers(path, events, **keywords):
    """Write events (n, channels) of 16-bit integers, with keywords that FlowIO does not write."""
    n, channels = events.shape
    text = {"$BYTEORD": "1,2,3,4", "$DATATYPE": "I", "$MODE": "L", "$NEXTDATA": "0", "$PAR": channels, "$TOT": n}
    text |= {"$BEGINANALYSIS": 0, "$ENDANALYSIS": 0, "$BEGINSTEXT": 0, "$ENDSTEXT": 0}
    for number in range(1, channels + 1):
        text |= {f"$P{number}B": 16, f"$P{number}R": 1024, f"$P{number}N": NAMES[number - 1], f"$P{number}E": "0,0"}
    text |= {"$BEGINDATA": 2000, "$ENDDATA": 1999 + events.nbytes} | keywords
    body = "/" + "/".join(f"{key}/{value}" for key, value in text.items()) + "/"
    header = "FCS3.0    " + "".join(f"{one:8d}" for one in (58, 57 + len(body), 2000, 1999 + events.nbytes, 0, 0))
    with open(path, "wb") as file:
        file.write((header + body).encode().ljust(2000) + events.astype("<u2").tobytes())
    return str(path)


@settings(max_examples=15, deadline=None)
@given(arrays("f4", st.tuples(st.integers(1, 30), st.just(3)), elements=st.floats(-1e6, 1e6, width=32)))
def test_events_are_rows_and_channels_features(tmp_path_factory, events):
    source = open_source(DataOptions(write(tmp_path_factory.mktemp("fcs") / "a.fcs", events)))
    assert source.feature_names == tuple(NAMES)
    np.testing.assert_array_equal(source.array[EVERYTHING], events)


def test_files_of_a_folder_follow_one_another_with_the_channels_that_are_chosen(tmp_path):
    events = np.arange(30, dtype="f4").reshape(10, 3)
    for i, part in enumerate((events[:4], events[4:])):
        write(tmp_path / f"{i}.fcs", part)
    source = open_source(DataOptions(str(tmp_path), columns=("CD4", "FSC-A"), keep=("CD3",)))
    np.testing.assert_array_equal(source.array[EVERYTHING], events[:, [2, 0]])
    assert source.keys(3, 6)["CD3"].to_pylist() == events[3:6, 1].tolist()


def test_logarithms_and_gains_are_taken_off(tmp_path):
    events = np.array([[0, 100, 512], [256, 200, 1023]], "u2")
    path = integers(tmp_path / "a.fcs", events, **{"$P1E": "4,1", "$P2G": "4"})
    expected = np.stack([10 ** (4 * events[:, 0] / 1024), events[:, 1] / 4, events[:, 2]], axis=1)
    np.testing.assert_allclose(open_source(DataOptions(path)).array[EVERYTHING], expected)


def test_a_logarithm_without_an_offset_starts_at_1(tmp_path):
    events = np.array([[0, 1, 2], [256, 3, 4]], "u2")
    path = integers(tmp_path / "a.fcs", events, **{"$P1E": "4,0"})
    np.testing.assert_allclose(open_source(DataOptions(path)).array[EVERYTHING][:, 0], 10 ** (4 * events[:, 0] / 1024))


def test_spillover_is_told_and_not_applied(tmp_path):
    events = np.ones((5, 3), "f4")
    path = write(tmp_path / "a.fcs", events, spillover="2,CD3,CD4,1,0.1,0.2,1")
    source = open_source(DataOptions(path))
    np.testing.assert_array_equal(source.array[EVERYTHING], events)
    assert any("spillover is in it, and is not applied" in notice for notice in source.notices)


def test_a_file_that_is_no_fcs_or_is_truncated_is_named(tmp_path):
    path = tmp_path / "a.fcs"
    path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"a\.fcs is no FCS file.* convert it to parquet"):
        open_source(DataOptions(str(path)))
    write(path, np.ones((500, 3), "f4"))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match=r"a\.fcs"):
        open_source(DataOptions(str(path))).array[EVERYTHING]


@pytest.mark.parametrize(
    "keywords", [{"$MODE": "C"}, {"$BYTEORD": "3,4,1,2"}, {"$DATATYPE": "A"}, {"$P1DATATYPE": "F"}], ids=str
)
def test_data_that_would_be_taken_for_others_are_refused(tmp_path, keywords):
    path = integers(tmp_path / "a.fcs", np.ones((4, 3), "u2"), **keywords)
    with pytest.raises(DataError, match=r"a\.fcs cannot be read: its data are of a kind that is not read: \$"):
        open_source(DataOptions(path))
