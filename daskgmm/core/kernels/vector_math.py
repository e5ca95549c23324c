"""exp and log for compiled loops, written out: a call of the C library's would keep the loops from vectorising."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

# contract: fused multiply-add, and nothing else that changes the order of operations. Division as NumPy does it: a
# check for zero is a branch, and a loop with a branch does not vectorise.
_exact: Callable[..., Any] = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})


_LOG2_E = 1.4426950408889634
_LN2 = 0.6931471805599453
_LN2_HIGH = 6.93147180369123816490e-01  # ln 2 = high + low, high with 21 trailing zero bits (fdlibm e_exp.c)
_LN2_LOW = 1.90821492927058770002e-10
_ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer, left in the low bits
_EXPONENT_ONE = 0x3FF0000000000000
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD


@_exact
def exp_flushed(x: float, flush: float) -> Any:
    """Return exp(x) for x <= 0 to 4e-16 relative, and exactly 0 below `flush` >= -700.

    exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2) / 2, exp(r) by its Taylor polynomial of degree 13. Written
    out because a call of the C library's exp would keep the loop around it from vectorising.
    """
    x_safe = max(x, flush)
    shifted = x_safe * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (x_safe - n * _LN2_HIGH) - n * _LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    power_of_two = np.int64((np.float64(shifted).view(np.int64) << 52) + _EXPONENT_ONE).view(np.float64)
    return p * power_of_two if x > flush else 0.0


@_exact
def log_normal(x: float) -> Any:
    """Return log(x) of a positive normal number to 1e-15 absolute.

    x = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 artanh((m - 1) / (m + 1)) by its series to the 21st power.
    """
    bits = np.float64(x).view(np.int64)
    exponent = (bits - _SQRT_HALF_BITS) >> 52
    m = np.int64(bits - (exponent << 52)).view(np.float64)
    f = (m - 1.0) / (m + 1.0)
    g = f * f
    p = 2.0 / 21.0
    p = p * g + 2.0 / 19.0
    p = p * g + 2.0 / 17.0
    p = p * g + 2.0 / 15.0
    p = p * g + 2.0 / 13.0
    p = p * g + 2.0 / 11.0
    p = p * g + 2.0 / 9.0
    p = p * g + 2.0 / 7.0
    p = p * g + 2.0 / 5.0
    p = p * g + 2.0 / 3.0
    p = p * g + 2.0
    return p * f + exponent * _LN2
