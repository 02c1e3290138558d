"""The answer itself as output: the recipe's head becomes part of the graph.

A class map needs no probabilities: Softmax and other functions that keep the order of the classes are left out, and
a sigmoid moves into its threshold, sigmoid(x) > t where x > ln(t / (1 − t)). What only moves pixels is done with the
class map, which has one channel, instead of with all classes: argmax(move(x)) = move(argmax(x)). Linear interpolation
does not commute, so the head comes behind it.
"""

import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from quantseg.data.recipe import OutputRecipe
from quantseg.errors import PlanError
from quantseg.graph import infer_shapes
from quantseg.graph.passes import Change
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.folding.building import Builder
from quantseg.quantization.folding.moves import Move, move_of

MASK = "mask"
"""Name of the folded output. Not the float model's: numbers and class ids are read differently."""

MOST_CLASSES = 256
_CLASS_AXIS = {"NCHW": 1, "NHWC": 3, "NHW": None}
_OVER_CLASSES = ("LogSoftmax", "Softmax")
_ORDER_KEEPING = ("Exp", "Identity", "Log", "Sigmoid", "Softplus", "Sqrt", "Tanh")


def fold_answer(float_model: FloatModel) -> FloatModel:
    """Edits the graph to give class ids, uint8 (N, H, W), in place of the recipe's output; the recipe follows.

    Multilabel gives a mask of zeros and ones for each class, in the output's layout. Equal classes: the first, as in
    float; on integers more of them are equal. Raises PlanError for more classes than uint8 holds.
    """
    prepared, recipe = float_model.prepared, float_model.recipe
    model, given = prepared.model, recipe.output
    old = next(value for value in model.graph.outputs if value.name == given.name)
    axis = _CLASS_AXIS[str(given.layout)]
    _check_classes(given, old, axis)
    build = Builder(model.graph, MASK)
    mask = _HEADS[str(given.head)](build, old, axis, given)
    model.graph.outputs[model.graph.outputs.index(old)] = mask
    mask.name = build.free(MASK)
    RemoveUnusedNodesPass()(model)
    infer_shapes(model)
    many = given.head == "multilabel"
    answer = replace(given, name=mask.name, threshold=0.5)
    answer = answer if many else replace(answer, layout="NHW", head="labels")
    note = Change("fold_argmax", str(mask.name), f"{given.head} of {old.name}")
    done = replace(prepared, changes=(*prepared.changes, note))
    return replace(float_model, prepared=done, recipe=replace(recipe, output=answer))


def _check_classes(recipe: OutputRecipe, output: ir.Value, axis: int | None) -> None:
    if recipe.head in ("threshold", "multilabel"):
        return
    size = None if axis is None or output.shape is None or recipe.head == "labels" else output.shape[axis]
    classes = size if isinstance(size, int) else len(recipe.classes)
    if not classes:
        raise PlanError(f"fold='argmax': output {output.name!r} does not tell how many classes it has; give classes=…")
    if classes > MOST_CLASSES:
        raise PlanError(f"fold='argmax': {classes} classes do not fit uint8, which holds {MOST_CLASSES}; leave it out")


def _argmax(build: Builder, output: ir.Value, axis: int | None, recipe: OutputRecipe) -> ir.Value:
    assert axis is not None
    numbers, axis, moves, _ = _origin(output, axis, over_classes=True)
    assert axis is not None
    mask = build.node("Cast", [build.node("ArgMax", [numbers], axis=axis, keepdims=0)], to=ir.DataType.UINT8)
    for move in reversed(moves):
        mask = move.without_classes(build, mask)
    return mask


def _threshold(build: Builder, output: ir.Value, axis: int | None, recipe: OutputRecipe) -> ir.Value:
    numbers, place, moves, threshold = _origin(output, axis, threshold=recipe.threshold)
    mask = _above(build, numbers, threshold)
    if place is not None:
        mask = build.node("Squeeze", [mask, build.constant("axis", [place], np.int64)])
    for move in reversed(moves):
        mask = move.without_classes(build, mask)
    return mask


def _multilabel(build: Builder, output: ir.Value, axis: int | None, recipe: OutputRecipe) -> ir.Value:
    numbers, _, moves, threshold = _origin(output, axis, threshold=recipe.threshold)
    mask = _above(build, numbers, threshold)
    for move in reversed(moves):
        mask = move.whole(build, mask)
    return mask


def _labels(build: Builder, output: ir.Value, axis: int | None, recipe: OutputRecipe) -> ir.Value:
    mask = output if output.dtype == ir.DataType.UINT8 else build.node("Cast", [output], to=ir.DataType.UINT8)
    return mask if axis is None else build.node("Squeeze", [mask, build.constant("axis", [axis], np.int64)])


def _above(build: Builder, numbers: ir.Value, threshold: float) -> ir.Value:
    above = build.node("Greater", [numbers, build.constant("threshold", threshold, np.float32)])
    return build.node("Cast", [above], to=ir.DataType.UINT8)


def _origin(
    output: ir.Value, axis: int | None, *, over_classes: bool = False, threshold: float = 0.0
) -> tuple[ir.Value, int | None, list[Move], float]:
    """Where the head can be taken: the tensor, its axis of classes, the moves from there on, and the threshold there.

    over_classes: the head compares the classes with each other, else each number with the threshold.
    """
    value, moves = output, list[Move]()
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
    """ln(p / (1 − p)): −∞ and ∞ outside of (0, 1), where a sigmoid is always above and never."""
    if not 0 < probability < 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))


_HEADS = {"argmax": _argmax, "threshold": _threshold, "multilabel": _multilabel, "labels": _labels}
