"""exp and log for compiled loops, written out: a call of the C library's would keep the loops from vectorising."""

from __future__ import annotations

from typing import Any

import numpy as np

from .decorators import exact

_LOG2_E = 1.4426950408889634
_LN2 = 0.6931471805599453
_LN2_HIGH = 6.93147180369123816490e-01  # ln 2 = high + low, high with 21 trailing zero bits (fdlibm e_exp.c)
_LN2_LOW = 1.90821492927058770002e-10
_ROUND = 6755399441055744.0 + 1023  # 1.5 * 2^52: adding it rounds to an integer, left in the low bits with exponent 0's
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD


@exact
def exp_coefficients(flush: float) -> Any:
    """Return the coefficients (11,) that `exp_flushed` takes, highest power first, as a tuple.

    They are those of 1 + r + r^2 q(r), q interpolating (exp(r) - 1 - r) / r^2 at the ten Chebyshev nodes of
    |r| <= ln(2) / 2: 2e-17 relative. Adding 0 * flush keeps them out of the code: LLVM would load constants again for
    each vector, and loads are what a loop over exp waits for.
    """
    zero = 0.0 * flush
    return (
        2.5100375832561234e-08 + zero,
        2.7620075879983367e-07 + zero,
        2.7557268480310024e-06 + zero,
        2.4801521322368692e-05 + zero,
        1.9841269863040545e-04 + zero,
        1.3888888917196719e-03 + zero,
        8.333333333330065e-03 + zero,
        4.1666666666624164e-02 + zero,
        0.16666666666666669 + zero,
        0.5 + zero,
        1.0 + zero,
    )


@exact
def exp_flushed(x: float, flush: float, coefficients: Any) -> Any:
    """Return exp(x) for x <= 0 to 4e-16 relative, and exactly 0 up to `flush` >= -700.

    exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2) / 2, exp(r) by the polynomial of `exp_coefficients`. Written
    out because a call of the C library's exp would keep the loop around it from vectorising. What is computed for x
    below `flush` means nothing, and is not returned.
    """
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = coefficients[0]
    p = p * r + coefficients[1]
    p = p * r + coefficients[2]
    p = p * r + coefficients[3]
    p = p * r + coefficients[4]
    p = p * r + coefficients[5]
    p = p * r + coefficients[6]
    p = p * r + coefficients[7]
    p = p * r + coefficients[8]
    p = p * r + coefficients[9]
    p = p * r + coefficients[10]
    p = p * r + coefficients[10]
    power_of_two = np.int64(np.float64(shifted).view(np.int64) << 52).view(np.float64)
    return p * power_of_two if x > flush else 0.0


@exact
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
