"""How functions of the kernels are compiled: without the GIL, cached, and into their callers where they have any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from .numba_internals import NO_REFERENCES, keep_code

# contract: fused multiply-add. reassoc, nsz: sums along a tile may be split over vector lanes. NaN and infinity keep
# their meaning. Division as NumPy does it: a check for zero is a branch, and a loop with a branch does not vectorise.
# no_cfunc_wrapper, no_cpython_wrapper: an inlined function is compiled once more for each of its wrappers; C calls none
# of ours, and Python none of those that are inlined.
_OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_FREE_ORDER = {"contract", "reassoc", "nsz"}


def _compile_with(*, keep: bool = True, **options: Any) -> Callable[..., Any]:
    """Return a decorator that compiles a function with some options more, and keeps its code if it is to."""

    def compile_and_keep(function: Callable[..., Any]) -> Any:
        compiled = njit(**_OPTIONS, **options)(function)
        if keep:
            keep_code(compiled)
        return compiled

    return compile_and_keep


entry: Callable[..., Any] = _compile_with(fastmath=_FREE_ORDER)
"""Compiles a function that Python alone calls."""

entry_in_place: Callable[..., Any] = _compile_with(fastmath=_FREE_ORDER, **NO_REFERENCES)
"""Compiles a function that Python alone calls, and that makes no array: there is less to compile."""

inlined: Callable[..., Any] = _compile_with(keep=False, fastmath=_FREE_ORDER, forceinline=True, no_cpython_wrapper=True)
"""Compiles a function that LLVM inlines wherever it is called; the code of its callers, which are kept, has it.

A function that is called, not inlined, is optimised by itself and again with its caller; a process that compiles takes
the former, one that loads from the cache the latter, and their sums differ in the last digits.
"""

copied: Callable[..., Any] = _compile_with(keep=False, fastmath=_FREE_ORDER, inline="always")
"""Copies a function that one other calls into it before it is compiled, so that it is not compiled by itself too."""

exact: Callable[..., Any] = _compile_with(fastmath={"contract"})
"""Compiles a function in which nothing but fused multiply-add changes the order of operations."""
