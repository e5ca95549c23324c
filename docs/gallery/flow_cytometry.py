"""
Flow cytometry: populations that are no Gaussians, and debris
=============================================================

Cells are measured by scatter and fluorescence. Populations are skewed, so one of them may take several components;
and there is debris everywhere. A noise component takes the debris, and components that share their cells are merged.
The cells are simulated; a file of a cytometer is read by ``data.path: cells.fcs``.
"""

import numpy as np

from daskgmm import GaussianMixture
from daskgmm.plots import ClustersDisplay, MergingDisplay

rng = np.random.default_rng(0)


def population(n, centre, spread, skew):
    """Return n cells about a centre, with a tail along the first marker."""
    cells = rng.normal(size=(n, 3)) * spread
    cells[:, 0] += skew * rng.exponential(size=n)
    return cells + centre


cells = np.concatenate(
    [
        population(6_000, (2.0, 2.0, 1.0), (0.2, 0.3, 0.2), 0.8),  # lymphocytes, say, with a tail
        population(3_000, (5.0, 3.0, 4.0), (0.3, 0.3, 0.4), 0.0),
        population(1_500, (3.0, 6.0, 2.0), (0.3, 0.2, 0.3), 0.4),
        rng.uniform((0, 0, 0), (8, 8, 6), size=(1_000, 3)),  # debris
    ]
)
model = GaussianMixture(6, noise=True, random_state=0).fit(cells)
print(f"debris: {model.noise_weight_:.1%} of the events, {1_000 / len(cells):.1%} were made")

# %%
# Rows of the noise have the label -1.

ClustersDisplay.from_estimator(model, cells, features=[0, 1])

# %%
# Components without noise, merged by the entropy of their shared cells.

clean = cells[model.predict(cells) >= 0]
merged = GaussianMixture(6, random_state=0).fit(clean).merge_components(clean)
print(merged)
MergingDisplay.from_merged(merged)
