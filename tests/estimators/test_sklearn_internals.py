"""What is relied on of scikit-learn that it does not document: parameters are checked as a fit begins."""

from numbers import Integral

import pytest
from sklearn.base import BaseEstimator

from daskgmm.estimators.sklearn_internals import Interval, StrOptions, fit_context


class Estimator(BaseEstimator):
    _parameter_constraints = {"k": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})]}  # noqa: RUF012

    def __init__(self, k=1):
        self.k = k

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X):
        return self


def test_parameters_are_checked_before_a_fit():
    for k in (1, "auto"):
        assert Estimator(k).fit([]).k == k
    for k in (0, 1.5, "none"):
        with pytest.raises(ValueError, match="'k' parameter of Estimator must be an int in the range"):
            Estimator(k).fit([])
