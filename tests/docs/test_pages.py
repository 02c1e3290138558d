"""A page is read as a reader reads it: blocks, their commands, why they are not run, links; pictures can be drawn."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantseg.quantization.affine import Range, dequantize, params_from_range, quantize
from quantseg.quantization.qtypes import QTYPES
from tests.bench import gallery
from tests.docs.pages import ROOT, Block, blocks, links
from tests.docs.pictures import PICTURES, draw, rounded

PAGE = """# A [title](one.md)

```sh
quantseg quantize m.onnx \\
  --data calib/     # goes on
# a comment
quantseg inspect m.onnx
```

<!-- not run: needs a phone -->
```kotlin
val link = "[x](y.md)"
```

```console
$ quantseg demo
wrote it
```

<img src="two.png"> `[code](no.md)` ![alt](three.svg "title")
"""


def test_blocks_have_a_language_a_line_and_a_reason() -> None:
    assert [(one.language, one.line, one.reason) for one in blocks(PAGE)] == [
        ("sh", 4, None),
        ("kotlin", 12, "needs a phone"),
        ("console", 16, None),
    ]


def test_commands_are_what_is_typed() -> None:
    shell, _, console = blocks(PAGE)
    assert shell.commands == ["quantseg quantize m.onnx --data calib/     # goes on", "quantseg inspect m.onnx"]
    assert console.commands == ["quantseg demo"]


def test_a_reason_belongs_to_the_block_below_it_alone() -> None:
    text = "<!-- not run: why -->\nwords\n```sh\nls\n```\n"
    assert blocks(text) == [Block("sh", "ls\n", 4)]


def test_links_in_code_are_none() -> None:
    assert list(links(PAGE)) == ["one.md", "two.png", "three.svg"]


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_drawn_and_committed(name: str) -> None:
    assert ElementTree.fromstring(draw(name)).tag.endswith("svg")
    assert draw(name) == draw(name)
    assert (ROOT / f"docs/pictures/{name}.svg").is_file()


def test_the_picture_of_the_grid_rounds_as_the_package_does() -> None:
    low, high = -0.4, 2.4
    x = np.linspace(-1, 3, 500, dtype=np.float32)
    params = params_from_range(Range(low, high), QTYPES["uint8"])
    on_grid, scale, zero_point = rounded(x, low, high, 256)
    assert scale == pytest.approx(float(params.scale))
    assert zero_point == int(params.zero_point)
    assert np.allclose(on_grid, dequantize(quantize(x, params), params), atol=1e-5)


@pytest.mark.parametrize("file", sorted((ROOT / "docs/pictures/gallery").glob("*.png")), ids=lambda file: file.stem)
def test_the_gallery_shows_no_photograph_that_is_not_drawn(file: Path) -> None:
    if file.stem == gallery.DEMO:
        pytest.skip("drawn, not photographed")
    pixels = np.asarray(Image.open(file).convert("RGB"))
    width = (pixels.shape[1] + gallery.GAP) // 3 - gallery.GAP
    behind_what_differs = pixels[gallery.TITLE :, -width:].reshape(-1, 3)
    assert len(np.unique(behind_what_differs, axis=0)) <= 2
