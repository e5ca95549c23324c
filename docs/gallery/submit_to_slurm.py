"""
Submit a job to SLURM
=====================

The same configuration runs on a laptop and on a cluster; only the section ``cluster`` differs. ``--dry-run`` prints
the script that would be submitted.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

folder = Path(mkdtemp())
(folder / "slurm.yaml").write_text(
    """
data: {path: "sample:synthetic", synthetic: {n_samples: 1.0e+7}}
model: {n_components: 8}
cluster: {kind: slurm, cores: 8, memory: 32GiB, jobs: 4, walltime: "04:00:00"}
output: {directory: runs/slurm}
"""
)
command = [sys.executable, "-m", "daskgmm", "submit", "slurm.yaml", "--dry-run"]
print(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout)

# %%
# One job holds client, scheduler and workers. It is told before its wall time ends, saves where it stands, and is
# requeued; the result has the bits of an uninterrupted run. With ``daskgmm fit slurm.yaml`` the client stays where it
# is started, and asks SLURM for workers.
