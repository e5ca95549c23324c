import pytest

from daskgmm.report.html.svg import figure, legend_above, style


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
