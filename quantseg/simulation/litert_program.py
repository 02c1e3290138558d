"""A .tflite file as a program for the simulator: one step per operator, on tensors in the file's order of axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantseg.errors import ModelError
from quantseg.files.tflite import decode, our_metadata
from quantseg.quantization.formats.litert.file import network_of
from quantseg.quantization.formats.litert.listing import content_of
from quantseg.quantization.formats.litert.network import LiteRtNetwork, Operator, Tensor
from quantseg.simulation.arithmetic.litert import KERNELS, MOVING, PREFIX
from quantseg.simulation.arithmetic.sizes import checked
from quantseg.simulation.program import Program, needed
from quantseg.simulation.step import Step

TURNED = " as the file holds it"
"""Suffix of an input's name once its axes are in the file's order."""


def read_litert_program(path: Path) -> Program:
    """The program of a file. Raises ModelError for one that is damaged, or an operator that the simulator lacks."""
    decoded = decode(content_of(path), str(path))
    return litert_program(network_of(decoded, str(path)), our_metadata(decoded).get("orders", {}), str(path))


def litert_program(network: LiteRtNetwork, orders: dict[str, Any], what: str) -> Program:
    """The program of a network. orders: of the axes of its inputs, see `our_metadata`. what: begins messages."""
    names: dict[Tensor, str] = {}
    taken: set[str] = set()

    def name(tensor: Tensor | None) -> str:
        if tensor is None:
            return ""
        if tensor not in names:
            checked(tensor.shape, 8)
            stem = tensor.name or f"constant_{len(names)}"
            names[tensor] = stem if stem not in taken else f"{stem}_{len(names)}"
            taken.add(names[tensor])
        return names[tensor]

    steps = []
    for tensor in network.inputs:
        order = orders.get("inputs", {}).get(tensor.name, list(range(len(tensor.shape))))
        fed = name(tensor)
        names[tensor] = f"{fed}{TURNED}"
        steps.append(Step(fed, "Transpose", (fed,), (names[tensor],), {"perm": tuple(order)}, "Transpose"))
    for operator in network.operators:
        if operator.kind not in KERNELS:
            raise ModelError(
                f"{what}: {operator.node!r} is {operator.kind}, which the simulator does not know; leave that part "
                "out, or write the operator into quantseg/simulation/arithmetic/litert"
            )
        inputs = tuple(name(one) for one in operator.inputs)
        outputs = tuple(name(one) for one in operator.outputs)
        steps.append(
            Step(outputs[0], f"{PREFIX}{operator.kind}", inputs, outputs, _attributes(operator), operator.kind)
        )
    constants = {names[one]: one.data for one in names if one.data is not None}
    ends = tuple(name(one) for one in network.outputs)
    fed_names = tuple(step.inputs[0] for step in steps[: len(network.inputs)])
    _require_order(steps, {*constants, *fed_names}, ends, what)
    return Program(needed(tuple(steps), ends, constants), constants, fed_names, ends, 13)


def _require_order(steps: Sequence[Step], known: set[str], ends: Sequence[str], what: str) -> None:
    """Raises ModelError where something reads a tensor that nothing has made before."""
    for step in steps:
        missing = next((name for name in step.inputs if name and name not in known), None)
        if missing is not None:
            raise ModelError(f"{what}: {step.name!r} reads {missing!r} before anything makes it; write the file again")
        known.update(step.outputs)
    if not set(ends) <= known:
        raise ModelError(f"{what}: nothing makes one of its outputs; write the file again")


def _attributes(operator: Operator) -> dict[str, Any]:
    first = operator.outputs[0]
    rounds = operator.kind not in MOVING
    return {
        "options": dict(operator.options),
        "grids": tuple(None if one is None else one.params for one in operator.inputs),
        "given": first.params,
        "shape": first.shape,
        "dtype": first.dtype,
        "is_integer": rounds and first.dtype == "int8",
        "is_float": rounds and first.dtype == "float32",
    }
