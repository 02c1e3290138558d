"""From an image to the model's input tensor: x = (pixel · scale − mean) / std, as the recipe declares."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantseg.data.recipe import InputRecipe

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


def resize(image: Image.Image, size: tuple[int, int], filter_name: str) -> Image.Image:
    """The image resized to (height, width) by Pillow; the same object where it already has that size."""
    height, width = size
    if image.size == (width, height):
        return image
    return image.resize((width, height), _FILTERS[filter_name])


def shrinks_columns_first() -> bool:
    """Whether Pillow resizes an image along its columns first, where its height shrinks much more than its width.

    It does from version 13 on (its pull request 9549): 2·(W − w) < H − h. Both passes round, so that pixels differ.
    """
    ramp = np.add.outer(np.arange(60) ** 2, np.arange(8) ** 3 * 7).astype(np.uint8)
    image = Image.fromarray(ramp)
    by_columns = resize(resize(image, (7, 8), "bilinear"), (7, 9), "bilinear")
    return np.array_equal(np.asarray(resize(image, (7, 9), "bilinear")), np.asarray(by_columns))


def to_tensor(image: Image.Image, recipe: InputRecipe, dtype: str) -> NDArray[Any]:
    """The input tensor (1, C, H, W) or (1, H, W, C) of an image that already has the model's size.

    image: mode RGB, L or F. recipe: completed. dtype: of the tensor; an integer type gets the rounded pixels.
    """
    pixels = _pixels(image, recipe.channels or "RGB")
    if np.issubdtype(np.dtype(dtype), np.integer):
        values = np.clip(np.rint(pixels), 0, 255)
    else:
        values = pixels * np.float32(recipe.scale)
        values -= np.asarray(recipe.mean, np.float32)
        values /= np.asarray(recipe.std, np.float32)
    if recipe.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None], dtype)


def shown(image: Image.Image) -> NDArray[np.uint8]:
    """The image for display: uint8 (H, W, 3) RGB."""
    if image.mode == "F":
        image = Image.fromarray(np.clip(np.rint(np.asarray(image)), 0, 255).astype(np.uint8))
    return np.array(image.convert("RGB"))


def _pixels(image: Image.Image, channels: str) -> NDArray[np.float32]:
    """Pixels in the order `channels`, float32 (H, W, C) in 0…255. Colour becomes grey by ITU-R 601 luma."""
    if channels == "GRAY":
        grey = image.convert("L") if image.mode == "RGB" else image
        return np.asarray(grey, np.float32)[..., None]
    if image.mode != "RGB":
        return np.repeat(np.asarray(image, np.float32)[..., None], 3, axis=2)
    pixels = np.asarray(image, np.float32)
    return pixels[..., ::-1] if channels == "BGR" else pixels
