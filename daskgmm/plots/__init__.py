"""Plots of fitted estimators in matplotlib, behind scikit-learn's Display interface: `from_estimator`, then `plot`."""

from .clusters import ClustersDisplay
from .convergence import ConvergenceDisplay
from .maps import MapDisplay
from .marginals import MarginalsDisplay
from .merging import MergingDisplay
from .overlap import OverlapDisplay
from .selection import SelectionDisplay
from .uncertainty import UncertaintyDisplay

__all__ = [
    "ClustersDisplay",
    "ConvergenceDisplay",
    "MapDisplay",
    "MarginalsDisplay",
    "MergingDisplay",
    "OverlapDisplay",
    "SelectionDisplay",
    "UncertaintyDisplay",
]
