"""Values from which an operator reads whole numbers or positions: there a rounding of half a step makes a jump.

Cast to integers, Floor, Ceil and Round jump at thresholds; Equal, and the indices of a MaxPool, tell apart values that
one grid step may make equal. What computes such values stays float, and all that only moves them.
"""

from collections.abc import Iterator, Mapping

import onnx_ir as ir

from quantseg.quantization.operators import IntegerForm, KeptFloat, Kind

READ_EXACTLY = "reads it exactly, and rounding makes jumps there"
"""How the reason of such a node ends."""
_STEPS = frozenset({"Floor", "Ceil", "Round"})
_PASSED_ON = (Kind.MOVEMENT, Kind.CLAMP, Kind.JOIN)


def decisive(
    decisions: Mapping[ir.Node, IntegerForm | KeptFloat], *, comparing: bool = True
) -> Iterator[tuple[ir.Node, str]]:
    """The integer nodes that compute or move values which are read exactly, each with the reason to stay float.

    comparing: whether Equal counts, too; not where unpooling was rewritten to comparisons for the sake of speed.
    """
    for node in decisions:
        for value in _read_exactly(node, comparing):
            for producer in _makers(value, decisions):
                yield producer, f"{producer.op_type}: {node.name} {READ_EXACTLY}"


def _read_exactly(node: ir.Node, comparing: bool) -> tuple[ir.Value, ...]:
    """The float tensors in which a node tells apart values that may be next to each other."""
    positions = node.op_type == "MaxPool" and len(node.outputs) > 1 and bool(node.outputs[1].uses())
    compared = comparing and node.op_type == "Equal"
    if not (node.op_type in _STEPS or compared or positions or _is_cast_to_integers(node)):
        return ()
    return tuple(value for value in node.inputs if value is not None and value.dtype == ir.DataType.FLOAT)


def _is_cast_to_integers(node: ir.Node) -> bool:
    return node.op_type == "Cast" and ir.DataType(node.attributes.get_int("to", 0)).numpy().kind in "iu"


def _makers(value: ir.Value, decisions: Mapping[ir.Node, IntegerForm | KeptFloat]) -> Iterator[ir.Node]:
    """The integer nodes on the way to the value, back to those that make it instead of passing it on."""
    waiting, seen = [value], set()
    while waiting:
        producer = waiting.pop().producer()
        form = None if producer is None else decisions.get(producer)
        if producer is None or producer in seen or not isinstance(form, IntegerForm):
            continue
        seen.add(producer)
        yield producer
        if form.kind in _PASSED_ON:
            waiting += [given for index in form.data if (given := producer.inputs[index]) is not None]
