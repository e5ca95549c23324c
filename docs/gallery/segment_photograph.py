"""
Segment a photograph
====================

The pixels of a photograph are rows of three features, red, green and blue. A mixture of eight Gaussians gives each
pixel the component that it most probably belongs to.
"""

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from daskgmm import GaussianMixture
from daskgmm.plots import MapDisplay

photograph = load_sample_image("china.jpg")[::2, ::2]
pixels = da.from_array(photograph, chunks=(70, -1, 3))  # the grid stays: no need to flatten it
model = GaussianMixture(8, random_state=0).fit(pixels)
print(model.summary())

# %%
# Each pixel in the mean colour of its component, beside the photograph. Whole numbers have a resolution of one, which
# is the least standard deviation of a component (over the square root of 12), so none sits on saturated pixels.

labels = model.predict(pixels).compute()
painted = np.clip(model.means_, 0, 255).astype(np.uint8)[labels]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for axes, image, title in ((left, photograph, "photograph"), (right, painted, "eight clusters")):
    axes.imshow(image)
    axes.set_axis_off()
    axes.set_title(title)

# %%
# The clusters along the axes of the picture. On a lazy array only the part that is drawn is computed.

MapDisplay.from_estimator(model, pixels)
