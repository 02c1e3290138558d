"""Synthetic blood smears drawn from a seed: images with exact masks for the demo, tests and reference models.

Light passes through stained cells and is absorbed (Beer-Lambert): each cell adds optical density per colour,
so that overlapping red cells darken as on a slide. The thickness of a red cell is the biconcave disc of Evans
and Fung (Microvascular Research 4, 1972). White cells of four kinds lie on top; platelets are distractors of the
background class.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantseg.files import replacing
from quantseg.progress import Track, quiet

CLASSES = ("background", "red cell", "cytoplasm", "nucleus")
_BACKGROUND, _RED, _CYTOPLASM, _NUCLEUS = range(4)

F64 = NDArray[np.float64]


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
_LAMP = np.array([246.0, 241.0, 238.0])


def cell_image(seed: int, size: tuple[int, int] = (192, 192)) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image (H, W, 3) in RGB and its mask (H, W) of indices into CLASSES.

    The same seed and size give the same bytes. Cells have the same size in pixels in every image (a red cell is about
    26 wide); a larger image holds more of them.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    film = np.maximum(1 + 0.4 * _smooth_noise(rng, size, spacing=96), 0)
    density = rng.uniform(0.4, 1.8) * film[..., None] * _PLASMA
    mask = np.full(size, _BACKGROUND, np.uint8)
    stain = rng.uniform(0.8, 1.15)

    area = size[0] * size[1] / 192**2
    whites = _scatter(rng, size, [rng.uniform(22, 29) for _ in range(rng.poisson(1.3 * area))], avoid=[])
    reds = [rng.normal(13.0, 1.2) for _ in range(rng.poisson(rng.uniform(14, 34) * area))]
    for place in _scatter(rng, size, reds, avoid=whites):
        _draw_red_cell(rng, density, mask, place, stain)
    for _ in range(rng.poisson(3 * area)):
        _draw_platelet(rng, density, size)
    for place in whites:
        _draw_white_cell(rng, density, mask, place, stain)
    return _photograph(rng, density), mask


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


@dataclass(frozen=True)
class _Place:
    """A cell's centre and radius in pixels."""

    y: float
    x: float
    radius: float


def _scatter(
    rng: np.random.Generator, size: tuple[int, int], radii: list[float], *, avoid: list[_Place]
) -> list[_Place]:
    """Random positions for cells of these radii, some half outside the image; they may overlap each other a little."""
    placed: list[_Place] = []
    for radius in radii:
        nearness = rng.choice([0.72, 0.95, 1.02], p=[0.15, 0.35, 0.5])
        for _ in range(20):
            y, x = rng.uniform(-0.5 * radius, np.array(size) + 0.5 * radius)
            clear_of_placed = all(_distance(y, x, p) > nearness * (radius + p.radius) for p in placed)
            if clear_of_placed and all(_distance(y, x, p) > 0.97 * (radius + p.radius) for p in avoid):
                placed.append(_Place(y, x, radius))
                break
    return placed


def _distance(y: float, x: float, place: _Place) -> float:
    return math.hypot(y - place.y, x - place.x)


def _window(place: _Place, size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of the image that a cell at `place` can touch; empty outside the image."""
    reach = 1.5 * place.radius + 3
    return (
        slice(max(0, int(place.y - reach)), max(0, min(size[0], int(place.y + reach)))),
        slice(max(0, int(place.x - reach)), max(0, min(size[1], int(place.x + reach)))),
    )


def _relative_radius(
    rng: np.random.Generator,
    window: tuple[slice, slice],
    place: _Place,
    *,
    squash: float,
    wobble: float,
) -> F64:
    """Distance of each pixel from the centre, relative to the outline of a wobbly, turned ellipse: 1 on the outline."""
    rows, columns = np.mgrid[window]
    turn = rng.uniform(0, np.pi)
    dy, dx = rows - place.y, columns - place.x
    along = dx * np.cos(turn) + dy * np.sin(turn)
    across = (dy * np.cos(turn) - dx * np.sin(turn)) / squash
    angle = np.arctan2(across, along)
    outline = 1 + sum(
        rng.normal(0, wobble / harmonic) * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
        for harmonic in range(2, 6)
    )
    relative: F64 = np.hypot(along, across) / (place.radius * np.sqrt(1 / squash) * outline)
    return relative


def _coverage(relative: F64, radius: float, softness: float = 1.2) -> F64:
    """1 inside, 0 outside, a ramp of `softness` pixels on the outline."""
    return np.clip((1 - relative) * radius / softness + 0.5, 0, 1)


def _draw_red_cell(
    rng: np.random.Generator, density: F64, mask: NDArray[np.uint8], place: _Place, stain: float
) -> None:
    window = _window(place, mask.shape[:2])
    relative = _relative_radius(rng, window, place, squash=rng.uniform(0.78, 1.0), wobble=0.035)
    squared = np.minimum(relative, 1) ** 2
    biconcave = np.sqrt(1 - squared) * (0.0518 + 0.5007 * squared - 0.2807 * squared**2) / 0.157
    pallor = rng.uniform(0.35, 0.85)
    thickness = _coverage(relative, place.radius) * (1 - pallor) + biconcave * pallor
    density[window] += stain * rng.uniform(0.8, 1.15) * thickness[..., None] * _HAEMOGLOBIN
    mask[window][relative <= 1] = _RED


def _draw_platelet(rng: np.random.Generator, density: F64, size: tuple[int, int]) -> None:
    y, x = rng.uniform(0, size)
    place = _Place(y, x, rng.uniform(2.0, 4.0))
    window = _window(place, size)
    relative = _relative_radius(rng, window, place, squash=rng.uniform(0.6, 1.0), wobble=0.1)
    density[window] += rng.uniform(0.6, 1.2) * _coverage(relative, place.radius, 2.0)[..., None] * _PLATELET


def _draw_white_cell(
    rng: np.random.Generator, density: F64, mask: NDArray[np.uint8], place: _Place, stain: float
) -> None:
    kind = _WHITE_KINDS[rng.choice(len(_WHITE_KINDS), p=[0.5, 0.1, 0.25, 0.15])]
    window = _window(place, mask.shape[:2])
    body = _relative_radius(rng, window, place, squash=rng.uniform(0.85, 1.0), wobble=0.03)
    nucleus = _nucleus(rng, window, place, kind)
    inside = body <= 1
    grain = rng.normal(0, kind.grain, body.shape)
    covered = _coverage(body, place.radius)[..., None]
    cytoplasm = (1 + grain + 0.25 * _smooth_noise(rng, body.shape, spacing=10))[..., None] * kind.cytoplasm
    # A white cell lies in front of the red cells that it touches and hides them.
    density[window] += covered * (stain * np.maximum(cytoplasm, 0) + _PLASMA - density[window])
    chromatin = 1 + 0.28 * _smooth_noise(rng, body.shape, spacing=5)
    share = _coverage(nucleus, 0.5 * place.radius, 1.6) * _coverage(body, place.radius)
    density[window] += (stain * rng.uniform(0.85, 1.1) * share * chromatin)[..., None] * _CHROMATIN
    mask[window][inside] = _CYTOPLASM
    mask[window][(nucleus <= 1) & inside] = _NUCLEUS


def _nucleus(rng: np.random.Generator, window: tuple[slice, slice], place: _Place, kind: _WhiteKind) -> F64:
    """As `_relative_radius`, for a nucleus: relative to the nearest of its lobes, which lie on an arc."""
    count = int(rng.integers(kind.lobes[0], kind.lobes[1] + 1))
    radius = kind.nucleus * place.radius
    orbit = (1 - kind.nucleus) * place.radius * (0.85 if count > 1 else 0.35)
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.uniform(1.15, 1.6, count)) * radius / orbit
    lobes = [
        _relative_radius(
            rng,
            window,
            _Place(
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


def _smooth_noise(rng: np.random.Generator, size: tuple[int, ...], *, spacing: int) -> F64:
    """Smooth noise: of unit variance at knots `spacing` pixels apart, interpolated between them."""
    height, width = size
    knots = rng.normal(0, 1, (height // spacing + 3, width // spacing + 3))
    smooth = Image.fromarray(knots.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float64)


def _photograph(rng: np.random.Generator, density: F64) -> NDArray[np.uint8]:
    """The image that a microscope takes: transmitted light, slight defocus, vignetting and sensor noise."""
    height, width, _ = density.shape
    light = _LAMP * rng.normal(1, 0.012, 3) * np.exp(-density)
    light = _blur(light, sigma=rng.uniform(0.5, 1.2))
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    rim = (rows - rng.normal(0, 0.2)) ** 2 + (columns - rng.normal(0, 0.2)) ** 2
    light *= (1 - rng.uniform(0.02, 0.10) * rim)[..., None]
    shot_noise = rng.uniform(0.10, 0.25) * np.sqrt(np.maximum(light, 0)) * rng.normal(0, 1, light.shape)
    return np.clip(np.rint(light + shot_noise + rng.normal(0, 1.2, light.shape)), 0, 255).astype(np.uint8)


def _blur(light: F64, sigma: float) -> F64:
    """Gaussian blur over height and width, the border repeated."""
    reach = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        padding = [(reach, reach) if axis == a else (0, 0) for a in range(3)]
        padded = np.pad(light, padding, mode="edge")
        light = sum(tap * np.take(padded, range(k, k + light.shape[axis]), axis=axis) for k, tap in enumerate(taps))
    return light
