"""Laws of images: channels that are put in places are found there again, and the places between are never read."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from quantseg.quantization.formats.channels_last.movement import concat_places
from quantseg.quantization.formats.slots import (
    AXES,
    LAST,
    PADDING,
    SlotTensor,
    can_be_image,
    compact,
    count_of,
    filled,
    is_image,
    spread,
)
from tests.support.quantised import Array

SMALL = st.integers(-128, 127)


def value(*shape: int | str | None) -> ir.Value:
    sizes = [size if isinstance(size, int) else ir.SymbolicDim(size) for size in shape]
    return ir.Value(name="v", shape=ir.Shape(sizes), type=ir.TensorType(ir.DataType.FLOAT))


@st.composite
def orders(draw: st.DrawFn, least: int = 1) -> tuple[int, ...]:
    """Channels in any order, with unused places between."""
    count, unused = draw(st.integers(least, 12)), draw(st.integers(0, 6))
    return tuple(draw(st.permutations([*range(count), *[PADDING] * unused])))


@st.composite
def placed(draw: st.DrawFn) -> tuple[Array, tuple[int, ...], int]:
    """An array, places for the channels on one of its axes, and that axis, from the front or from behind."""
    channels = draw(orders())
    shape = list(draw(array_shapes(min_dims=1, max_dims=4, max_side=4)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    shape[axis] = max(channels) + 1
    return draw(arrays(np.int8, tuple(shape), elements=SMALL)), channels, axis


@given(placed(), SMALL)
def test_what_is_spread_is_found_in_its_places(drawn: tuple[Array, tuple[int, ...], int], fill: int) -> None:
    array, channels, axis = drawn
    made = spread(array, channels, axis, fill)
    np.testing.assert_array_equal(np.take(made, SlotTensor(value(), channels).places, axis), array)
    unused = np.take(made, [place for place, channel in enumerate(channels) if channel == PADDING], axis)
    assert (unused == fill).all()


@given(placed(), SMALL)
def test_spreading_keeps_the_type_and_the_other_axes(drawn: tuple[Array, tuple[int, ...], int], fill: int) -> None:
    array, channels, axis = drawn
    made = spread(array, channels, axis, fill)
    expected = list(array.shape)
    expected[axis] = len(channels)
    assert (made.dtype, made.shape, made.flags.c_contiguous) == (array.dtype, tuple(expected), True)


@given(placed())
def test_spreading_over_all_channels_in_order_changes_nothing(drawn: tuple[Array, tuple[int, ...], int]) -> None:
    array, _, axis = drawn
    np.testing.assert_array_equal(spread(array, range(array.shape[axis]), axis, 0), array)


@given(orders(), st.integers(0, 2**16))
def test_a_weight_that_is_spread_like_a_image_gives_the_same_sums(channels: tuple[int, ...], seed: int) -> None:
    """Whatever stands in the unused places, a weight of zero multiplies it."""
    random = np.random.default_rng(seed)
    pixels, weight = random.integers(-9, 9, (2, 5, max(channels) + 1))
    anything = random.integers(-9, 9)
    sums = spread(pixels, channels, 1, int(anything)) @ spread(weight, channels, 1, 0).T
    np.testing.assert_array_equal(sums, pixels @ weight.T)


@given(st.integers(1, 100), st.integers(1, 32))
def test_filling_up_adds_the_fewest_places(count: int, multiple: int) -> None:
    channels = filled(count, multiple)
    assert channels[:count] == tuple(range(count))
    assert set(channels[count:]) <= {PADDING}
    assert len(channels) % multiple == 0
    assert 0 <= len(channels) - count < multiple


@pytest.mark.slow
@given(orders())
def test_places_and_channels_are_each_other_the_other_way_round(channels: tuple[int, ...]) -> None:
    image = SlotTensor(value(), channels)
    assert [channels[place] for place in image.places] == list(range(len(image.places)))
    assert len(image.places) == len(channels) - channels.count(PADDING)


@given(orders())
def test_a_image_is_compact_where_its_places_are_its_channels(channels: tuple[int, ...]) -> None:
    image = SlotTensor(value(), channels)
    assert image.is_compact == (list(image.places) == list(range(len(channels))))
    assert compact(image.value, len(channels)).is_compact


@given(orders())
def test_other_integers_stand_in_the_same_places(channels: tuple[int, ...]) -> None:
    other = value()
    assert SlotTensor(value(), channels).with_value(other) == SlotTensor(other, channels)


@given(st.lists(orders(), min_size=1, max_size=4), st.integers(0, 2**16))
def test_joined_images_hold_their_channels_one_after_the_other(parts: list[tuple[int, ...]], seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays = [random.integers(0, 256, (3, max(channels) + 1)) for channels in parts]
    joined = np.concatenate([spread(a, channels, 1, 0) for a, channels in zip(arrays, parts, strict=True)], axis=1)
    places = SlotTensor(value(), concat_places([SlotTensor(value(), channels) for channels in parts])).places
    np.testing.assert_array_equal(joined[:, places], np.concatenate(arrays, axis=1))


@given(orders(), orders(), orders())
def test_joining_is_associative(a: tuple[int, ...], b: tuple[int, ...], c: tuple[int, ...]) -> None:
    def join(*parts: tuple[int, ...]) -> tuple[int, ...]:
        return concat_places([SlotTensor(value(), channels) for channels in parts])

    assert join(join(a, b), c) == join(a, join(b, c)) == join(a, b, c)


@given(arrays(np.int8, array_shapes(min_dims=4, max_dims=4, max_side=3)), st.integers(-4, 3))
def test_axes_are_those_of_the_transposed_array(array: Array, axis: int) -> None:
    flipped = np.flip(array.transpose(0, 2, 3, 1), AXES[axis])
    np.testing.assert_array_equal(flipped, np.flip(array, axis).transpose(0, 2, 3, 1))
    assert AXES[1] == LAST


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 3, 4, 4), True),
        (("n", 3, "h", None), True),
        ((1, "c", 4, 4), False),
        ((1, None, 4, 4), False),
        ((3, 4, 4), False),
        ((1, 3, 4, 4, 4), False),
    ],
)
def test_a_image_has_four_axes_and_a_known_number_of_channels(
    shape: tuple[int | str | None, ...], expected: bool
) -> None:
    assert is_image(value(*shape)) is can_be_image(value(*shape)) is expected
    assert not expected or count_of(value(*shape)) == shape[1]


def test_what_has_no_shape_is_no_image() -> None:
    assert not is_image(None)
    assert not can_be_image(None)
    assert not is_image(ir.Value(name="v"))


@pytest.mark.parametrize(("axes", "expected"), [(0, True), (1, True), (3, True), (4, True), (5, False)])
def test_a_constant_of_up_to_four_axes_can_be_one(axes: int, expected: bool) -> None:
    constant = ir.Value(name="k", const_value=ir.Tensor(np.ones((2,) * axes, np.float32)))
    assert can_be_image(constant) is expected
