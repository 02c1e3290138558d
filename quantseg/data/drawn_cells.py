"""Synthetic blood smears drawn from a seed: images with exact masks for the demo, tests and reference models.

Light passes through stained cells and is absorbed (Beer-Lambert): each cell adds optical density per colour,
so that overlapping red cells darken as on a slide. The thickness of a red cell is the biconcave disc of Evans
and Fung (Microvascular Research 4, 1972). White cells of four kinds lie on top; platelets are distractors of the
background class.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantseg.data.drawn_light import F64, photograph, smooth_noise
from quantseg.data.drawn_shapes import Spot, coverage, relative_radius, scatter, window_of
from quantseg.data.instance_labels import of_ids
from quantseg.data.instances import Instances
from quantseg.files import replacing
from quantseg.progress import Track, quiet

CLASSES = ("background", "red cell", "cytoplasm", "nucleus")
_BACKGROUND, _RED, _CYTOPLASM, _NUCLEUS = range(4)
INSTANCE_CLASSES = ("red cell", "white cell")
LEAST_SHARE, LEAST_PIXELS = 0.25, 16
"""Of a cell's pixels within the image, the share and the number that must be seen for it to be an instance."""


@dataclass(frozen=True)
class _WhiteKind:
    """One kind of white cell.

    lobes: least and most lobes of the nucleus. nucleus: its radius as a share of the cell's. cytoplasm: its optical
    density in red, green and blue light. grain: strength of its texture.
    """

    lobes: tuple[int, int]
    nucleus: float
    cytoplasm: tuple[float, float, float]
    grain: float


# Optical densities for red, green and blue light in a Wright-Giemsa stain, chosen by eye.
_WHITE_KINDS = (
    _WhiteKind(lobes=(3, 4), nucleus=0.37, cytoplasm=(0.18, 0.27, 0.12), grain=0.10),  # neutrophil
    _WhiteKind(lobes=(2, 2), nucleus=0.46, cytoplasm=(0.10, 0.38, 0.42), grain=0.22),  # eosinophil
    _WhiteKind(lobes=(1, 1), nucleus=0.76, cytoplasm=(0.36, 0.27, 0.09), grain=0.03),  # lymphocyte
    _WhiteKind(lobes=(2, 2), nucleus=0.60, cytoplasm=(0.28, 0.30, 0.16), grain=0.05),  # monocyte
)
_HAEMOGLOBIN = np.array([0.13, 0.42, 0.36])
_CHROMATIN = np.array([0.78, 1.12, 0.42])
_PLATELET = np.array([0.32, 0.46, 0.18])
_PLASMA = np.array([0.020, 0.045, 0.040])


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawn image. image: (H, W, 3) in RGB. mask: (H, W), indices into CLASSES.

    owners: (H, W), for each pixel the cell that is seen there, numbered from 1 in the order of drawing; 0: none. cells:
    for each cell its index into INSTANCE_CLASSES, and how many pixels of the image it would cover alone.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    owners: NDArray[np.int32]
    cells: tuple[tuple[int, int], ...]

    def instances(self, size: tuple[int, int] | None = None) -> Instances:
        """The cells that are seen, in the order of drawing; masks are of the pixels where no later cell hides them.

        Left out are cells of which others hide more than three quarters (LEAST_SHARE), and slivers (LEAST_PIXELS).
        size: (height, width) to resize to, nearest; None leaves it.
        """
        seen = np.bincount(self.owners.reshape(-1), minlength=len(self.cells) + 1)[1:]
        kinds, whole = np.array(self.cells, np.int64).reshape(-1, 2).T
        clear = (seen >= LEAST_PIXELS) & (seen >= LEAST_SHARE * whole)
        ids = np.append(0, np.where(clear, np.arange(1, len(seen) + 1), 0))[self.owners]
        classes = np.append(0, kinds + 1)[ids]
        return of_ids(ids, classes, size=size or self.mask.shape, place="cells")


def cell_image(seed: int, size: tuple[int, int] = (192, 192)) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image (H, W, 3) in RGB and its mask (H, W) of indices into CLASSES.

    The same seed and size give the same bytes. Cells have the same size in pixels in every image (a red cell is about
    26 wide); a larger image holds more of them.
    """
    drawing = draw(seed, size)
    return drawing.image, drawing.mask


def cell_instances(seed: int, size: tuple[int, int] = (192, 192)) -> Instances:
    """The cells of `cell_image(seed, size)` as instances of INSTANCE_CLASSES; see `Drawing.instances`."""
    return draw(seed, size).instances()


def draw(seed: int, size: tuple[int, int] = (192, 192)) -> Drawing:
    """The image of a seed with all that is known of it."""
    rng = np.random.Generator(np.random.PCG64(seed))
    film = np.maximum(1 + 0.4 * smooth_noise(rng, size, spacing=96), 0)
    slide = _Slide(rng.uniform(0.4, 1.8) * film[..., None] * _PLASMA, np.full(size, _BACKGROUND, np.uint8))
    stain = rng.uniform(0.8, 1.15)

    area = size[0] * size[1] / 192**2
    whites = scatter(rng, size, [rng.uniform(22, 29) for _ in range(rng.poisson(1.3 * area))], avoid=[])
    reds = [rng.normal(13.0, 1.2) for _ in range(rng.poisson(rng.uniform(14, 34) * area))]
    for place in scatter(rng, size, reds, avoid=whites):
        _draw_red_cell(rng, slide, place, stain)
    for _ in range(rng.poisson(3 * area)):
        _draw_platelet(rng, slide.density, size)
    for place in whites:
        _draw_white_cell(rng, slide, place, stain)
    return Drawing(photograph(rng, slide.density), slide.mask, slide.owners, tuple(slide.cells))


def write_cells(
    folder: Path, count: int, *, seed: int = 0, size: tuple[int, int] = (192, 192), track: Track = quiet
) -> None:
    """Writes `count` images as images/NNNN.png with masks/NNNN.png; image k is `cell_image(seed + k)`.

    Raises OutputError where the folder cannot be written.
    """
    for index in track(range(count), total=count, what="draw cells"):
        for part, pixels in zip(("images", "masks"), cell_image(seed + index, size), strict=True):
            with replacing(folder / part / f"{index:04d}.png") as temporary:
                Image.fromarray(pixels).save(temporary, format="PNG")


@dataclass(eq=False)
class _Slide:
    """What is drawn on: optical density (H, W, 3), mask, owners and cells as in Drawing."""

    density: F64
    mask: NDArray[np.uint8]
    owners: NDArray[np.int32] = field(init=False)
    cells: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.owners = np.zeros(self.mask.shape, np.int32)

    def add_cell(self, window: tuple[slice, slice], inside: NDArray[np.bool_], kind: int) -> None:
        """Notes that a cell covers these pixels of a window. kind: index into INSTANCE_CLASSES."""
        self.cells.append((kind, int(np.count_nonzero(inside))))
        self.owners[window][inside] = len(self.cells)


def _draw_red_cell(rng: np.random.Generator, slide: _Slide, place: Spot, stain: float) -> None:
    window = window_of(place, slide.mask.shape[:2])
    relative = relative_radius(rng, window, place, squash=rng.uniform(0.78, 1.0), wobble=0.035)
    squared = np.minimum(relative, 1) ** 2
    biconcave = np.sqrt(1 - squared) * (0.0518 + 0.5007 * squared - 0.2807 * squared**2) / 0.157
    pallor = rng.uniform(0.35, 0.85)
    thickness = coverage(relative, place.radius) * (1 - pallor) + biconcave * pallor
    slide.density[window] += stain * rng.uniform(0.8, 1.15) * thickness[..., None] * _HAEMOGLOBIN
    slide.mask[window][relative <= 1] = _RED
    slide.add_cell(window, relative <= 1, INSTANCE_CLASSES.index("red cell"))


def _draw_platelet(rng: np.random.Generator, density: F64, size: tuple[int, int]) -> None:
    y, x = rng.uniform(0, size)
    place = Spot(y, x, rng.uniform(2.0, 4.0))
    window = window_of(place, size)
    relative = relative_radius(rng, window, place, squash=rng.uniform(0.6, 1.0), wobble=0.1)
    density[window] += rng.uniform(0.6, 1.2) * coverage(relative, place.radius, 2.0)[..., None] * _PLATELET


def _draw_white_cell(rng: np.random.Generator, slide: _Slide, place: Spot, stain: float) -> None:
    density, mask = slide.density, slide.mask
    kind = _WHITE_KINDS[rng.choice(len(_WHITE_KINDS), p=[0.5, 0.1, 0.25, 0.15])]
    window = window_of(place, mask.shape[:2])
    body = relative_radius(rng, window, place, squash=rng.uniform(0.85, 1.0), wobble=0.03)
    nucleus = _nucleus(rng, window, place, kind)
    inside = body <= 1
    grain = rng.normal(0, kind.grain, body.shape)
    covered = coverage(body, place.radius)[..., None]
    cytoplasm = (1 + grain + 0.25 * smooth_noise(rng, body.shape, spacing=10))[..., None] * kind.cytoplasm
    # A white cell lies in front of the red cells that it touches and hides them.
    density[window] += covered * (stain * np.maximum(cytoplasm, 0) + _PLASMA - density[window])
    chromatin = 1 + 0.28 * smooth_noise(rng, body.shape, spacing=5)
    share = coverage(nucleus, 0.5 * place.radius, 1.6) * coverage(body, place.radius)
    density[window] += (stain * rng.uniform(0.85, 1.1) * share * chromatin)[..., None] * _CHROMATIN
    mask[window][inside] = _CYTOPLASM
    mask[window][(nucleus <= 1) & inside] = _NUCLEUS
    slide.add_cell(window, inside, INSTANCE_CLASSES.index("white cell"))


def _nucleus(rng: np.random.Generator, window: tuple[slice, slice], place: Spot, kind: _WhiteKind) -> F64:
    """As `relative_radius`, for a nucleus: relative to the nearest of its lobes, which lie on an arc."""
    count = int(rng.integers(kind.lobes[0], kind.lobes[1] + 1))
    radius = kind.nucleus * place.radius
    orbit = (1 - kind.nucleus) * place.radius * (0.85 if count > 1 else 0.35)
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.uniform(1.15, 1.6, count)) * radius / orbit
    lobes = [
        relative_radius(
            rng,
            window,
            Spot(
                place.y + orbit * np.sin(angle),
                place.x + orbit * np.cos(angle),
                radius * rng.uniform(0.85, 1.1),
            ),
            squash=rng.uniform(0.8, 1.0),
            wobble=0.05,
        )
        for angle in angles
    ]
    nearest: F64 = np.min(lobes, axis=0)
    return nearest
