"""What a microscope makes of drawn cells: smooth stains, transmitted light, defocus, vignetting and sensor noise."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

F64 = NDArray[np.float64]
_LAMP = np.array([246.0, 241.0, 238.0])


def smooth_noise(rng: np.random.Generator, size: tuple[int, ...], *, spacing: int) -> F64:
    """Smooth noise: of unit variance at knots `spacing` pixels apart, interpolated between them."""
    height, width = size
    knots = rng.normal(0, 1, (height // spacing + 3, width // spacing + 3))
    smooth = Image.fromarray(knots.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float64)


def photograph(rng: np.random.Generator, density: F64) -> NDArray[np.uint8]:
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
