import json
import math
import os
import subprocess
import sys
from pathlib import Path

import dask
import pytest
from jsonschema import Draft202012Validator

from daskgmm.clusters.kinds import Local, Threads
from daskgmm.config import Config, config_schema, load_config, parse_config
from daskgmm.errors import ConfigurationError
from daskgmm.yaml_text import parse_yaml

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
MINIMAL = "data: {path: 'sample:iris'}"


@pytest.fixture(scope="module")
def schema():
    """The schema of configurations, which takes longer to make than to use."""
    return Draft202012Validator(config_schema())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_configuration_of_the_project_is_valid(path, schema):
    config = load_config(path)
    assert parse_config(config.to_yaml()) == config
    schema.validate(parse_yaml(config.to_yaml(), ""))


def test_there_are_configurations():
    assert {"quickstart.yaml", "blue-marble.yaml", "synthetic-large.yaml"} <= {path.name for path in CONFIGS}


def test_overrides_win_and_keep_their_types():
    overrides = ("model.n_components=3", "fit.tol=1e-6", "data.synthetic.n_samples=1e8", "cluster.kind=local")
    config = parse_config(MINIMAL, overrides)
    assert config.model.n_components == 3
    assert config.fit.tol == 1e-6
    assert config.data.synthetic.n_samples == 100_000_000
    assert config.cluster.kind == "local"


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("data: {path: x, pth: y}", (), "unknown key data.pth, did you mean path?"),
        (MINIMAL + "\nn_components: 3", (), "unknown key n_components, did you mean model.n_components?"),
        (MINIMAL, ("model.tol=1",), "unknown key model.tol, did you mean fit.tol?"),
        (MINIMAL + "\nmodle: {}", (), "unknown key modle, did you mean model?"),
        (MINIMAL, ("model.n_component=3",), "unknown key model.n_component, did you mean n_components?"),
        (MINIMAL, ("cluster.n_wrkers=3",), "unknown key cluster.n_wrkers, did you mean n_workers?"),
        (MINIMAL, ("data.synthetic.rows=3",), "unknown key data.synthetic.rows"),
        (MINIMAL, ("model.n_components=eight",), "model.n_components should be a whole number"),
        (MINIMAL, ("model.n_components=0",), "model.n_components should be greater than or equal to 1, got 0"),
        (MINIMAL, ("model.covariance_type=ful",), "model.covariance_type should be 'full', 'tied', 'diag'"),
        (MINIMAL, ("compute.read_ahead=-1",), "compute.read_ahead should be greater than or equal to 0, got -1"),
        (
            MINIMAL,
            ("compute.chunk_bytes=8MX",),
            "compute.chunk_bytes '8MX' is not a size in bytes: write it as in 67108864, 64MB",
        ),
        (MINIMAL, ("model.reg_covar=.inf",), "model.reg_covar should be a finite number"),
        (MINIMAL, ("cluster.kind=slrum",), "cluster has the unknown kind 'slrum': choose among 'threads'"),
        (MINIMAL, ("cluster.kind=address",), "takes either address, as in tcp://host:8786, or scheduler_file"),
        (
            MINIMAL,
            ("cluster={kind: address, address: 'tls://h:1', tls: {cafile: x}}",),
            "cluster.tls.cafile, did you mean ca_file?",
        ),
        (MINIMAL, ("cluster={kind: address, address: 'tls://h:1', tls: {}}",), "cluster.tls.ca_file is missing"),
        (MINIMAL, ("cluster={kind: ssh, hosts: [a, b], host: c}",), "unknown key cluster.host, did you mean hosts?"),
        (MINIMAL, ("cluster={kind: gateway, worker: 2}",), "unknown key cluster.worker, did you mean n_workers?"),
        (MINIMAL, ("data.mask=true",), "data.mask should be the name of an array or a fill value"),
        (MINIMAL, ("data.arrays=[]",), "data.arrays should have at least 1 item"),
        (MINIMAL, ("n_components",), "is not of the form key.path=value"),
        (MINIMAL, ("data.path.x=1",), "path is a value, not a section"),
        ("model: {}", (), "data is missing"),
        ("[1, 2]", (), "must be a mapping"),
        ("a: [", (), "is not YAML"),
        ("data: {path: !!python/object/apply:os.getcwd []}", (), "is not YAML"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(text, overrides, message):
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mask", "fill_values", "name"),
    [
        ("nan", "nan", (math.nan,), None),
        (".nan", "nan", (math.nan,), None),
        ("-9999", -9999, (-9999,), None),
        ("1e20", 1e20, (1e20,), None),
        ("'~land'", "~land", (), "land"),
        ("~land", "~land", (), "land"),
        ("sea", "sea", (), "sea"),
        ("~", None, (), None),
        ("[nan, inf, -.inf, -9999]", ("nan", "inf", "-inf", -9999), (math.nan, math.inf, -math.inf, -9999), None),
    ],
)
def test_a_mask_is_a_name_or_a_fill_value(text, mask, fill_values, name):
    config = parse_config(f"data: {{path: a.zarr, mask: {text}}}")
    assert config.data.mask == mask
    assert config.data.fill_values == pytest.approx(fill_values, nan_ok=True)
    assert config.data.mask_name == name
    assert config.data.mask_is_inverted == str(mask).startswith("~")
    assert parse_config(config.to_yaml()) == config


def test_a_missing_file_is_named():
    with pytest.raises(ConfigurationError, match=r"cannot read the configuration 'nowhere\.yaml'"):
        load_config("nowhere.yaml")


def test_the_schema_documents_every_key():
    schema = json.loads(json.dumps(config_schema()))
    for name, definition in schema["$defs"].items():
        for key, value in definition["properties"].items():
            assert key == "kind" or "description" in value, f"{name}.{key} has no description"
    assert set(schema["properties"]) == set(Config.model_fields)


def test_defaults_of_the_site_fill_in_what_a_job_leaves_open():
    site = {"cluster": {"kind": "local", "n_workers": 3}, "compute": {"read_ahead": 7}}
    with dask.config.set({"daskgmm.cluster": site["cluster"], "daskgmm.compute": site["compute"]}):
        assert parse_config(MINIMAL).cluster.n_workers == 3
        assert parse_config(MINIMAL).compute.read_ahead == 7
        assert parse_config(MINIMAL, ("cluster.n_workers=5",)).cluster == Local(n_workers=5)
        assert parse_config(MINIMAL, ("cluster.kind=threads",)).cluster == Threads()
        assert parse_config(MINIMAL, ("compute.read_ahead=1",)).compute.read_ahead == 1
    assert parse_config(MINIMAL).cluster == Threads()


def test_defaults_stand_in_dasks_configuration_and_in_the_environment(tmp_path):
    program = (
        "import dask, daskgmm; print(dask.config.get('daskgmm.cluster'), dask.config.get('daskgmm.compute-threads'))"
    )
    environment = {**os.environ, "DASK_DASKGMM__CLUSTER__KIND": "local", "DASK_CONFIG": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["{'kind':", "'local'}", "None"]
    assert "# daskgmm:" in (tmp_path / "daskgmm.yaml").read_text()  # a copy to edit


@pytest.mark.parametrize("command", [["dask", "gmm"], [sys.executable, "-m", "daskgmm"]])
def test_the_commands_are_dasks_too(command):
    executable = Path(sys.executable).with_name(command[0]) if command[0] == "dask" else command[0]
    done = subprocess.run([executable, *command[1:], "--help"], capture_output=True, text=True, check=True)
    assert "Gaussian mixture clustering" in done.stdout
    assert {"fit", "predict", "inspect", "config"} <= set(done.stdout.split())
