"""What is relied on of numba's cache beyond its documents, and the files that stand in its place."""

import ast
import logging
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest
from numba.core.caching import CompileResultCacheImpl, NullCache
from numba.core.dispatcher import Dispatcher

from daskgmm.core import kernels
from daskgmm.core.kernels import numba_internals
from daskgmm.core.kernels.decorators import entry
from daskgmm.core.kernels.numba_internals import CodeFiles, source_digest

MODULES = sorted(Path(kernels.__path__[0]).glob("*.py"))
CODE = {"machine": b"code" * 20}


def _twice(value):
    return 2 * value


@pytest.fixture
def cache_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    return tmp_path


def kept_files(folder):
    return sorted(one for one in folder.rglob("*") if one.is_file())


def cache_hits(function, value):
    """Return the result of a function that is compiled here, and how many signatures came from the cache."""
    compiled = entry(function)
    return compiled(value), sum(compiled.stats.cache_hits.values())


def test_code_is_kept_for_each_signature_and_found_by_the_next_process(cache_folder):
    assert cache_hits(_twice, 3) == (6, 0)
    assert cache_hits(_twice, 3) == (6, 1)
    assert cache_hits(_twice, 1.5) == (3.0, 0)
    assert [one.suffix for one in kept_files(cache_folder)] == [".kernel", ".kernel"]


def test_damaged_code_is_compiled_anew_and_replaced(cache_folder):
    cache_hits(_twice, 3)
    (path,) = kept_files(cache_folder)
    whole = path.read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], whole + b"\0", bytes([whole[0] ^ 1]) + whole[1:]):
        path.write_bytes(damaged)
        assert cache_hits(_twice, 3) == (6, 0)
        assert cache_hits(_twice, 3) == (6, 1)


def test_code_whose_classes_are_gone_is_not_read_when_the_source_has_changed(tmp_path):
    files = CodeFiles(tmp_path, "f", b"before")
    files.save("signature", CODE)
    (path,) = kept_files(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"machine", b"\x80\xff"))  # no pickle
    assert CodeFiles(tmp_path, "f", b"after").load("signature") is None


@pytest.mark.parametrize("position", range(0, 120, 7))
def test_no_byte_of_the_code_may_change(tmp_path, position):
    files = CodeFiles(tmp_path, "f", b"source")
    files.save("signature", CODE)
    (path,) = kept_files(tmp_path)
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)
    assert files.load("signature") is None


def test_code_of_another_signature_or_source_is_not_taken(tmp_path):
    files = CodeFiles(tmp_path, "f", b"source")
    files.save("one", CODE)
    assert files.load("one") == CODE
    assert files.load("other") is None
    assert CodeFiles(tmp_path, "f", b"new source").load("one") is None
    (path,) = kept_files(tmp_path)
    files.save("other", {})
    path.replace(next(one for one in kept_files(tmp_path) if one != path))
    assert files.load("other") is None


def test_a_file_is_replaced_when_the_source_changes(tmp_path):
    for source in (b"before", b"after"):
        CodeFiles(tmp_path, "f", source).save("signature", CODE)
    assert len(kept_files(tmp_path)) == 1
    assert CodeFiles(tmp_path, "f", b"after").load("signature") == CODE


def test_a_change_of_any_kernel_is_another_source(monkeypatch, tmp_path):
    for module in MODULES:
        (tmp_path / module.name).write_bytes(module.read_bytes())
    monkeypatch.setattr(numba_internals, "files", lambda package: tmp_path)
    digest_now = source_digest.__wrapped__
    assert digest_now() == source_digest()
    with (tmp_path / "vector_math.py").open("a") as file:
        file.write("\n")
    assert digest_now() != source_digest()


def test_compiled_modules_take_nothing_from_other_packages_of_ours():
    for module in MODULES:
        levels = {node.level for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.ImportFrom)}
        assert "import decorators" not in module.read_text()
        if "from .decorators" in module.read_text():
            assert levels <= {0, 1}, module.name


def test_all_kernels_that_are_called_are_kept_by_these_files():
    names = (f"{kernels.__name__}.{module.name}" for module in pkgutil.iter_modules(kernels.__path__))
    compiled = {
        value for name in names for value in vars(import_module(name)).values() if isinstance(value, Dispatcher)
    }
    inlined = {one for one in compiled if one.targetoptions.get("forceinline") or "inline" in one.targetoptions}
    assert len(compiled) > 60
    assert {type(one._cache) for one in compiled - inlined} == {numba_internals._KernelCache}
    assert {type(one._cache) for one in inlined} == {NullCache}  # their callers have their code


def test_kernels_run_where_no_folder_can_be_written(monkeypatch, caplog):
    monkeypatch.setattr(CompileResultCacheImpl, "_locator_classes", [])
    with caplog.at_level(logging.WARNING, "daskgmm"):
        assert cache_hits(_twice, 3) == (6, 0)
    assert "set NUMBA_CACHE_DIR" in caplog.text


def test_kernels_run_when_their_code_cannot_be_written(cache_folder, monkeypatch, caplog):
    def refuse(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with caplog.at_level(logging.WARNING, "daskgmm"):
        assert cache_hits(_twice, 3) == (6, 0)
    assert "No space left" in caplog.text
    assert kept_files(cache_folder) == []
