"""Arrays that are model inputs as they stand."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from hypothesis.extra.numpy import arrays as drawn

from quantseg.data import open_dataset
from quantseg.data.npy_format import Header, read_elements, read_header
from quantseg.errors import DataError
from quantseg.files import limits
from tests.support.data_files import SIZE, recipe_for, save, spec

RIGHT = np.random.default_rng(0).random((1, 3, *SIZE), np.float32)


def load(folder, *, inputs=None, index=0):
    inputs = inputs or spec()
    return open_dataset(folder, recipe_for(inputs), inputs=inputs).load(index)


def test_arrays_are_fed_unchanged(tmp_path):
    strange = RIGHT.copy()
    strange[0, 0, 0, :2] = np.nan, np.inf
    np.save(tmp_path / "a.npy", strange)
    np.save(tmp_path / "b.npy", np.asfortranarray(strange))
    np.savez(tmp_path / "c.npz", whatever=strange)
    np.savez_compressed(tmp_path / "d.npz", other=strange[:, :1], x=strange)
    for index in range(4):
        item = load(tmp_path, index=index)
        assert item.image is None
        np.testing.assert_array_equal(item.tensor, strange)


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8"])
def test_the_model_decides_the_number_type(dtype, tmp_path):
    np.save(tmp_path / "a.npy", RIGHT.astype(dtype))
    assert load(tmp_path, inputs=spec(dtype=dtype)).tensor.dtype == dtype


def test_a_dynamic_batch_takes_any_batch(tmp_path):
    np.save(tmp_path / "a.npy", np.repeat(RIGHT, 5, axis=0))
    assert load(tmp_path, inputs=spec(batch=None)).tensor.shape == (5, 3, *SIZE)


def test_channels_that_no_image_has_are_for_arrays_alone(tmp_path):
    inputs = spec(channels=5)
    np.save(tmp_path / "a.npy", np.zeros((1, 5, *SIZE), np.float32))
    assert load(tmp_path, inputs=inputs).tensor.shape == (1, 5, *SIZE)
    (tmp_path / "a.npy").unlink()
    save(tmp_path / "a.png", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(DataError, match=r"give \.npy arrays"):
        load(tmp_path, inputs=inputs)


def test_masks_belong_to_one_input_each_and_have_its_size(tmp_path):
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / "a.npy"
    save(tmp_path / "masks" / "a.png", np.ones(SIZE, np.uint8))
    np.save(path, RIGHT.transpose(0, 2, 3, 1))
    assert load(tmp_path, inputs=spec(layout="NHWC")).mask.shape == SIZE
    np.save(path, np.repeat(RIGHT, 2, axis=0))
    with pytest.raises(DataError, match="batch of 2 for one mask"):
        load(tmp_path, inputs=spec(batch=None))
    np.save(path, RIGHT)
    save(tmp_path / "masks" / "a.png", np.ones((3, 3), np.uint8))
    with pytest.raises(DataError, match=r"mask of 3x3 for a\.npy of 6x8"):
        load(tmp_path)


class Trap:
    """Unpickling this would raise."""

    def __reduce__(self):
        return (eval, ("1/0",))


def npy_bytes(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def header_only(shape):
    """An .npy file that promises `shape` and holds nothing."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def header_text(text):
    """An .npy file with this header, and nothing behind it."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin-1")


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (npy_bytes(RIGHT.transpose(0, 2, 3, 1)), "6 channels at axis 1, input 'x' float32 1x3x6x8 takes 3"),
        (npy_bytes(RIGHT[:, :1]), "1 channels"),
        (npy_bytes(RIGHT[0]), "batch axis"),
        (npy_bytes(np.float32(1)), "shape scalar"),
        (npy_bytes(RIGHT[..., :4]), "1x3x6x4 does not fit"),
        (npy_bytes(np.repeat(RIGHT, 2, axis=0)), "2x3x6x8 does not fit"),
        (npy_bytes(RIGHT.astype(np.float64)), ".astype('float32')"),
        (npy_bytes(RIGHT.astype(">f4").astype(np.int32)), "int32 values"),
        (npy_bytes(RIGHT.astype(complex)), "complex128 values, not numbers"),
        (npy_bytes(np.array([Trap()], object), allow_pickle=True), "object values"),
        (npy_bytes(RIGHT)[:-10], "not an array that numpy can read"),
        (npy_bytes(RIGHT)[:20], "not an array that numpy can read"),
        (b"", "not an array that numpy can read"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 70_000, "not an array that numpy can read"),
        (b"\x93NUMPY\x09\x00", "not an array that numpy can read"),
        (pickle.dumps(1), "not an array that numpy can read"),
        (header_only((1, 3, 10**9, 10**9)), "numbers, more than"),
        (header_only((10**30,)), "numbers, more than"),
        (header_only((1, 3, -6, 8)), "states shape (1, 3, -6, 8)"),
        (header_text("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 3, 6, 8), }"), "a plain array"),
        (header_text("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 6, 8), 'more': 1, }"), "a plain array"),
        (header_text("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"), "a plain array"),
        (header_text("{'descr': '<f4', 'fortran_order': False, }"), "a plain array"),
        (header_text("{'descr': 'z9', 'fortran_order': False, 'shape': (1,), }"), "a plain array"),
        (header_text("{'descr': '|U2', 'fortran_order': False, 'shape': (1,), }"), "<U2 values, not numbers"),
        (header_text("'" + "(" * 500), "a plain array"),
        (header_text("{" + "[" * 500), "a plain array"),
    ],
)
def test_a_wrong_array_is_one_line_that_names_the_file(content, fact, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert "a.npy" in str(caught.value)
    assert fact in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_batch_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", RIGHT[:0])
    with pytest.raises(DataError, match="0x3x6x8"):
        load(tmp_path, inputs=spec(batch=None))


def zipped(members, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (zipped({"a.npy": npy_bytes(RIGHT), "b.npy": npy_bytes(RIGHT)}), "none named 'x'"),
        (zipped({}), "0 arrays"),
        (zipped({"x.npy": npy_bytes(RIGHT)[:-1]}), "not an array"),
        (zipped({"x.npy": header_only((1, 3, 10**9, 10**9))}), "numbers, more than"),
        (zipped({"x.npy": npy_bytes(np.array([Trap()], object), allow_pickle=True)}), "object values"),
        (zipped({"x.npy": npy_bytes(RIGHT)})[:-30], "not an array"),
        (zipped({"x.npy": npy_bytes(RIGHT)}).replace(RIGHT.tobytes()[:8], b"changed!"), "not an array"),
        (b"PK", "not an array"),
        (zipped({"x.npy": npy_bytes(RIGHT)}, zipfile.ZIP_LZMA), "packed by method 14"),
        (zipped({"x.npy": npy_bytes(RIGHT)}, zipfile.ZIP_BZIP2), "packed by method 12"),
        (
            zipped({"x.npy": npy_bytes(RIGHT)}).replace(b"PK\1\2\x14\x03\x14\0\0", b"PK\1\2\x14\x03\x14\0\1"),
            "encrypted",
        ),
        (zipped({"x.npy": npy_bytes(RIGHT)}).replace(b"PK\1\2\x14\x03\x14", b"PK\1\2\x14\x03\xff"), "not an array"),
    ],
)
def test_a_wrong_archive_is_one_line_that_names_the_file(content, fact, tmp_path):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert "a.npz" in str(caught.value)
    assert fact in str(caught.value)
    assert "\n" not in str(caught.value)


def with_header(text):
    """An .npy file of zeros with this header."""
    header = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(RIGHT.nbytes)


@pytest.mark.parametrize("shape", ["(True, 3, 6, 8)", "(1, 3, 6, 8.0)", "(1, 3, 6, '8')", "((1, 3), 6, 8)", "None"])
def test_sizes_that_are_no_whole_numbers_are_one_line(shape, tmp_path):
    content = with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}")
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy: not an array that numpy can read"):
        load(tmp_path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_file_that_is_shorter_than_its_header_says_is_refused_before_memory_is_taken(suffix, tmp_path, monkeypatch):
    inputs = spec(size=(4096, 4096))
    content = header_only((1, 3, 4096, 4096))
    (tmp_path / f"a{suffix}").write_bytes(content if suffix == ".npy" else zipped({"x.npy": content}))
    monkeypatch.setattr(np.lib.format, "read_array", lambda *of, **how: pytest.fail("memory was taken"))
    with pytest.raises(DataError, match="it is cut short"):
        load(tmp_path, inputs=inputs)


def test_an_archive_with_a_long_list_of_contents_is_refused_before_it_is_read(tmp_path, monkeypatch):
    content = zipped({"x.npy": npy_bytes(RIGHT), **{f"{k}.txt": b"" for k in range(200)}})
    (tmp_path / "a.npz").write_bytes(content)
    size = content.rindex(b"PK\5\6") - content.index(b"PK\1\2")
    monkeypatch.setattr(limits, "ARCHIVE_DIRECTORY", size)
    np.testing.assert_array_equal(load(tmp_path).tensor, RIGHT)
    monkeypatch.setattr(limits, "ARCHIVE_DIRECTORY", size - 1)
    monkeypatch.setattr(zipfile, "ZipInfo", lambda *of, **how: pytest.fail("it was read"))
    with pytest.raises(DataError, match=r"a\.npz: .*list of contents has more than"):
        load(tmp_path)


def test_the_bound_on_numbers_holds_for_right_shapes_too(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", RIGHT)
    monkeypatch.setattr(limits, "ARRAY_ITEMS", RIGHT.size - 1)
    with pytest.raises(DataError, match="144 numbers, more than 143"):
        load(tmp_path)


kinds = st.sampled_from(["<f4", ">f4", "<f2", "<f8", "|b1", "|u1", "<i8", ">i2"])


@given(kinds.flatmap(lambda kind: drawn(kind, array_shapes(min_dims=0, max_dims=4, min_side=0))), st.booleans())
def test_what_numpy_writes_is_what_is_read(array, fortran):
    stream = io.BytesIO()
    np.save(stream, np.asfortranarray(array) if fortran and array.ndim else array)
    stream.seek(0)
    read = read_elements(stream, read_header(stream))
    assert (read.shape, read.dtype) == (array.shape, array.dtype.newbyteorder("="))
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    "text",
    [
        """{"shape":(2,3),"fortran_order":False,"descr":"<f4"}""",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }          \n",
        "{ 'fortran_order' : False , 'shape' : (2, 3,) , 'descr' : '<f4' }",
    ],
)
def test_headers_that_other_programs_write_are_read(text):
    assert read_header(io.BytesIO(header_text(text))) == Header((2, 3), False, np.dtype("<f4"))


def test_a_bool_of_another_byte_is_true():
    stream = io.BytesIO(npy_bytes(np.array([True, False]))[:-2] + b"\x02\x00")
    assert read_elements(stream, read_header(stream)).astype(np.int64).tolist() == [1, 0]
