"""Screenshots of three reports, at the width of a desktop and of a phone, light and dark.

    python -m tests.bench.screenshots [FOLDER]

The reports are of the model that `quantseg demo` uses, on blood smears that are drawn: one that keeps its masks (the
default), one that loses them (calibrated on a single empty slide), and one with labels (entropy calibration on a single
image). The images are of few colours, so that they stay small. Needs chromium; takes minutes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from quantseg.data.drawn_cells import write_cells
from quantseg.evaluation.reference_models import CALIBRATION_SEED, VALIDATION_SEED, reference_models
from tests.support.places import ROOT

FOLDER = ROOT / "reports" / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MODEL = "cells_unet"
IMAGES = 24
COLOURS = 128
MOST_BYTES = 150_000
EMPTY = (233, 216, 219)
"""A slide without cells, as drawn_cells draws its background."""

REPORTS = {
    "kept": ("--calib", "calib", "--no-masks"),
    "lost": ("--calib", "empty", "--no-masks", "--effort", "fast"),
    "labelled": ("--calib", "one", "--effort", "fast", "--calibrator", "entropy"),
}
"""Name of a report → the words of its command."""


@dataclass(frozen=True)
class Screen:
    """width, height: in CSS pixels. scale: device pixels to a CSS pixel."""

    name: str
    width: int
    height: int
    scale: float = 1


SCREENS = (Screen("desktop", 1280, 2000), Screen("phone", 390, 1700, 1.5))
SCHEMES = {"light": 1, "dark": 0}
"""Colour scheme → chromium's number of it."""


def browser() -> str | None:
    """The path of a browser of chromium's family; None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def draw_data(place: Path) -> None:
    """Writes the model, images to judge on, and three sets to calibrate on, into a folder."""
    (place / f"{MODEL}.onnx").write_bytes(reference_models()[MODEL].read_bytes())
    write_cells(place / "val", IMAGES, seed=VALIDATION_SEED)
    write_cells(place / "calib", IMAGES, seed=CALIBRATION_SEED)
    write_cells(place / "one", 1, seed=CALIBRATION_SEED)
    (place / "empty").mkdir()
    Image.fromarray(np.full((192, 192, 3), EMPTY, np.uint8)).save(place / "empty" / "slide.png")


def make_report(place: Path, name: str) -> Path:
    """Runs the command of a report in the folder of the data, and gives the path of its page."""
    words = [f"{MODEL}.onnx", "--data", "val", *REPORTS[name], "--rounds", "3", "--output", name]
    command = [sys.executable, "-m", "quantseg", "report", *words]
    subprocess.run(command, cwd=place, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    return place / name / MODEL / "index.html"


def photograph(program: str, page: Path, screen: Screen, scheme: str, target: Path) -> None:
    """Writes the top of a page, as a screen shows it, as a PNG of few colours. Raises ValueError for a large one."""
    with tempfile.TemporaryDirectory() as folder:
        shown = Path(folder) / "shown.png"
        flags = [
            *(
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={folder}/profile",
            ),
            *(f"--window-size={screen.width},{screen.height}", f"--force-device-scale-factor={screen.scale}"),
            *(f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", f"--screenshot={shown}", page.as_uri()),
        ]
        subprocess.run([program, *flags], check=True, capture_output=True, timeout=120)
        with Image.open(shown) as image:
            few = image.convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
            few.save(target, optimize=True)  # an octree keeps the colour of a few pixels, such as one amber figure
    if target.stat().st_size > MOST_BYTES:
        raise ValueError(f"{target.name}: {target.stat().st_size} bytes are more than {MOST_BYTES}")


def screenshots(program: str, folder: Path) -> Iterator[Path]:
    """Makes the reports, and writes one image for each of them, each screen and each scheme."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        draw_data(Path(made))
        for name in REPORTS:
            page = make_report(Path(made), name)
            for screen in SCREENS:
                for scheme in SCHEMES:
                    target = folder / f"{name}_{screen.name}_{scheme}.png"
                    photograph(program, page, screen, scheme, target)
                    yield target


def main() -> int:
    """Runs the command; 2 without a browser."""
    program = browser()
    if program is None:
        print(f"no browser: none of {', '.join(BROWSERS)} is installed", file=sys.stderr)
        return 2
    for path in screenshots(program, Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        print(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
