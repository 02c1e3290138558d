"""Folding of the output head: the model's output becomes the mask.

A mask needs no probabilities: Softmax and other functions that keep the order of the classes are removed, and a
sigmoid is folded into the threshold, sigmoid(x) > t where x > ln(t / (1 − t)). Movements of pixels are applied to the
mask, which has one channel, instead of to all classes: argmax(move(x)) = move(argmax(x)). Linear interpolation does not
commute with ArgMax, so the head comes after it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from quantseg.data.heads import head_of
from quantseg.data.values import CHANNEL_AXIS
from quantseg.errors import PlanError
from quantseg.graph import infer_shapes, signature
from quantseg.graph.passes import Change
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.folding.building import Builder
from quantseg.quantization.folding.moves import MovingNode, move_of

MASK = "mask"
"""Name of the folded output; other than the float model's, since a mask is not read as its output was."""

MOST_CLASSES = 256
_OVER_CLASSES = ("LogSoftmax", "Softmax")
_ORDER_KEEPING = ("Exp", "Identity", "Log", "Sigmoid", "Softplus", "Sqrt", "Tanh")


@dataclass(frozen=True)
class FoldedOutput:
    """An output that is replaced by a mask; see GraphOutput. axis: the channel axis; None without one."""

    build: Builder
    value: ir.Value
    axis: int | None

    def best_class(self, classes: int) -> ir.Value:
        """ArgMax before the movements. At ties the first class, as in float; integers have more ties."""
        assert self.axis is not None
        size = None if self.value.shape is None else self.value.shape[self.axis]
        self._check(size if isinstance(size, int) else classes)
        numbers, axis, moves, _ = _origin(self.value, self.axis, over_classes=True)
        assert axis is not None
        best = self.build.node("ArgMax", [numbers], axis=axis, keepdims=0)
        return self._without_channels(self.build.node("Cast", [best], to=ir.DataType.UINT8), moves)

    def above(self, threshold: float, *, channels: bool) -> ir.Value:
        """Greater before the movements."""
        numbers, axis, moves, level = _origin(self.value, self.axis, threshold=threshold)
        greater = self.build.node("Greater", [numbers, self.build.constant("threshold", level, np.float32)])
        mask = self.build.node("Cast", [greater], to=ir.DataType.UINT8)
        if not channels:
            return self._without_channels(self._squeezed(mask, axis), moves)
        for move in reversed(moves):
            mask = move.whole(self.build, mask)
        return mask

    def ids(self, classes: int) -> ir.Value:
        """A Cast to uint8."""
        self._check(classes)
        is_uint8 = self.value.dtype == ir.DataType.UINT8
        mask = self.value if is_uint8 else self.build.node("Cast", [self.value], to=ir.DataType.UINT8)
        return self._squeezed(mask, self.axis)

    def _without_channels(self, mask: ir.Value, moves: Sequence[MovingNode]) -> ir.Value:
        for move in reversed(moves):
            mask = move.without_classes(self.build, mask)
        return mask

    def _squeezed(self, mask: ir.Value, axis: int | None) -> ir.Value:
        if axis is None:
            return mask
        return self.build.node("Squeeze", [mask, self.build.constant("axis", [axis], np.int64)])

    def _check(self, classes: int) -> None:
        if not classes:
            raise PlanError(
                f"fold='argmax': output {self.value.name!r} does not tell how many classes it has; give classes=…"
            )
        if classes > MOST_CLASSES:
            raise PlanError(
                f"fold='argmax': {classes} classes do not fit uint8, which holds {MOST_CLASSES}; leave it out"
            )


def fold_head(float_model: FloatModel) -> FloatModel:
    """Edits the graph: a uint8 mask replaces the outputs that the recipe's head reads. The recipe is adapted.

    Raises PlanError for more classes than uint8 holds.
    """
    prepared, recipe = float_model.prepared, float_model.recipe
    model, given = prepared.model, recipe.output
    head, outputs = head_of(given), model.graph.outputs
    names = head.outputs(given, signature(model)[1])
    old = [next(value for value in outputs if value.name == name) for name in names]
    build = Builder(model.graph, MASK)
    axis = CHANNEL_AXIS.get(str(given.layout))
    mask, folded = head.fold([FoldedOutput(build, value, axis) for value in old], given)
    outputs[outputs.index(old[0])] = mask
    for value in old[1:]:
        outputs.remove(value)
    mask.name = build.free(MASK)
    RemoveUnusedNodesPass()(model)
    infer_shapes(model)
    note = Change("fold_argmax", str(mask.name), f"{head.name} of {', '.join(names)}")
    done = replace(prepared, changes=(*prepared.changes, note))
    return replace(float_model, prepared=done, recipe=replace(recipe, output=replace(folded, name=str(mask.name))))


def _origin(
    output: ir.Value, axis: int | None, *, over_classes: bool = False, threshold: float = 0.0
) -> tuple[ir.Value, int | None, list[MovingNode], float]:
    """The tensor furthest upstream on which the head can be computed.

    Returns that tensor, its class axis, the movements from there to the output, and the threshold for that tensor.
    over_classes: whether the head compares classes with each other; else each element with the threshold.
    """
    value, moves = output, list[MovingNode]()
    while (node := value.producer()) is not None and node.domain == "" and node.inputs[0] is not None:
        if over_classes and (node.op_type in _ORDER_KEEPING or _is_over(node, axis)):
            pass
        elif not over_classes and node.op_type == "Sigmoid":
            threshold = _logit(threshold)
        elif (move := move_of(node, axis)) is not None:
            moves.append(move)
            axis = move.before
        else:
            break
        value = node.inputs[0]
    return value, axis, moves, threshold


def _is_over(node: ir.Node, axis: int | None) -> bool:
    """Whether the node is a Softmax over the classes of each pixel."""
    if node.op_type not in _OVER_CLASSES or axis is None or node.outputs[0].shape is None:
        return False
    return node.attributes.get_int("axis", -1) % len(node.outputs[0].shape) == axis


def _logit(probability: float) -> float:
    """ln(p / (1 − p)); −∞ for p <= 0 and ∞ for p >= 1, as a sigmoid is always above 0 and never above 1."""
    if not 0 < probability < 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))
