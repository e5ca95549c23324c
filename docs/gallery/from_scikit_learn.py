"""
Coming from scikit-learn
========================

The estimator has scikit-learn's parameters and attributes. Models go both ways.
"""

import dask.array as da
import numpy as np
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from daskgmm import GaussianMixture

rng = np.random.default_rng(0)
X = np.concatenate([rng.normal(size=(4_000, 2)), rng.normal(size=(2_000, 2)) @ [[2, 0.5], [0, 0.4]] + 5])

theirs = SklearnGaussianMixture(2, random_state=0).fit(X)
ours = GaussianMixture(2, random_state=0).fit(X)
print(f"mean log-likelihood: scikit-learn {theirs.score(X):.6f}, daskgmm {ours.score(X):.6f}")

# %%
# Lazy arrays work as NumPy arrays do; what comes out is as lazy as what goes in.

lazy = da.from_array(X, chunks=(1_000, 2))
print(GaussianMixture(2, random_state=0).fit(lazy).predict(lazy))

# %%
# A model of scikit-learn scores lazy rows, and one of daskgmm goes where a scikit-learn estimator is expected.

print(GaussianMixture.from_sklearn(theirs).score_samples(lazy)[:3].compute())
print(type(ours.to_sklearn()), ours.to_sklearn().bic(X) - ours.bic(X))

# %%
# Where they differ: the default fit tries several starts and moves on a sample, and stops where the estimated gain
# that is left falls below ``tol``; ``reg_covar`` is a least variance, in units of each column's variance, not an
# addition to it.
