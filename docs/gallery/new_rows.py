"""
Go on with new rows
===================

A fit keeps its sufficient statistics. ``update`` adds new rows to them without reading the old ones, and says whether
the new rows are of the same source.
"""

import numpy as np

from daskgmm import GaussianMixture
from daskgmm.plots import ClustersDisplay

rng = np.random.default_rng(0)
centres = np.array([(0.0, 0.0), (4.0, 0.0), (2.0, 4.0)])


def day(n, moved=0.0):
    """Return a day's rows; the last cluster may have moved."""
    labels = rng.integers(3, size=n)
    return centres[labels] + rng.normal(0, 0.8, (n, 2)) + moved * (labels == 2)[:, None]


first = day(20_000)
model = GaussianMixture(3, random_state=0).fit(first)

# %%
# A second day of the same source: nothing to worry about, and the model has the likelihood of a fit to both days.

second = day(5_000)
model.update(second)
print(f"{model.drift_.standard_errors:+.1f} standard errors, refit advised: {model.drift_.refit_advised}")
both = np.concatenate([first, second])
print(model.score(both) - GaussianMixture(3, random_state=0).fit(both).score(both))

# %%
# On the third day a cluster has moved. The drift is many standard errors, and a refit is advised.

third = day(5_000, moved=1.5)
model.update(third)
print(f"{model.drift_.standard_errors:+.1f} standard errors, refit advised: {model.drift_.refit_advised}")
ClustersDisplay.from_estimator(model, third)
