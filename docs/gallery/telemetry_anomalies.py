"""
Anomalies in telemetry
======================

The density of a mixture says how usual a reading is. Rows below a quantile of the training density are anomalies,
also combinations whose single values are all ordinary.
"""

import matplotlib.pyplot as plt
import numpy as np

from daskgmm import GaussianMixture

rng = np.random.default_rng(0)
load = np.where(rng.uniform(size=20_000) < 0.7, rng.normal(30, 5, 20_000), rng.normal(80, 4, 20_000))  # idle, busy
temperature = 25 + 0.5 * load + rng.normal(0, 1.0, 20_000)
readings = np.column_stack([load, temperature])
model = GaussianMixture(2, random_state=0).fit(readings)

# %%
# A threshold at which one of a thousand ordinary readings is called an anomaly.

threshold = np.quantile(model.score_samples(readings), 0.001)
broken_fan = np.column_stack([rng.normal(30, 5, 200), rng.normal(55, 2, 200)])  # warm while idle
ordinary = model.score_samples(readings) >= threshold
caught = model.score_samples(broken_fan) < threshold
print(f"false alarms {1 - ordinary.mean():.2%}, broken fans found {caught.mean():.0%}")

# %%
# Neither the load nor the temperature of a broken fan is unusual by itself.

figure, axes = plt.subplots(layout="constrained")
axes.scatter(*readings[::10].T, s=4, color="0.7", label="training")
axes.scatter(*broken_fan.T, s=8, color="C3", label="broken fan")
axes.set_xlabel("load, percent")
axes.set_ylabel("temperature, °C")
axes.legend()

# %%
# In a job, ``output.anomaly: 0.001`` writes the flag of each row beside its label, and the threshold goes with the
# model to other rows and into ONNX.
