"""The images of tests.bench.unseen: each model has some to calibrate on, and is judged on others from elsewhere."""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.bench import writing
from tests.bench.unseen_models import CZANN, tarred, zipped

OCRMYPDF = "ocrmypdf-17.13.0"
SLIDE = "napari_czann_segment/_data/PGC_20X.czi"
PHOTOGRAPHS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
"""Of scikit-image."""
STREETS_TO_CALIBRATE, STREETS_TO_JUDGE = 8, 16

Data = Any
"""What `quantseg.data.sources.opener` takes: a folder, or model inputs."""


class Images(NamedTuple):
    """calibration, validation: to calibrate on and to judge on. about: where they are from. limits: at most so many."""

    calibration: Data
    validation: Data
    about: str
    limits: tuple[int | None, int | None] = (None, None)


def photographs(_packages: Path, place: Path) -> Images:
    """scikit-image's own, and the ten of COCO."""
    from skimage.data import data_dir

    for name in PHOTOGRAPHS:
        save(place / "photographs", name, Image.open(Path(data_dir) / name))
    return Images(place / "photographs", writing.SHARED / "data/coco10", "scikit-image; COCO")


def streets(_packages: Path, _place: Path) -> Images:
    """CamVid's training and validation frames."""
    data, limits = writing.SHARED / "data", (STREETS_TO_CALIBRATE, STREETS_TO_JUDGE)
    return Images(data / "camvid/train", data / "camvid/val", "CamVid train; val", limits)


def documents(packages: Path, place: Path) -> Images:
    """Scans that OCRmyPDF is tested with: a printed leaflet to calibrate on; a typewritten page and a map to judge."""
    for part, names in {"print": ("linn",), "typed": ("typewriter", "baiona")}.items():
        for name in names:
            content = tarred(f"{OCRMYPDF}.tar.gz", f"{OCRMYPDF}/tests/resources/{name}.png")(packages)
            for number, cut in enumerate(parts(Image.open(io.BytesIO(content)).convert("RGB"))):
                save(place / part, f"{name}_{number}.png", cut)
    return Images(place / "print", place / "typed", "a leaflet; a typed page and a map, in parts")


def slide(packages: Path, _place: Path) -> Images:
    """One slide: its left part to calibrate on, its right part to judge, each in eight overlapping tiles."""
    pixels = czi_plane(zipped(CZANN, SLIDE)(packages), (2755, 3675)) / np.float32(65535)
    half = pixels.shape[1] // 2
    return Images([*tiles(pixels[:, :half])], [*tiles(pixels[:, half:])], "one slide, left part; right part")


IMAGES: Mapping[str, Callable[[Path, Path], Images]] = {
    "u2netp": photographs,
    "isnet": photographs,
    "selfie_segmentation": photographs,
    "ppocr_v4_det": documents,
    "ppocr_v5_det": streets,
    "pgc_nuclei": slide,
}
"""Model → (packages, a folder for what is written) → its images."""


def save(folder: Path, name: str, image: Image.Image) -> None:
    """As PNG, in RGB."""
    folder.mkdir(parents=True, exist_ok=True)
    image.convert("RGB").save((folder / name).with_suffix(".png"))


def parts(image: Image.Image, least: tuple[int, int] = (1000, 750)) -> Iterator[Image.Image]:
    """Parts that do not overlap, as many as are at least so wide and high; the image itself where it is smaller."""
    across, down = (max(1, side // small) for side, small in zip(image.size, least, strict=True))
    width, height = image.width // across, image.height // down
    for top in range(down):
        for left in range(across):
            yield image.crop((left * width, top * height, (left + 1) * width, (top + 1) * height))


def tiles(pixels: NDArray[np.float32], side: int = 1024, grid: tuple[int, int] = (4, 2)) -> Iterator[NDArray[Any]]:
    """Square tiles (1, side, side, 1), evenly spread over (height, width), the first and the last at its edges."""
    rows, columns = (
        np.linspace(0, length - side, count).round().astype(int)
        for length, count in zip(pixels.shape, grid, strict=True)
    )
    for top in rows:
        for left in columns:
            yield np.ascontiguousarray(pixels[None, top : top + side, left : left + side, None])


def czi_plane(content: bytes, shape: tuple[int, int]) -> NDArray[np.uint16]:
    """The first plane (height, width) of a Zeiss .czi file of 16-bit grey, stored without compression.

    A subblock segment has a header of 32 bytes; the sizes of metadata, attachment (4 bytes each) and data (8); a
    directory entry, which with the sizes fills 256 bytes or more; metadata; data. Raises ValueError for another file.
    Source: Zeiss, CZI file format 1.2.2.
    """
    begin = content.find(b"ZISRAWSUBBLOCK") + 32
    metadata = int.from_bytes(content[begin : begin + 4], "little")
    size = int.from_bytes(content[begin + 8 : begin + 16], "little")
    dimensions = int.from_bytes(content[begin + 44 : begin + 48], "little")
    if begin < 32 or size != 2 * shape[0] * shape[1]:
        raise ValueError(f"no uncompressed plane of {shape[0]}x{shape[1]} in this .czi file")
    data = begin + max(256, 16 + 32 + 20 * dimensions) + metadata
    return np.frombuffer(content, "<u2", shape[0] * shape[1], data).reshape(shape)
