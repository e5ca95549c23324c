"""What the estimators need of scikit-learn that is not documented: all of it is here, with a test."""

from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import Interval, StrOptions

__all__ = ["Interval", "StrOptions", "fit_context"]
