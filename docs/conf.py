"""Configuration of Sphinx: `sphinx-build -W -b html docs docs/_build`. It needs no network."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

project = PROJECT["name"]
author = PROJECT["authors"][0]["name"]
version = release = PROJECT["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_gallery.gen_gallery", "generated"]
exclude_patterns = ["_build", "_ext", "gallery"]
default_role = "code"  # what docstrings have between single backticks
myst_heading_anchors = 3
toc_object_entries_show_parents = "hide"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say what a parameter is
numpydoc_show_class_members = False  # autodoc shows them

html_theme = "pydata_sphinx_theme"
html_title = f"daskgmm {release}"
html_show_sourcelink = False
html_sidebars = {"getting-started": [], "reference": []}  # they have no pages below them

sphinx_gallery_conf = {  # the programs of gallery/ are run, and their figures and output are shown
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": "",
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "within_subsection_order": "FileNameSortKey",
}
suppress_warnings = ["config.cache"]
