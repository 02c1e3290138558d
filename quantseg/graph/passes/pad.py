"""A Pad is merged into the convolution or MaxPool that it feeds, which saves a node and a copy of the tensor.

Conv(Pad(x, p), pads=q) = Conv(x, pads=p + q), where p is constant, not negative, and zero on all but spatial axes, and
zeros are written. Likewise MaxPool where −inf, or a number as low, is written, which is what MaxPool pads with.
"""

import onnx_ir as ir

from quantseg.graph.edit import constant, input_at, only_producer, owner, rank, scalar
from quantseg.graph.passes.outcome import Change, Refusal, RewriteOutcome, outcome_of

LOWEST = -1e30
"""A number that is as good as −inf: exporters write it, or the lowest float32, for the padding of a MaxPool."""


def merge_pads(model: ir.Model) -> RewriteOutcome:
    """Merges each Pad that feeds only a Conv or MaxPool into it. Needs inferred shapes."""
    notes: list[Change | Refusal] = []
    for node in list(model.graph):
        if node.op_type in ("Conv", "MaxPool") and node.domain == "":
            pad = only_producer(node.inputs[0], node, "Pad")
            if pad is not None:
                notes.append(_merge(pad, node))
    return outcome_of(*notes)


def widths(pad: ir.Node, axes: int) -> tuple[list[int], list[int]] | None:
    """Elements that the Pad adds before and after each of `axes` axes; None where they are computed at run time.

    Since opset 18 an input may name the axes that the pads are for.
    """
    numbers, named = constant(input_at(pad, 1)), constant(input_at(pad, 3))
    if numbers is None or (named is None and input_at(pad, 3) is not None):
        return None
    order = [int(axis) % axes for axis in named] if named is not None else list(range(axes))
    before, after = [0] * axes, [0] * axes
    for place, axis in enumerate(order):
        before[axis], after[axis] = int(numbers[place]), int(numbers[len(order) + place])
    return before, after


def fill_value(pad: ir.Node) -> float | None:
    """The constant that the Pad writes; None where it is computed or the mode is not constant."""
    if "mode" in pad.attributes and pad.attributes["mode"].as_string() != "constant":
        return None
    return 0.0 if input_at(pad, 2) is None else scalar(pad.inputs[2])


def _pads_for(pad: ir.Node, node: ir.Node, axes: int) -> tuple[int, ...] | str:
    """This Pad as the `pads` of a Conv or MaxPool, or why it cannot be. axes: rank of the tensor."""
    value = fill_value(pad)
    if node.op_type == "Conv" and value != 0.0:
        return "it writes something else than zeros"
    if node.op_type == "MaxPool" and (value is None or value > LOWEST):
        return "it writes numbers that may be a maximum"
    added = widths(pad, axes)
    if added is None:
        return "its widths are computed at run time"
    begins, ends = added
    if any(begins[:2]) or any(ends[:2]):
        return "it pads batch or channels"
    if min(begins + ends) < 0:
        return "it crops"
    pads = (*begins[2:], *ends[2:])
    if node.op_type == "MaxPool":
        if node.attributes.get_int("ceil_mode", 0) == 1 or len(node.outputs) > 1:
            return "its MaxPool rounds its size up or gives indices, which count the padding"
        window = 2 * tuple(node.attributes["kernel_shape"].as_ints())
        if any(size <= added for size, added in zip(window, pads, strict=True)):
            return "a window of its MaxPool may hold nothing else"
    return pads


def _merge(pad: ir.Node, conv: ir.Node) -> Change | Refusal:
    axes = rank(conv.inputs[0])
    auto = conv.attributes["auto_pad"].as_string() if "auto_pad" in conv.attributes else "NOTSET"
    if axes is None:
        return Refusal("merge_pads", str(pad.name), "the input's rank is unknown")
    if auto not in ("NOTSET", "VALID"):
        return Refusal("merge_pads", str(pad.name), f"{conv.op_type} pads itself by auto_pad {auto}")
    extra = _pads_for(pad, conv, axes)
    if isinstance(extra, str):
        return Refusal("merge_pads", str(pad.name), extra)
    pads = conv.attributes.get("pads") if auto == "NOTSET" else None
    own = pads.as_ints() if pads else (0,) * len(extra)
    conv.attributes.pop("auto_pad", None)
    conv.attributes["pads"] = ir.AttrInt64s("pads", [a + b for a, b in zip(own, extra, strict=True)])
    conv.replace_input_with(0, pad.inputs[0])
    owner(pad).remove(pad, safe=True)
    return Change("merge_pads", str(pad.name), f"merged into {conv.name}")
