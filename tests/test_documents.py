"""Every command and example of the documents runs; what cannot is tagged there, and listed here.

CONTRIBUTING.md explains the tags. The blocks of a page run in order, in one directory.
"""

import ast
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from daskgmm.cli.commands import main
from daskgmm.cli.main import COMMANDS
from daskgmm.config import load_config, parse_config

from .benchmarks.__main__ import BENCHMARKS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TAG = r"(?:^<!-- (?P<tag>[^\n>]+) -->\n)?"
BLOCK = re.compile(rf"{TAG}^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"sh", "python", "yaml"}
SHOWN = re.compile(r"^(?P<code>\S.*?)  # (?P<value>.+)$", re.MULTILINE)

BY_CI = {"quickstart", "tests", "docs"}  # the tags `command: NAME`, which .ci/run reads
BY_HAND = {  # the first command of each block that takes long or needs more than this machine
    ("benchmarks.md", "minutes: 10", "OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks kernel"),
    ("benchmarks.md", "minutes: 5", "python -m tests.benchmarks peers"),
    ("benchmarks.md", "minutes: 5", "python -m tests.benchmarks quality unseen"),
    ("benchmarks.md", "minutes: 5", "python -m tests.benchmarks outofcore"),
    ("benchmarks.md", "minutes: 10", "python -m tests.benchmarks curves"),
    ("benchmarks.md", "minutes: 3", "python -m tests.benchmarks startup"),
    (
        "benchmarks.md",
        "minutes: 30",
        "python -m tests.benchmarks passes structures memory streaming estimator overhead scale select",
    ),
    ("reliability.md", "minutes: 80", "python -m tests.faults --times 20 --at-once 4"),
    ("reliability.md", "minutes: 10", "python -m pytest -m slow tests/test_faults.py"),
    ("reliability.md", "minutes: 10", "python -m tests.fuzz --times 300"),
    ("CONTRIBUTING.md", "needs: a clone and a network", "pip install --editable '.[test,test-clusters,docs]'"),
    ("CONTRIBUTING.md", "minutes: 40", "python -m pytest -q"),
    ("CONTRIBUTING.md", "minutes: 50", ".ci/run"),
    ("clusters.md", "needs: SLURM", "daskgmm submit slurm.yaml --dry-run"),
    (
        "clusters.md",
        "needs: a scheduler that is already running",
        "daskgmm fit configs/cluster-address.yaml cluster.address=tcp://scheduler.example.org:8786",
    ),
}


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    tag: str  # of the comment before it; empty if there is none

    @property
    def how(self):
        return self.tag.partition(":")[0]

    @property
    def lines(self):
        return [line.partition("  #")[0].strip() for line in self.text.splitlines()]


def blocks_of(page):
    """Return the code blocks of a page, in order."""
    return [Block(one["language"], one["text"], one["tag"] or "") for one in BLOCK.finditer(page.read_text())]


def name(page):
    return page.name


RUN = [page for page in PAGES if any(block.how in {"", "needs"} for block in blocks_of(page))]
SLOW = [page for page in PAGES if any(block.how == "slow" for block in blocks_of(page))]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a page, with the examples of configs/, as the working directory."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", RUN, ids=name)
def test_what_a_page_shows_runs(page, folder):
    run_blocks(page, tags={"", "needs"})


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=name)
def test_what_a_page_shows_runs_with_its_slow_commands(page, folder):
    run_blocks(page, tags={"", "needs", "slow"})


def run_blocks(page, tags):
    """Run the blocks of a page that have one of these tags; those with `needs` are only checked."""
    names = {}
    for block in blocks_of(page):
        if block.how not in tags:
            continue
        if block.language == "yaml":
            keep_configuration(block)
        elif block.language == "python":
            run_python(block, names)
        else:
            for line in block.lines:
                (check_command if block.how == "needs" else run_command)(line)


def keep_configuration(block):
    """Check a configuration, and save it under the name in its first line."""
    parse_config(block.text)
    named = re.match(r"# (\S+\.yaml)\n", block.text)
    if named:
        Path(named[1]).write_text(block.text)


def run_python(block, names):
    """Run code, and compare the values of expressions with those that literals in their comments show."""
    exec(compile(block.text, "example", "exec"), names)
    for shown in SHOWN.finditer(block.text):
        try:
            value = ast.literal_eval(shown["value"])
        except (SyntaxError, ValueError):
            continue
        assert eval(shown["code"], names) == value


def run_command(line):
    """Run a command of daskgmm; installing is left out, and other commands must have a tag."""
    program, *arguments = shlex.split(line)
    if line.startswith("pip install "):
        return
    assert program == "daskgmm", f"{line!r} needs a tag that says how it is run"
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, f"{line}\n{result.output}"


def check_command(line):
    """Check the arguments and the configuration of a command that cannot run here."""
    program, *arguments = shlex.split(line)
    if program == "daskgmm":
        context = main.get_command(None, arguments[0]).make_context(arguments[0], arguments[1:])
        load_config(context.params["config"], context.params["overrides"])


def test_what_is_run_elsewhere_is_listed():
    tagged = [(page.name, block) for page in PAGES for block in blocks_of(page) if block.how not in {"", "slow"}]
    by_ci = {block.tag.partition(": ")[2] for _, block in tagged if block.how == "command"}
    assert by_ci == BY_CI
    assert all(f"readme_command {one})" in (ROOT / ".ci" / "run").read_text() for one in by_ci)
    assert {(page, block.tag, block.lines[0]) for page, block in tagged if block.how != "command"} == BY_HAND


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_is_of_a_known_language_and_tag(page):
    text = page.read_text()
    found = blocks_of(page)
    fences = [line for line in text.splitlines() if line.startswith("```") and line != "```"]
    directives = [line for line in fences if line.startswith("```{")]
    assert len(found) == len(fences) - len(directives)
    assert {block.language for block in found} <= LANGUAGES
    assert {block.how for block in found} <= {"", "slow", "command", "minutes", "needs"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_the_text_exist(page):
    text = page.read_text()
    assert set(re.findall(r"`(?:daskgmm|dask gmm) (\w+)", text)) <= {*COMMANDS}
    for config in re.findall(r"configs/[\w-]+\.yaml", text):
        load_config(ROOT / config)
    for words in re.findall(r"python -m tests\.benchmarks ([\w ]+)$", text, re.MULTILINE):
        assert {*words.split()} <= {*BENCHMARKS}
    for path in re.findall(r"\btests/[\w/]+\.py\b", text):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_extras_in_the_text_exist(page):
    named = re.findall(r"'\.\[([\w,-]+)\]'", page.read_text())
    assert {extra for names in named for extra in names.split(",")} <= {*PROJECT["optional-dependencies"]}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files(page):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_the_readme_is_a_page():
    assert len((ROOT / "README.md").read_text().split()) <= 1200


def test_the_readme_links_to_every_page_of_docs():
    text = (ROOT / "README.md").read_text()
    lists = {"index", "guide", "background", "contributing", "changelog"}  # of other pages, or of files beside it
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem in lists or f"docs/{page.name}" in text


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
