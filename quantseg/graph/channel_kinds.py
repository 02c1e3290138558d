"""Kinds of output channels of a detector's last convolution: which are boxes, which are scores, which coefficients.

A head with one convolution for everything is taken apart behind it. Each output channel is followed through the
movements to the first Split, Slice or Gather that parts channels, and each part has the kind of what is computed of it:
arithmetic makes boxes, a Sigmoid or Softmax scores, and what is only passed on are coefficients. Where nothing parts
them, a table of candidates beside k prototypes has 4 numbers of a box, then scores, then k coefficients.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, static_shape
from quantseg.graph.moved_channels import moved
from quantseg.graph.operators import ELEMENTWISE, MOVEMENTS, PRODUCTS

Ids = NDArray[np.int64]
Part = tuple[ir.Value, Ids]

BOXES, SCORES, COEFFICIENTS = "boxes", "scores", "coefficients"
_ACTIVATIONS = frozenset({"Sigmoid", "Softmax", "LogSoftmax", "HardSigmoid"})
_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "Exp", "Pow"})
_MOST = 1 << 22
"""Most elements of an output whose channels are followed."""


def channel_kinds(product: ir.Node, graph: ir.Graph) -> Mapping[str, tuple[int, ...]]:
    """Kind → output channels of it, where behind the product they are taken apart; else one kind or none.

    Channels of several kinds, or of none, are left out; a product whose shape is unknown has none.
    """
    output = product.outputs[0]
    axis = 1 if product.op_type in ("Conv", "ConvTranspose") else -1
    ids = _ids(output, axis)
    if ids is None:
        return {}
    channels = ids.shape[axis]
    found: dict[int, set[str]] = {}
    for value, part in _parts(output, ids, channels):
        present = _present(part, channels)
        kinds = {_kind_of(value): present} if present.size < channels else _of_table(value, part, graph)
        for kind, members in kinds.items():
            for channel in members.tolist():
                found.setdefault(channel, set()).add(kind)
    sorted_out: dict[str, list[int]] = {}
    for channel, known in sorted(found.items()):
        if len(known) == 1:
            sorted_out.setdefault(next(iter(known)), []).append(channel)
    return {kind: tuple(members) for kind, members in sorted_out.items()}


def _ids(output: ir.Value, axis: int) -> Ids | None:
    """The number of its channel in place of each element; sizes that are open do not matter and are 1."""
    if output.shape is None or len(output.shape) < 2:
        return None
    sizes = [size if isinstance(size, int) else 1 for size in output.shape]
    if not isinstance(output.shape[axis], int) or not 1 < np.prod(sizes, dtype=np.float64) <= _MOST:
        return None
    along = np.moveaxis(np.broadcast_to(np.arange(sizes[axis]), (*np.delete(sizes, axis), sizes[axis])), -1, axis)
    return np.ascontiguousarray(along, np.int64)


def _parts(value: ir.Value, ids: Ids, channels: int) -> Iterator[Part]:
    """The tensors behind movements that hold a part of the channels, and those that hold all at the end of the way."""
    if _present(ids, channels).size < channels:
        yield value, ids
        return
    ends = value.is_graph_output()
    for user, index in value.uses():
        outputs = moved(user, index, ids)
        ends |= outputs is None
        for one in outputs or ():
            yield from _parts(*one, channels)
    if ends:
        yield value, ids


def _present(ids: Ids, channels: int) -> Ids:
    """The channels that occur, sorted."""
    marks = np.zeros(channels + 1, np.bool_)
    marks[ids] = True  # an element that comes from elsewhere, −1, marks the last place
    return np.flatnonzero(marks[:channels])


def _kind_of(value: ir.Value) -> str:
    """The kind of a part, by what is computed of it before it is joined with others."""
    waiting, seen, kind = [value], set[ir.Value](), COEFFICIENTS
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for user, index in current.uses():
            if user.op_type in PRODUCTS or (user.op_type in _ARITHMETIC and not _weighs(user, index, kind)):
                return BOXES
            if user.op_type in _ACTIVATIONS:
                kind = SCORES
            if user.op_type in _ACTIVATIONS | ELEMENTWISE or (user.op_type in MOVEMENTS and index == 0):
                waiting.extend(user.outputs)
    return kind


def _weighs(user: ir.Node, index: int, kind: str) -> bool:
    """Whether a score is multiplied by another one, as that of the class by that of the object."""
    if user.op_type != "Mul" or kind != SCORES:
        return False
    return constant(user.inputs[1 - index]) is None


def _of_table(value: ir.Value, ids: Ids, graph: ir.Graph) -> dict[str, Ids]:
    """The kinds of the channels of a table of candidates that is an output beside prototypes; {} of another tensor."""
    channels, shape = int(ids.max()) + 1, static_shape(value) or ()
    others = [other.shape for other in graph.outputs if other.shape is not None and len(other.shape) == 4]
    if not value.is_graph_output() or len(ids.shape) != 3 or not others or channels not in shape[1:]:
        return {}
    rows = np.moveaxis(ids, 1 + shape[1:].index(channels), -1).reshape(-1, channels)
    if not (rows[rows.max(axis=1) >= 0] == np.arange(channels)).all():  # channels of others stand beside them
        return {}
    prototypes = others[0][1]
    if not isinstance(prototypes, int) or prototypes in ids.shape[1:] or channels <= 4 + prototypes:
        return {}
    order = np.arange(channels)
    return {BOXES: order[:4], SCORES: order[4 : channels - prototypes], COEFFICIENTS: order[channels - prototypes :]}
