"""Batch systems through dask-jobqueue: SLURM for real, the others by the scripts of their jobs."""

import signal
import subprocess
import sys
from importlib.util import find_spec

import dask
import pytest
from distributed import default_client

from daskgmm.clusters.kinds import Allocation, HTCondor, Lsf, Pbs, Sge, Slurm
from daskgmm.clusters.kinds.job_replacement import gone_since
from daskgmm.clusters.kinds.jobqueue import _dask_jobqueue
from daskgmm.concurrency import COMPUTE_THREADS, READ_AHEAD
from daskgmm.config import parse_config
from daskgmm.errors import ClusterLostError, ConfigurationError

from ..slurm import bits, daskgmm, finished, of_threads, wait_for, write_config

pytestmark = pytest.mark.skipif(find_spec("dask_jobqueue") is None, reason="needs the package dask-jobqueue")

SIZES = {"cores": 4, "memory": "8GiB", "processes": 2, "python": "python3", "start_timeout": 60.0}
WORKER = (
    "python3 -m distributed.cli.dask_worker tcp://SCHEDULER:8786 --name daskgmm --nthreads 2 --memory-limit 4.00GiB "
    "--nworkers 2 --nanny --death-timeout 60 --nthreads 4"
)
EXPORT = "export DASK_DASKGMM__COMPUTE_THREADS=2"


def without_indent(text):
    return "\n".join(line.strip() for line in text.strip().splitlines()) + "\n"


def script_of(cluster):
    lines = cluster.job_script().splitlines()
    return "\n".join(line.rstrip() for line in lines if line.strip()) + "\n"


SCRIPTS = {
    "slurm": (
        Slurm(
            **SIZES,
            queue="long",
            account="stars",
            interface="lo",
            local_directory="/scratch",
            log_directory="logs",
            job_script_prologue=("module load python",),
            job_extra_directives=("--constraint=haswell",),
            worker_extra_args=("--lifetime", "55m"),
        ),
        f"""
        #!/usr/bin/env bash
        #SBATCH -J daskgmm
        #SBATCH -e logs/daskgmm-%J.err
        #SBATCH -o logs/daskgmm-%J.out
        #SBATCH -p long
        #SBATCH -A stars
        #SBATCH -n 1
        #SBATCH --cpus-per-task=4
        #SBATCH --mem=8G
        #SBATCH -t 01:00:00
        #SBATCH --constraint=haswell
        module load python
        {EXPORT}
        {WORKER.replace(" --nthreads 4", " --local-directory /scratch --nthreads 4 --lifetime 55m --interface lo")}
        """,
    ),
    "pbs": (
        Pbs(**SIZES, queue="long", account="stars", walltime="02:00:00"),
        f"""
        #!/usr/bin/env bash
        #PBS -N daskgmm
        #PBS -q long
        #PBS -A stars
        #PBS -l select=1:ncpus=4:mem=8192MB
        #PBS -l walltime=02:00:00
        {EXPORT}
        {WORKER}
        """,
    ),
    "lsf": (
        Lsf(**SIZES, queue="long", project="stars", lsf_units="mb"),
        f"""
        #!/usr/bin/env bash
        #BSUB -J daskgmm
        #BSUB -q long
        #BSUB -P "stars"
        #BSUB -n 4
        #BSUB -R "span[hosts=1]"
        #BSUB -M 8590
        #BSUB -W 01:00
        {EXPORT}
        {WORKER}
        """,
    ),
    "sge": (
        Sge(**SIZES, queue="long", project="stars", resource_spec="h_vmem=2G", job_extra_directives=("-pe smp 4",)),
        f"""
        #!/usr/bin/env bash
        #$ -N daskgmm
        #$ -q long
        #$ -P stars
        #$ -l h_vmem=2G
        #$ -l h_rt=01:00:00
        #$ -cwd
        #$ -j y
        #$ -pe smp 4
        {EXPORT}
        {WORKER}
        """,
    ),
    "htcondor": (
        HTCondor(**SIZES, disk="10GiB", job_extra_directives={"accounting_group": "stars"}),
        f"""
        #!/usr/bin/env condor_submit
        MY.DaskWorkerName = "htcondor--$F(MY.JobId)--"
        batch_name = daskgmm
        RequestCpus = MY.DaskWorkerCores
        RequestMemory = floor(MY.DaskWorkerMemory / 1048576)
        RequestDisk = floor(MY.DaskWorkerDisk / 1024)
        MY.JobId = "$(ClusterId).$(ProcId)"
        MY.DaskWorkerCores = 4
        MY.DaskWorkerMemory = 8589934592
        MY.DaskWorkerDisk = 10737418240
        accounting_group = stars
        Arguments = "-c '{EXPORT}; {WORKER}'"
        Executable = /bin/sh
        Queue
        """,
    ),
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_the_script_of_a_job_asks_for_what_the_configuration_says(kind):
    cluster, script = SCRIPTS[kind]
    assert cluster.kind == kind
    with dask.config.set({READ_AHEAD: "auto"}):
        assert script_of(cluster) == without_indent(script)


@pytest.mark.parametrize(("read_ahead", "n_threads"), [(0, 2), (3, 5), ("auto", 4)])
def test_jobs_have_threads_that_read_ahead_beside_those_that_compute(read_ahead, n_threads):
    with dask.config.set({READ_AHEAD: read_ahead}):
        assert Slurm(**SIZES).job_script().rstrip().endswith(f"--nthreads {n_threads}")
        assert f"--nthreads {n_threads} " in " ".join(Allocation(**SIZES).srun_command("tcp://SCHEDULER:8786"))


def test_a_queue_says_what_it_starts():
    assert (Slurm(**SIZES, jobs=3).n_processes, Slurm(**SIZES, jobs=3).compute_threads) == (6, 2)
    assert (Allocation(**SIZES, tasks=3).n_processes, Allocation(**SIZES, tasks=3).compute_threads) == (6, 2)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("kind: slurm, memory: 1GiB", "cluster.cores is missing"),
        ("kind: pbs, cores: 1, memory: 1GiB, disk: 1GiB", "unknown key cluster.disk"),
        ("kind: sge, cores: 0, memory: 1GiB", "cluster.cores should be greater than or equal to 1"),
    ],
)
def test_a_section_that_cannot_be_is_refused_in_one_line(section, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_config(f"{{data: {{path: sample:iris}}, cluster: {{{section}}}}}")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"memory": "much"}, r"cluster.memory 'much' is not a size in bytes: write it as in 67108864, 64MB or 1 GiB"),
        (
            {"memory": "500MiB"},
            r"cluster.memory '500MiB' is less than the 800.00 MiB that 2 workers take for themselves",
        ),
        ({"processes": 5}, r"cluster.processes 5 is more than cluster.cores 4"),
        ({"interface": "ib9"}, r"cluster.interface 'ib9' is not a network of this machine, which has .*lo"),
        ({"jobs": 2, "maximum_jobs": 1}, r"cluster.maximum_jobs 1 is less than cluster.jobs 2: raise it"),
    ],
)
def test_sizes_in_which_nothing_can_start_are_refused_before_a_job_is_submitted(fields, message):
    with pytest.raises(ConfigurationError, match=message), Slurm(**{**SIZES, **fields}).connect():
        pass


@pytest.mark.parametrize(
    ("cluster", "command"),
    [
        (Slurm, "sbatch"),
        (Pbs, "qsub"),
        (Lsf, "bsub"),
        (Sge, "qsub"),
        (HTCondor, "condor_submit"),
    ],
)
def test_a_machine_that_cannot_submit_says_which_command_is_missing(cluster, command, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(ConfigurationError, match=f"needs the command {command}, which is not on"),
        cluster(**SIZES).connect(),
    ):
        pass


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    program = """
import sys
sys.modules["dask_jobqueue"] = None  # as where it is not installed
from daskgmm.clusters.kinds import Slurm
from daskgmm.errors import ConfigurationError
try:
    Slurm(cores=1, memory="1GiB").job_script()
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("needs the package dask-jobqueue: pip install 'daskgmm[jobqueue]'")


def test_the_package_does_not_keep_the_interrupt_signal():
    handler = signal.getsignal(signal.SIGINT)
    for name in [name for name in sys.modules if name.startswith("dask_jobqueue")]:
        del sys.modules[name]
    _dask_jobqueue("slurm")
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_allocation_is_refused_outside_of_a_job(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(ConfigurationError, match="this process is in none"), Allocation(**SIZES).connect():
        pass


def test_a_job_is_gone_once_all_its_workers_that_came_are():
    jobs, came = {"a": ["a-0", "a-1"], "b": ["b-0", "b-1"]}, {"a-0", "a-1", "b-0"}
    assert gone_since({}, jobs, set(), set(), 1) == {}  # they wait in the queue
    assert gone_since({}, jobs, came, {"a-1", "b-0"}, 1) == {}
    assert gone_since({}, jobs, came, {"b-0"}, 1) == {"a": 1}
    assert gone_since({"a": 1}, jobs, came, set(), 2) == {"a": 1, "b": 2}
    assert gone_since({"a": 1}, jobs, came, {"a-0", "b-0"}, 2) == {}  # started again by its nanny
    assert gone_since({"a": 1}, {}, came, set(), 2) == {}


@pytest.fixture
def section():
    return {"cores": 1, "memory": "1GiB", "interface": "lo", "dashboard_address": "127.0.0.1:0", "jobs": 2}


@pytest.fixture
def logs(tmp_path):
    return str(tmp_path / "the logs")


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path)


def n_workers():
    return len(default_client().scheduler_info(n_workers=-1)["workers"])


def fail_while(condition):
    assert condition
    raise ZeroDivisionError


@pytest.mark.slow
def test_slurm_runs_workers_as_jobs_and_cancels_them_at_the_end(slurm, section, logs):
    with Slurm(**section, log_directory=logs).connect() as connection:
        wait_for(lambda: n_workers() == 2)
        assert list(slurm.jobs().values()) == ["RUNNING"] * 2
        assert set(default_client().run(dask.config.get, COMPUTE_THREADS).values()) == {1}
        assert connection.description == "2 slurm jobs of 1 worker with 1 thread"
    wait_for(lambda: not slurm.jobs())


@pytest.mark.slow
def test_slurm_jobs_are_cancelled_after_an_error(slurm, section, logs):
    with pytest.raises(ZeroDivisionError), Slurm(**section, log_directory=logs).connect():
        fail_while(len(slurm.jobs()) == 2)
    wait_for(lambda: not slurm.jobs())


@pytest.mark.slow
def test_a_job_that_slurm_refuses_is_one_line(slurm, section, logs):
    cluster = Slurm(**section, log_directory=logs, queue="nowhere")
    with pytest.raises(ConfigurationError, match=r"^slurm refused a job: sbatch: error: .*artition"), cluster.connect():
        pass
    assert not slurm.jobs()


@pytest.mark.slow
def test_jobs_that_stay_in_the_queue_are_given_up_after_the_timeout(slurm, section, logs):
    cluster = Slurm(**section, log_directory=logs, start_timeout=1.0, job_extra_directives=("--begin=now+1hour",))
    with pytest.raises(ClusterLostError, match=r"no worker came within 1 s"), cluster.connect():
        pass
    wait_for(lambda: not slurm.jobs())


@pytest.mark.slow
def test_a_fit_on_slurm_gives_the_same_bits_as_threads(slurm, config, tmp_path):
    finished(daskgmm("fit", config, "compute.chunk_bytes=1048576"))
    assert bits(tmp_path / "run") == bits(of_threads(config, tmp_path, "compute.chunk_bytes=1048576"))
    wait_for(lambda: not slurm.jobs())


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_fit_whose_only_job_is_cancelled_ends_right_on_another(slurm, config, processes, tmp_path):
    sizes = ("cluster.jobs=1", f"cluster.cores={processes}", f"cluster.processes={processes}", "cluster.memory=2GiB")
    process = daskgmm("fit", config, *sizes)
    metrics = tmp_path / "run" / ".unfinished" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 2)
    (first,) = slurm.jobs()
    slurm.cancel(first)
    wait_for(lambda: set(slurm.jobs()) - {first})
    finished(process)
    assert bits(tmp_path / "run") == bits(of_threads(config, tmp_path))
    wait_for(lambda: not slurm.jobs())


def test_logs_of_workers_may_be_in_a_directory_of_any_name(tmp_path):
    directory = tmp_path / "my logs"
    script = Slurm(**SIZES, log_directory=str(directory)).job_script()
    assert f'#SBATCH -e "{directory}/daskgmm-%J.err"\n#SBATCH -o "{directory}/daskgmm-%J.out"\n' in script
    assert directory.is_dir()
    with pytest.raises(ConfigurationError, match=r"cluster\.log_directory '.*my logs' has a character that scripts of"):
        Pbs(**SIZES, log_directory=str(directory)).job_script()
