"""Streets drawn from a seed, with masks of CamVid's eleven classes: images for models that were trained on roads."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = (
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
)
SIZE = (240, 320)
_COLOURS = np.array(
    [
        (186, 204, 226),
        (122, 98, 84),
        (92, 92, 90),
        (84, 84, 90),
        (142, 134, 126),
        (62, 84, 48),
        (184, 52, 44),
        (112, 92, 64),
        (52, 60, 108),
        (96, 60, 66),
        (72, 104, 112),
    ],
    np.float64,
)


def street(seed: int, size: tuple[int, int] = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image (H, W, 3) in RGB and its mask (H, W) of indices into CLASSES. Equal seeds give equal bytes."""
    rng = np.random.Generator(np.random.PCG64(seed))
    mask = _mask(rng, size)
    tint = rng.normal(0, 14, _COLOURS.shape)
    light = (_COLOURS + tint)[mask]
    blocks = rng.normal(0, 12, (-(-size[0] // 6), -(-size[1] // 6), 1))
    light += blocks.repeat(6, axis=0).repeat(6, axis=1)[: size[0], : size[1]]
    light *= np.linspace(rng.uniform(0.8, 1.1), rng.uniform(0.8, 1.1), size[1])[:, None]
    light += rng.normal(0, 5, light.shape)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8), mask


def write_streets(folder: Path, count: int, *, seed: int = 0) -> None:
    """Writes images/NNNN.png and masks/NNNN.png; image k is `street(seed + k)`."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for index in range(count):
        for part, pixels in zip(("images", "masks"), street(seed + index), strict=True):
            Image.fromarray(pixels).save(folder / part / f"{index:04d}.png")


def _mask(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Sky and houses above a horizon, a road that narrows towards it, and what stands along it."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    mask = np.zeros(size, np.uint8)
    horizon, middle = int(height * rng.uniform(0.4, 0.55)), width * rng.uniform(0.35, 0.65)
    left = 0
    while left < width:
        right = left + int(rng.integers(width // 12, width // 4))
        mask[int(horizon * rng.uniform(0.1, 0.8)) : horizon, left:right] = CLASSES.index("Building")
        left = right
    below = rows >= horizon
    away = np.abs(columns - middle)
    reach = width * (0.04 + rng.uniform(0.5, 0.9) * (rows - horizon) / height)
    mask[below] = CLASSES.index("Pavement")
    mask[below & (away < reach)] = CLASSES.index("Road")
    for name, count, tall, wide in (
        ("Fence", 2, 0.08, 0.25),
        ("Tree", 3, 0.35, 0.18),
        ("Pole", 4, 0.5, 0.012),
        ("SignSymbol", 2, 0.07, 0.05),
        ("Car", 3, 0.12, 0.17),
        ("Pedestrian", 3, 0.18, 0.04),
        ("Bicyclist", 2, 0.15, 0.06),
    ):
        for _ in range(count):
            bottom = horizon + height * rng.uniform(0.02, 0.3)
            nearness = rng.uniform(0.6, 1.3)
            y, x = bottom - height * tall * nearness / 2, rng.uniform(0, width)
            dy, dx = np.abs(rows - y) * 2 / (height * tall), np.abs(columns - x) * 2 / (width * wide)
            round_ = np.hypot(dy, dx) if name in ("Tree", "Pedestrian") else np.maximum(dy, dx)
            mask[round_ < nearness] = CLASSES.index(name)
    return mask
