"""Clamps move towards the input, past nodes that only move elements: max(0, move(x)) = move(max(0, x)).

Once a ConvTranspose is a convolution and a pixel shuffle, the Relu after it follows the shuffle, where no integer
kernel fuses it. Right after the convolution it costs nothing: the saturation of the output's grid clamps.
"""

import onnx_ir as ir

from quantseg.graph.edit import constant, only_producer, replace
from quantseg.graph.operators import CLAMPS, REARRANGEMENTS
from quantseg.graph.passes.outcome import Change, RewriteOutcome

_MOVING = REARRANGEMENTS - {"Split"}  # its other outputs would be clamped too


def move_clamps_early(model: ir.Model) -> RewriteOutcome:
    """Moves Relu and Clip of the main graph before the movements whose output only they read."""
    changes: list[Change] = []
    moved = True
    while moved:  # every move brings a clamp nearer to the input, so this ends
        moved = False
        for node in list(model.graph):
            if node.graph is None or not _is_clamp(node):
                continue
            mover = only_producer(node.inputs[0], node, *_MOVING)
            if mover is not None:
                changes.append(_swap(mover, node))
                moved = True
    return RewriteOutcome(tuple(changes))


def _is_clamp(node: ir.Node) -> bool:
    """Relu, or Clip with constant bounds; computed bounds may depend on the moved elements."""
    if node.domain != "" or node.op_type not in CLAMPS:
        return False
    return all(bound is None or constant(bound) is not None for bound in node.inputs[1:])


def _swap(mover: ir.Node, clamp: ir.Node) -> Change:
    early = ir.Node(
        "",
        clamp.op_type,
        [mover.inputs[0], *clamp.inputs[1:]],
        clamp.attributes.values(),
        name=clamp.name,
    )
    late = ir.Node(
        "",
        mover.op_type,
        [early.outputs[0], *mover.inputs[1:]],
        mover.attributes.values(),
        name=mover.name,
    )
    replace(clamp, [early, late], also=[mover])
    # A clamp that passes two nodes would give both of its outputs the same name.
    early.outputs[0].name = f"{late.outputs[0].name}_before_{mover.op_type}"
    return Change("move_clamps_early", str(clamp.name), f"stands before {mover.op_type}")
