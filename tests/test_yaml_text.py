import subprocess
import sys
import time
from importlib.resources import files

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from daskgmm.config import parse_config
from daskgmm.defaults import DEFAULTS
from daskgmm.errors import ConfigurationError
from daskgmm.yaml_text import format_yaml, parse_yaml


@pytest.mark.parametrize(
    "text",
    [
        "10:00:00",
        "01:00",
        "1:30",
        "on",
        "off",
        "yes",
        "no",
        "y",
        "N",
        "2026-01-01",
        "2026-99-99",
        "1..10",
        "1_000",
        "=",
    ],
)
def test_what_the_core_schema_names_as_no_number_is_a_text(text):
    assert parse_yaml(text, "text") == text
    assert parse_yaml(f"[{text}]", "text") == [text]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1e-4", 1e-4), ("1E5", 1e5), (".5", 0.5), ("-2.", -2.0), ("+3", 3), ("010", 10), ("0o10", 8), ("0x1F", 31)),
        *(("true", True), ("FALSE", False), ("~", None), ("", None), ("-.inf", -float("inf"))),
    ],
)
def test_numbers_truth_values_and_null_are_those_of_the_core_schema(text, value):
    parsed = parse_yaml(text, "text")
    assert (parsed, type(parsed)) == (value, type(value))


def test_wall_times_and_columns_are_taken_as_they_are_written():
    job = "{data: {path: a.csv, columns: [on, off, no]}, cluster: {kind: slurm, cores: 1, memory: 1GiB, walltime: %s}}"
    config = parse_config(job % "10:00:00")
    assert (config.cluster.walltime, config.data.columns) == ("10:00:00", ("on", "off", "no"))
    again = parse_config(job % "01:00:00", ("cluster.walltime=24:00:00", "data.columns=[y, n]"))
    assert (again.cluster.walltime, again.data.columns) == ("24:00:00", ("y", "n"))
    assert parse_config(again.to_yaml()) == again


def test_a_message_shows_no_line_of_the_text():
    with pytest.raises(ConfigurationError) as caught:
        parse_yaml("a: {key: secret, key: hidden", "job.yaml")
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert str(caught.value).startswith("job.yaml is not YAML: ")


@pytest.mark.parametrize("key", ["'1': a, !!str 1: b", "a: 1, 'a': 2", "? a\n: 1, a: 2", "<<: {b: 1}, a: 1, a: 2"])
def test_a_key_that_is_given_twice_is_refused_however_it_is_written(key):
    with pytest.raises(ConfigurationError, match="stands there twice: remove one"):
        parse_yaml(f"{{{key}}}", "text")


@pytest.mark.parametrize("text", ["!!set {a: }", "!!timestamp 2026-01-01", "!!binary YQ==", "!own 3", "!!omap [a: 1]"])
def test_values_that_are_neither_texts_nor_numbers_are_refused(text):
    with pytest.raises(ConfigurationError, match=r"is not YAML: the tag .* is not known: leave it out, .*\(line 1"):
        parse_yaml(f"{{a: {text}}}", "text")


def test_half_a_character_is_refused_as_what_it_is():
    with pytest.raises(
        ConfigurationError, match=r"text is not YAML: .*'\\udcff', half a character, as names that .*line 1"
    ):
        parse_yaml('{a: "secret\\udcff.npy"}', "text")
    assert len(parse_yaml('"\\ud83d\\ude00"', "text")) == 2  # as JSON writes what lies beyond 16 bits


@pytest.mark.parametrize("key", ["1", "1.5", "~", "true", "[a]", "{a: 1}"])
def test_keys_are_texts(key):
    with pytest.raises(ConfigurationError, match="a key is not a text: put it in quotes"):
        parse_yaml(f"{{? {key}\n: 1}}", "text")


def test_a_key_may_replace_one_that_is_merged_in():
    assert parse_yaml("{a: &a {x: 1, y: 2}, b: {<<: *a, y: 3}}", "text")["b"] == {"x": 1, "y": 3}


def test_what_is_too_large_is_refused_before_it_is_read():
    begun = time.process_time()
    with pytest.raises(ConfigurationError, match="shorten it"):
        parse_yaml("{" + ",".join(f"k{i}" for i in range(70_000)) + "}", "text")
    assert time.process_time() - begun < 2


_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
_AMBIGUOUS = st.from_regex(r"[-+]?[0-9._:eExobn]{1,8}|on|off|yes|no|y|n|null|~|<<|=|2026-1?1-0?1", fullmatch=True)
_VALUES = st.recursive(
    _PLAIN | _TEXTS | _AMBIGUOUS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS | _AMBIGUOUS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(values=_VALUES)
def test_what_is_written_is_read_alike_by_yaml_1_2_and_1_1(values):
    text = format_yaml(values)
    assert parse_yaml(text, "text") == values
    assert yaml.safe_load(text) == values


def test_the_file_of_defaults_holds_the_defaults():
    assert parse_yaml((files("daskgmm") / "daskgmm.yaml").read_text(), "daskgmm.yaml") == DEFAULTS


def test_workers_that_were_sent_the_package_need_no_package_for_yaml():
    code = "import daskgmm, daskgmm.chunked.e_step, sys; assert 'ruamel.yaml' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
