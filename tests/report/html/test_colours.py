import numpy as np
import pytest

from daskgmm.report.html.colours import LEFT_OUT, component_colours, component_rgb, text_on

# Linear-light transforms that simulate how dichromats see (Viénot, Brettel and Mollon 1999), as matrices on linear RGB.
DEUTERANOPIA = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
PROTANOPIA = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])


def linear(colours):
    encoded = component_rgb(colours)[:-1] / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def luminance(rgb):
    return rgb @ [0.2126, 0.7152, 0.0722]


def test_five_hundred_components_have_five_hundred_colours():
    assert len(set(component_colours(500))) == 500


def test_the_colour_of_a_component_does_not_depend_on_how_many_there_are():
    assert component_colours(500)[:20] == component_colours(20)


@pytest.mark.parametrize("eye", [np.eye(3), DEUTERANOPIA, PROTANOPIA], ids=["all", "deuteranopia", "protanopia"])
def test_the_first_eight_are_told_apart_by_everybody(eye):
    seen = np.clip(linear(8) @ eye.T, 0, 1) ** (1 / 2.2)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(8, 1)]
    assert distances.min() > 0.14


def oklab(rgb):
    """Return linear colours in OKLab (Ottosson 2020), whose distances are those that people see."""
    cones = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                      [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
    lab = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                    [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip
    return np.cbrt(np.clip(rgb, 0, 1) @ cones.T) @ lab.T


@pytest.mark.parametrize("eye", [np.eye(3), DEUTERANOPIA, PROTANOPIA], ids=["all", "deuteranopia", "protanopia"])
def test_the_first_twenty_are_told_apart_by_everybody(eye):
    seen = oklab(linear(20) @ eye.T)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(20, 1)]
    assert distances.min() > 0.05  # a step of 0.02 can just be seen


def test_colours_are_seen_on_white_and_on_black():
    light = luminance(linear(500))
    assert ((1.05 / (light + 0.05)) > 1.5).all()
    assert (((light + 0.05) / 0.055) > 1.5).all()


@pytest.mark.parametrize("n", [40, 500])
def test_numbers_on_a_colour_have_the_contrast_that_wcag_asks_for(n):
    light = luminance(linear(n))
    dark_ink = np.array([text_on(colour) == "#000000" for colour in component_colours(n)])
    contrast = np.where(dark_ink, (light + 0.05) / 0.05, 1.05 / (light + 0.05))
    assert contrast.min() >= 4.5
    assert text_on(LEFT_OUT) == "#000000"
