"""Recipes and images that the tests of quantseg.data share."""

from pathlib import Path

import numpy as np
from PIL import Image

from quantseg.data.recipe import Recipe, complete, override
from quantseg.graph import TensorSpec

SIZE = (6, 8)


def spec(*, channels=3, size=SIZE, layout="NCHW", dtype="float32", batch=1):
    """A model input of that kind."""
    shape = (batch, channels, *size) if layout == "NCHW" else (batch, *size, channels)
    return TensorSpec("x", dtype, shape)


def recipe_for(inputs, *, classes=3, **flags) -> Recipe:
    """A completed recipe for a model with that input and `classes` output channels."""
    output = TensorSpec("y", "float32", (1, classes, *SIZE))
    return complete(override(Recipe(), **flags), [inputs], [output], model="m.onnx")


def image(seed=0, size=SIZE) -> np.ndarray:
    """Random RGB pixels."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    """Writes pixels as an image, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path
