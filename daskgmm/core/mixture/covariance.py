"""The families of covariances: what components share of them, in one table.

Sigma_k = lambda_k D_k A_k D_k^T with det A_k = 1, and the three letters of a family say of the volume lambda_k, the
shape A_k and the orientation D_k whether they are equal for all components (E), vary (V), or are the identity (I).
A family is its letters, the layout of its array and its estimate; all else (kernels, weights, prediction, seeding) is
the same for all. Sources: Celeux and Govaert (1995), Gaussian parsimonious clustering models, Pattern Recognition 28;
Scrucca, Fop, Murphy and Raftery (2016), mclust 5, R Journal 8.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

from ..arrays.types import Array
from . import estimates
from .feature_map import FeatureMap
from .floor import Floor
from .layouts import DIAGONAL, FULL, ISOTROPIC, TIED, Layout
from .low_rank import LowRankFamily, is_low_rank, low_rank_family


@dataclass(frozen=True, eq=False)
class Family:
    """One family of covariances; (k, d) is the shape of the means."""

    name: str
    letters: str  # of volume, shape and orientation
    layout: Layout
    constrain: estimates.Estimate | None = None  # None: components are estimated one by one, or pooled by the layout
    one_feature: bool = False  # whether it is for one feature only

    @property
    def shared(self) -> bool:
        """Whether all components have the same covariance."""
        return "V" not in self.letters

    @property
    def coupled(self) -> bool:
        """Whether components have parts of their covariances in common, and others of their own."""
        return self.constrain is not None and not self.shared

    @property
    def conjugate(self) -> bool:
        """Whether the posterior of the covariances is of the prior's form: inverse Wishart or inverse gamma."""
        return self.constrain is None

    @property
    def feature_map(self) -> FeatureMap:
        """That of the kernel with a shared centre: what is quadratic cancels where covariances are the same."""
        return FeatureMap.LINEAR if self.shared else self.layout.feature_map

    @property
    def centred_map(self) -> FeatureMap:
        """That of the kernel with own centres."""
        return self.layout.feature_map

    def n_parameters(self, k: int, d: int) -> int:
        """Return the number of free parameters of the covariances."""
        own = {"E": 1, "V": k, "I": 0}
        sizes = 1, d - 1, d * (d - 1) // 2
        return sum(own[letter] * size for letter, size in zip(self.letters, sizes, strict=True))

    def per_component(self, d: int) -> tuple[int, int]:
        """Return with how many rows more than that a component's covariance is regular, and its free parameters.

        Both are for one component, mean included; 0 and 0 where all components share their covariance. What is common
        keeps a component regular: an own shape needs rows in all directions, and an own volume two different ones.
        """
        if self.shared:
            return 0, 0
        volume, shape, orientation = (letter == "V" for letter in self.letters)
        n_regular = (d + 1 if orientation else 2) if shape else int(volume)
        return n_regular, d + volume + shape * (d - 1) + orientation * d * (d - 1) // 2

    def estimate(
        self, counts: Array, covariances: Array, previous: Array | None = None, floor: Floor | None = None
    ) -> Array:
        """Return the most likely covariances of the family above the floor, of components of these counts (k,).

        `covariances` are those of the components' rows, in the layout; `previous` are estimates to start from. The
        covariances of families that are estimated one by one, or pooled, are raised to the floor in each direction:
        Sigma_k >= F. In the others tr(F Sigma_k^-1) <= d holds, the same on average over the directions.
        """
        constrain = self.constrain
        if constrain is None or self.shared:
            covariances = covariances if constrain is None else constrain(counts, covariances, previous)
            return covariances if floor is None else self.layout.raise_to(covariances, floor)
        return estimates.estimate_above(floor, constrain, counts, covariances, previous)


CovarianceType = Literal[
    "full", "tied", "diag", "spherical",
    "EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV",
    "E", "V",
]  # fmt: skip
ALL_TYPES: tuple[CovarianceType, ...] = get_args(CovarianceType)
DEFAULT_TYPES = ALL_TYPES[:4]  # scikit-learn's
FAMILIES = ALL_TYPES[4:18]  # mclust's, of which the default ones are other names of four

CovarianceFamily = Family | LowRankFamily


class _Families(dict[str, CovarianceFamily]):
    """The families by name; those of low rank are made when they are asked for, since there is one for each number."""

    def __missing__(self, name: str) -> LowRankFamily:
        """Return the family of low rank of this name; raise KeyError if there is none."""
        return low_rank_family(name)


STRUCTURES: dict[str, CovarianceFamily] = _Families(
    (family.name, family)
    for family in (
        Family("full", "VVV", FULL),
        Family("tied", "EEE", TIED),
        Family("diag", "VVI", DIAGONAL),
        Family("spherical", "VII", ISOTROPIC),
        Family("EII", "EII", ISOTROPIC, estimates.mean_covariance),
        Family("VII", "VII", ISOTROPIC),
        Family("EEI", "EEI", DIAGONAL, estimates.mean_covariance),
        Family("VEI", "VEI", DIAGONAL, estimates.vei),
        Family("EVI", "EVI", DIAGONAL, estimates.evi),
        Family("VVI", "VVI", DIAGONAL),
        Family("EEE", "EEE", TIED),
        Family("VEE", "VEE", FULL, estimates.vee),
        Family("EVE", "EVE", FULL, estimates.eve),
        Family("VVE", "VVE", FULL, estimates.vve),
        Family("EEV", "EEV", FULL, estimates.eev),
        Family("VEV", "VEV", FULL, estimates.vev),
        Family("EVV", "EVV", FULL, estimates.evv),
        Family("VVV", "VVV", FULL),
        Family("E", "EII", ISOTROPIC, estimates.mean_covariance, one_feature=True),
        Family("V", "VII", ISOTROPIC, one_feature=True),
    )
)


def types_of(patterns: str | Iterable[str]) -> tuple[str, ...]:
    """Return the covariance types of names and patterns, as in [E*, VVV]; all 14 of mclust's for "all".

    Of two names of one family the first is kept. Raise ValueError for a name or pattern that fits none.
    """
    found: dict[str, str] = {}
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        own: list[str] = [name for name in FAMILIES if pattern == "all" or fnmatchcase(name, pattern)]
        own += [name for name in ALL_TYPES if name == pattern and name not in own]
        own += [pattern] if is_low_rank(pattern) else []
        if not own:
            raise ValueError(
                f"{pattern!r} is no covariance type and fits none: give all, low_rank_Q with the number of "
                f"factors, or some of {_NAMES}"
            )
        for name in own:
            found.setdefault(STRUCTURES[name].letters, name)
    return tuple(found.values())


def same_family(one: str, other: str) -> bool:
    """Return whether two covariance types are names of one family, with arrays of one layout."""
    return STRUCTURES[one].letters == STRUCTURES[other].letters


_NAMES = ", ".join(ALL_TYPES)
