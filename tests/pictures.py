"""The pictures of README.md: those of its own first command. `python -m tests.pictures` makes them again.

configs/quickstart.png is the segmentation that the job writes, configs/report.png what its report shows of the clusters
in a browser.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

from daskgmm.config import load_config
from daskgmm.events import ignore
from daskgmm.jobs.fit import fit
from daskgmm.storage.run.directory import PICTURE, REPORT

from .browser import Browser, browser, why_not

CONFIGS = Path(__file__).parents[1] / "configs"
_WIDTH, _MARGIN = 1160, 16  # pixels
_PLACE = """(() => {
    const section = [...document.querySelectorAll('section')].find(one => one.innerText.startsWith('The clusters'));
    const above = section.querySelector('h2').getBoundingClientRect();
    const figures = [...section.querySelectorAll('.grid > :nth-child(-n+4)')];
    const bottom = Math.max(...figures.map(one => one.getBoundingClientRect().bottom));
    return [above.left, above.top + scrollY, above.right, bottom + scrollY];
})()"""


def run_quickstart(directory: Path) -> None:
    """Fit configs/quickstart.yaml, as README.md does, to a run directory."""
    fit(load_config(str(CONFIGS / "quickstart.yaml"), [f"output.directory={directory}"]), ignore)


def draw_pictures(run: Path, folder: Path) -> None:
    """Write the pictures of a finished quickstart to a folder: that of the report needs a browser."""
    shutil.copyfile(run / PICTURE, folder / "quickstart.png")
    with browser() as tab:
        _excerpt(tab, run / REPORT).save(folder / "report.png", optimize=True)


def _excerpt(tab: Browser, report: Path) -> Image.Image:
    """Return what the report shows of the clusters, in 256 colours."""
    tab.open(report, _WIDTH)
    left, top, right, bottom = tab.value(_PLACE)
    with tempfile.TemporaryDirectory() as folder:
        tab.screenshot(Path(folder) / "page.png")
        page = Image.open(BytesIO((Path(folder) / "page.png").read_bytes())).convert("RGB")
    return page.crop((left - _MARGIN, top - _MARGIN, right + _MARGIN, bottom + _MARGIN)).quantize(256)


def main() -> None:
    """Make the pictures in configs/."""
    if (reason := why_not()) is not None:
        sys.exit(f"the picture of the report needs Chromium and websocket-client: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        run_quickstart(Path(folder) / "run")
        draw_pictures(Path(folder) / "run", CONFIGS)


if __name__ == "__main__":
    main()
