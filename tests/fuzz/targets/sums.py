"""The JSON of `simulate --json`, as `--reduce-channels` reads it."""

import functools
from pathlib import Path
from random import Random
from typing import Any

from quantseg import api
from quantseg.quantization.plan import QuantSettings
from quantseg.refinement.options import Options
from quantseg.simulation.proof import read_channels
from tests.fuzz import corpus
from tests.fuzz.mutation import documents
from tests.fuzz.target import Target
from tests.fuzz.targets import given
from tests.support import candidates


@functools.cache
def _document() -> Any:
    images = candidates.images(1, (1, 3, corpus.SIZE, corpus.SIZE))
    found = api.simulate(given.int8(), images, processor="avx2", options=given.OPTIONS)
    products = [sums.to_json() | {"saturating_channels": [0, 2]} for sums in found.found.sums.values()]
    return {"rounding": "onnxruntime", "images": ["0.png"], "products": products, "comparison": None}


def make(random: Random, folder: Path) -> None:
    """The products of the U-Net, in which values, their text or bytes are changed."""
    (folder / "sums.json").write_bytes(documents.mutated(random, _document()))


def run(random: Random, folder: Path) -> None:
    """The U-Net quantised with 7-bit weights in the channels that the file names."""
    settings = QuantSettings(reduced_channels=read_channels(folder / "sums.json"))
    options = Options(settings=settings, effort="fast", threads=1)
    api.quantize(given.float_model(), given.calibrated(), options=options).save(folder / "out.onnx")


SUMS = Target("sums of `simulate --json`, for --reduce-channels", make, run)
