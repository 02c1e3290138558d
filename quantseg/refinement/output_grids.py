"""Grids per channel for the outputs that masks are read from: each class uses all 8 bits of its own range.

No integer kernel writes one grid a channel. But an output y is read in float, so that for each channel c

    y_c = width_c · u_c + low_c,        u = (y − low) / width  in 0…1, computed by scaled weights of the last product

and u needs one grid alone. The scales of weights per channel take the widths, and moved pixels stay the same, so in
float nothing changes. What interpolates them on the way to the output does so in float, which is also faster.

Classes seldom have the same range, and the one of most pixels reaches furthest below all others: on one grid for all,
that one wastes the bits of the others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.calibration.observation import ChannelExtrema
from quantseg.data.heads import judged_outputs
from quantseg.graph import infer_shapes, signature
from quantseg.graph.edit import constant, initializer, input_at, only_user, owner, rank
from quantseg.graph.passes import Change
from quantseg.graph.passes.linear import Linear, linear, write
from quantseg.quantization.affine import Range
from quantseg.quantization.candidate import Candidate

REASON = "gives each channel of an output its own range, behind the last rounding"
_IN_FLOAT = frozenset({"ArgMax", "LogSoftmax", "Softmax", "Transpose"})
"""What may stand between the classes' values and the output, beside linear Resize: it computes in float."""

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class _Output:
    """The values of an output's classes. product: its last product. value: its result, maybe moved.

    classes: channel of the product → channel of `value`. after: the nodes from `value` to the output.
    """

    product: ir.Node
    weights: Linear
    value: ir.Value
    after: tuple[str, ...]
    classes: NDArray[np.int64]


def part_output_grids(candidate: Candidate, extrema: Mapping[str, ChannelExtrema]) -> Candidate | None:
    """The candidate with a range for each channel of the outputs that its masks are read from; None for no such output.

    extrema: of the observed tensors of the candidate's graph. The result is equal in float. None, too, without weights
    per channel, since scaled rows would cost the other rows their bits, and for other kernels than onnxruntime's: files
    for those (LiteRT's) are to compute in integers up to the end.
    """
    if not candidate.settings.per_channel or candidate.overrides.weights or candidate.prepared.kernels is not None:
        return None
    model, integer = candidate.prepared.model.clone(), {node.name for node in candidate.plan.quantised}
    kept, ranges, changes = list[str](), dict[str, Range](), list[Change]()
    for output in _outputs(model.graph, candidate):
        seen = extrema.get(str(output.product.outputs[0].name))
        if seen is None or len(seen.minima) != len(output.classes) or output.product.name not in integer:
            continue
        low, high = _spans(output.classes, seen)
        middle = (low + high) / 2 if candidate.settings.symmetric else low
        width = high - middle
        scale, shift = 1 / width[output.classes], -(middle / width)[output.classes]
        write(output.product, output.weights.scaled(scale, shift))
        kept += (*_insert(output.value, width, middle), *output.after)
        span = Range(-1.0 if candidate.settings.symmetric else 0.0, 1.0)
        ranges[str(output.product.outputs[0].name)] = span
        changes.append(Change("part_output_grids", str(output.product.name), f"{len(width)} channels"))
    if not changes:
        return None
    infer_shapes(model)
    prepared = replace(candidate.prepared, model=model, changes=(*candidate.prepared.changes, *changes))
    table = replace(candidate.ranges, ranges={**candidate.ranges.ranges, **ranges})
    parted = replace(candidate.with_prepared(prepared), ranges=table).left_float(kept, REASON)
    which = "the output" if len(changes) == 1 else f"{len(changes)} outputs"
    return parted.noted(f"each channel of {which} has a range of its own")


def _outputs(graph: ir.Graph, candidate: Candidate) -> Iterator[_Output]:
    """The judged outputs with several channels that only products and commuting operators make."""
    names = judged_outputs(candidate.model.recipe, signature(candidate.prepared.model)[1]).outputs
    for output in graph.outputs:
        if output.name in names and (found := _traced(output)) is not None:
            yield found


def _traced(output: ir.Value) -> _Output | None:
    value, after, moves = output, list[str](), list[ir.Node]()
    node = output.producer()
    while node is not None and node.domain == "" and node.op_type not in ("Conv", "ConvTranspose"):
        before = node.inputs[0]
        if before is None or only_user(before) is not node:
            return None
        if node.op_type in _IN_FLOAT or _interpolates(node):
            value, after, moves = before, [*after, *(str(move.name) for move in moves), str(node.name)], []
        else:
            moves.append(node)
        node = before.producer()
    weights = None if node is None else linear(node)
    count = None if value.shape is None or rank(value) != 4 else value.shape[1]
    if node is None or weights is None or value.dtype != ir.DataType.FLOAT or not isinstance(count, int) or count < 2:
        return None
    classes: NDArray[np.int64] | None = np.arange(count)
    for move in moves:
        classes = None if classes is None else _before(move, classes)
    fits = classes is not None and weights.outputs == len(classes)
    return _Output(node, weights, value, tuple(after), classes) if classes is not None and fits else None


def _interpolates(node: ir.Node) -> bool:
    return node.op_type == "Resize" and node.attributes.get_string("mode", "nearest") != "nearest"


def _before(node: ir.Node, classes: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The channels before a node that moves pixels, by what they become behind it; None for any other node."""
    if node.op_type == "DepthToSpace":
        copies = node.attributes.get_int("blocksize") ** 2
        rows_first = node.attributes.get_string("mode", "DCR") == "DCR"
        return np.tile(classes, copies) if rows_first else classes.repeat(copies)
    if node.op_type == "Slice":
        axes = constant(input_at(node, 3))
        return classes if axes is not None and np.isin(axes, (2, 3, -1, -2)).all() else None
    return classes if node.op_type in ("Identity", "Resize") else None


def _spans(classes: NDArray[np.int64], seen: ChannelExtrema) -> tuple[F64, F64]:
    """The range of each channel, of a width above zero."""
    count = int(classes.max()) + 1
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, classes, seen.minima.astype(np.float64))
    np.maximum.at(high, classes, seen.maxima.astype(np.float64))
    return low, np.where(high - low > 1e-6 * np.abs(high).max(), high, low + 1)


def _insert(value: ir.Value, width: F64, low: F64) -> tuple[str, str]:
    """Puts u · width + low behind the value, which from then on is u; returns the new nodes' names."""
    producer, name = value.producer(), str(value.name)
    assert producer is not None
    graph = owner(producer)
    shape = (1, -1, 1, 1)
    factor, summand = (
        initializer(graph, f"{name}_{what}", numbers.reshape(shape).astype(np.float32))
        for what, numbers in (("width", width), ("low", low))
    )
    scaled = ir.node("Mul", [value, factor], name=f"{name}_scaled")
    shifted = ir.node("Add", [scaled.outputs[0], summand], name=f"{name}_shifted")
    result = shifted.outputs[0]
    result.type, result.shape = value.type, value.shape
    scaled.outputs[0].name = f"{name}_scaled_out"
    for user, index in tuple(value.uses()):
        user.replace_input_with(index, result)
    scaled.replace_input_with(0, value)
    graph.outputs[:] = [result if output is value else output for output in graph.outputs]
    value.name, result.name = f"{name}_parted", name
    graph.insert_after(producer, (scaled, shifted))
    return str(scaled.name), str(shifted.name)
