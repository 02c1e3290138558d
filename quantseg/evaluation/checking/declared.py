"""What a recipe says against what the model's signature says: contradictions are findings, and are put right."""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
import onnx_ir as ir

from quantseg.data.recipe import Recipe, image_input
from quantseg.data.values import CHANNEL_AXIS, SPATIAL_AXES
from quantseg.evaluation.checking.values import ERROR, Finding
from quantseg.graph import TensorSpec
from quantseg.graph.edit import constant, input_at

_IMAGE_CHANNELS = (1, 3, 4)
_POOLS = ("Conv", "MaxPool", "AveragePool", "LpPool")
USUAL_STRIDE = 32


def put_right(recipe: Recipe, inputs: Sequence[TensorSpec]) -> tuple[Recipe, list[Finding]]:
    """The recipe without what contradicts the input that takes the image, and a finding for each contradiction."""
    spec = image_input(inputs, recipe.input)
    found: list[Finding] = []
    given = recipe.input
    if len(spec.shape) != 4:
        return recipe, found
    if given.layout in CHANNEL_AXIS and (other := _other_layout(given.layout, spec)) is not None:
        fact = f"the recipe says {given.layout}, input {spec} has its channels where {other} has them"
        found.append(Finding("layout", ERROR, fact, f"give layout={other}", {"given": given.layout, "model": other}))
        given = replace(given, layout=None)
    layout = given.layout or ("NHWC" if _other_layout("NCHW", spec) else "NCHW")
    static = tuple(spec.shape[axis] for axis in SPATIAL_AXES[layout])
    if given.size is not None and any(n not in (None, side) for n, side in zip(static, given.size, strict=True)):
        right = tuple(side if n is None else n for n, side in zip(static, given.size, strict=True))
        figures = {"given": given.size, "model": right}
        fact = f"the recipe says {_by(given.size)}, input {spec} takes {_by(right)}"
        found.append(Finding("size", ERROR, fact, f"give size={_by(right)}", figures))
        given = replace(given, size=(right[0], right[1]))
    return replace(recipe, input=given), found


def array_layout(shape: Sequence[int], spec: TensorSpec) -> Finding | None:
    """What is wrong with arrays of this shape whose channels are elsewhere than the input's; None: nothing."""
    if len(shape) not in (3, 4) or len(spec.shape) != 4:
        return None
    sides = tuple(shape)[-3:]
    wanted = spec.shape[1:]
    turned = {"NHWC": (sides[2], *sides[:2]), "NCHW": (*sides[1:], sides[0])}
    if _fits(sides, wanted):
        return None
    for found, moved in turned.items():
        if moved != sides and _fits(moved, wanted):
            model = "NCHW" if found == "NHWC" else "NHWC"
            axes = "(0, 3, 1, 2)" if model == "NCHW" else "(0, 2, 3, 1)"
            shown = "x".join(map(str, shape))
            fact = f"arrays of {shown} are {found}, input {spec} takes {model}"
            return Finding("layout", ERROR, fact, f"save them as array.transpose{axes}", {"arrays": list(shape)})
    return None


def open_size(recipe: Recipe, spec: TensorSpec, image: tuple[int, int], stride: int) -> tuple[Recipe, list[Finding]]:
    """The recipe with a size where model and recipe leave it open: the image's, rounded to what the model divides."""
    layout = recipe.input.layout or ("NHWC" if _other_layout("NCHW", spec) else "NCHW")
    if len(spec.shape) != 4 or recipe.input.size is not None:
        return recipe, []
    static = [spec.shape[axis] for axis in SPATIAL_AXES[layout]]
    if None not in static:
        return recipe, []
    size = tuple(
        max(round(side / stride), 1) * stride if n is None else n for n, side in zip(static, image, strict=True)
    )
    fact = f"input {spec} leaves height or width open, and the recipe too"
    finding = Finding("size-open", ERROR, fact, f"give size=HxW, such as size={_by(size)}", {"tried": size})
    return replace(recipe, input=replace(recipe.input, size=(size[0], size[1]))), [finding]


def stride_of(model: ir.Model) -> int:
    """By how much the model reduces height and width, at most; USUAL_STRIDE where that is not to be told."""
    ratios: dict[ir.Value, float] = {}
    for node in model.graph:
        ratio = max((ratios.get(value, 1.0) for value in node.inputs if value is not None), default=1.0)
        strides = node.attributes.get_ints("strides", ()) or ()
        if node.op_type in _POOLS and strides:
            ratio *= max(strides)
        elif node.op_type in ("ConvTranspose", "MaxUnpool") and strides:
            ratio /= max(strides)
        elif node.op_type in ("Resize", "Upsample"):
            scales = constant(input_at(node, 2 if node.op_type == "Resize" else 1))
            ratio = ratio / float(np.max(scales)) if scales is not None and prod(scales.shape) else 1.0
        ratios.update((value, ratio) for value in node.outputs)
    most = max(ratios.values(), default=1.0)
    return int(most) if most <= 64 and re.fullmatch("10*", f"{int(most):b}") else USUAL_STRIDE


def _other_layout(layout: str, spec: TensorSpec) -> str | None:
    """The other layout, where only that one has the channels of an image where this input has them."""
    other = next(name for name in CHANNEL_AXIS if name != layout)
    here, there = spec.shape[CHANNEL_AXIS[layout]], spec.shape[CHANNEL_AXIS[other]]
    return other if there in _IMAGE_CHANNELS and here not in _IMAGE_CHANNELS else None


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return all(n in (None, size) for size, n in zip(shape, wanted, strict=True))


def _by(size: Sequence[int | None]) -> str:
    return "x".join(map(str, size))
