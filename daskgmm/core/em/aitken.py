"""How long EM will still take."""

from __future__ import annotations

from math import ceil, log


def passes_left(gain: float | None, remaining_gain: float | None, tol: float) -> int | None:
    """Return the number of passes until the estimated remaining gain is below tol; None where that is not known.

    Aitken's estimate R of what remains is the last gain times r / (1 - r), where each gain is r times the one before;
    hence r = R / (gain + R), and after m more passes R r^m remains.
    """
    if gain is None or remaining_gain is None:
        return None
    if remaining_gain < tol:
        return 0
    ratio = remaining_gain / (abs(gain) + remaining_gain)
    if tol <= 0 or ratio <= 0 or ratio >= 1:
        return None
    return max(ceil(log(tol / remaining_gain) / log(ratio)), 1)
