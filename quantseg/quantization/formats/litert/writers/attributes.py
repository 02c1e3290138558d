"""What writers read of ONNX nodes."""

from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.graph.edit import constant, input_at


def refused(node: ir.Node, fact: str, remedy: str = "export the model without it") -> ModelError:
    """The error for a node that LiteRT cannot compute."""
    return ModelError(f"{node.name} ({node.op_type}): {fact}; {remedy}")


def numbers(node: ir.Node, index: int) -> NDArray[Any] | None:
    """A constant input; None where it is omitted. Raises ModelError for one that is computed at run time."""
    value = input_at(node, index)
    if value is None:
        return None
    found = constant(value)
    if found is None:
        raise refused(node, f"its input {value.name!r} is computed at run time, LiteRT takes a constant there")
    return found


def ints(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """An attribute of whole numbers."""
    return tuple(node.attributes[name].as_ints()) if name in node.attributes else default


def axes_of(node: ir.Node, index: int) -> tuple[int, ...]:
    """Axes that are an attribute or, in newer opsets, an input; () for none."""
    if "axes" in node.attributes:
        return ints(node, "axes", ())
    found = numbers(node, index)
    return () if found is None else tuple(int(axis) for axis in found.reshape(-1))
