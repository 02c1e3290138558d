"""Reading of image files into Pillow mode RGB, L (grey) or F (grey as float in 0…255).

Alpha is dropped, not composited, as no background can be assumed.
Sixteen-bit grey is divided by 257, which maps 65535 to 255. EXIF rotation is applied.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from quantseg.errors import DataError
from quantseg.files import check_file, limits

_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""Pillow's names of the formats below: whatever its suffix, it would open others too, some with other programs."""
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


def read_image(path: Path) -> Image.Image:
    """The image, decoded, upright, in mode RGB, L or F.

    Its bytes say which format it has, not its suffix. Raises DataError naming the file where it is unreadable, too
    large, holds several images, or has values whose range is unknown (32-bit integer or float).
    """
    with _decoding(path):
        image = _opened(path)
        return _normalised(ImageOps.exif_transpose(image), image.format, path)


def read_ids(path: Path) -> Image.Image:
    """The image in its file's own mode, without EXIF rotation. Raises DataError naming the file."""
    with _decoding(path):
        return _opened(path)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    try:
        # Pillow warns of sizes and damaged tags: the first are checked here, the second do not matter.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DataError:
        raise
    # For a damaged file Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error …
    except Exception as error:
        raise DataError(f"{path}: not an image that Pillow can read ({error}); remove or re-encode it") from error


def _opened(path: Path) -> Image.Image:
    image: Image.Image
    check_file(path)
    with Image.open(path, formats=_FORMATS) as image:
        if image.width * image.height > limits.IMAGE_PIXELS:
            raise DataError(
                f"{path}: {image.width}x{image.height} is more than {limits.IMAGE_PIXELS:,} pixels; cut or shrink it"
            )
        frames = getattr(image, "n_frames", 1)
        # MPO is what some phones write as JPEG; its further images are previews.
        if frames > 1 and image.format != "MPO":
            raise DataError(f"{path}: holds {frames} images; save each as a file of its own")
        image.load()
    return image


def _normalised(image: Image.Image, file_format: str | None, path: Path) -> Image.Image:
    # Older Pillow opens 16-bit grey PNG in mode I, which elsewhere means 32 bits.
    if image.mode.startswith("I;16") or (image.mode == "I" and file_format == "PNG"):
        return Image.fromarray(np.asarray(image).astype(np.float32) / 257)
    if image.mode in ("I", "F"):
        raise DataError(f"{path}: 32-bit pixels, whose range is unknown; save 8 or 16 bits, or .npy model inputs")
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("L")
    # A palette may have transparent entries, which Pillow converts to RGB only by way of RGBA.
    return (image.convert("RGBA") if image.mode in ("P", "PA") else image).convert("RGB")
