import numpy as np
import pytest
import zarr

from daskgmm.errors import DataError
from daskgmm.provenance import DataInfo, PhaseTiming, RunInfo, TrialHistory, WorkerUsage
from daskgmm.storage.formats.provenance import check_record, curves_of, load_record, save_beginning, save_course

COURSE = RunInfo(
    curves=(TrialHistory("rows", (-2.0, -1.0), "CONVERGED", chosen=True),),
    spans=(PhaseTiming("fit", "EM", 1.5),),
    loads=(WorkerUsage("worker-0", 2, 3.0, 2**20),),
    notices=("mind",),
    place="here",
    started="2026-01-02T03:04:05+00:00",
    versions={"python": "3.11"},
)


def beginning(rows, row_weights=None):
    d = rows.shape[1]
    curves = (TrialHistory("restart", (-3.0, -2.5), "MAX_ITER"), TrialHistory("finalist", ()))
    return DataInfo(
        "rows",
        (4, 5),
        str(rows.dtype),
        (4, 5, d),
        1,
        18,
        "f" * 16,
        np.zeros(d),
        np.ones(d),
        rows,
        row_weights,
        curves,
        True,
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", ">f4", "int16", "bool"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_record_comes_back_as_it_was(tmp_path, dtype, weighted):
    rows = np.arange(12).reshape(6, 2).astype(dtype)
    kept = beginning(rows, np.arange(6.0) if weighted else None)
    save_beginning(kept, tmp_path / "record.zarr")
    save_course(COURSE, tmp_path / "record.zarr")
    record = load_record(tmp_path / "record.zarr")
    assert record.course == COURSE
    np.testing.assert_array_equal(record.beginning.rows, rows)
    assert record.beginning.rows.dtype == np.dtype(dtype).newbyteorder("=")
    assert (record.beginning.row_weights is not None) == weighted
    for name in ("description", "grid", "dtype", "chunk", "n_rows", "fingerprint", "curves", "is_image", "n_left_out"):
        assert getattr(record.beginning, name) == getattr(kept, name)


def test_a_record_may_hold_no_rows(tmp_path):
    save_beginning(beginning(np.empty((0, 3))), tmp_path / "record.zarr")
    save_course(COURSE, tmp_path / "record.zarr")
    assert load_record(tmp_path / "record.zarr").beginning.rows.shape == (0, 3)


def test_a_record_that_is_not_there_or_not_whole_is_refused(tmp_path):
    with pytest.raises(DataError, match="fit again"):
        load_record(tmp_path / "record.zarr")
    save_beginning(beginning(np.ones((2, 2))), tmp_path / "record.zarr")
    with pytest.raises(DataError, match="says nothing of how the fit went"):
        load_record(tmp_path / "record.zarr")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(DataError, match="not a daskgmm record"):
        load_record(tmp_path / "other.zarr")


@pytest.mark.parametrize("what", ["zarr.json", "rows/c/0/0", "rows/zarr.json", "range/c/0/0", "row_weights/c/0"])
@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-9], lambda content: content[::-1]])
def test_a_damaged_record_is_refused(tmp_path, what, damage):
    save_beginning(beginning(np.arange(8.0).reshape(4, 2), np.arange(4.0)), tmp_path / "record.zarr")
    save_course(COURSE, tmp_path / "record.zarr")
    file = tmp_path / "record.zarr" / what
    file.write_bytes(damage(file.read_bytes()))
    for use in (load_record, check_record, curves_of, lambda path: save_course(COURSE, path)):
        with pytest.raises(DataError, match=r"record\.zarr is not the record of a fit, or is damaged"):
            use(tmp_path / "record.zarr")


def test_curves_are_none_before_the_fit_has_ended(tmp_path):
    save_beginning(beginning(np.ones((2, 2))), tmp_path / "record.zarr")
    check_record(tmp_path / "record.zarr")
    assert curves_of(tmp_path / "record.zarr") == ()
    save_course(COURSE, tmp_path / "record.zarr")
    assert curves_of(tmp_path / "record.zarr") == COURSE.curves
