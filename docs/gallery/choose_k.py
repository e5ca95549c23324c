"""
Choose the number of components
===============================

One sweep fits all numbers of components and covariance types in shared passes. BIC is the usual criterion; held-out
likelihood and a bootstrap test look at the question from other sides.
"""

import numpy as np
from sklearn.datasets import load_iris

from daskgmm import GaussianMixture, GaussianMixtureSelector, bootstrap, likelihood_ratio_test
from daskgmm.plots import ClustersDisplay, SelectionDisplay

flowers = load_iris(as_frame=True).data
selector = GaussianMixtureSelector(range(1, 7), random_state=0).fit(flowers)
SelectionDisplay.from_estimator(selector)

# %%
# BIC takes two components, as mclust does among these types: two of the three species overlap much.

best = selector.best_estimator_
print(best.n_components, best.covariance_type, round(selector.best_score_, 1))
ClustersDisplay.from_estimator(best, flowers)

# %%
# The mean log-likelihood of flowers left out of the fit.

held_out = GaussianMixtureSelector(range(1, 5), covariance_type="full", criterion="heldout", random_state=0).fit(
    flowers
)
print(held_out.best_estimator_.n_components)

# %%
# Is one component enough? The statistic is compared with those of data drawn from a single Gaussian. Nineteen
# resamples keep this page fast; 199 are usual.

print(likelihood_ratio_test(GaussianMixture(), flowers, [1], n_resamples=19, random_state=0))

# %%
# How sure are the weights and means of the two?

model = GaussianMixture(2, random_state=0).fit(flowers)
print(bootstrap(model, flowers, n_resamples=99, random_state=0))
print(np.round(model.weights_, 3))
