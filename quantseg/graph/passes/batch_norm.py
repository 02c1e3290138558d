"""Per-channel scale and shift (BatchNormalization above all), folded into the convolution before or after it.

    before:  s·(W∗x + b) + t  =  (s·W)∗x + (s·b + t)
    through Pad:  s·Pad(y, v) + t  =  Pad(s·y + t, s·v + t), where s·v + t is one number for all channels
    after:  W∗(s·x + t) + b  =  (W·s)∗x + (b + ΣW·t), where the convolution does not pad, or t = 0

A BatchNormalization without such a neighbour becomes a 1x1 depthwise Conv, which runtimes have an integer kernel for.
Source of the folding: Jacob et al., CVPR 2018, section 3.2.
"""

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import bypass, initializer, only_producer, only_user, owner, rank, replace
from quantseg.graph.operators import BIASED_PRODUCTS
from quantseg.graph.passes.channelwise import F64, Channelwise, channelwise
from quantseg.graph.passes.depthwise import depthwise
from quantseg.graph.passes.linear import linear, write
from quantseg.graph.passes.outcome import Change, Refusal, RewriteOutcome, outcome_of
from quantseg.graph.passes.pad import fill_value, widths


def fold_batch_norms(model: ir.Model) -> RewriteOutcome:
    """Folds every per-channel scale and shift of the main graph where that is exact. Needs inferred shapes."""
    notes: list[Change | Refusal] = []
    for node in list(model.graph):
        affine = channelwise(node)
        if affine is not None:
            notes.extend(_fold(affine))
        elif node.op_type == "BatchNormalization" and node.domain == "":
            reason = "its statistics are not constant, or its variance is negative"
            notes.append(Refusal("fold_batch_norms", str(node.name), reason))
    return outcome_of(*notes)


def _fold(affine: Channelwise) -> list[Change | Refusal]:
    node = affine.node
    name = str(node.name)
    into = _into_producer(affine) or _into_user(affine)
    if into is not None:
        return [Change("fold_batch_norms", name, f"{node.op_type} folded into {into.name}")]
    if node.op_type != "BatchNormalization":
        return []
    axes = rank(affine.source)
    if axes is None or axes < 3:
        reason = "no convolution next to it takes it exactly, and it has no image to be a depthwise Conv over"
        return [Refusal("fold_batch_norms", name, reason)]
    _as_depthwise(affine, axes)
    return [Change("fold_batch_norms", name, "no convolution next to it takes it exactly: now a 1x1 depthwise Conv")]


def _into_producer(affine: Channelwise) -> ir.Node | None:
    """Folds into the linear node before, through a Pad if need be; returns that node, None where it cannot."""
    pad = only_producer(affine.source, affine.node, "Pad")
    below, user = (pad.inputs[0], pad) if pad is not None else (affine.source, affine.node)
    producer = only_producer(below, user, *BIASED_PRODUCTS)
    kernel = linear(producer) if producer is not None else None
    if producer is None or kernel is None:
        return None
    widened = affine.widened(kernel.outputs)
    if widened is None or (pad is not None and not _through_pad(pad, *widened)):
        return None
    bypass(affine.node, affine.source)
    write(producer, kernel.scaled(*widened))
    return producer


def _through_pad(pad: ir.Node, scale: F64, shift: F64) -> bool:
    """Sets the Pad's value to scale·value + shift; False, and no change, where that is not one known number."""
    axes = rank(pad.inputs[0])
    added = widths(pad, axes) if axes is not None else None
    if added is None or any(added[0][:2]) or any(added[1][:2]):
        return False
    if "mode" in pad.attributes and pad.attributes["mode"].as_string() != "constant":
        return True  # copies of pixels are scaled and shifted with their originals
    value = fill_value(pad)
    if value is None:
        return False
    border = np.unique((scale * value + shift).astype(np.float32))
    if border.size != 1:
        return False
    if border[0] != np.float32(value):
        fill = initializer(owner(pad), f"{pad.name}_value", border.reshape(()))
        pad.resize_inputs(max(3, len(pad.inputs)))
        pad.replace_input_with(2, fill)
    return True


def _into_user(affine: Channelwise) -> ir.Node | None:
    """Folds into the Conv after, if that leaves its borders right; returns that node, None where it cannot."""
    user = only_user(affine.node.outputs[0])
    if user is None or user.op_type != "Conv" or user.domain != "" or user.graph is not affine.node.graph:
        return None
    kernel = linear(user)
    if kernel is None or user.inputs[0] is not affine.node.outputs[0]:
        return None
    widened = None if _repeats(affine) else affine.widened(kernel.inputs)
    if widened is None or (affine.shift.any() and _pads(user)):
        return None
    bypass(affine.node, affine.source)
    write(user, kernel.fed_by(*widened))
    return user


def _repeats(affine: Channelwise) -> bool:
    """Whether the node broadcasts one channel to several, each with its own scale and shift."""
    before, after = affine.source.shape, affine.node.outputs[0].shape
    return before is not None and after is not None and before[1] != after[1]


def _pads(conv: ir.Node) -> bool:
    auto = conv.attributes["auto_pad"].as_string() if "auto_pad" in conv.attributes else "NOTSET"
    own = conv.attributes["pads"].as_ints() if "pads" in conv.attributes else ()
    return auto.startswith("SAME") or (auto == "NOTSET" and any(own))


def _as_depthwise(affine: Channelwise, axes: int) -> None:
    node = affine.node
    scale = affine.scale.reshape(1, -1, *(1,) * (axes - 2))
    replace(node, [depthwise(owner(node), affine.source, scale, affine.shift, name=str(node.name))])
