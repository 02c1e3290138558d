"""A calibration file, as `quantize --calibration`, `calibrate --merge` and an interrupted `calibrate` read it."""

import functools
import json
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from quantseg import api
from quantseg.calibration import file
from tests.fuzz.mutation import documents
from tests.fuzz.target import Target
from tests.fuzz.targets import given


@functools.cache
def _document() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return json.loads(given.calibrated().save(Path(folder) / "c.json").read_text(encoding="utf-8"))


def make(random: Random, folder: Path) -> None:
    """A calibration file of the U-Net in which values, their text or bytes are changed."""
    (folder / "c.json").write_bytes(documents.mutated(random, _document()))
    (folder / "right.json").write_text(json.dumps(_document()), encoding="utf-8")
    given.write_images(folder)


def run(random: Random, folder: Path) -> None:
    """One of the three uses."""
    random.choice((_quantize, _quantize, _merge, _continue))(random, folder)


def _quantize(random: Random, folder: Path) -> None:
    choice = random.choice((None, "entropy", "mse", "percentile:99"))
    words = {} if choice is None else {"calibrator": choice}
    symmetric = random.random() < 0.3
    made = api.quantize(given.float_model(), folder / "c.json", effort="fast", threads=1, symmetric=symmetric, **words)
    made.save(folder / "out.onnx")


def _merge(random: Random, folder: Path) -> None:
    parts = [file.read(folder / name) for name in random.choice((("c.json", "right.json"), ("right.json", "c.json")))]
    total = file.merge(*parts)
    str(total)
    file.write(total, folder / "out.json")
    file.read(folder / "out.json")


def _continue(random: Random, folder: Path) -> None:
    partial = folder / "c.json"
    api.calibrate(given.float_model(), folder / "data", options=given.OPTIONS, partial=partial).save(
        folder / "out.json"
    )


CALIBRATION = Target("a calibration file (JSON)", make, run)
