"""The app's icon: two overlapping discs, as masks are, in colours of the model's classes; as SVG and as PNG."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

SIZES = (192, 512)
_SIDE = 64
_DISCS = ((26, 27, 15), (40, 37, 13))
"""(x, y, radius) of each disc on a square of side _SIDE; all lie within the part that every system's icon shows."""
_BACK = "#12333a"
_PLAIN = ("#56b4e9", "#f0e442")
_FINER = 4


def svg(colours: Sequence[str]) -> str:
    """The icon as SVG. colours: of the classes, as #rrggbb."""
    discs = "".join(
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{colour}" fill-opacity="0.9"/>'
        for (x, y, radius), colour in zip(_DISCS, _two(colours), strict=True)
    )
    square = f'<rect width="{_SIDE}" height="{_SIDE}" fill="{_BACK}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIDE} {_SIDE}">{square}{discs}</svg>\n'


def png(colours: Sequence[str], side: int) -> bytes:
    """The icon as PNG, `side` pixels wide and high."""
    factor = side * _FINER / _SIDE
    image = Image.new("RGB", (side * _FINER, side * _FINER), _BACK)
    for (x, y, radius), colour in zip(_DISCS, _two(colours), strict=True):
        layer = image.copy()
        box = [factor * edge for edge in (x - radius, y - radius, x + radius, y + radius)]
        ImageDraw.Draw(layer).ellipse(box, fill=colour)
        image = Image.blend(image, layer, 0.9)
    few = image.resize((side, side), Image.Resampling.BOX).quantize(64)
    target = io.BytesIO()
    few.save(target, "PNG", optimize=True)
    return target.getvalue()


def _two(colours: Sequence[str]) -> tuple[str, str]:
    """The last class's colours: the first is often the background."""
    last = tuple(colours[1:][-2:])
    return (last[0], last[1]) if len(last) == 2 else _PLAIN
