"""Reading and preprocessing images; the oracle is the formula in float64 and Pillow's own resize."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from quantseg.data.images import IMAGE_SUFFIXES, read_image
from quantseg.data.preprocess import resize, shown, to_tensor
from quantseg.data.recipe import InputRecipe
from quantseg.errors import DataError
from quantseg.files import limits
from tests.support.data_files import image as drawn
from tests.support.data_files import recipe_for, save, spec

LOSSY = {".jpg", ".jpeg"}


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_every_format_is_read(suffix, tmp_path):
    smooth = np.linspace(0, 255, 6 * 8 * 3).reshape(6, 8, 3).astype(np.uint8)
    options = {"lossless": True} if suffix == ".webp" else {}
    read = np.asarray(read_image(save(tmp_path / f"a{suffix}", smooth, **options)), int)
    assert np.abs(read - smooth).max() <= (40 if suffix in LOSSY else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation, tmp_path):
    pixels = drawn()
    # What a camera stores so that turning it as the tag says shows `pixels`.
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, 1),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", np.ascontiguousarray(stored), exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(path)), pixels)


def test_sixteen_bit_grey_comes_to_255(tmp_path):
    deep = np.array([[0, 257, 1000], [32768, 65534, 65535]], np.uint16)
    for suffix in (".png", ".tif"):
        read = read_image(save(tmp_path / f"a{suffix}", deep))
        assert read.mode == "F"
        np.testing.assert_allclose(np.asarray(read), deep / 257, rtol=1e-6)


def test_big_endian_sixteen_bit_tif_is_the_same_image(tmp_path):
    # Written by hand: Pillow writes little-endian only. Header, 2x1 pixels, eight tags.
    pixels = struct.pack(">2H", 257, 65535)
    tags = [(256, 2), (257, 1), (258, 16), (259, 1), (262, 1), (273, 8), (278, 1), (279, 4)]
    directory = struct.pack(">H", len(tags))
    directory += b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    path = tmp_path / "a.tif"
    path.write_bytes(b"MM\0*" + struct.pack(">I", 12) + pixels + directory + struct.pack(">I", 0))
    np.testing.assert_allclose(np.asarray(read_image(path)), [[1, 255]])


def test_alpha_is_dropped_and_palettes_are_looked_up(tmp_path):
    rgba = np.dstack([drawn(), np.random.default_rng(1).integers(0, 256, (6, 8), np.uint8)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", rgba)), rgba[..., :3])
    palette = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8))
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    palette.save(tmp_path / "p.png", transparency=b"\0\x80\xff")
    assert np.asarray(read_image(tmp_path / "p.png")).tolist() == [
        [[10, 20, 30], [40, 50, 60]],
        [[70, 80, 90], [10, 20, 30]],
    ]


def test_other_modes_become_colour_or_grey(tmp_path):
    Image.new("CMYK", (4, 4), (0, 255, 0, 0)).save(tmp_path / "c.jpg", quality=95)
    assert read_image(tmp_path / "c.jpg").mode == "RGB"
    Image.new("1", (4, 4), 1).save(tmp_path / "b.png")
    assert np.asarray(read_image(tmp_path / "b.png")).tolist() == [[255] * 4] * 4
    Image.new("LA", (4, 4), (7, 0)).save(tmp_path / "l.png")
    assert np.asarray(read_image(tmp_path / "l.png")).tolist() == [[7] * 4] * 4


def cut_short(path):
    save(path, drawn(size=(64, 64)))
    path.write_bytes(path.read_bytes()[:-3000])


def not_a_image(path):
    path.write_bytes(b"<html>404</html>")


def empty(path):
    path.touch()


def no_file(path):
    pass


def a_folder(path):
    path.mkdir()


def a_bomb(path):
    """A PNG of a few bytes whose header promises 10^10 pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def several_pages(path):
    pages = [Image.fromarray(drawn(seed)) for seed in range(3)]
    pages[0].save(path, format="TIFF", save_all=True, append_images=pages[1:])


def floats(path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(path, format="TIFF")


def as_program(path):
    """PostScript, which Pillow gives to Ghostscript to run."""
    Image.fromarray(drawn()).save(path, format="EPS")


@pytest.mark.parametrize(
    ("make", "fact"),
    [
        (as_program, "Pillow"),
        (cut_short, "Pillow"),
        (not_a_image, "Pillow"),
        (empty, "Pillow"),
        (no_file, "Pillow"),
        (a_folder, "Pillow"),
        (a_bomb, "pixels"),
        (several_pages, "3 images"),
        (floats, "32-bit"),
    ],
)
def test_what_is_no_image_is_one_line_that_names_the_file(make, fact, tmp_path):
    path = tmp_path / "a.png"
    make(path)
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert "a.png" in str(caught.value)
    assert fact in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_bound_on_pixels_holds_before_decoding(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", drawn())
    monkeypatch.setattr(limits, "IMAGE_PIXELS", 47)
    with pytest.raises(DataError, match="8x6 is more than 47"):
        read_image(path)
    monkeypatch.setattr(limits, "IMAGE_PIXELS", 48)
    assert read_image(path).size == (8, 6)


@given(
    seed=st.integers(0, 99),
    channels=st.sampled_from(["RGB", "BGR", "GRAY"]),
    layout=st.sampled_from(["NCHW", "NHWC"]),
    scale=st.sampled_from([1 / 255, 1 / 127.5, 1.0]),
    mean=st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    std=st.lists(st.floats(0.1, 4), min_size=3, max_size=3),
    dtype=st.sampled_from(["float32", "float64", "float16"]),
)
def test_the_tensor_is_the_formula_of_the_recipe(seed, channels, layout, scale, mean, std, dtype):
    pixels = drawn(seed)
    count = 1 if channels == "GRAY" else 3
    mean, std = tuple(mean[:count]), tuple(std[:count])
    recipe = InputRecipe((6, 8), layout, channels, scale, mean, std)
    tensor = to_tensor(Image.fromarray(pixels), recipe, dtype)
    planes = {"RGB": [0, 1, 2], "BGR": [2, 1, 0]}.get(channels)
    chosen = pixels[..., planes] if planes else np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    expected = (chosen.astype(np.float64) * scale - mean) / std
    found = tensor[0] if layout == "NHWC" else tensor[0].transpose(1, 2, 0)
    assert tensor.dtype == dtype
    assert tensor.flags.c_contiguous
    tolerance = 2e-3 if dtype == "float16" else 2e-6
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * (255 * scale + 2) / min(std))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_an_integer_model_gets_the_pixels_themselves(layout):
    inputs = spec(layout=layout, dtype="uint8")
    recipe = recipe_for(inputs)
    tensor = to_tensor(Image.fromarray(drawn()), recipe.input, "uint8")
    assert tensor.dtype == np.uint8
    np.testing.assert_array_equal(tensor[0] if layout == "NHWC" else tensor[0].transpose(1, 2, 0), drawn())


def test_grey_feeds_a_colour_model_with_equal_channels_and_is_shown_as_grey():
    grey = drawn()[..., 0]
    for image in (Image.fromarray(grey), Image.fromarray(grey.astype(np.float32))):
        tensor = to_tensor(image, InputRecipe((6, 8), "NHWC", "RGB", scale=1.0), "float32")
        np.testing.assert_array_equal(tensor[0], np.repeat(grey[..., None], 3, axis=2))
        np.testing.assert_array_equal(shown(image), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos", "box"])
def test_resizing_is_pillows(name):
    image = Image.fromarray(drawn(size=(31, 17)))
    expected = image.resize((8, 6), getattr(Image.Resampling, name.upper()))
    np.testing.assert_array_equal(resize(image, (6, 8), name), expected)
    assert resize(image, (31, 17), name) is image
