"""Opset adapters: operator → (first opset of the new form, rewrite).

Target opsets are 13 and up, so each adapter writes the form of opset 13 at once. Each is tested against onnxruntime
running the original. Source: the operator changelog of ONNX.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from quantseg.errors import ModelError
from quantseg.graph.edit import constant, initializer, input_at, ints, owner, rank, replace

Respell = Callable[[ir.Node, int], None]
"""Edits a node of the given opset in place, or replaces it."""


def _set_inputs(node: ir.Node, *values: ir.Value | None) -> None:
    node.resize_inputs(len(values))
    for index, value in enumerate(values):
        node.replace_input_with(index, value)


def _ints_to_input(attribute: str, index: int) -> Respell:
    """Moves an ints attribute to the input at `index`; an absent attribute stays an absent input."""

    def respell(node: ir.Node, current: int) -> None:
        attr = node.attributes.pop(attribute, None)
        if attr is None:
            return
        numbers = attr.as_ints() if attr.type == ir.AttributeType.INTS else (attr.as_int(),)
        given = list(node.inputs[:index])
        moved = ints(owner(node), f"{node.outputs[0].name}_{attribute}", numbers)
        _set_inputs(node, *given, *[None] * (index - len(given)), moved)

    return respell


def _slice(node: ir.Node, current: int) -> None:
    for index, attribute in enumerate(("starts", "ends", "axes"), start=1):
        _ints_to_input(attribute, index)(node, current)


def _clip(node: ir.Node, current: int) -> None:
    bounds = [node.attributes.pop(key, None) for key in ("min", "max")]
    graph, stem = owner(node), node.outputs[0].name
    values = [
        initializer(graph, f"{stem}_{key}", np.array(bound.as_float(), np.float32)) if bound else None
        for key, bound in zip(("min", "max"), bounds, strict=True)
    ]
    _set_inputs(node, node.inputs[0], *values)


def _pad(node: ir.Node, current: int) -> None:
    value = node.attributes.pop("value", None)
    _ints_to_input("pads", 1)(node, current)
    if value is not None and value.as_float() != 0.0:
        fill = initializer(owner(node), f"{node.outputs[0].name}_value", np.array(value.as_float(), np.float32))
        _set_inputs(node, *node.inputs, fill)


def _batch_normalization(node: ir.Node, current: int) -> None:
    spatial = node.attributes.pop("spatial", None)
    if spatial is not None and spatial.as_int() != 1:
        raise ModelError(f"{node.name!r}: BatchNormalization with spatial=0 has no equal; export the model again")


def _inference_only(node: ir.Node, current: int) -> None:
    """Drops the outputs of training statistics where nothing reads them."""
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        raise ModelError(f"{node.name!r}: BatchNormalization in training mode; export the model for inference")
    node.resize_outputs(1)


def _dropout(node: ir.Node, current: int) -> None:
    node.attributes.pop("ratio", None)


def _upsample(node: ir.Node, current: int) -> None:
    """Upsample becomes Resize with asymmetric coordinates, and nearest_mode floor where it is nearest.

    Its scales are an attribute in opset 7 and an input since 9.
    """
    attr = node.attributes.pop("scales", None)
    graph, stem = owner(node), node.outputs[0].name
    if attr is not None:
        scales: ir.Value | None = initializer(graph, f"{stem}_scales", np.array(attr.as_floats(), np.float32))
    else:
        scales = input_at(node, 1)
    _replace_by_resize(node, scales, "floor")


def _resize_10(node: ir.Node, current: int) -> None:
    """Resize of opset 10 has asymmetric coordinates as well.

    For nearest mode the standard left the rounding open: onnxruntime, followed here, rounds coordinates up where it
    shrinks an axis, else down.
    """
    scales = constant(input_at(node, 1))
    nearest = "mode" not in node.attributes or node.attributes["mode"].as_string() == "nearest"
    shrinks = nearest and scales is not None and bool((scales < 1).any())
    if shrinks and scales is not None and bool((scales > 1).any()):
        raise ModelError(f"{node.name!r}: shrinks one axis and enlarges another; export with opset 11")
    _replace_by_resize(node, input_at(node, 1), "ceil" if shrinks else "floor")


def _replace_by_resize(node: ir.Node, scales: ir.Value | None, rounding: str) -> None:
    mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "nearest"
    attributes = {
        "mode": "linear" if mode == "bilinear" else mode,
        "coordinate_transformation_mode": "asymmetric",
    }
    if mode == "nearest":
        attributes["nearest_mode"] = rounding
    replace(node, [ir.node("Resize", [node.inputs[0], None, scales], attributes, name=node.name)])


def _resize_11(node: ir.Node, current: int) -> None:
    """Opset 11 requires roi and scales, possibly empty; later opsets allow them to be omitted, which is done here."""
    kept = [
        None if index in (1, 2) and (array := constant(value)) is not None and array.size == 0 else value
        for index, value in enumerate(node.inputs)
    ]
    _set_inputs(node, *kept)


def _softmax(node: ir.Node, current: int) -> None:
    """Before opset 13 Softmax flattened all axes from `axis` on; since then it works along `axis` alone."""
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 1
    axes = rank(node.inputs[0])
    if axes is not None and axis % axes == axes - 1:
        node.attributes["axis"] = ir.AttrInt64("axis", -1)
        return
    source = node.inputs[0]
    shape = ir.node("Shape", [source], name=f"{node.name}_shape")
    flat = ir.node("Flatten", [source], {"axis": axis}, name=f"{node.name}_flatten")
    inner = ir.node(node.op_type, [flat.outputs[0]], {"axis": -1}, name=node.name)
    back = ir.node("Reshape", [inner.outputs[0], shape.outputs[0]], name=f"{node.name}_reshape")
    replace(node, [shape, flat, inner, back])


def _scatter(node: ir.Node, current: int) -> None:
    replace(node, [ir.node("ScatterElements", node.inputs, node.attributes, name=node.name)])


def _split_18(node: ir.Node, current: int) -> None:
    if input_at(node, 1) is None:
        node.attributes["num_outputs"] = ir.AttrInt64("num_outputs", len(node.outputs))


def _roi_align(node: ir.Node, current: int) -> None:
    node.attributes["coordinate_transformation_mode"] = ir.AttrString(
        "coordinate_transformation_mode", "output_half_pixel"
    )


def _grid_sample(node: ir.Node, current: int) -> None:
    mode = node.attributes.pop("mode", None)
    name = mode.as_string() if mode else "bilinear"
    node.attributes["mode"] = ir.AttrString("mode", {"bilinear": "linear", "bicubic": "cubic"}.get(name, name))


_AXES_18 = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
            "ReduceProd", "ReduceSumSquare")  # fmt: skip

OPSET_ADAPTERS: dict[str, tuple[tuple[int, Respell], ...]] = {
    "BatchNormalization": ((9, _batch_normalization), (14, _inference_only)),
    "Clip": ((11, _clip),),
    "Dropout": ((12, _dropout),),
    "GridSample": ((20, _grid_sample),),
    "Hardmax": ((13, _softmax),),
    "LogSoftmax": ((13, _softmax),),
    "Pad": ((11, _pad),),
    "ReduceSum": ((13, _ints_to_input("axes", 1)),),
    "Resize": ((11, _resize_10), (13, _resize_11)),
    "RoiAlign": ((16, _roi_align),),
    "Scatter": ((11, _scatter),),
    "Slice": ((10, _slice),),
    "Softmax": ((13, _softmax),),
    "Split": ((13, _ints_to_input("split", 1)), (18, _split_18)),
    "Squeeze": ((13, _ints_to_input("axes", 1)),),
    "TopK": ((10, _ints_to_input("k", 1)),),
    "Unsqueeze": ((13, _ints_to_input("axes", 1)),),
    "Upsample": ((10, _upsample),),
    **{name: ((18, _ints_to_input("axes", 1)),) for name in _AXES_18},
}
