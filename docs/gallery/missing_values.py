"""
Missing values
==============

A fifth of the values is removed from a table. ``missing="marginal"`` integrates them out, so the fit uses every value
that there is; a fit to complete rows alone would throw away most of the table.
"""

import numpy as np
from sklearn.datasets import load_wine

from daskgmm import GaussianMixture

wine = load_wine(as_frame=True).data[["alcohol", "flavanoids", "color_intensity", "hue", "proline"]]
rng = np.random.default_rng(0)
gappy = wine.mask(rng.uniform(size=wine.shape) < 0.2)
incomplete = gappy.isna().any(axis=1)
print(f"{gappy.isna().to_numpy().mean():.0%} of the values are missing, {incomplete.mean():.0%} of the rows have gaps")

model = GaussianMixture(3, missing="marginal", random_state=0).fit(gappy)
print(model.summary())

# %%
# Missing values by their means given the others, with standard errors. They are compared with what was removed, and
# with the mean of the column.

filled, errors = model.impute(gappy, return_std=True)
removed = gappy.isna().to_numpy()
truth, scale = wine.to_numpy(), wine.to_numpy().std(axis=0)


def root_mean_square(values):
    """Return the error of the missing values, in standard deviations of their columns."""
    return float(np.sqrt((((values - truth) / scale)[removed] ** 2).mean()))


column_means = np.where(removed, np.nanmean(gappy.to_numpy(), axis=0), truth)
print(f"imputed {root_mean_square(np.asarray(filled)):.2f}, column means {root_mean_square(column_means):.2f}")

# %%
# Most truths lie within two standard errors.

z = np.abs((np.asarray(filled) - truth)[removed] / np.asarray(errors)[removed])
print(f"{(z < 2).mean():.0%} within two standard errors")

# %%
# The mixture of some of the features, and that of the others given a value: wines of 14% alcohol.

print(model.marginal(["alcohol", "hue"]).means_.round(2))
given = model.condition(["alcohol"], [14.0])
print(f"proline {float(given.weights_ @ given.means_[:, -1]):.0f}, of all wines {wine.proline.mean():.0f}")
