"""What is relied on of numba beyond its documents."""

import llvmlite.binding as llvm
from numba import config, njit
from numba.core.registry import cpu_target

from daskgmm.clusters.numba_internals import compilation_target


def test_code_is_compiled_for_this_processor():
    processor, n_features = compilation_target()
    assert processor == (config.CPU_NAME or llvm.get_host_cpu_name())
    assert 0 < n_features <= sum(llvm.get_host_cpu_features().values())


def test_numba_finds_compiled_code_by_that_target():
    function = njit(cache=True)(_add_one)
    codegen = cpu_target.target_context.codegen()
    assert codegen.magic_tuple() in function._cache._index_key((), codegen)


def _add_one(value):
    return value + 1
