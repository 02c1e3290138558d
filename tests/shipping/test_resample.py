"""The page resizes as Pillow does, value for value: resample.js in Node beside Pillow here."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from quantseg.data.preprocess import _FILTERS, shrinks_columns_first
from quantseg.data.values import RESIZES
from tests.support.places import ROOT

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
MODULE = ROOT / "quantseg/shipping/web/resample.js"
SOURCE = (157, 211)
SIZES = ((64, 48), (300, 400), (157, 211), (33, 157), (20, 500), (9, 205), (158, 211), (1, 1), (100, 100))
STRIP = 50

PROGRAM = """
import { readFileSync, writeFileSync } from 'node:fs';
const { Resampler, grey } = await import(process.argv[2]);
const [folder, jobs] = [process.argv[3], JSON.parse(process.argv[4])];
const rgba = readFileSync(`${folder}/rgba`);
for (const { name, filter, from, to, isNew, strip } of jobs) {
  const resampler = new Resampler(from, to, filter, isNew);
  for (let top = 0; top < from.height; top += strip) {
    const count = Math.min(strip, from.height - top);
    resampler.add(rgba.subarray(top * from.width * 4, (top + count) * from.width * 4), top, count);
  }
  const rgb = resampler.finished();
  writeFileSync(`${folder}/${name}`, rgb);
  writeFileSync(`${folder}/${name}.grey`, grey(rgb));
}
"""


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*SOURCE, 3), np.uint8)


def in_javascript(
    folder: Path, picture: NDArray[np.uint8], filter_name: str, is_new: bool
) -> dict[tuple[int, int], tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Size → what resample.js makes of the picture, in colour and grey. Alpha is noise, which is to be dropped."""
    alpha = np.random.default_rng(1).integers(0, 256, (*SOURCE, 1), np.uint8)
    (folder / "rgba").write_bytes(np.concatenate([picture, alpha], axis=2).tobytes())
    (folder / "program.mjs").write_text(PROGRAM, encoding="utf-8")
    source = {"height": SOURCE[0], "width": SOURCE[1]}
    jobs = [
        {"name": f"{h}x{w}", "filter": filter_name, "from": source, "to": {"height": h, "width": w}}
        | {"isNew": is_new, "strip": STRIP}
        for h, w in SIZES
    ]
    words = ["node", "program.mjs", MODULE.as_uri(), str(folder), json.dumps(jobs)]
    subprocess.run(words, cwd=folder, check=True)

    def read(name: str, *shape: int) -> NDArray[np.uint8]:
        return np.frombuffer((folder / name).read_bytes(), np.uint8).reshape(shape)

    return {(h, w): (read(f"{h}x{w}", h, w, 3), read(f"{h}x{w}.grey", h, w)) for h, w in SIZES}


@pytest.mark.parametrize("filter_name", RESIZES)
def test_as_pillow_does_here(filter_name: str, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    found = in_javascript(tmp_path, picture, filter_name, shrinks_columns_first())
    for (height, width), (colour, grey) in found.items():
        wanted = Image.fromarray(picture).resize((width, height), _FILTERS[filter_name])
        assert np.array_equal(colour, np.asarray(wanted)), (height, width)
        assert np.array_equal(grey, np.asarray(wanted.convert("L"))), (height, width)


@pytest.mark.parametrize("filter_name", [name for name in RESIZES if name != "nearest"])
def test_as_older_pillow_does_along_rows_first(filter_name: str, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    for (height, width), (colour, _) in in_javascript(tmp_path, picture, filter_name, False).items():
        by_rows = Image.fromarray(picture).resize((width, SOURCE[0]), _FILTERS[filter_name])
        assert np.array_equal(colour, np.asarray(by_rows.resize((width, height), _FILTERS[filter_name])))


def test_which_pass_pillow_does_first_is_found_out() -> None:
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (90, 30), np.uint8))
    made = [image.resize((29, 20), Image.Resampling.BILINEAR)]
    made += [
        image.resize(one, Image.Resampling.BILINEAR).resize((29, 20), Image.Resampling.BILINEAR)
        for one in ((30, 20), (29, 90))
    ]
    whole, columns_first, rows_first = map(np.asarray, made)
    assert not np.array_equal(columns_first, rows_first)
    assert np.array_equal(whole, columns_first if shrinks_columns_first() else rows_first)
