"""
Cluster embeddings
==================

Images of digits as rows of 64 features. A full covariance has 2,080 numbers for each cluster, too many for 1,800
rows; a low-rank one has 64 for each factor, and 64 of noise.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from daskgmm import GaussianMixture

digits = load_digits()
images = digits.data[:, digits.data.std(axis=0) > 0.5]  # the corners of the images are empty

scores = {}
for name, options in {
    "spherical": {"covariance_type": "spherical"},
    "diag": {"covariance_type": "diag"},
    "low rank, 8 factors": {"covariance_type": "low_rank", "n_factors": 8, "factor_noise": "isotropic"},
}.items():
    model = GaussianMixture(10, random_state=0, **options).fit(images)
    scores[name] = model.bic(images), adjusted_rand_score(digits.target, model.predict(images))

# %%
# Smaller BIC is better; the last number says how far the clusters agree with the ten digits, 1 if they are the same.

for name, (bic, agreement) in scores.items():
    print(f"{name:20} BIC {bic:12,.0f}  adjusted Rand index {agreement:.2f}")

# %%
# The means of the components are images too.

import matplotlib.pyplot as plt  # noqa: E402

figure, axes = plt.subplots(2, 5, figsize=(7, 3), layout="constrained")
shown = np.zeros((10, 64))
shown[:, digits.data.std(axis=0) > 0.5] = model.means_
for image, one in zip(shown, axes.flat, strict=True):
    one.imshow(image.reshape(8, 8), cmap="gray_r")
    one.set_axis_off()
