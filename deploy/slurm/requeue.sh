#!/usr/bin/env bash
# The client of a fit whose workers are jobs of their own (kind slurm), as a small job: sbatch deploy/slurm/requeue.sh
# For sites that end long processes on login nodes, where compute nodes may submit jobs. Workers come and go with their own
# wall times; before the client's, SLURM signals this shell, the fit writes a checkpoint and cancels its workers, and the
# client is requeued: it continues from there, and so at most MAXIMUM_REQUEUES times. A client that fits its wall time is not touched.
#SBATCH --job-name=daskgmm-client
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=2-00:00:00
#SBATCH --output=logs/client-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@300

MAXIMUM_REQUEUES=10
told=no
trap 'told=yes; kill -USR1 "$client"' USR1

module load python/3.12
# shellcheck disable=SC1091 # the environment is the site's
source "$HOME/daskgmm/bin/activate"

go_on=()
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then
  go_on=(--resume)
fi

python3 -m daskgmm fit deploy/slurm/fit.yaml "${go_on[@]}" &
client=$!
wait "$client"
status=$?
if [ "$told" = yes ]; then
  wait "$client" # the first wait ended with the signal
  status=$?
  if [ "$status" -eq 5 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "$MAXIMUM_REQUEUES" ]; then
    scontrol requeue "$SLURM_JOB_ID"
  fi
fi
exit "$status"
