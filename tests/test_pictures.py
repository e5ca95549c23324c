"""The pictures of README.md are those that its command makes today."""

import numpy as np
import pytest
from PIL import Image

from tests.browser import why_not
from tests.pictures import CONFIGS, draw_pictures, run_quickstart


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=f"pages are not looked at: {why_not()}")
def test_the_pictures_of_the_readme_are_those_of_its_first_command(tmp_path):
    run_quickstart(tmp_path / "run")
    draw_pictures(tmp_path / "run", tmp_path)
    shown, made = (_pixels(folder / "quickstart.png") for folder in (CONFIGS, tmp_path))
    assert shown.shape == made.shape
    assert (np.abs(shown - made).max(axis=-1) > 8).mean() < 0.01, "python -m tests.pictures makes them again"
    shown, made = (_pixels(folder / "report.png") for folder in (CONFIGS, tmp_path))
    assert abs(shown.shape[1] - made.shape[1]) <= 2
    assert abs(shown.shape[0] - made.shape[0]) < 0.1 * shown.shape[0]  # other fonts break lines elsewhere


def _pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)
