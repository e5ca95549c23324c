"""
Ocean profiles: xarray in, a map of regimes out
===============================================

Temperature profiles of a warm and a cold water mass with a front between them, as a DataArray on latitude, longitude
and depth. Each profile is a row; the depths are its features. Profile classification models do this for Argo floats
(Maze et al. 2017); here the profiles are simulated.
"""

import numpy as np
import xarray as xr

from daskgmm import GaussianMixtureSelector
from daskgmm.plots import MapDisplay, SelectionDisplay

rng = np.random.default_rng(0)
latitude, longitude = np.linspace(-60, -20, 60), np.linspace(0, 60, 80)
depth = np.array([5.0, 50, 100, 200, 400, 700, 1000, 1500])
front = -40 + 4 * np.sin(np.deg2rad(4 * longitude))[None, :]  # its latitude at each longitude
warmth = 1 / (1 + np.exp(-(latitude[:, None] - front) / 1.5))  # 0 south of the front, 1 north of it
surface = 4 + 16 * warmth + rng.normal(0, 0.6, warmth.shape)
temperature = 2 + (surface[..., None] - 2) * np.exp(-depth / (300 + 400 * warmth[..., None]))
temperature += rng.normal(0, 0.15, temperature.shape)
profiles = xr.DataArray(
    temperature,
    coords={"latitude": latitude, "longitude": longitude, "depth": depth},
    dims=("latitude", "longitude", "depth"),
    name="temperature",
).chunk(latitude=20)

# %%
# How many regimes? Eight neighbouring depths are strongly correlated, so covariances are full.

selector = GaussianMixtureSelector(range(1, 7), covariance_type="full", random_state=0).fit(profiles)
SelectionDisplay.from_estimator(selector)

# %%
# Two water masses, and two more for the gradient between them. The labels come back on latitude and longitude, as a
# lazy DataArray.

model = selector.best_estimator_
labels = model.predict(profiles)
print(model.n_components, labels.dims, labels.chunks)
MapDisplay.from_estimator(model, profiles)

# %%
# The mean profile of each regime, in degrees.

for component in np.argsort(model.means_[:, 0]):
    print(f"{model.weights_[component]:.2f}", np.round(model.means_[component], 1))
