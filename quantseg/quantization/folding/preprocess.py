"""Folding of preprocessing: the pixels become the input, x = (pixel · scale − mean) / std goes into the first weights.

With a = scale/std and b = −mean/std, a convolution computes  Σ W·(a·p + b)  inside the image and reads 0 in padding. No
pixel value corresponds to that 0, so b cannot go into the bias. Instead the image gets a constant channel u = 255:

    Σ W·(a·p + b) = Σ (W·a)·p + Σ (W·b/255)·u      and zero padding makes u zero as well, so borders are exact

The integers of this tensor, with scale 1 and zero-point 0, are the pixels: nothing is computed before the convolution.
Four channels also suit onnxruntime's fastest kernels; three take about twice as long (onnxruntime 1.31).
"""

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from quantseg.data.recipe import InputRecipe, image_input
from quantseg.data.values import CHANNELS
from quantseg.errors import PlanError
from quantseg.graph import TensorSpec, infer_shapes, signature
from quantseg.graph.edit import static_shape
from quantseg.graph.passes import Change
from quantseg.quantization.affine import QuantParams, Range
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.folding.building import Builder
from quantseg.quantization.folding.image_view import CHANNELS_FIRST, CHANNELS_LAST, View, reached_by
from quantseg.quantization.folding.weights import INSIDE, PIXEL_RANGE, PixelWeights, settle
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import UINT8

log = logging.getLogger(__name__)

PIXELS = "pixels"
"""Name of the folded input; other than the float model's, so that callers who still feed floats get an error."""


def foldable_input(float_model: FloatModel) -> TensorSpec:
    """The input that takes the image. Raises PlanError where it is not a float image."""
    given = float_model.recipe.input
    spec = image_input(signature(float_model.prepared.model)[0], given)
    if spec.dtype != "float32" or given.channels is None:
        raise PlanError(f"fold='preprocess': input {spec} takes no float image of 1 or 3 channels; leave it out")
    return spec


def fold_preprocess(candidate: Candidate, *, rounded: bool = True) -> Candidate:
    """Edits the graph to take uint8 pixels (N, H, W, channels), RGB or grey; recipe, ranges and weights are adapted.

    rounded: whether the new weights are rounded here, by the candidate's settings, or left exact for a float model.
    Where other nodes than convolutions read the image, a 1x1 convolution computes their input. Where the activation
    type cannot hold pixels (it is not asymmetric uint8), or no integer node reads them, float nodes preprocess instead.
    Raises PlanError for an input that is not a float image.
    """
    prepared, recipe = candidate.prepared, candidate.model.recipe
    ranges, settings = candidate.ranges.ranges, candidate.settings if rounded else None
    model, given = prepared.model, recipe.input
    spec = foldable_input(candidate.model)
    (old,) = (value for value in model.graph.inputs if value.name == spec.name)
    build = Builder(model.graph, PIXELS, next(iter(model.graph)))
    image = _image(old, given, build.free(PIXELS))
    model.graph.inputs[model.graph.inputs.index(old)] = image
    if why := _needs_float(old, ranges, settings):
        log.info("the image is scaled by float nodes: %s", why)
        _stand_in(old, _scaled_in_float(build, image, given), build)
        changes, rewritten, more = ["scaled by float nodes"], dict[str, QuantParams | None](), dict[str, Range]()
    else:
        pixels, rewritten = _folded(build, image, old, given, settings)
        changes = [f"folded into {name}" for name in rewritten]
        more = {pixels: PIXEL_RANGE}
    RemoveUnusedNodesPass()(model)
    infer_shapes(model)
    notes = (Change("fold_preprocess", str(image.name), detail) for detail in changes)
    channels = "GRAY" if given.channels == "GRAY" else "RGB"
    several = given.name is not None or len(signature(model)[0]) > 1
    name = str(image.name) if several else None
    pixels_recipe = replace(given, layout="NHWC", channels=channels, scale=1.0, mean=(0.0,), std=(1.0,), name=name)
    others = {name: grid for name, grid in candidate.overrides.weights.items() if name not in rewritten}
    grids = others | {name: grid for name, grid in rewritten.items() if grid is not None}
    folded = replace(
        candidate.model,
        prepared=replace(prepared, changes=(*prepared.changes, *notes)),
        recipe=replace(recipe, input=pixels_recipe),
        input=image_input(signature(model)[0], pixels_recipe),
    )
    return replace(
        candidate,
        model=folded,
        ranges=replace(candidate.ranges, ranges={**ranges, **more}),
        overrides=replace(candidate.overrides, weights=grids),
    )


def _needs_float(old: ir.Value, ranges: Mapping[str, Range], settings: QuantSettings | None) -> str | None:
    """Why the pixels cannot be the first layer's integer input; None where they can."""
    if settings is not None and (settings.activation is not UINT8 or settings.symmetric):
        return "pixels are uint8 from zero, the integers that were asked for are not"
    return None if old.name in ranges else "nothing that reads it computes in integers"


def _image(old: ir.Value, recipe: InputRecipe, name: str) -> ir.Value:
    assert old.shape is not None
    batch, height, width = (old.shape[_axes(recipe).index(axis)] for axis in range(3))
    shape = ir.Shape([batch, height, width, CHANNELS[str(recipe.channels)]])
    return ir.Value(name=name, shape=shape, type=ir.TensorType(ir.DataType.UINT8))


def _axes(recipe: InputRecipe) -> tuple[int, ...]:
    return CHANNELS_FIRST if recipe.layout == "NCHW" else CHANNELS_LAST


def _view(old: ir.Value, recipe: InputRecipe) -> View:
    """The float model's input as a view of the pixels, by the recipe."""
    count = CHANNELS[str(recipe.channels)]
    mean, std = (np.broadcast_to(np.array(numbers, np.float64), (count,)) for numbers in (recipe.mean, recipe.std))
    source = (2, 1, 0) if recipe.channels == "BGR" else tuple(range(count))
    return View(old, _axes(recipe), source, recipe.scale / std, -mean / std)


def _scaled_in_float(build: Builder, image: ir.Value, recipe: InputRecipe) -> ir.Value:
    """Nodes for the recipe's arithmetic, in the same order as in preprocess.py, so that every bit is the same."""
    value = build.node("Cast", [image], to=ir.DataType.FLOAT)
    if recipe.channels == "BGR":
        value = build.node("Gather", [value, build.constant("order", (2, 1, 0), np.int64)], axis=3)
    numbers = (("Mul", (recipe.scale,), 1.0), ("Sub", recipe.mean, 0.0), ("Div", recipe.std, 1.0))
    for op_type, operand, neutral in numbers:
        if any(number != neutral for number in operand):
            value = build.node(op_type, [value, build.constant(op_type.lower(), operand, np.float32)])
    return value if _axes(recipe) == CHANNELS_LAST else build.node("Transpose", [value], perm=CHANNELS_FIRST)


def _folded(
    build: Builder, image: ir.Value, old: ir.Value, recipe: InputRecipe, settings: QuantSettings | None
) -> tuple[str, dict[str, QuantParams | None]]:
    """Rewrites the nodes that read the input.

    Returns the name of the tensor of pixels and constant channels, and for each rewritten convolution the grid of its
    weight (None in a float model).
    """
    view, channels = _view(old, recipe), CHANNELS[str(recipe.channels)]
    reached = [reached_by(view, node, index) for node, index in old.uses()]
    found = [(node, seen, PixelWeights.of(node, seen, channels)) for part in reached for node, seen in part or ()]
    needed = max((weights.carriers for *_, weights in found), default=0)
    planes = (4 if channels + needed <= 4 else 8) - channels
    wide = _widened(build, image, planes)
    grid = build.constant("scale", 1, np.float32), build.constant("zero_point", 0, np.uint8)
    pixels = build.node("DequantizeLinear", [wide, *grid])
    turned: dict[tuple[int, ...], ir.Value] = {}
    grids: dict[str, QuantParams | None] = {}

    def as_seen(axes: tuple[int, ...]) -> ir.Value:
        if axes not in turned:
            turned[axes] = build.node("Transpose", [pixels], perm=axes)
        return turned[axes]

    for node, seen, weights in found:
        kernel, bias = weights.stacked(planes)
        grids[str(node.name)] = None
        if settings is not None:
            seen_as_zero = np.concatenate([weights.grey, np.full(planes, INSIDE)])
            kernel, bias, grids[str(node.name)] = settle(kernel, bias, seen_as_zero, settings)
        node.attributes["group"] = ir.AttrInt64("group", 1)
        node.resize_inputs(3)
        node.replace_input_with(0, as_seen(seen.axes))
        node.replace_input_with(1, build.constant(f"{node.name}_weight", kernel, np.float32))
        node.replace_input_with(2, build.constant(f"{node.name}_bias", bias, np.float32))
    if None in reached or old.is_graph_output():
        log.info("not only convolutions read the image: a 1x1 convolution scales it for the others")
        kernel = np.zeros((channels, channels + planes, 1, 1))
        kernel[range(channels), view.source, 0, 0] = view.scale
        weight, bias_of = build.constant("scaling", kernel, np.float32), build.constant("shift", view.shift, np.float32)
        scaled = build.node("Conv", [as_seen(CHANNELS_FIRST), weight, bias_of])
        if view.axes == CHANNELS_LAST:
            scaled = build.node("Transpose", [scaled], perm=(0, 2, 3, 1))
        _stand_in(old, scaled, build)
    return str(wide.name), grids


def _widened(build: Builder, image: ir.Value, planes: int) -> ir.Value:
    """The image with `planes` constant channels appended."""
    known = static_shape(image)
    if known is not None:
        shape = build.constant("plane_sizes", [*known[:3], 1], np.int64)
    else:
        start, end, one = (build.constant(f"sizes_{k}", [k], np.int64) for k in (0, 3, 1))
        sizes = build.node("Slice", [build.node("Shape", [image]), start, end])
        shape = build.node("Concat", [sizes, one], axis=0)
    inside = build.constant("inside", np.full((1, 1, 1, planes), INSIDE), np.uint8)
    wide = build.node("Concat", [image, build.node("Expand", [inside, shape])], axis=3)
    wide.dtype = ir.DataType.UINT8
    return wide


def _stand_in(old: ir.Value, value: ir.Value, build: Builder) -> None:
    """Lets the old input's consumers read the value instead, under the old name, by which its range is known."""
    name = str(old.name)
    old.name = build.free(f"{name}_before")
    value.name, value.type, value.shape = name, old.type, old.shape
    old.replace_all_uses_with(value, replace_graph_outputs=True)
