"""A channel shuffle, exported as Reshape, Transpose, Reshape, becomes a Gather of channels.

    (N, g·c, H, W) → (N, g, c, H, W) → (N, c, g, H, W) → (N, c·g, H, W)        channel i·g + j is channel j·c + i
A Gather shows that only the order of the channels changes, so that the weights of the next convolution can be
permuted instead. Source: Zhang et al., ShuffleNet, arXiv:1707.01083, section 3.1.
"""

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import ints, only_producer, owner, replace
from quantseg.graph.passes.outcome import Change, RewriteOutcome


def recognise_channel_shuffles(model: ir.Model) -> RewriteOutcome:
    """Rewrites each shuffle of the main graph whose number of channels is known. Needs inferred shapes."""
    changes = []
    for node in list(model.graph):
        found = _shuffle(node)
        if found is not None:
            apart, turned, groups = found
            channels = _sizes(node.outputs[0])[1]
            assert isinstance(channels, int)
            order = np.arange(channels).reshape(groups, -1).T.reshape(-1)
            indices = ints(owner(node), f"{node.name}_channels", order.tolist())
            gather = ir.node("Gather", [apart.inputs[0], indices], {"axis": 1}, name=str(node.name))
            replace(node, [gather], also=[turned, apart])
            changes.append(Change("recognise_channel_shuffles", str(node.name), f"{groups} groups of channels"))
    return RewriteOutcome(tuple(changes))


def _shuffle(node: ir.Node) -> tuple[ir.Node, ir.Node, int] | None:
    """The Reshape and Transpose before this Reshape, and the number of groups, if the three are a shuffle."""
    if node.op_type != "Reshape" or node.domain != "":
        return None
    turned = only_producer(node.inputs[0], node, "Transpose")
    apart = None if turned is None else only_producer(turned.inputs[0], turned, "Reshape")
    if turned is None or apart is None or "perm" not in turned.attributes:
        return None
    before, split, after = (_sizes(value) for value in (apart.inputs[0], apart.outputs[0], node.outputs[0]))
    if tuple(turned.attributes["perm"].as_ints()) != (0, 2, 1, 3, 4) or len(split) != 5 or len(before) != 4:
        return None
    groups, each = split[1], split[2]
    same = before == after and None not in before[1:] and (split[0], *split[3:]) == (before[0], *before[2:])
    if not same or not isinstance(groups, int) or not isinstance(each, int) or groups * each != before[1]:
        return None
    return apart, turned, groups


def _sizes(value: ir.Value | None) -> list[object]:
    """The value's dims: a number, a symbolic name, or None where unknown."""
    if value is None or value.shape is None:
        return []
    return [size if isinstance(size, int) else size.value for size in value.shape]
