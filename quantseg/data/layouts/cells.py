"""Layout `cells`: synthetic blood smears, drawn on demand, without files.

`cells:64` is images 0 to 63 of 192x192, `cells:64@256x320#1000` is 1000 to 1063 of 256x320 (height x width);
image k is `cell_image(k)`, with the instances `cell_instances(k)`.
"""

import functools
import hashlib
import re
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from quantseg.data.drawn_cells import CLASSES, INSTANCE_CLASSES, Drawing, draw
from quantseg.data.instances import Instances
from quantseg.data.layouts.layout import Layout
from quantseg.data.place import Place
from quantseg.data.samples import Samples
from quantseg.errors import DataError

MAX_COUNT, MAX_SIDE, MAX_NUMBER = 1_000_000, 4096, 1 << 32
_PLACE = re.compile("([0-9]{1,9})(?:@([0-9]{1,9})x([0-9]{1,9}))?")
_FIRST = re.compile("[0-9]{1,12}")


@dataclass(frozen=True)
class CellSample:
    """The drawn image of seed `number` and size (height, width). masked: whether it has a mask."""

    number: int
    size: tuple[int, int]
    masked: bool

    @property
    def name(self) -> str:
        """The number in ten digits, so that names sort by number."""
        return f"{self.number:010d}"

    @property
    def mask_place(self) -> str | None:
        """The image's name; None without a mask."""
        return f"cells {self.name}" if self.masked else None

    def image(self) -> Image.Image:
        """The image, RGB."""
        return Image.fromarray(_drawn(self.number, self.size).image)

    def mask(self) -> NDArray[Any]:
        """Indices into CLASSES."""
        return _drawn(self.number, self.size).mask

    def instances(self, extent: tuple[int, int], size: tuple[int, int]) -> Instances:
        """See InstanceSample; which cells are instances, see `Drawing.instances`."""
        return _drawn(self.number, self.size).instances(size)

    def image_digest(self) -> str:
        """SHA-256 of the pixels."""
        return hashlib.sha256(_drawn(self.number, self.size).image.tobytes()).hexdigest()

    def mask_digest(self) -> str:
        """SHA-256 of the ids."""
        return hashlib.sha256(_drawn(self.number, self.size).mask.tobytes()).hexdigest()


def draw_cells(place: Place, split: str | None, masks: bool) -> Samples:
    """COUNT[@HEIGHTxWIDTH] images; the split is the number of the first. Raises DataError."""
    match, first = _PLACE.fullmatch(str(place)), _FIRST.fullmatch(split or "0")
    if match is None or first is None:
        raise DataError(f"cells:{place}: gives no count of images; write cells:COUNT[@HEIGHTxWIDTH][#FIRST]")
    count, height, width = (int(group or 192) for group in match.groups())
    start = int(first.group())
    if not 1 <= count <= MAX_COUNT or min(height, width) < 1 or max(height, width) > MAX_SIDE:
        raise DataError(f"cells:{place}: out of bounds; at most {MAX_COUNT:,} images, {MAX_SIDE} pixels a side")
    if start + count > MAX_NUMBER:
        raise DataError(f"cells:{place}#{start}: numbers end at {MAX_NUMBER:,}; start lower")
    rows = tuple(CellSample(start + index, (height, width), masks) for index in range(count))
    return Samples(rows, CLASSES, instance_classes=INSTANCE_CLASSES)


@functools.lru_cache(maxsize=2)
def _drawn(number: int, size: tuple[int, int]) -> Drawing:
    """The drawing, cached because image and mask are asked for one after the other; callers must not modify it."""
    drawing = draw(number, size)
    for pixels in (drawing.image, drawing.mask, drawing.owners):
        pixels.setflags(write=False)
    return drawing


CELLS = Layout(tree="no folder: drawn, as in cells:64@192x192#1000", find=draw_cells, on_disk=False)
