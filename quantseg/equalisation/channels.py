"""Which channels of which tensors must be scaled alike: classes of channels, found by union over the graph.

A positive factor per channel passes through every operator f with f(s·x) = s·f(x); a convolution or product starts a
new one, since its weights take any factor in and give any factor out. What is not known to pass a factor on pins it to
one. Channels stand on axis 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.lowering.edit import constant, input_at, rank, static_shape

Ids = NDArray[np.int64]
"""For each channel of a tensor, a number that stands for its class; `Channels.roots` makes it the class's own."""


@dataclass(frozen=True, eq=False)
class Product:
    """A convolution or product with constant weight, and the classes that it reads and makes.

    weight: (out, in/group, taps); read: classes of all input channels; made: of all output channels.
    """

    node: ir.Node
    weight: NDArray[np.float32]
    groups: int
    read: Ids
    made: Ids


@dataclass
class Channels:
    """The classes, while they are being found."""

    of: dict[ir.Value, Ids] = field(default_factory=dict)
    products: list[Product] = field(default_factory=list)
    summands: list[tuple[ir.Node, int, Ids]] = field(default_factory=list)
    clamps: list[tuple[ir.Node, Ids]] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    pinned: set[int] = field(default_factory=set)

    def fresh(self, count: int) -> Ids:
        """New classes, one for each channel."""
        start = len(self.parent)
        self.parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def root(self, number: int) -> int:
        """The number that stands for the class."""
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def roots(self, ids: Ids) -> Ids:
        """The classes' own numbers."""
        return np.array([self.root(int(number)) for number in ids], np.int64)

    def join(self, a: Ids, b: Ids) -> None:
        """Scales channel i of one like channel i of the other, from now on."""
        for x, y in zip(a, b, strict=True):
            self.parent[self.root(int(y))] = self.root(int(x))

    def pin(self, ids: Ids | None) -> None:
        """Their factor is one."""
        if ids is not None:
            self.pinned.update(int(number) for number in ids)

    def free(self) -> frozenset[int]:
        """The classes whose factor may be chosen."""
        held = {self.root(number) for number in self.pinned}
        return frozenset(root for number in range(len(self.parent)) if (root := self.root(number)) not in held)


def channel_classes(graph: ir.Graph) -> Channels:
    """The classes of all channels of a prepared graph. Needs inferred shapes.

    Pinned are the graph's inputs and outputs, what subgraphs read, and what a node reads that is not known to pass a
    factor on, be it for its operator or for a shape that cannot be inferred.
    """
    channels = Channels()
    for node in graph:
        handler = _HANDLERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        ids = handler(channels, node) if handler is not None else None
        if ids is None:
            for value in node.inputs:
                channels.pin(_known(channels, value))
            continue
        channels.of[node.outputs[0]] = ids
    for value, ids in channels.of.items():
        if value.is_graph_output() or any(user.graph is not graph for user, _ in value.uses()):
            channels.pin(ids)
    return channels


def _known(channels: Channels, value: ir.Value | None) -> Ids | None:
    """The classes of a tensor; pinned ones where nothing is known of it yet. None for constants and unknown shapes."""
    if value is None or value.is_initializer() or value.dtype not in (ir.DataType.FLOAT, None):
        return None
    if value not in channels.of:
        shape = value.shape
        count = None if shape is None or len(shape) < 2 else shape[1]
        if not isinstance(count, int):
            return None
        channels.of[value] = channels.fresh(count)
        channels.pin(channels.of[value])
    return channels.of[value]


def _product(channels: Channels, node: ir.Node) -> Ids | None:
    read, weight = _known(channels, node.inputs[0]), constant(node.inputs[1])
    if read is None or weight is None:
        return None
    if node.op_type == "Conv":
        groups, rows = node.attributes.get_int("group", 1), weight
    else:
        if rank(node.inputs[0]) != 2 or weight.ndim != 2 or node.attributes.get_int("transA", 0) != 0:
            return None
        groups, rows = 1, weight if node.attributes.get_int("transB", 0) else weight.T
    if input_at(node, 2) is not None:
        bias = constant(node.inputs[2])
        if bias is None or bias.shape not in ((len(rows),), (1, len(rows))):
            return None
    made = channels.fresh(len(rows))
    flat = rows.reshape(len(rows), rows.shape[1], -1).astype(np.float32)
    channels.products.append(Product(node, flat, groups, read, made))
    return made


def _through(channels: Channels, node: ir.Node) -> Ids | None:
    """One tensor in, the same channels out; what else the node reads, slopes or sizes, takes no factor."""
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return None
    for value in node.inputs[1:]:
        channels.pin(_known(channels, value))
    return _kept(node, node.inputs[0], _known(channels, node.inputs[0]))


def _kept(node: ir.Node, value: ir.Value | None, ids: Ids | None) -> Ids | None:
    """The classes of an operand, where its channels are the output's: same axis, same number; else None."""
    output = node.outputs[0]
    same = ids is not None and rank(value) == rank(output) and _count(output) == len(ids)
    return ids if same else None


def _resize(channels: Channels, node: ir.Node) -> Ids | None:
    beyond = node.attributes.get_float("extrapolation_value", 0.0)
    return None if beyond else _through(channels, node)


def _clamp(channels: Channels, node: ir.Node) -> Ids | None:
    ids = _known(channels, node.inputs[0])
    if ids is None or any(bound is not None and constant(bound) is None for bound in node.inputs[1:]):
        return None
    channels.clamps.append((node, ids))
    return ids


def _sum(channels: Channels, node: ir.Node) -> Ids | None:
    a, b = (_known(channels, value) for value in node.inputs)
    if a is not None and b is not None:
        if _kept(node, node.inputs[0], a) is None or _kept(node, node.inputs[1], b) is None:
            return None
        channels.join(a, b)
        return a
    index, ids = (0, b) if a is None else (1, a)
    other = constant(node.inputs[index])
    ids = _kept(node, node.inputs[1 - index], ids)
    if ids is None or other is None or not _per_channel(other, node.outputs[0], len(ids)):
        return None
    channels.summands.append((node, index, ids))
    return ids


def _per_channel(values: NDArray[np.generic], output: ir.Value, count: int) -> bool:
    """Whether a constant operand holds one number for each channel of the output, and lies along its axis 1."""
    dims = rank(output)
    full = () if dims is None else (1,) * (dims - values.ndim) + values.shape
    return len(full) > 1 and full[1] == count == values.size


def _scaling(channels: Channels, node: ir.Node) -> Ids | None:
    """Mul: the factor of one side passes; the other, a gate, is pinned. Beside a constant it passes as it is."""
    a, b = (_known(channels, value) for value in node.inputs)
    if a is None or b is None:
        ids, other = (b, node.inputs[0]) if a is None else (a, node.inputs[1])
        value = node.inputs[1] if a is None else node.inputs[0]
        return _kept(node, value, ids) if constant(other) is not None else None
    ids, gate, value = a, b, node.inputs[0]
    sizes = (len(a), _pixels(node.inputs[0])), (len(b), _pixels(node.inputs[1]))
    held = all(int(number) in channels.pinned for number in a)
    if sizes[0] < sizes[1] or (sizes[0] == sizes[1] and held):
        ids, gate, value = b, a, node.inputs[1]
    channels.pin(gate)
    return _kept(node, value, ids)


def _count(value: ir.Value) -> int | None:
    count = None if value.shape is None or len(value.shape) < 2 else value.shape[1]
    return count if isinstance(count, int) else None


def _pixels(value: ir.Value | None) -> float:
    """Pixels of a picture, as far as sizes are known; one that is not known counts for many."""
    assert value is not None
    dims = [] if value.shape is None else list(value.shape)[2:]
    return float(np.prod([dim if isinstance(dim, int) else 1e4 for dim in dims]))


def _concat(channels: Channels, node: ir.Node) -> Ids | None:
    parts = [_known(channels, value) for value in node.inputs]
    dims = rank(node.outputs[0])
    if dims is None or any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    if node.attributes.get_int("axis", 1) % dims == 1:
        return np.concatenate(known)
    if len({len(part) for part in known}) > 1:
        return None
    for part in known[1:]:
        channels.join(known[0], part)
    return known[0]


def _split(channels: Channels, node: ir.Node) -> Ids | None:
    ids = _known(channels, node.inputs[0])
    dims = rank(node.inputs[0])
    if ids is None or dims is None:
        return None
    start = 0
    for output in node.outputs:
        count = _count(output)
        if count is None:
            return None
        along = node.attributes.get_int("axis", 0) % dims == 1
        channels.of[output] = ids[start : start + count] if along else ids
        start += count
    return channels.of[node.outputs[0]]


def _slice(channels: Channels, node: ir.Node) -> Ids | None:
    ids, dims = _known(channels, node.inputs[0]), rank(node.inputs[0])
    starts, ends = constant(node.inputs[1]), constant(node.inputs[2])
    axes, steps = constant(input_at(node, 3)), constant(input_at(node, 4))
    if ids is None or dims is None:
        return None
    if axes is not None and 1 not in {int(axis) % dims for axis in axes}:
        return ids
    if axes is None or starts is None or ends is None:
        return None
    place = [int(axis) % dims for axis in axes].index(1)
    return ids[int(starts[place]) : int(ends[place]) : 1 if steps is None else int(steps[place])]


def _gather(channels: Channels, node: ir.Node) -> Ids | None:
    ids, dims, places = _known(channels, node.inputs[0]), rank(node.inputs[0]), constant(node.inputs[1])
    if ids is None or dims is None or places is None or places.ndim != 1:
        return None
    return ids[places] if node.attributes.get_int("axis", 0) % dims == 1 else ids


def _depth_to_space(channels: Channels, node: ir.Node) -> Ids | None:
    ids, side = _known(channels, node.inputs[0]), node.attributes.get_int("blocksize", 1)
    if ids is None:
        return None
    crd = node.attributes.get_string("mode", "DCR") == "CRD"
    phases = ids.reshape(-1, side * side).T if crd else ids.reshape(side * side, -1)
    for phase in phases[1:]:
        channels.join(phases[0], phase)
    first: Ids = phases[0]
    return first


def _reshape(channels: Channels, node: ir.Node) -> Ids | None:
    """Batch and channels stay axes of their own; only pixels are laid out anew."""
    ids = _known(channels, node.inputs[0])
    before, after = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    if ids is None or before is None or after is None or len(after) < 2:
        return None
    return ids if before[:2] == after[:2] else None


def _transpose(channels: Channels, node: ir.Node) -> Ids | None:
    ids, order = _known(channels, node.inputs[0]), node.attributes.get_ints("perm", None)
    return ids if order is not None and len(order) > 1 and order[1] == 1 else None


def _pad(channels: Channels, node: ir.Node) -> Ids | None:
    """Zeros or the tensor's own values around the pixels; nothing before or after the channels."""
    pads, value, axes = (constant(input_at(node, index)) for index in (1, 2, 3))
    zeros = input_at(node, 2) is None or (value is not None and not value.any())
    if pads is None or not (zeros or node.attributes.get_string("mode", "constant") != "constant"):
        return None
    dims = len(pads) // 2
    along = range(dims) if axes is None else [int(axis) % (rank(node.inputs[0]) or 1) for axis in axes]
    moved = any(before or after for axis, before, after in zip(along, pads, pads[dims:], strict=False) if axis == 1)
    return None if moved else _through(channels, node)


def _equal(channels: Channels, node: ir.Node) -> Ids | None:
    both = all(_known(channels, value) is not None for value in node.inputs)
    return _sum(channels, node) if both else None


def _where(channels: Channels, node: ir.Node) -> Ids | None:
    for value, other in (node.inputs[1:], node.inputs[:0:-1]):
        zero = constant(other)
        if zero is not None and not zero.any():
            return _kept(node, value, _known(channels, value))
    return None


_HANDLERS: Mapping[str, Callable[[Channels, ir.Node], Ids | None]] = {
    "Conv": _product,
    "Gemm": _product,
    "MatMul": _product,
    **dict.fromkeys(("Relu", "LeakyRelu", "PRelu", "Identity"), _through),
    **dict.fromkeys(("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Expand"), _through),
    "Resize": _resize,
    "Clip": _clamp,
    "Add": _sum,
    "Sub": _sum,
    "Mul": _scaling,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "DepthToSpace": _depth_to_space,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Transpose": _transpose,
    "Pad": _pad,
    "Equal": _equal,
    "Where": _where,
}
