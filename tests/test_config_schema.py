"""The schema for editors and the program take the same configurations."""

import json

import dask
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskgmm.config import config_schema, parse_config
from daskgmm.errors import ConfigurationError
from daskgmm.options import parse_size
from daskgmm.yaml_text import format_yaml

SCHEMA = config_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
BATCH = {"cores": 4, "memory": "16GiB"}
KINDS = {  # what each kind of cluster needs
    "threads": {},
    "local": {},
    "address": {"address": "tcp://host:8786"},
    "ssh": {"hosts": ["a", "b"]},
    "gateway": {},
    "kubernetes": {"image": "daskgmm:1"},
    **dict.fromkeys(("slurm", "pbs", "lsf", "sge", "htcondor", "allocation"), BATCH),
}
COUNT = ([1, 8, 1e2], [0, -1, 1.5, "3", True, [1]])  # right values, wrong ones
COUNT_OR_NULL = ([*COUNT[0], None], COUNT[1])
COUNT_OR_0 = ([*COUNT[0], 0], [-1, 1.5, "3", False])
SWITCH = ([True, False], ["on", "yes", 1, 0, "true", None])
TEXT = (["x", "on", "10:00:00"], [1, True, ["x"], {}])
TEXT_OR_NULL = ([*TEXT[0], None], TEXT[1])
TEXTS = ([[], ["on", "off", "no"]], ["x", [1], [None], {}])
TEXTS_OR_NULL = ([["x"], None], [[], "x", [1]])
TEXT_OF_TEXT = ([{}, {"a": "b"}], [{"a": 1}, [], "x"])
FREE = ([{}, {"a": [1]}], [[], "x", None])
SECONDS = ([1, 0.5, 1e2], [0, -1, "10", True, None])
SIZE = (
    ["64MB", "1 GiB", "1.5 gib", 2**30, 1e9],
    ["64MX", "MB", "-1GB", "", 1.5, -1, True, []],
)
MEMORY = (["64GB", "1 GiB", "16g", 2**30], SIZE[1])
TIME = (["10:00:00", "90", "2-12", "2-12:30:00", "01:30"], ["", "x", "1h", 60, "10:00:00:00", None])
PROBABILITY = ([0.5, None], [0, 1, -1, "0.5", True])
OPTIONS = {  # section.option: right values, wrong ones
    "data": {
        "path": (["a.zarr"], ["", 1, None]),
        "format": (["auto", "csv"], ["xlsx", None]),
        "array": TEXT_OR_NULL,
        "arrays": TEXTS_OR_NULL,
        "columns": TEXTS_OR_NULL,
        "weights": (["w", None], ["", 1]),
        "labels": (["l", None], ["", 1]),
        "mask": (["land", -9999, 1e20, 0.5, None, [1, "nan"], ["-inf"]], ["", True, [], ["x"], {}]),
        "feature_axis": ([0, -1, "band", None], [True, 1.5]),
        "missing_chunks": (["fill", "error"], ["x", 0]),
        "given": TEXTS_OR_NULL,
        "missing": (["error", "marginal"], ["x", None, 0]),
        "keep": TEXTS,
        "header": ([True, None, ["a", "b"]], [[], "x", 1]),
        "delimiter": ([",", "\t", None], ["", ", ", 1]),
        "decimal": ([".", ","], ["", ";", None]),
        "na_values": ([[], ["-", -9999, 0.5]], ["-", [None], [[1]]]),
        "encoding": (["latin-1"], ["", 1, None]),
        "storage_options": FREE,
        "synthetic": ([{}], [None, 1, {"x": 1}]),
    },
    "model": {
        "n_components": COUNT,
        "covariance_type": (["full", "diag"], ["ful", None]),
        "reg_covar": ([0, 1e-4, 1], [-1, "1e-4", True]),
        "resolution": (["auto", 0, 0.5, [0, 0.5]], [-1, "x", [-1], ["0"], True]),
        "noise": ([False, True, 1, 0.5], [0, -1, "true", None, [True]]),
        "frozen": ([[]], [[-1], ["0"], [0.5], 0, None]),
        "n_factors": ([None], [0, -1, 1.5, "3", True]),
        "factor_noise": (["own"], ["x", None]),
        "prior": ([None], ["x", 1, []]),
        "reduce": ([None, {"features": 5}, {"variance": 0.9}], [5, {"features": 0}, {"variance": 1}, {"x": 1}]),
    },
    "fit": {
        "tol": ([0, 1e-4], [-1e-4, "1e-4", False]),
        "max_iter": COUNT,
        "n_init": (["auto", 1, 10], [0, "10", True, None]),
        "init_params": (["kmeans", "random"], ["x", None]),
        "sample_size": (["auto", 10, 1e6], [0, "10", True]),
        "n_finalists": COUNT,
        "random_state": COUNT_OR_0,
        "start": TEXT_OR_NULL,
        "dtype": (["float64", "float32"], ["auto", "float16", None]),
        "inference": (["em", "map", "variational"], ["x", None]),
    },
    "compute": {
        "persist": (["auto", True], ["on", 1, None]),
        "chunk_bytes": (["auto", *SIZE[0]], [*SIZE[1], 1000]),
        "read_ahead": (["auto", 0, 4], [-1, "4", True]),
    },
    "output": {
        "directory": TEXT,
        "labels": SWITCH,
        "probabilities": SWITCH,
        "top_m": COUNT_OR_NULL,
        "log_density": SWITCH,
        "clusters": (["auto", 3, None], [0, "x", 1.5, True]),
        "imputed": SWITCH,
        "imputed_error": SWITCH,
        "anomaly_quantile": PROBABILITY,
        "checkpoint_every": COUNT_OR_0,
        "mlflow": SWITCH,
        "performance_report": ([False], ["off", 0]),
        "report": SWITCH,
        "report_rows": COUNT_OR_0,
        "storage_options": FREE,
    },
    "select": {
        "n_components": (["1..10", [1, 2]], ["x", "1-3", [], [0], 3, ["1"]]),
        "covariance_type": ([["full"], "full", "all", "E*", ["E*", "VVV"]], [[], ["x"], "x", 3]),
        "noise": ([[False, True], [400], None], [[], [0], ["x"], True]),
        "criterion": (["bic", "heldout"], ["x", None]),
        "folds": ([2, 100], [1, 101, "5"]),
        "leave_early": SWITCH,
        "batch_bytes": (SIZE[0], [*SIZE[1], 2**19]),
    },
}
CLUSTER_OPTIONS = {
    "address": (["tcp://host:8786", "tls://host:1"], ["host", "tcp://host", 1]),
    "auth": (["basic", None], ["x", True]),
    "claims": FREE,
    "cluster_options": FREE,
    "connect_options": FREE,
    "cores": ([4, 1e1], COUNT[1]),
    "cpu": ([0.5, 2, None], [0, -1, "2"]),
    "dashboard_address": ([":0"], [1, ["x"]]),
    "disk": SIZE,
    "env": TEXT_OF_TEXT,
    "env_from_secrets": TEXTS,
    "hosts": ([["a", "b"]], [["a"], "a", [1, 2]]),
    "image": TEXT,
    "image_pull_secrets": TEXTS,
    "interface": TEXT_OR_NULL,
    "job_extra_directives": ([], ["x", 1]),
    "job_name": TEXT,
    "job_script_prologue": TEXTS,
    "kind": ([], ["x", 1, None]),
    "local_directory": TEXT_OR_NULL,
    "lsf_units": TEXT_OR_NULL,
    "maximum_requeues": COUNT_OR_0,
    "memory": MEMORY,
    "memory_limit": ([*MEMORY[0], "auto"], MEMORY[1]),
    "name": (["a-1"], ["A", "", 1]),
    "n_workers": ([1, 8], COUNT[1]),
    "node_selector": TEXT_OF_TEXT,
    "notice_seconds": COUNT,
    "processes": ([1, 2], COUNT[1]),
    "proxy_address": (["tls://h:1", 8786, None], [True, 1.5, []]),
    "resources": TEXT_OF_TEXT,
    "scheduler_cpu": SECONDS,
    "scheduler_memory": MEMORY,
    "service_type": (["NodePort"], ["x", None]),
    "start_timeout": SECONDS,
    "stall_timeout": SECONDS,
    "submit_command_extra": TEXTS,
    "tls": ([None], [{}, "x", {"ca_file": 1}]),
    "tolerations": ([[], [{"key": "a"}]], [[{}], ["a"], [{"key": "a", "effect": "x"}]]),
    "use_stdin": SWITCH,
    "volumes": ([[], [{"claim": "a", "mount_path": "/b"}]], [[{}], [{"claim": "a"}], ["a"]]),
    "walltime": TIME,
    "worker_extra_args": TEXTS,
    **dict.fromkeys(("jobs", "tasks", "threads_per_worker", "workers_per_host"), COUNT),
    **dict.fromkeys(
        ("account", "log_directory", "maximum_jobs", "namespace", "project", "python", "queue"), ([None], [{}])
    ),
    **dict.fromkeys(("remote_python", "resource_spec", "scheduler_interface", "service_account"), TEXT_OR_NULL),
    **dict.fromkeys(("scheduler_file", "username"), ([None], [1, []])),
}


def definition(reference):
    return SCHEMA["$defs"][reference.rsplit("/", 1)[-1]]


def is_taken(document):
    """Return whether schema and program take a document, which they do alike."""
    try:
        parse_config(json.dumps(document))
        taken, message = True, ""
    except ConfigurationError as error:
        taken, message = False, str(error)
    assert "\n" not in message
    assert VALIDATOR.is_valid(document) == taken, (document, message)
    return taken


@pytest.mark.parametrize("section", OPTIONS)
def test_schema_and_program_take_the_same_values_of_each_option(section):
    reference = SCHEMA["properties"][section]
    known = definition(reference.get("$ref") or reference["anyOf"][0]["$ref"])["properties"]
    assert set(known) == set(OPTIONS[section])
    for option, (right, wrong) in OPTIONS[section].items():
        for value, expected in [*((value, True) for value in right), *((value, False) for value in wrong)]:
            document = {"data": {"path": "a.csv"}}
            document[section] = {**document.get(section, {}), option: value}
            assert is_taken(document) == expected, (section, option, value)


@pytest.mark.parametrize("kind", KINDS)
def test_schema_and_program_take_the_same_values_of_each_option_of_a_cluster(kind):
    mapping = SCHEMA["properties"]["cluster"]["anyOf"][0]["discriminator"]["mapping"]
    for option in definition(mapping[kind])["properties"]:
        right, wrong = TEXT_OR_NULL if (kind, option) == ("gateway", "address") else CLUSTER_OPTIONS[option]
        for value, expected in [*((value, True) for value in right), *((value, False) for value in wrong)]:
            document = {"data": {"path": "a"}, "cluster": {"kind": kind, **KINDS[kind], option: value}}
            assert is_taken(document) == expected, (option, value)
    assert not is_taken({"data": {"path": "a"}, "cluster": {"kind": kind, **KINDS[kind], "nothing": 1}})


@pytest.mark.parametrize(
    ("document", "taken"),
    [
        ({"cluster": {"n_workers": 4}}, True),
        ({"cluster": {"cores": 4}}, False),
        ({"cluster": {}}, True),
        ({"cluster": None, "compute": None, "model": None, "fit": None, "select": None, "output": None}, True),
        ({"data": None}, False),
        ({"modle": None}, False),
        ({"cluster": {"kind": "slurm", "cores": 4}}, False),
        ({"cluster": {"kind": "slurm"}}, False),
        ({"cluster": {"memory": "1GiB", "cores": 4}}, False),
        ({"cluster": []}, False),
        ({"model": 3}, False),
        ({"data": {"path": "a", "synthetic": {"n_samples": 1e8}}}, True),
        ({"data": {"path": "a", "synthetic": {"n_samples": 1.5}}}, False),
    ],
)
def test_schema_and_program_agree_on_sections(document, taken):
    assert is_taken({"data": {"path": "a.csv"}, **document}) == taken


def test_what_the_site_has_set_may_be_left_out_by_the_schema_too():
    site = {"kind": "slurm", "memory": "16GiB"}
    with dask.config.set({"daskgmm.cluster": site}):
        schema = jsonschema.Draft202012Validator(config_schema())
        for cluster, taken in [({"cores": 4}, True), ({}, False), ({"n_workers": 4}, False), ({"kind": "local"}, True)]:
            document = {"data": {"path": "a"}, "cluster": cluster}
            assert schema.is_valid(document) == taken
            if taken:
                parse_config(format_yaml(document))


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ({"kind": "local", "memory_limit": "64MB"}, "cluster.memory_limit '64MB' is less than the 400.00 MiB"),
        ({"kind": "kubernetes", "image": "i", "memory": "1MB"}, "cluster.memory '1MB' is less than"),
        ({"kind": "kubernetes", "image": "i", "scheduler_memory": 1}, "cluster.scheduler_memory 1 is less than"),
        ({"kind": "slurm", **BATCH, "processes": 5}, "cluster.processes 5 is more than cluster.cores 4"),
        ({"kind": "allocation", "cores": 4, "memory": "1GB", "processes": 4}, "4 workers take for themselves"),
        ({"kind": "pbs", **BATCH, "jobs": 4, "maximum_jobs": 2}, "cluster.maximum_jobs 2 is less than cluster.jobs 4"),
    ],
)
def test_what_no_schema_can_say_is_checked_when_the_configuration_is_read(cluster, message):
    with pytest.raises(ConfigurationError) as caught:
        parse_config(format_yaml({"data": {"path": "a"}, "cluster": cluster}))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "n_bytes"),
    [
        ("64MB", 64_000_000),
        ("64mib", 64 * 2**20),
        ("1 GiB", 2**30),
        ("1.5k", 1500),
        (".5 Mi", 2**19),
        ("70 B", 70),
        (" 8 ", 8),
    ],
)
def test_sizes_are_read_as_they_are_written(written, n_bytes):
    assert parse_size(written) == n_bytes


@settings(max_examples=25, deadline=None)
@given(n_bytes=st.integers(1024, 10**18), unit=st.sampled_from(["", "B", " b"]))
def test_a_size_is_the_same_as_a_number_and_as_a_text(n_bytes, unit):
    for value in (n_bytes, f"{n_bytes}{unit}", f"{n_bytes}KiB"):
        config = parse_config(format_yaml({"data": {"path": "a"}, "compute": {"chunk_bytes": value}}))
        assert config.compute.chunk_bytes == (n_bytes if value != f"{n_bytes}KiB" else n_bytes * 1024)
        assert parse_config(config.to_yaml()) == config


@pytest.mark.parametrize(
    "size", ["5 foo", "MB", "-5GB", "1e3", "1,5GB", "1_000", "nan", "9" * 5000, "1 GiB 2", True, None, 1.0]
)
def test_what_is_no_size_is_refused_with_an_example(size):
    with pytest.raises(ValueError, match="is not a size in bytes: write it as in 67108864, 64MB or 1 GiB"):
        parse_size(size)
