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

from daskgmm.cli.main import COMMANDS, main
from daskgmm.config import load_config, parse_config

from .benchmarks.__main__ import BENCHMARKS

ROOT = Path(__file__).parents[1]
PAGES = [*(ROOT / one for one in ("README.md", "CONTRIBUTING.md", "deploy/README.md")), *sorted(ROOT.glob("docs/*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TAG = r"(?:^<!-- (?P<tag>[^\n>]+) -->\n)?"
BLOCK = re.compile(rf"{TAG}^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"sh", "python", "yaml"}
SHOWN = re.compile(r"^(?P<code>\S.*?)  # (?P<value>.+)$", re.MULTILINE)

BY_CI = {"quickstart", "tests", "docs"}  # the tags `command: NAME`, which .ci/run reads
BY_HAND = {  # by page, the first command of each block that takes long or needs more than this machine
    "CONTRIBUTING.md": [
        "pip install --editable '.[test,test-clusters,docs]'",
        "python -m pytest -q",
        "python -m tests.references",
        "python -m tests.pictures",
        ".ci/run",
    ],
    "deploy/README.md": [
        "docker build --file deploy/Dockerfile --tag registry.example/daskgmm:0.1.0 .",
        "docker compose --file deploy/docker-compose.yaml up --build --detach --wait",
        "pip install 'daskgmm[kubernetes]'",
        "kubectl apply --filename deploy/kubernetes/daskjob.yaml",
        "kubectl apply --filename deploy/kubernetes/job.yaml",
        "helm install daskgmm dask --repo https://helm.dask.org --values deploy/helm/values.yaml",
        "daskgmm fit deploy/ssh/fit.yaml",
        "pip install 'dask-cloudprovider[aws]'",
    ],
    "docs/benchmarks.md": [
        "OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks kernel",
        "python -m tests.benchmarks peers",
        "python -m tests.benchmarks quality unseen",
        "python -m tests.benchmarks cost",
        "python -m tests.benchmarks outofcore",
        "python -m tests.benchmarks curves",
        "python -m tests.benchmarks startup",
        "python -m tests.benchmarks passes structures memory streaming estimator overhead scale select",
        "python -m tests.benchmarks missing",
        "python -m tests.benchmarks updates",
        "python -m tests.benchmarks wide",
        "python -m tests.benchmarks wide_memory",
        "OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks wide_passes",
        "python -m tests.benchmarks embeddings",
    ],
    "docs/clusters.md": [
        "daskgmm submit slurm.yaml --dry-run",
        "daskgmm fit configs/cluster-address.yaml cluster.address=tcp://scheduler.example.org:8786",
    ],
    "docs/reliability.md": [
        "python -m tests.faults --times 20 --at-once 4",
        "python -m pytest -m slow tests/test_faults.py",
        "python -m tests.fuzz --times 300",
    ],
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
    def what(self):
        return self.tag.partition(": ")[2]

    @property
    def lines(self):
        return [line.partition("  #")[0].strip() for line in self.text.splitlines()]


def blocks_of(page):
    """Return the code blocks of a page, in order."""
    return [Block(one["language"], one["text"], one["tag"] or "") for one in BLOCK.finditer(page.read_text())]


def name(page):
    return page.relative_to(ROOT).as_posix()


RUN = [page for page in PAGES if any(block.how in {"", "needs"} for block in blocks_of(page))]
SLOW = [page for page in PAGES if any(block.how == "slow" for block in blocks_of(page))]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a page, with the examples of configs/ and deploy/, as the working directory."""
    for one in ("configs", "deploy"):
        (tmp_path / one).symlink_to(ROOT / one)
    monkeypatch.chdir(tmp_path)
    return tmp_path


LONG = {
    f"docs/{page}.md" for page in ("getting-started", "merging", "outputs", "selection", "uncertainty", "updating")
}  # take some seconds


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow if name(page) in LONG else ()) for page in RUN], ids=name
)
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
    """Check the arguments and the configuration of a command that cannot run here, and that its files exist."""
    program, *arguments = shlex.split(line)
    assert all(Path(one).is_file() for one in re.findall(r"\bdeploy/[\w/.-]+", line))
    if program == "daskgmm":
        context = main.get_command(None, arguments[0]).make_context(arguments[0], arguments[1:])
        load_config(context.params["config"], context.params["overrides"])


def test_what_is_run_elsewhere_is_listed():
    by_ci = {block.what for page in PAGES for block in blocks_of(page) if block.how == "command"}
    assert by_ci == BY_CI
    assert all(f"readme_command {one})" in (ROOT / ".ci" / "run").read_text() for one in by_ci)
    by_hand = {
        name(page): [block.lines[0] for block in blocks_of(page) if block.how in {"minutes", "needs"}] for page in PAGES
    }
    assert {page: commands for page, commands in by_hand.items() if commands} == BY_HAND


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
        assert (page.parent / link.replace("auto_gallery/index", "gallery")).exists(), link


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
