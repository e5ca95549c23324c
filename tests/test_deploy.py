"""Every file of deploy/ is linted, validated against a schema, or run; what is missing for it skips with the reason."""

import ast
import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from distributed import Client, LocalCluster
from distributed.security import Security

from daskgmm.config import load_config, parse_config

from .manifests import dask_schema, errors, kubernetes_errors

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
TEXTS = sorted(DEPLOY.rglob("*.yaml"))
CONFIGS = sorted(DEPLOY.rglob("fit.yaml"))
MANIFESTS = sorted({*(DEPLOY / "kubernetes").glob("*.yaml")} - {*CONFIGS})
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = {"PersistentVolumeClaim": "V1PersistentVolumeClaim", "ConfigMap": "V1ConfigMap", "Job": "V1Job"}


def name(path):
    return str(path.relative_to(DEPLOY))


def is_shell(path):
    return (
        path.is_file()
        and path.suffix != ".pyc"
        and path.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash"))
    )


SHELL = sorted(path for path in DEPLOY.rglob("*") if is_shell(path))


def tool(command):
    """Return the path of a tool of the test extra, beside this Python or elsewhere."""
    path = shutil.which(command, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return path or pytest.skip(f"{command} is not installed: pip install '.[test-clusters]'")


def assert_accepts(command, *arguments):
    done = subprocess.run([tool(command), *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def documents(path):
    return list(yaml.safe_load_all(path.read_text()))


def of_kind(path, kind):
    (found,) = [one for one in documents(path) if one["kind"] == kind]
    return found


def test_the_folder_is_looked_at_whole():
    kinds = {".yaml": TEXTS, ".py": sorted(DEPLOY.rglob("*.py")), "": [DEPLOY / "Dockerfile", *SHELL]}
    left = {".md", ".txt", ".dockerignore"}  # nothing to check but what other files say of them
    for path in DEPLOY.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in left:
            assert path in kinds.get(path.suffix, SHELL), f"{name(path)} is checked by no test"


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_yaml_is_well_formed(path):
    assert_accepts("yamllint", "--strict", "--config-file", str(DEPLOY / ".yamllint.yaml"), str(path))


@pytest.mark.parametrize("path", SHELL, ids=name)
def test_scripts_pass_shellcheck(path):
    assert_accepts("shellcheck", "--exclude=SC1091", str(path))  # the environment that a script activates is not here
    assert os.access(path, os.X_OK)


def test_the_dockerfile_passes_hadolint():
    assert_accepts("hadolint", str(DEPLOY / "Dockerfile"))


def test_the_image_is_pinned_and_not_run_by_root():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert bases
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001"]
    assert not [line for line in lines if line.startswith("ENTRYPOINT")]  # charts give whole commands


def test_the_image_is_built_from_files_that_are_there():
    text = (DEPLOY / "Dockerfile").read_text()
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
        for source in line.split()[:-1]
        if not source.startswith("--")
    ]
    assert "daskgmm" in sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source.rstrip('/')}" in ignored
    (extras,) = re.findall(r'"\.\[(.*)\]"', text)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("command", ["dask-scheduler", "dask-worker"])
def test_the_shims_are_the_commands_that_dask_has(command):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    tool("dask")
    shim = [str(DEPLOY / "shims" / command), "--help"]
    done = subprocess.run(shim, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"Usage: dask {command.removeprefix('dask-')} " in done.stdout


def test_the_compose_file_is_valid():
    assert_accepts("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "docker-compose.yaml"))
    services = yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text())["services"]
    assert services["client"]["command"][1] == "/config/fit.yaml"
    assert "./compose:/config:ro" in services["client"]["volumes"]
    assert (DEPLOY / "compose" / "fit.yaml").exists()


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_configurations_are_valid(path):
    config = load_config(path)
    assert parse_config(config.to_yaml()) == config


@pytest.mark.parametrize("path", MANIFESTS, ids=name)
def test_manifests_are_what_kubernetes_takes(path):
    pytest.importorskip("dask_kubernetes", reason="the schemas are in the package dask-kubernetes")
    for document in documents(path):
        if document["apiVersion"] == "kubernetes.dask.org/v1":
            assert errors(document, dask_schema(document["kind"])) == []
        else:
            assert kubernetes_errors(document, CORE[document["kind"]]) == []


@pytest.mark.parametrize(
    ("path", "key", "message"),
    [
        ((), "specs", "V1Job: unknown ['specs']"),
        (("spec",), "backofLimit", "V1Job.spec: unknown ['backofLimit']"),
        (("spec", "template", "spec", "containers", 0), "arg", "containers[0]: unknown ['arg']"),
        (("spec", "podFailurePolicy", "rules", 1, "onExitCodes"), "value", "onExitCodes: unknown ['value']"),
        (("spec",), "backoffLimit", "V1Job.spec.backoffLimit: 'x' is not of type"),
    ],
)
def test_a_typo_in_a_job_is_caught(path, key, message):
    pytest.importorskip("kubernetes", reason="the models are in the package kubernetes")
    document = of_kind(DEPLOY / "kubernetes" / "job.yaml", "Job")
    place = document
    for step in path:
        place = place[step]
    place[key] = "x"
    (error,) = kubernetes_errors(document, "V1Job")
    assert message in error


def test_a_typo_in_a_dask_job_is_caught():
    pytest.importorskip("dask_kubernetes", reason="the schemas are in the package dask-kubernetes")
    document = of_kind(DEPLOY / "kubernetes" / "daskjob.yaml", "DaskJob")
    document["spec"]["job"]["spec"]["containers"][0]["volumeMount"] = []
    (error,) = errors(document, dask_schema("DaskJob"))
    assert "'volumeMount' was unexpected" in error


@pytest.mark.parametrize("path", MANIFESTS, ids=name)
def test_manifests_hold_valid_configurations_and_mount_what_they_use(path):
    for document in documents(path):
        if document["kind"] == "ConfigMap":
            parse_config(document["data"]["fit.yaml"])
    claims = {one["metadata"]["name"] for one in documents(path) if one["kind"] == "PersistentVolumeClaim"}
    used = set(re.findall(r"claimName: ([\w-]+)", path.read_text()))
    assert used == claims


def test_the_job_reaches_the_scheduler_of_its_own_cluster():
    path = DEPLOY / "kubernetes" / "daskjob.yaml"
    job, settings = of_kind(path, "DaskJob"), yaml.safe_load(of_kind(path, "ConfigMap")["data"]["fit.yaml"])["cluster"]
    cluster = job["spec"]["cluster"]["spec"]
    assert settings["address"] == f"tcp://{job['metadata']['name']}-scheduler:8786"
    assert cluster["scheduler"]["service"]["selector"]["dask.org/cluster-name"] == job["metadata"]["name"]
    assert settings["n_workers"] == cluster["worker"]["replicas"]


HELM_KEYS = {  # of the chart dask/dask, of those that its README documents
    "scheduler": {"image", "env", "resources", "readinessProbe", "livenessProbe", "serviceType", "tolerations"},
    "worker": {"image", "replicas", "threads_per_worker", "env", "resources", "mounts", "tolerations", "extraArgs"},
    "jupyter": {"enabled"},
}


def test_helm_values_are_those_of_the_chart():
    values = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
    assert {part: set(keys) - HELM_KEYS[part] for part, keys in values.items()} == {part: set() for part in values}
    for part in ("scheduler", "worker"):
        assert set(values[part]["image"]) == {"repository", "tag"}
    assert set(values["worker"]["mounts"]) == {"volumes", "volumeMounts"}


def test_the_image_has_the_version_of_the_project():
    for path in DEPLOY.rglob("*"):
        if path.suffix in {".yaml", ".py", ".md"}:
            assert set(re.findall(r"daskgmm:(\d[\w.]*)", path.read_text())) <= {PROJECT["version"]}, name(path)


def traits_of(module_name):
    """Return the configurable traits of the classes that a module of dask-gateway-server has, by class."""
    module = importlib.import_module(module_name)
    classes = {one for one in vars(module).values() if isinstance(one, type) and hasattr(one, "class_traits")}
    return {one.__name__: set(one.class_traits(config=True)) for one in classes}


def test_the_gateway_configuration_sets_what_the_server_has():
    pytest.importorskip("dask_gateway_server", reason="the server is in the package dask-gateway-server")
    from traitlets.config import PyFileConfigLoader

    config = PyFileConfigLoader("dask_gateway_config.py", path=str(DEPLOY / "gateway")).load_config()
    modules = ("app", "proxy.core", "backends.base", "backends.jobqueue.slurm")
    known = {}
    for module in modules:
        known |= traits_of(f"dask_gateway_server.{module}")
    for section, settings in config.items():
        assert set(settings) <= known[section], section


def parameters(package, class_name):
    """Return the parameters that a class of an installed package takes by its source alone, those of its bases too."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"{package} is not installed: pip install '.[test-clusters]'")
    trees = [ast.parse(path.read_text()) for path in Path(spec.origin).parent.rglob("*.py")]
    classes = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    return _parameters(classes, class_name)


def _parameters(classes, class_name):
    if class_name not in classes:
        return set()
    node = classes[class_name]
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    makers = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    own = {argument.arg for maker in makers for argument in [*maker.args.args, *maker.args.kwonlyargs]}
    return own.union(*(_parameters(classes, base) for base in bases))


@pytest.mark.parametrize("class_name", ["EC2Cluster", "FargateCluster", "GCPCluster"])
def test_cloud_clusters_are_given_what_they_take(class_name):
    tree = ast.parse((DEPLOY / "cloud" / "cluster.py").read_text())
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == class_name
    ]
    (call,) = calls
    given = {keyword.arg for keyword in call.keywords}
    assert given - parameters("dask_cloudprovider", class_name) == set()


def test_the_printed_certificates_open_a_cluster(tmp_path):
    script = runpy.run_path(str(DEPLOY / "cloud" / "cluster.py"))
    with LocalCluster(n_workers=1, processes=False, security=True, dashboard_address=":0") as cluster:
        words = dict(word.split("=", 1) for word in script["overrides"](cluster, tmp_path / "tls"))
        files = {name: words[f"cluster.tls.{name}_file"] for name in ("ca", "cert", "key")}
        security = Security(
            tls_ca_file=files["ca"], tls_client_cert=files["cert"], tls_client_key=files["key"], require_encryption=True
        )
        assert words["cluster.address"].startswith("tls://")
        with Client(words["cluster.address"], security=security) as client:
            assert client.submit(int, "7").result(timeout=30) == 7
    assert {oct(Path(path).stat().st_mode & 0o777) for path in files.values()} == {"0o600"}


def test_python_files_pass_ruff():
    assert_accepts("ruff", "check", str(DEPLOY))
    assert_accepts("ruff", "format", "--check", str(DEPLOY))


def test_the_readme_names_every_folder():
    text = (DEPLOY / "README.md").read_text()
    for path in DEPLOY.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            assert f"`{path.name}/`" in text
