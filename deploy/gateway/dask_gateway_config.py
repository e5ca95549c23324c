"""Configuration of a dask-gateway-server: dask-gateway-server --config deploy/gateway/dask_gateway_config.py."""

c = get_config()  # noqa: F821 # the server gives it

c.DaskGateway.backend_class = "dask_gateway_server.backends.jobqueue.slurm.SlurmBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.JupyterHubAuthenticator"
c.Proxy.address = "0.0.0.0:8000"  # users come from other machines

c.SlurmClusterConfig.partition = "compute"
c.ClusterConfig.scheduler_cmd = ["dask", "scheduler"]  # the defaults are scripts that dask no longer has
c.ClusterConfig.worker_cmd = ["dask", "worker"]
c.ClusterConfig.worker_cores = 4
c.ClusterConfig.worker_threads = 8  # four compute, and four read ahead of them
c.ClusterConfig.worker_memory = "16 G"
c.ClusterConfig.environment = {
    "DASK_DASKGMM__COMPUTE_THREADS": "4",
    "DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT": "600s",
}
c.ClusterConfig.idle_timeout = 1800  # seconds
c.ClusterConfig.cluster_max_workers = 64
