"""Where drawn cells lie, and their outlines: wobbly ellipses."""

import math
from dataclasses import dataclass

import numpy as np

from quantseg.data.drawn_light import F64


@dataclass(frozen=True)
class Spot:
    """A cell's centre and radius in pixels."""

    y: float
    x: float
    radius: float


def scatter(rng: np.random.Generator, size: tuple[int, int], radii: list[float], *, avoid: list[Spot]) -> list[Spot]:
    """Random positions for cells of these radii, some half outside the image; they may overlap each other a little."""
    placed: list[Spot] = []
    for radius in radii:
        nearness = rng.choice([0.72, 0.95, 1.02], p=[0.15, 0.35, 0.5])
        for _ in range(20):
            y, x = rng.uniform(-0.5 * radius, np.array(size) + 0.5 * radius)
            clear_of_placed = all(_distance(y, x, p) > nearness * (radius + p.radius) for p in placed)
            if clear_of_placed and all(_distance(y, x, p) > 0.97 * (radius + p.radius) for p in avoid):
                placed.append(Spot(y, x, radius))
                break
    return placed


def _distance(y: float, x: float, place: Spot) -> float:
    return math.hypot(y - place.y, x - place.x)


def window_of(place: Spot, size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of the image that a cell at `place` can touch; empty outside the image."""
    reach = 1.5 * place.radius + 3
    return (
        slice(max(0, int(place.y - reach)), max(0, min(size[0], int(place.y + reach)))),
        slice(max(0, int(place.x - reach)), max(0, min(size[1], int(place.x + reach)))),
    )


def relative_radius(
    rng: np.random.Generator,
    window: tuple[slice, slice],
    place: Spot,
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


def coverage(relative: F64, radius: float, softness: float = 1.2) -> F64:
    """1 inside, 0 outside, a ramp of `softness` pixels on the outline."""
    return np.clip((1 - relative) * radius / softness + 0.5, 0, 1)
