"""Files that tasks write: a worker may die while it does, and another write the same at the same time."""

import os

import pytest

from daskgmm.errors import DataError
from daskgmm.filesystem.location import guard_write, read_file, resolve_location, write_at_once


def test_a_file_that_is_not_written_to_its_end_leaves_the_one_before(tmp_path):
    target = tmp_path / "part.parquet"
    target.write_text("whole")

    def write_half():
        with write_at_once(target) as path:
            path.write_text("ha")
            assert target.read_text() == "whole"
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_half()
    assert [one.name for one in tmp_path.iterdir()] == ["part.parquet"]
    assert target.read_text() == "whole"


def test_writers_of_the_same_file_do_not_meet(tmp_path):
    target = tmp_path / "part.parquet"
    with write_at_once(target) as first, write_at_once(target) as second:
        first.write_text("same")
        second.write_text("same")
    assert [one.name for one in tmp_path.iterdir()] == ["part.parquet"]


def test_an_object_store_is_written_to_directly():
    target = resolve_location("memory://places/part.parquet")
    with write_at_once(target) as path:
        assert path is target


@pytest.mark.parametrize(
    ("there", "words"),
    [("file", "remove what is in the way"), ("", "has been removed"), ("folder", "has been removed")],
)
def test_a_directory_that_is_moved_away_while_another_is_made_in_it_is_not_in_the_way(tmp_path, there, words):
    path = tmp_path / "labels.zarr"
    if there == "file":
        path.write_text("")
    elif there == "folder":
        path.mkdir()
    with pytest.raises(DataError, match=words), guard_write(tmp_path):
        raise FileExistsError(17, "File exists", str(path))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path), lambda path: None])
def test_a_file_is_read_whole_and_what_is_none_counts_as_missing(tmp_path, make):
    (tmp_path / "file").write_bytes(b"\0whole\n")
    assert read_file(tmp_path / "file") == b"\0whole\n"
    make(tmp_path / "other")
    with pytest.raises(FileNotFoundError, match="other"):
        read_file(tmp_path / "other")
