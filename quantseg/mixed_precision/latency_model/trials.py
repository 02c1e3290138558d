"""Trials, the small models that are timed: a unit in float, a unit in integers in one variant, or a conversion.

Trials with equal keys take the same time: a key holds operators, attributes, sizes and types, but no names or weights.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from quantseg.mixed_precision.latency_model import borders, cutting, framing
from quantseg.mixed_precision.latency_model.kernels import Kernel, conversion, kernel_of
from quantseg.mixed_precision.latency_model.units import Unit, is_sized, sizes
from quantseg.quantization.formats import FORMATS
from quantseg.quantization.operators import IntegerForm, integer_form
from quantseg.quantization.plan import QuantSettings


@dataclass(frozen=True)
class Trial:
    """A model to time. key: what is timed; equal keys take the same time. build: makes the model.

    nodes: names of the nodes whose time counts, in an integer model; those around them, which convert and lay out
    tensors, do not count. Empty: all nodes count. kernel: what it costs, told by few numbers.
    """

    key: str
    build: Callable[[], ir.Model]
    nodes: frozenset[str] = frozenset()
    kernel: Kernel | None = None


@dataclass(frozen=True)
class Way:
    """How integer nodes are written, as far as that changes their latency."""

    qformat: str
    settings: QuantSettings

    @property
    def types(self) -> str:
        """Element types and granularity, for keys."""
        s = self.settings
        return f"{s.activation.name}·{s.weight.name}{' per channel' if s.per_channel else ''}"


def in_float(unit: Unit, opset: int) -> Trial | None:
    """The trial of the unit in float; None where it cannot be timed."""
    if not _can_be_timed(unit):
        return None
    key, kernel = f"{_described(unit, opset)} | float", kernel_of(unit, "float")
    return Trial(key, lambda: cutting.float_model(unit, opset), kernel=kernel)


def in_integers(unit: Unit, opset: int, way: Way) -> dict[str, Trial]:
    """Variant → trial of the unit in integers; "" if the format has one only. Empty where it cannot be timed alone."""
    if not _can_be_timed(unit) or not cutting.stands_alone(unit, opset):
        return {}
    return {variant: _in_integers(unit, opset, way, variant) for variant in variants(unit, way)}


def variants(unit: Unit, way: Way) -> tuple[str, ...]:
    """The variants in which the format can write the unit's first node; ("",) if there is one only."""
    return FORMATS[way.qformat].variants(unit.nodes[0]) or ("",)


def crossings(value: ir.Value, way: Way) -> tuple[Trial, Trial] | None:
    """Trials of quantising and of dequantising the tensor, with the format's transpose; None if a size is unknown."""
    if not is_sized(value):
        return None
    shape = sizes(value)
    turned = way.qformat == cutting.CHANNELS_LAST and len(shape) == 4 and not framing.stands_outside(value)
    qtype = way.settings.activation
    what = f"{_shape(value)} {qtype.name}{' channels-last' if turned else ''}"
    return (
        _conversion("quantise", what, value, lambda: borders.quantising(shape, qtype, turned=turned)),
        _conversion("dequantise", what, value, lambda: borders.dequantising(shape, qtype, turned=turned)),
    )


def _conversion(name: str, what: str, value: ir.Value, build: Callable[[], ir.Model]) -> Trial:
    return Trial(f"{name} {what}", build, kernel=conversion(name, value))


def _in_integers(unit: Unit, opset: int, way: Way, variant: str) -> Trial:
    def build() -> ir.Model:
        return cutting.integer_model(unit, opset, way.settings, qformat=way.qformat, way=variant or None)

    around = (*(v for node in unit.nodes for v in node.inputs if v is not None), *unit.results)
    layout = "".join(str(int(framing.stands_outside(value))) for value in around)
    key = f"{_described(unit, opset)} | {way.qformat} {layout} {way.types} {variant}"
    return Trial(key.rstrip(), build, unit.names, kernel_of(unit, f"{way.qformat} {variant}".rstrip()))


def _can_be_timed(unit: Unit) -> bool:
    """Whether all sizes are known and no integer input (sizes, indices) is known only at run time."""
    read = [value for node in unit.nodes for value in node.inputs if value is not None]
    made = [value for node in unit.nodes for value in node.outputs if value.name or value.uses()]
    told = (v.const_value is None and v.dtype in (ir.DataType.INT32, ir.DataType.INT64) for v in read)
    return all(is_sized(value) for value in (*read, *made)) and not any(told)


def _described(unit: Unit, opset: int) -> str:
    return f"opset {opset} {' → '.join(map(_node, unit.nodes))}"


def _node(node: ir.Node) -> str:
    form = integer_form(node)
    numbers = {form.weight, form.bias, *form.data} if isinstance(form, IntegerForm) else set()
    operands = ", ".join(_operand(value, free=index in numbers) for index, value in enumerate(node.inputs))
    attributes = "".join(f" {name}={_attribute(node.attributes[name])}" for name in sorted(node.attributes))
    results = sum(bool(value.uses() or value.is_graph_output()) for value in node.outputs)
    return f"{node.domain}{'.' if node.domain else ''}{node.op_type}({operands}){attributes} → {results}"


def _operand(value: ir.Value | None, *, free: bool) -> str:
    """Shape and type of an operand, with the values of a constant, unless they are `free` to be any (weights, data)."""
    if value is None:
        return "–"
    if value.const_value is None:
        return _shape(value)
    shape = f"constant {_shape(value)}"
    if free:
        return shape
    numbers = value.const_value.numpy()
    if numbers.size <= 8:
        return f"{shape} {numbers.reshape(-1).tolist()}"
    return f"{shape} {hashlib.sha256(np.ascontiguousarray(numbers).tobytes()).hexdigest()[:16]}"


def _shape(value: ir.Value) -> str:
    sizes = "x".join(str(dim) for dim in value.shape) if value.shape is not None else "?"
    return f"{value.dtype.name.lower() if value.dtype is not None else '?'} {sizes or 'scalar'}"


def _attribute(attribute: ir.Attr) -> str:
    value = attribute.value
    if isinstance(value, ir.TensorProtocol):
        return hashlib.sha256(value.tobytes()).hexdigest()[:16]
    return repr(list(value) if isinstance(value, (list, tuple)) else value)
