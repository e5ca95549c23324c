"""Types and bounds of the parameters that estimators have in common."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

from numpy.typing import NDArray

from .sklearn_internals import Interval, StrOptions

Missing = Literal["error", "marginal"]
Resolution = Literal["auto"] | float | tuple[float, ...] | list[float] | NDArray[Any]
SampleSize = int | Literal["auto"]
Restarts = int | Literal["auto"]

CONSTRAINTS: dict[str, Any] = {  # of parameters that all estimators have
    "tol": [Interval(Real, 0.0, None, closed="left")],
    "reg_covar": [Interval(Real, 0.0, None, closed="left")],
    "resolution": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"}), "array-like"],
    "n_init": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "init_params": [StrOptions({"kmeans", "k-means++", "random", "random_from_data"})],
    "sample_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "n_finalists": [Interval(Integral, 1, None, closed="left")],
    "missing": [StrOptions({"error", "marginal"})],
    "dtype": [StrOptions({"float64", "float32"})],
    "persist": ["boolean", StrOptions({"auto"})],
    "dim": [str, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
CONSTRAINTS_OF_ONE_MIXTURE: dict[str, Any] = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "warm_start": ["boolean"],
    "verbose_interval": [Interval(Integral, 1, None, closed="left")],
}
