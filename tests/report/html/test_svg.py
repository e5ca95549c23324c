from xml.etree import ElementTree

import pytest

from daskgmm.report.html.svg import figure, legend_above, style, to_svg


@pytest.mark.parametrize("labels", [["full"], ["restarts", "finalists"], [f"VE{i}" for i in range(14)]])
def test_a_legend_lies_above_the_axes_and_within_the_figure(labels):
    with style():
        drawn, axes = figure(400, 270)
        for number, label in enumerate(labels):
            axes.plot([0, 1], [number, 0], label=label)
        legend_above(drawn, axes)
        drawn.draw_without_rendering()
        (legend,) = drawn.legends
        box, inner = legend.get_window_extent(), axes.get_window_extent()
        assert box.y0 >= inner.y1
        assert box.x1 <= drawn.bbox.width


def test_names_of_features_are_no_attributes_and_stay_as_they_are():
    names = ("'onload='alert(1)", 'id="a" url(#b)', "<b>&")
    with style():
        drawn, axes = figure(300, 100)
        axes.set_xticks(range(3), names)
        svg = to_svg(drawn, "drawing", "a title", "of three names")
    assert not any(name in svg for name in names)
    assert set(names) <= {element.text for element in ElementTree.fromstring(svg).iter()}
