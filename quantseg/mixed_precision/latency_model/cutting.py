"""A part of a graph as a model of its own, small enough to be timed alone: float, or in integers as a format writes it.

The parts are nodes of the prepared graph with their own constants, so nothing here knows any operator.
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
"""The format whose images are (N, H, W, places) inside, whatever they are outside."""

_WIDE = 1.0
"""Ranges are −1 … 1: time does not depend on them."""


def float_model(unit: Unit, opset: int) -> ir.Model:
    """The unit alone."""
    return framed(unit, opset, Frame.PLAIN)


def integer_model(unit: Unit, opset: int, settings: QuantSettings, *, qformat: str, way: str | None) -> ir.Model:
    """The unit alone, computing in integers between QuantizeLinear and DequantizeLinear.

    way: the variant in which the format writes its first node; None for the format's only one. Of the frames in which a
    format may get its images the one that takes fewest nodes is taken: so its neighbours would hand them over.
    Raises PlanError.
    """
    frames = tuple(Frame) if qformat == CHANNELS_LAST else (Frame.PLAIN,)
    models = (_quantised(framed(unit, opset, frame), unit, settings, qformat, way) for frame in frames)
    return min(models, key=lambda model: len(own_nodes(model, unit.names)))


def stands_alone(unit: Unit, opset: int) -> bool:
    """Whether the unit has its integer form without the nodes around it; Equal, which looks at origins, has not."""
    return all(isinstance(integer_form(node), IntegerForm) for node in float_model(unit, opset).graph)


def own_nodes(model: ir.Model, names: Container[str]) -> tuple[ir.Node, ...]:
    """The nodes of an integer part that it would have within a whole model too. names: of the unit's nodes.

    Left out are those that quantise its inputs and dequantise its outputs, and what selects the channels of an output
    just before: the next node reads them in their places.
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
    """A range for each tensor that a plan may ask for: of pixels theirs, of a clamp's output one within its bounds."""
    makers: dict[str, ir.Node] = {str(v.name): node for node in graph for v in node.outputs}
    pixels = {str(v.name): Range(0.0, 255.0) for v in graph.inputs if v.dtype == ir.DataType.UINT8}
    return pixels | {name: _range(makers.get(name)) for name in observable(graph)}


def _range(maker: ir.Node | None) -> Range:
    form = None if maker is None else integer_form(maker)
    if maker is None or not isinstance(form, IntegerForm) or form.kind is not Kind.CLAMP:
        return Range(-_WIDE, _WIDE)
    low, high = clamp_bounds(maker)
    return Range(max(low, min(-_WIDE, high)), min(high, max(_WIDE, low)))
