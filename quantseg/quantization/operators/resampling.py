"""Resize in its modes, and how its linear mode becomes integer arithmetic, axis by axis.

Output pixel i is at position p = f + t of the input, f = ⌊p⌋, and is (1 − t)·x[f] + t·x[f + 1]. For an integer factor s
without aligned corners, t repeats every s pixels: each of the s phases is one weighted sum of all pixels and their
neighbours. Any other axis is a product with a weight matrix. Pixels outside the input repeat its border.
Source: ONNX's operator documentation, Resize.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind

MOST_PHASES, FEWEST_PIXELS = 8, 5
"""Most phases and fewest pixels of a Blend; other axes become a Matrix, as each phase costs the call of an operator."""
MATRIX_LIMIT = 48.0
"""Most MACs per output pixel for weight matrices: with 40 they take 1.4 times as long as the float operator between
DequantizeLinear and QuantizeLinear, with 80 1.7 times (onnxruntime 1.31, AVX-512 VNNI)."""

_MODES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")


@dataclass(frozen=True)
class Phase:
    """own·x + (1 − own)·neighbour. step: 1 where the neighbour is the next pixel, −1 where it is the previous one."""

    own: float
    step: int


@dataclass(frozen=True)
class Blend:
    """An axis resized by an integer factor s: output s·q + r is phase r at pixel q. A single phase is the identity."""

    phases: tuple[Phase, ...]


@dataclass(frozen=True)
class Matrix:
    """An axis resized by a matrix (output pixels, input pixels), with one or two weights in each row that sum to 1."""

    weights: NDArray[np.float64]


@dataclass(frozen=True)
class Interpolation:
    """Linear Resize from (batch, channels, *before) to (batch, channels, *after): columns first, then rows."""

    before: tuple[int, int]
    after: tuple[int, int]
    channels: int
    rows: Blend | Matrix
    columns: Blend | Matrix


def resize(node: ir.Node) -> IntegerForm | KeptFloat:
    """Resize: nearest copies values, linear averages them within their range; cubic overshoots it and stays float."""
    mode = node.attributes.get_string("mode", "nearest")
    if mode == "nearest":
        return IntegerForm(Kind.MOVEMENT)
    if mode == "linear":
        found = interpolation(node)
        return KeptFloat(f"Resize: {found}") if isinstance(found, str) else IntegerForm(Kind.INTERPOLATION)
    return KeptFloat(f"Resize: {mode} interpolation overshoots the range of its input")


def interpolation(node: ir.Node) -> Interpolation | str:
    """The integer form of a linear Resize, or the reason why it stays float."""
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    if mode not in _MODES:
        return f"linear in {mode} coordinates has no integer form"
    shapes = [_sizes(node.inputs[0]), _sizes(node.outputs[0])]
    if shapes[0] is None or shapes[1] is None or shapes[0][0] != shapes[1][0]:
        return "linear interpolation needs fixed heights and widths of images; export with those"
    (channels, *before), (_, *after) = shapes[0], shapes[1]
    if node.attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch":
        return "linear that keeps proportions has no integer form"
    if node.attributes.get_int("antialias", 0) and any(b < a for a, b in zip(before, after, strict=True)):
        return "linear with antialias has no integer form"
    scales = _scales(node, before, after)
    if scales is None:
        return "linear by scales that are computed at run time has no integer form"
    rows, columns = (_axis(*axis, mode) for axis in zip(before, after, scales, strict=True))
    found = Interpolation((before[0], before[1]), (after[0], after[1]), channels, rows, columns)
    cost = multiplications(found)
    if cost > MATRIX_LIMIT:
        return (
            f"linear from {before[0]}x{before[1]} to {after[0]}x{after[1]} by {mode} takes {cost:.0f} multiplications "
            f"for each pixel in integers, beyond {MATRIX_LIMIT:g} float is faster"
        )
    return found


def multiplications(form: Interpolation) -> float:
    """MACs of the weight matrices per output pixel; columns are resized first, before the rows become more."""
    rows = form.before[0] if isinstance(form.rows, Matrix) else 0
    columns = form.before[1] if isinstance(form.columns, Matrix) else 0
    return rows + columns * form.before[0] / form.after[0]


def _sizes(value: ir.Value | None) -> tuple[int, int, int] | None:
    """Channels, height and width; None where one is dynamic or the value does not have four axes."""
    dims = [] if value is None or value.shape is None else list(value.shape)
    known = [dim for dim in dims[1:] if isinstance(dim, int)]
    return (known[0], known[1], known[2]) if len(dims) == 4 and len(known) == 3 else None


def _scales(node: ir.Node, before: list[int], after: list[int]) -> tuple[float, float] | None:
    """Scales of height and width: as given, else from the sizes; None where they are computed at run time."""
    given = node.inputs[2] if len(node.inputs) > 2 else None
    if given is None:
        return after[0] / before[0], after[1] / before[1]
    if given.const_value is None:
        return None
    numbers = given.const_value.numpy().reshape(-1)
    if numbers.size == 0:  # empty scales, as opset 11 requires where sizes are given
        return after[0] / before[0], after[1] / before[1]
    return (float(numbers[-2]), float(numbers[-1])) if numbers.size in (2, 4) else None


def _axis(before: int, after: int, scale: float, mode: str) -> Blend | Matrix:
    factor = after // before
    if before == after and scale == 1:
        return Blend((Phase(1.0, 1),))
    repeats = mode != "align_corners" and factor == scale and factor * before == after
    if repeats and 1 < factor <= MOST_PHASES and before >= FEWEST_PIXELS:
        shift = 0.0 if mode == "asymmetric" else 0.5
        positions = [(phase + shift) / factor - shift for phase in range(factor)]
        return Blend(tuple(Phase(1 - abs(position), -1 if position < 0 else 1) for position in positions))
    weights = np.zeros((after, before))
    for index in range(after):
        position = min(max(_position(index, before, after, scale, mode), 0.0), before - 1.0)
        first = math.floor(position)
        weights[index, first] += 1 - (position - first)
        weights[index, min(first + 1, before - 1)] += position - first
    return Matrix(weights)


def _position(index: int, before: int, after: int, scale: float, mode: str) -> float:
    """The position of output pixel `index` on the input's axis, in pixels."""
    if mode == "align_corners":
        return index * (before - 1) / (after - 1) if after > 1 else 0.0
    if mode == "asymmetric":
        return index / scale
    if mode == "pytorch_half_pixel" and after == 1:
        return 0.0
    return (index + 0.5) / scale - 0.5
