"""A film for a browser's made-up camera: frames as an uncompressed Y4M file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def write_y4m(path: Path, frames: Sequence[NDArray[np.uint8]], *, rate: int = 30) -> None:
    """frames: RGB (H, W, 3), all of one size with even sides. rate: frames per second; the browser repeats the film."""
    height, width, _ = frames[0].shape
    content = [f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420jpeg\n".encode()]
    for frame in frames:
        luma, *chroma = Image.fromarray(frame).convert("YCbCr").split()
        planes = [luma, *(one.resize((width // 2, height // 2), Image.Resampling.BOX) for one in chroma)]
        content += [b"FRAME\n", *(np.asarray(plane).tobytes() for plane in planes)]
    path.write_bytes(b"".join(content))
