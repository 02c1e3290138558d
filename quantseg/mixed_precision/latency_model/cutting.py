"""Cuts a unit out of a graph as a model of its own that can be timed: in float, or in integers as a format writes it.

A unit is cut out with its constants, whatever its operators are; nothing here depends on them.
"""

from collections.abc import Container

import onnx_ir as ir

from quantseg.mixed_precision.latency_model.framing import Frame, framed
from quantseg.mixed_precision.latency_model.units import Unit
from quantseg.quantization import formats
from quantseg.quantization.affine import Range
from quantseg.quantization.operators import IntegerForm, Kind, integer_form
from quantseg.quantization.operators.activation import clamp_bounds
from quantseg.quantization.plan import Overrides, QuantSettings, observable, plan_of_part

CHANNELS_LAST = "channels-last"
"""The format whose image tensors inside the model are NHWC, with channel slots that may be padding."""

_WIDE = 1.0
"""Ranges are −1 … 1: latency does not depend on them."""


def float_model(unit: Unit, opset: int) -> ir.Model:
    """The unit alone, in float."""
    return framed(unit, opset, Frame.PLAIN)


def integer_model(unit: Unit, opset: int, settings: QuantSettings, *, qformat: str, way: str | None) -> ir.Model:
    """The unit alone, computing in integers between QuantizeLinear and DequantizeLinear.

    way: the variant in which the format writes the unit's first node; None: the format has only one. Of the frames
    (tensor layouts at the unit's inputs) the one that adds the fewest nodes is used, as neighbouring nodes would give
    that layout. Raises PlanError.
    """
    frames = tuple(Frame) if qformat == CHANNELS_LAST else (Frame.PLAIN,)
    models = (_quantised(framed(unit, opset, frame), unit, settings, qformat, way) for frame in frames)
    return min(models, key=lambda model: len(own_nodes(model, unit.names)))


def stands_alone(unit: Unit, opset: int) -> bool:
    """Whether the unit has an integer form without the nodes around it; Equal, whose rule looks at these, has none."""
    return all(isinstance(integer_form(node), IntegerForm) for node in float_model(unit, opset).graph)


def own_nodes(model: ir.Model, names: Container[str]) -> tuple[ir.Node, ...]:
    """The nodes of an integer part that it would also have within a whole model. names: of the unit's nodes.

    Left out are those that quantise the inputs and dequantise the outputs, and those that remove padding channels
    before an output: within a whole model the next node reads the padded tensor.
    """
    border = {user for value in model.graph.inputs for user, _ in value.uses() if user.op_type == "QuantizeLinear"}
    for output in model.graph.outputs:
        maker = output.producer()
        if maker is None or maker.op_type != "DequantizeLinear":
            continue
        border.add(maker)
        stored = maker.inputs[0]
        selection = None if stored is None else stored.producer()
        if selection is not None and selection.op_type in ("Gather", "Slice") and str(selection.name) not in names:
            border.add(selection)
    return tuple(node for node in model.graph if node not in border)


def _quantised(model: ir.Model, unit: Unit, settings: QuantSettings, qformat: str, way: str | None) -> ir.Model:
    names = frozenset(str(node.name) for node in model.graph)
    overrides = Overrides(integer=names, variants={} if way is None else {unit.name: way})
    return formats.emit(model, plan_of_part(model, _ranges(model.graph), settings, overrides), qformat=qformat)


def _ranges(graph: ir.Graph) -> dict[str, Range]:
    """A range for each tensor that a plan may ask for: 0…255 for pixels, for a clamp's output within its bounds."""
    makers: dict[str, ir.Node] = {str(v.name): node for node in graph for v in node.outputs}
    pixels = {str(v.name): Range(0.0, 255.0) for v in graph.inputs if v.dtype == ir.DataType.UINT8}
    return pixels | {name: _range(makers.get(name)) for name in observable(graph)}


def _range(maker: ir.Node | None) -> Range:
    form = None if maker is None else integer_form(maker)
    if maker is None or not isinstance(form, IntegerForm) or form.kind is not Kind.CLAMP:
        return Range(-_WIDE, _WIDE)
    low, high = clamp_bounds(maker)
    return Range(max(low, min(-_WIDE, high)), min(high, max(_WIDE, low)))
