"""Start a cluster at a cloud provider, print how a job is run on it, and end it on Enter.

    python deploy/cloud/cluster.py ec2 | fargate | gcp

Needs pip install 'dask-cloudprovider[aws]' or 'dask-cloudprovider[gcp]', the same Python and versions here as in the
image, and the provider's credentials where its own tools look for them. Names in capitals are yours to fill in.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

IMAGE = "registry.example/daskgmm:0.1.0"  # of deploy/Dockerfile, where the provider can pull it
N_WORKERS, COMPUTE_THREADS = 8, 4
N_THREADS = 2 * COMPUTE_THREADS  # as many again read ahead
ENVIRONMENT = {"DASK_DASKGMM__COMPUTE_THREADS": str(COMPUTE_THREADS)}


def ec2() -> Any:
    """Return virtual machines of AWS, each with one worker; they talk by TLS."""
    from dask_cloudprovider.aws import EC2Cluster

    return EC2Cluster(
        region="eu-central-1",
        instance_type="m6i.2xlarge",
        filesystem_size=100,  # GB, to spill to
        iam_instance_profile={"Name": "PROFILE-THAT-READS-THE-BUCKET"},
        docker_image=IMAGE,
        env_vars=ENVIRONMENT,
        n_workers=N_WORKERS,
        worker_options={"nthreads": N_THREADS},
    )


def fargate() -> Any:
    """Return containers of AWS Fargate in your network, unencrypted: run the job in there too."""
    from dask_cloudprovider.aws import FargateCluster

    return FargateCluster(
        image=IMAGE,
        n_workers=N_WORKERS,
        worker_cpu=1024 * COMPUTE_THREADS,
        worker_mem=1024 * 16,  # MiB
        worker_nthreads=N_THREADS,
        environment=ENVIRONMENT,
        task_role_arn="ARN-OF-A-ROLE-THAT-READS-THE-BUCKET",
        fargate_use_private_ip=True,
    )


def gcp() -> Any:
    """Return virtual machines of Google Cloud, each with one worker; they talk by TLS."""
    from dask_cloudprovider.gcp import GCPCluster

    return GCPCluster(
        projectid="PROJECT",
        zone="europe-west3-a",
        machine_type="n2-standard-8",
        filesystem_size=100,  # GB, to spill to
        docker_image=IMAGE,
        env_vars=ENVIRONMENT,
        n_workers=N_WORKERS,
        worker_options={"nthreads": N_THREADS},
    )


def overrides(cluster: Any, directory: Path) -> list[str]:
    """Return what makes a configuration use the cluster; its certificates, if any, are written to the directory."""
    words = {
        "cluster.kind": "address",
        "cluster.address": cluster.scheduler_address,
        "cluster.n_workers": N_WORKERS,
        "cluster.threads_per_worker": COMPUTE_THREADS,
        "cluster.start_timeout": 600,
    }
    if cluster.scheduler_address.startswith("tls://"):
        security = cluster.security
        texts = {"ca": security.tls_ca_file, "cert": security.tls_client_cert, "key": security.tls_client_key}
        for name, text in texts.items():
            words[f"cluster.tls.{name}_file"] = _write(directory / f"{name}.pem", text)
    return [f"{key}={value}" for key, value in words.items()]


def _write(path: Path, text: str) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


def main() -> None:
    """Run one kind of cluster for as long as it is wanted."""
    kinds = {"ec2": ec2, "fargate": fargate, "gcp": gcp}
    if sys.argv[1:2] == [] or sys.argv[1] not in kinds:
        sys.exit(f"usage: python deploy/cloud/cluster.py {' | '.join(kinds)}")
    with closing(kinds[sys.argv[1]]()) as cluster:
        print("daskgmm fit CONFIG", *overrides(cluster, Path("cluster-tls").absolute()))
        input("Enter ends the cluster. ")


if __name__ == "__main__":
    main()
