import dataclasses
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.mixture.noise import Noise
from daskgmm.core.selection.table import Row, Selection
from daskgmm.provenance import TrialHistory
from daskgmm.report.html.page import page
from tests import oracles
from tests.report.html.stories import data, mixture, sweep

VOID = {"meta", "link", "img", "br"}


class Checked(HTMLParser):
    """Reads HTML; keeps its text, and fails where elements do not close."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.elements = [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def drawn(told):
    """Return the page, checked: whole, small, of its own, and named for people who do not see its pictures."""
    html = page(told)
    checked = Checked(html)
    assert len(html) < 3_000_000
    assert not re.search(r"\bnan\b|\binf\b", "".join(checked.text).lower().replace("info", ""))
    assert "<script" not in html
    assert not re.search(r"""(src|href)=["'](?!data:|\#)""", html)
    for tag, attributes in checked.elements:
        if tag == "img":
            assert attributes["alt"]
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        root = ElementTree.fromstring(svg)
        assert [child.tag.rpartition("}")[2] for child in root[:2]] == ["title", "desc"]
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    return html, " ".join("".join(checked.text).split())


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_every_structure_has_a_page_with_all_its_parts(covariance_type):
    _, text = drawn(data(mixture(4, 3, covariance_type)))
    for part in ("Where the clusters lie", "Which clusters overlap", "Convergence", "How certain the labels are"):
        assert part in text
    for fact in ("0123456789abcdef", "2 threads of this process", "path: here", "this process", "python 3.11"):
        assert fact in text


def test_one_component_has_neither_overlaps_nor_certainties():
    _, text = drawn(data(mixture(1, 3)))
    assert "Which clusters overlap" not in text
    assert "How certain" not in text
    assert "Where the clusters lie" in text


def test_one_feature_is_drawn_large():
    html, text = drawn(data(mixture(2, 1, apart=9.0), names=("only",)))
    assert "Where the clusters lie" not in text
    assert 'id="feature-0-title"' in html


def test_of_many_features_the_most_separating_are_shown_and_that_is_said():
    of = mixture(3, 20, "diag", apart=1.0)
    of.means[:, 15] *= 100
    html, text = drawn(data(of))
    assert "The 8 features of 20 in which the components differ most are listed." in text
    assert "The 12 features of 20 in which the components differ most are drawn." in text
    assert 'id="feature-15-title"' in html


def test_of_many_components_the_heaviest_are_shown_and_that_is_said():
    _, text = drawn(data(mixture(70, 2, apart=30.0)))
    assert "The 50 heaviest of 70 components are listed" in text
    assert "The 50 heaviest of 70 components have curves of their own." in text
    assert "the 60 heaviest components of 70" in text


def test_markup_in_names_and_texts_is_shown_and_not_obeyed():
    names = ("<script>alert(1)</script>", "$a_b$ & \"q\" 'r'", "]]><b>")
    html, text = drawn(data(mixture(2, 3), names=names, notices=("column 1 (<i>x</i>) is constant",)))
    for name in names:
        assert name in text
    assert "<i>" not in html.replace("<i style", "")
    assert "&lt;script&gt;" in html


def test_constant_features_and_huge_and_tiny_scales_are_drawn():
    rng = np.random.default_rng(0)
    scale, offset = np.array([1e150, 1e-150, 0.0, 1e-3]), np.array([0.0, 1e-140, 7.0, 1e12])
    rows = rng.normal(size=(500, 4)) * scale + offset
    means = np.array([offset - scale, offset + scale])
    of = Mixture("diag", np.array([0.5, 0.5]), means, np.tile(np.maximum(scale, 1e-9) ** 2, (2, 1)))
    _, text = drawn(data(of, rows))
    assert "7.0000000000 ± 1.0e-09" in text


def test_rows_that_are_not_kept_leave_their_pictures_out():
    _, text = drawn(data(mixture(3, 2), np.empty((0, 2))))
    assert "No rows were kept for this report" in text
    assert "How certain" not in text
    assert "Where the clusters lie" in text
    assert "The two features. Ellipses mark" in text


def test_components_that_lie_apart_show_their_colours_over_the_sum():
    """Where they are all of it, they are drawn after it."""
    told = data(mixture(2, 1, apart=50.0))
    html, _ = drawn(told)
    drawing = html[html.index('id="feature-0-') :].partition("</svg>")[0]
    total = drawing.rindex("stroke: var(--ink)")
    assert all(drawing.index(f"stroke: {colour}") > total for colour in told.colours)


def test_weighted_rows_count_by_their_weight():
    rows = np.repeat([[0.0], [10.0]], [30, 70], axis=0)
    told = data(mixture(1, 1), rows, row_weights=np.repeat([7.0, 0.0], [30, 70]))
    assert told.row_weights.sum() == 210
    drawn(told)


def test_empty_components_have_no_place_in_the_pictures():
    of = mixture(3, 2)
    emptied = Mixture("full", np.array([0.5, 0.5, 0.0]), of.means, of.covariances)
    html, text = drawn(data(emptied))
    assert "1 of 3 components have no rows" in text
    assert 'title="component 2' not in html


def test_labels_of_a_grid_are_a_picture_in_the_colours_of_the_components():
    labels = np.array([[0, 1, -2], [2, 2, 1]], dtype=np.int8)
    html, text = drawn(data(mixture(3, 2), grid=(2, 3), labels=labels, labels_of="time 3 of 6"))
    assert html.count("data:image/png") >= 1
    assert "The labels, of time 3 of 6" in text
    assert "Grey cells are left out" in text


BICS = {"full-1": 400.0, "full-2": 300.0, "full-3": 305.0, "diag-2": 307.5, "diag-3": 301.0}


def test_a_sweep_has_a_curve_for_each_criterion_that_it_knows():
    html, text = drawn(data(mixture(2, 2), selection=sweep("full-2", BICS)))
    assert "BIC of 5 candidates, smaller is better; best: full covariance with 2 components." in text
    assert "Squares: where the curve of a structure bends most." in text
    assert 'id="selection-bic-title"' in html
    assert 'id="selection-icl-title"' not in html
    assert 'id="selection-heldout-title"' not in html
    assert "The sweep" not in drawn(data(mixture(2, 2)))[1]


def test_a_sweep_tells_what_was_chosen_and_how_sure_that_is():
    _, text = drawn(data(mixture(2, 2), selection=sweep("full-2", BICS)))
    assert (
        "Full covariance with 2 components is the best of 5 candidates by BIC, 1.000 ahead of the next, diag "
        "covariance with 3 components: weak evidence. By the number of components, the log-likelihood "
        "bends most at 2 (full)."
    ) in text
    assert "full-1 5 400.000 100.000 very strong" in text


def test_what_collapsed_or_failed_is_marked_and_flattens_nothing():
    collapsed = Row("full-4", "full", 4, 5, mean_log_likelihood=1e9, bic=-1e9, criterion=-1e9, collapsed=(1, 3))
    failed = Row("full-5", "full", 5, 5, failed=True, stop_reason="<b>singular</b>")
    html, text = drawn(data(mixture(2, 2), selection=sweep("full-2", BICS, more=(collapsed, failed))))
    assert "collapsed: 1, 3" in text
    assert "failed: <b>singular</b>" in text
    assert "Crosses: collapsed." in text
    figure = html.partition('id="selection-bic-desc"')[2].partition("</svg>")[0]
    assert "300" in figure
    assert "1,000,000" not in figure


def test_held_out_rows_are_shown_with_the_spread_of_their_folds():
    rows = tuple(
        Row(
            f"tied-{k}", "tied", k, 5, held_out=-2.0 - k, held_out_error=0.125, held_out_folds=(-1.5 - k, -2.5 - k),
            criterion=-2.0 - k, delta=k - 1.0,
        )
        for k in (1, 2)
    )  # fmt: skip
    _, text = drawn(data(mixture(1, 2), selection=Selection("heldout", "tied-1", rows, {}, 100.0, 2)))
    assert "Bars: the standard error over the folds." in text
    assert "over the 2 folds its standard error is 0.1250" in text
    assert "\N{MINUS SIGN}3.000000 ± 0.125, \N{MINUS SIGN}3.500 … \N{MINUS SIGN}2.500" in text


def test_of_many_candidates_the_best_are_listed_and_that_is_said():
    bics = {f"full-{k}": 100.0 + 3 * k for k in range(1, 41)}
    _, text = drawn(data(mixture(1, 2), selection=sweep("full-1", bics)))
    assert "20 more candidates are in selection.json." in text


def test_a_trial_without_history_is_left_out():
    _, text = drawn(data(mixture(2, 2), curves=()))
    assert "On all rows, from" in text


def test_all_ids_and_bytes_are_the_same_each_time():
    assert page(data(mixture(3, 2))) == page(data(mixture(3, 2)))


def test_no_character_of_a_page_acts():
    """Names of columns and notices may hold what clears a terminal, turns a text or is half a character."""
    acting = "\x1b[2J \x07 \x9b31m \u202e \u2028 \u2066 \udc80 \x00 \r"
    html = page(data(mixture(2, 2), names=(f"a{acting}b", "c\nd"), notices=(acting,)))
    assert not {one for one in html if one in set(acting) - set(" [2Jm31")}
    assert "a\N{REPLACEMENT CHARACTER}[2J" in html
    html.encode()


def test_maps_and_segmentations_say_which_colour_is_which_component():
    told = data(mixture(3, 2), grid=(2, 3), labels=np.zeros((2, 3), dtype=np.int8))
    html, _ = drawn(told)
    legend = html.partition('class="legend"')[2].partition("</p>")[0]
    assert re.findall(r"background:(#\w+);color:#\w+\">(\d)<", legend) == [
        (told.colours[one], str(one)) for one in told.by_weight
    ]


def test_the_legend_of_a_segmentation_has_the_mean_colours():
    of = dataclasses.replace(mixture(2, 3), means=np.array([[0.0, 127.6, 300.0], [255.0, 1.0, -4.0]]))
    png = io.BytesIO()
    Image.new("RGB", (8, 4)).save(png, format="PNG")
    html, _ = drawn(data(of, np.zeros((20, 3), np.uint8), picture=png.getvalue(), grid=(4, 8)))
    legend = html.partition('class="legend"')[2].partition("</p>")[0]
    assert set(re.findall(r"background:(#\w+)", legend)) == {"#0080ff", "#ff0100"}


def test_grey_bars_of_lighter_components_and_noise_are_explained():
    _, text = drawn(data(mixture(14, 2)))
    assert "grey those of the 2 lighter components" in text
    noisy = dataclasses.replace(mixture(3, 2), weights=np.full(3, 0.3), noise=Noise.of_box(-np.ones(2), np.ones(2)))
    noisy = dataclasses.replace(noisy, noise=dataclasses.replace(noisy.noise, weight=0.1))
    assert "grey those of the noise" in drawn(data(noisy))[1]


def test_a_single_pass_is_one_point():
    told = data(mixture(2, 2), curves=(TrialHistory("restart", (-2.5,), "CONVERGED", chosen=True),))
    course = dataclasses.replace(told.record.course, curves=(TrialHistory("rows", (-2.25,), "CONVERGED", chosen=True),))
    _, text = drawn(dataclasses.replace(told, record=dataclasses.replace(told.record, course=course)))
    assert "all rows, 1 pass, at \N{MINUS SIGN}2.25 nats per row" in text
