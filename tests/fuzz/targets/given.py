"""What several targets give beside the odd file: a model read and calibrated, its int8 form, and images."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from quantseg import api, graph
from quantseg.calibration.calibrate import Calibrated
from quantseg.quantization.float_model import FloatModel
from quantseg.refinement.options import Options
from tests.fuzz import corpus
from tests.support import candidates

OPTIONS = Options(effort="fast", threads=1)


@functools.cache
def float_model() -> FloatModel:
    """The U-Net, read."""
    return api.load(corpus.network(corpus.UNET), options=OPTIONS)


@functools.cache
def calibrated() -> Calibrated:
    """The U-Net, calibrated on one tensor."""
    return api.calibrate(float_model(), candidates.images(1, (1, 3, corpus.SIZE, corpus.SIZE)), options=OPTIONS)


@functools.cache
def int8() -> bytes:
    """The U-Net in int8, in integer operators."""
    made = api.quantize(float_model(), calibrated(), options=Options(effort="fast", threads=1, qformat="qoperator"))
    return graph.to_bytes(made.model)


def write_images(folder: Path, count: int = 1) -> Path:
    """The folder data/ with images of noise, made."""
    (folder / "data").mkdir(exist_ok=True)
    for number in range(count):
        values = np.random.default_rng(number).integers(0, 256, (corpus.SIZE, corpus.SIZE, 3), np.uint8)
        Image.fromarray(values).save(folder / "data" / f"{number}.png")
    return folder / "data"
