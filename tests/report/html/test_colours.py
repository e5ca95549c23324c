import numpy as np
import pytest

from daskgmm.report.html.colours import component_colours, component_rgb, text_on

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


def test_colours_are_seen_on_white_and_on_black():
    light = luminance(linear(500))
    assert ((1.05 / (light + 0.05)) > 1.5).all()
    assert (((light + 0.05) / 0.055) > 1.5).all()


@pytest.mark.parametrize("colour", component_colours(40))
def test_numbers_on_a_colour_can_be_read(colour):
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    light = float(luminance(rgb**2.2))
    contrast = (light + 0.05) / 0.055 if text_on(colour) == "#111111" else 1.05 / (light + 0.05)
    assert contrast > 3
