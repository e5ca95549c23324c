"""Pages of many kinds as a browser shows them: on screens of three widths, in the dark, and on paper."""

import dataclasses

import numpy as np
import pytest

from daskgmm.report.html.page import page
from tests.browser import axe, browser, why_not
from tests.report.html.stories import data, mixture, sweep

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"pages are not looked at: {why_not()}")

A4 = 718  # pixels between the margins of Chromium's print
OVERFLOWS = """
[...document.querySelectorAll('.tiles dd, .tiles dt, th, td, .scroll, figcaption, h1, h3')]
    .filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0)
    .map(one => one.className + ': ' + one.textContent.trim().slice(0, 60))
"""


def nine_digits():
    of = mixture(3, 8)
    told = data(
        dataclasses.replace(of, means=of.means + 1.7e9),
        of.sample(200, np.random.default_rng(0))[0] + 1.7e9,
        n_rows=987_654_321,
        names=tuple(f"a_long_name_of_measurement_{i}_in_kelvin" for i in range(8)),
    )
    summary = dataclasses.replace(told.model.summary, bic=-1_234_567_890.0, icl=-1_234_567_890.0)
    return dataclasses.replace(told, model=dataclasses.replace(told.model, summary=summary))


def candidates():
    return {f"{kind}-{k}": 40.0 + k for kind in ("full", "tied", "diag", "spherical") for k in range(1, 8)}


KINDS = {
    "nine digits and long names": nine_digits,
    "forty components": lambda: data(mixture(40, 3)),
    "a map": lambda: data(mixture(3, 2), grid=(2, 3), labels=np.array([[0, 1, -2], [2, 2, 1]], np.int8)),
    "a sweep": lambda: data(mixture(2, 2), selection=sweep("full-1", candidates())),
}


@pytest.fixture(scope="module")
def tab():
    with browser() as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_fits_on_screens_and_paper_and_hinders_nobody(kind, tab, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page(KINDS[kind]()))
    for width, dark in ((1400, False), (900, True), (400, False)):
        tab.open(path, width, dark)
        assert tab.value("document.documentElement.scrollWidth") <= width
        assert tab.faults() == []
        if axe() is not None:
            assert tab.hindrances(axe()) == []
    tab.print_preview(A4)
    assert tab.value(OVERFLOWS) == []


@pytest.mark.skipif(axe() is None, reason="axe-core is not installed: pip install --no-deps axe-playwright-python")
def test_axe_would_tell_of_a_faint_text(tab, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        "<!DOCTYPE html><html lang=en><title>a</title><main><h1 style='color:#ccc'>faint</h1></main></html>"
    )
    tab.open(path)
    assert any(one.startswith("color-contrast") for one in tab.hindrances(axe()))
