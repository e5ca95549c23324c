"""
Stream more rows than memory holds
==================================

Rows that are generated chunk by chunk and read anew in each pass. The job below has a million rows, so that this page
is built in seconds; with ``data.synthetic.n_samples=1e8`` it takes no more memory, and a hundred times as long.
"""

from pathlib import Path
from tempfile import mkdtemp

from daskgmm import load_model
from daskgmm.config import load_config
from daskgmm.jobs.dry_run import describe_fit
from daskgmm.jobs.fit import fit

folder = Path(mkdtemp())
job = folder / "stream.yaml"
job.write_text(
    """
data:
  path: "sample:synthetic"
  synthetic: {n_samples: 1.0e+6, n_features: 8, n_components: 8, seed: 0}
model: {n_components: 8}
compute: {persist: false}
output: {directory: run, labels: false, report: false}
"""
)
config = load_config(job, [f"output.directory={folder / 'run'}"])

# %%
# What would be done, and how much memory it takes, before anything is computed: ``daskgmm fit stream.yaml --dry-
# run``.

print(describe_fit(config))

# %%
# The job itself: ``daskgmm fit stream.yaml``. It writes checkpoints, and goes on after an interruption with
# ``--resume``.

fit(config)
print(load_model(folder / "run").table())
