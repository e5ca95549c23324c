#!/usr/bin/env bash
# The client of a fit whose workers are jobs of their own (kind pbs), as a small job: qsub deploy/pbs/client.sh
# For sites that end long processes on login nodes, where compute nodes may submit jobs. -r y: after the failure of its
# node PBS starts the client again, and it continues with its fit. PBS gives no notice before the wall time; ask for enough.
#PBS -N daskgmm-client
#PBS -q workq
#PBS -A project
#PBS -l select=1:ncpus=1:mem=4GB
#PBS -l walltime=48:00:00
#PBS -r y
#PBS -j oe

cd "$PBS_O_WORKDIR" || exit 1
module load python/3.12
# shellcheck disable=SC1091 # the environment is the site's
source "$HOME/daskgmm/bin/activate"

go_on=()
if [ "$(qstat -f "$PBS_JOBID" | awk '$1 == "run_count" {print $3}')" -gt 1 ]; then
  go_on=(--resume) # started again by PBS: continue with what the job before it left
fi

exec python3 -m daskgmm fit deploy/pbs/fit.yaml "${go_on[@]}"
