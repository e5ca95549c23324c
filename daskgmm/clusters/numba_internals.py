"""What clusters need of numba that is not documented: all of it is here, with a test."""

from numba.core.registry import cpu_target


def compilation_target() -> tuple[str, int]:
    """Return the processor that this process compiles for and the number of its features, as of compiled code."""
    _, processor, features = cpu_target.target_context.codegen().magic_tuple()
    return processor, features.count("+")
