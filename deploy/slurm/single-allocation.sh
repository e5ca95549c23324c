#!/usr/bin/env bash
#SBATCH --job-name=daskgmm
#SBATCH --partition=batch
#SBATCH --account=project
#SBATCH --ntasks=4
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=4096M
#SBATCH --time=04:00:00
#SBATCH --output=logs/daskgmm-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@300

# Written by daskgmm submit: scheduler, workers and client in one allocation, which start and end together.
# SLURM tells this shell 300 s before the wall time; the fit writes a checkpoint and ends, the job is requeued.
told=no
trap 'told=yes; kill -USR1 "$client"' USR1

module load python/3.12
source "$HOME/daskgmm/bin/activate"

go_on=()
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then
  go_on=(--resume)
fi

python3 -m daskgmm fit deploy/slurm/fit.yaml 'cluster={"kind": "allocation", "cores": 8, "memory": "32GiB", "interface": "ib0", "local_directory": "/tmp", "python": "python3", "tasks": 4}' "${go_on[@]}" &
client=$!
wait "$client"
status=$?
if [ "$told" = yes ]; then
  wait "$client" # the first wait ended with the signal
  status=$?
  if [ "$status" -eq 5 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 10 ]; then
    scontrol requeue "$SLURM_JOB_ID"
  fi
fi
exit "$status"
