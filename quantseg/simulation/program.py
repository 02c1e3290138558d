"""A quantised graph as a list of steps for the simulator, checked before anything is computed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.graph import is_quantised, make_unique
from quantseg.quantization.formats.writer import MICROSOFT
from quantseg.simulation import qdq_patterns as qdq
from quantseg.simulation.arithmetic import OPERATORS, Call
from quantseg.simulation.computing import computed
from quantseg.simulation.step import Step

Array = NDArray[Any]
_STORED = ("DequantizeLinear", "QuantizeLinear")
"""Not folded even if their inputs are constants: they may be part of a QDQ pattern."""


@dataclass(frozen=True)
class Program:
    """Steps in topological order. constants: the model's initializers and folded constants, by name."""

    steps: tuple[Step, ...]
    constants: Mapping[str, Array]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int


def program(model: ir.Model, *, what: str = "the model") -> Program:
    """The program of a model, with QDQ patterns replaced by integer operators. The model is not changed.

    Raises ModelError that names the operator and its node where the simulator does not implement it.
    """
    model = model.clone()
    make_unique(model)
    for node in model.graph:
        if node.op_type not in OPERATORS or node.domain not in ("", MICROSOFT):
            domain = f"{node.domain}." if node.domain else ""
            raise ModelError(
                f"{what}: node {node.name!r} is {domain}{node.op_type}, which the simulator does not know; "
                "leave that part out, or write the operator into quantseg/simulation/arithmetic"
            )
    constants = {str(v.name): _numbers(v) for v in model.graph.initializers.values()}
    steps = tuple(map(_step, model.graph))
    opset = model.graph.opset_imports.get("", 21)
    for step in steps:
        if step.op_type not in _STORED and all(name in constants for name in step.inputs if name):
            constants |= _folded(step, constants, opset)
    outputs = tuple(str(value.name) for value in model.graph.outputs)
    return Program(
        needed(qdq.grouped(steps, constants, frozenset(outputs)), outputs, constants),
        constants,
        tuple(str(v.name) for v in model.graph.inputs if not v.is_initializer()),
        outputs,
        opset,
    )


def require_quantised(model: ir.Model, what: str) -> None:
    """Raises ModelError for a float model."""
    if not is_quantised(model):
        raise ModelError(f"{what}: is a float model; quantise it first: quantseg quantize {what} data=DIR")


def _folded(step: Step, constants: Mapping[str, Array], opset: int) -> dict[str, Array]:
    """The outputs of a step whose inputs are all constant, such as a Constant or a 4-bit weight cast to 8 bits."""
    operands = tuple(constants[name] if name else None for name in step.inputs)
    found = computed(step, Call(operands, step.attributes, opset, outputs=sum(map(bool, step.outputs))))
    return {name: values for name, values in zip(step.outputs, found, strict=False) if name}


def needed(steps: tuple[Step, ...], outputs: tuple[str, ...], known: Mapping[str, Array]) -> tuple[Step, ...]:
    """The steps that the outputs depend on, in the same order, without those whose outputs are in `known`."""
    wanted, kept = set(outputs), []
    for step in reversed(steps):
        if wanted.intersection(set(step.outputs) - known.keys()):
            kept.append(step)
            wanted.update(step.inputs)
    return tuple(reversed(kept))


def _step(node: ir.Node) -> Step:
    inputs = tuple("" if value is None else str(value.name) for value in node.inputs)
    while inputs and not inputs[-1]:
        inputs = inputs[:-1]
    outputs = tuple(str(value.name) if value.name else "" for value in node.outputs)
    attributes = {name: _plain(name, attribute) for name, attribute in node.attributes.items()}
    return Step(str(node.name), node.op_type, inputs, outputs, attributes, node.op_type)


def _plain(name: str, attribute: ir.Attr) -> Any:
    """An attribute as a Python or numpy value; ONNX types become numpy dtypes."""
    value = attribute.value
    if attribute.type == ir.AttributeType.TENSOR:
        return value.numpy()
    if attribute.type == ir.AttributeType.INT and name in ("to", "output_dtype"):
        return _dtype(value) if value else None
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return value


def _dtype(value: int) -> np.dtype[Any]:
    """The numpy type of an ONNX type's number. Raises ModelError where there is none."""
    try:
        return ir.DataType(value).numpy()
    except (TypeError, ValueError) as error:
        raise ModelError(f"{value} is the number of no type; quantise the model again") from error


def _numbers(value: ir.Value) -> Array:
    if value.const_value is None:
        raise ModelError(f"{value.name!r} has no numbers")
    return np.asarray(value.const_value.numpy())
