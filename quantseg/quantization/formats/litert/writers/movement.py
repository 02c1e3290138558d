"""Operators that move, repeat, join or select numbers."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from quantseg.files.tflite.schema import NONE
from quantseg.quantization.formats.litert.editor import Editor
from quantseg.quantization.formats.litert.layout import NHWC, Order, PlacedTensor, of_image, physical, plain
from quantseg.quantization.formats.litert.network import Operator, Tensor
from quantseg.quantization.formats.litert.writers.attributes import numbers, refused
from quantseg.quantization.formats.litert.writers.elementwise import aligned


def transpose(editor: Editor, node: ir.Node) -> None:
    """Transpose: nothing is moved, the axes get other names."""
    integer = editor.is_integer(node)
    source = editor.at_hand(node.inputs[0], integer=integer)
    rank = len(source.order)
    perm = tuple(node.attributes["perm"].as_ints()) if "perm" in node.attributes else plain(rank)[::-1]
    order = tuple(perm.index(axis) for axis in source.order)
    editor.put(node.outputs[0], PlacedTensor(source.tensor, order), stored=integer)


def reshape(editor: Editor, node: ir.Node) -> None:
    """Reshape, Flatten, Squeeze, Unsqueeze: a RESHAPE in the order at hand if that is possible."""
    integer = editor.is_integer(node)
    source = editor.at_hand(node.inputs[0], integer=integer)
    before, after = editor.shape(node.inputs[0]), editor.shape(node.outputs[0])
    order = reshaped_order(source, before, after)
    if order is None:
        turned = editor.read(node.inputs[0], plain(len(before)), integer=integer)
        source, order = PlacedTensor(turned, plain(len(before))), plain(len(after))
    shape = physical(after, order)
    result = editor.result(node.outputs[0], order, integer=integer)
    editor.insert("RESHAPE", [source.tensor, editor.ints(shape)], result)


def reshaped_order(source: PlacedTensor, before: Sequence[int], after: Sequence[int]) -> Order | None:
    """The order that the new axes have if the tensor is reshaped as it lies; None where numbers would have to move.

    Axes that become others together form a segment. Each must lie in one piece, its axes longer than 1 in order.
    """
    found: list[tuple[int, list[int]]] = []  # where a segment lies, and its new axes
    for old, new in _segments(before, after):
        places = [source.order.index(axis) for axis in old if before[axis] != 1]
        if places != list(range(places[0], places[0] + len(places))) if places else False:
            between = range(min(places), max(places) + 1)
            others = [place for place in between if place not in places and source.tensor.shape[place] != 1]
            if places != sorted(places) or others:
                return None
        found.append((places[0] if places else len(source.order), new))
    return tuple(axis for _, new in sorted(found, key=lambda one: one[0]) for axis in new)


def _segments(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Old and new axes of equal products, as short as possible. Axes of size 1 belong to the segment before."""
    found: list[tuple[list[int], list[int]]] = []
    left, right = 0, 0
    while left < len(before) or right < len(after):
        old, new = list[int](), list[int]()
        a = b = 1
        while left < len(before) and (not old or a < b):
            a *= before[left]
            old.append(left)
            left += 1
            while right < len(after) and (b < a or (b == a and not new)):
                b *= after[right]
                new.append(right)
                right += 1
        while right < len(after) and (after[right] == 1 or left == len(before)):
            new.append(right)
            right += 1
        while left < len(before) and (before[left] == 1 or right == len(after)):
            old.append(left)
            left += 1
        found.append((old, new))
    return found


def concat(editor: Editor, node: ir.Node) -> None:
    """Concat. In integers all inputs are requantised to the output's grid first, where theirs is another."""
    integer = editor.is_integer(node)
    rank = len(editor.shape(node.outputs[0]))
    orders = [editor.at_hand(value, integer=integer).order for value in node.inputs if _computed(value)]
    order = NHWC if NHWC in orders else (orders[0] if orders else of_image(rank))
    parts = [editor.read(value, order, integer=integer) for value in node.inputs]
    result = editor.result(node.outputs[0], order, integer=integer)
    if result.params is not None:
        parts = [editor.on_grid(part, result.params) for part in parts]
    elif result.dtype == "uint8":  # pixels, and planes beside them
        parts = [part if part.data is None else editor.constant(part.data, parts[0].params) for part in parts]
        result = _with_grid_of(editor, node.outputs[0], parts[0], result, order)
    axis = order.index(node.attributes["axis"].as_int() % rank)
    editor.insert("CONCATENATION", parts, result, {"axis": axis, "fused_activation_function": NONE})


def _with_grid_of(editor: Editor, value: ir.Value, source: Tensor, result: Tensor, order: Order) -> Tensor:
    """The result on the grid of the pixels that it is made of."""
    return editor.replaced(value, PlacedTensor(editor.like(result, result.name, params=source.params), order))


def _computed(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is None


def split(editor: Editor, node: ir.Node) -> None:
    """Split: SPLIT into equal parts, else SPLIT_V."""
    integer = editor.is_integer(node)
    source = editor.at_hand(node.inputs[0], integer=integer)
    axis = source.axis(node.attributes.get_int("axis", 0))
    results = [
        editor.result(output, source.order, integer=integer)
        if not integer or editor.has_grid(output)
        else editor.like(source.tensor, str(output.name), shape=physical(editor.shape(output), source.order))
        for output in node.outputs
    ]
    sizes = [one.shape[axis] for one in results]
    where, options = editor.ints(axis), {"num_splits": len(sizes)}
    if len(set(sizes)) == 1:
        editor.operators.append(Operator("SPLIT", (where, source.tensor), tuple(results), options, str(node.name)))
        return
    inputs = (source.tensor, editor.ints(sizes), where)
    editor.operators.append(Operator("SPLIT_V", inputs, tuple(results), options, str(node.name)))


def slice_(editor: Editor, node: ir.Node) -> None:
    """Slice: SLICE by steps of one, else STRIDED_SLICE."""
    integer = editor.is_integer(node)
    source = editor.at_hand(node.inputs[0], integer=integer)
    sizes, rank = source.logical, len(source.order)
    starts, ends, axes, steps = (numbers(node, index) for index in range(1, 5))
    assert starts is not None
    assert ends is not None
    named = list(range(len(starts))) if axes is None else [int(axis) % rank for axis in axes]
    begin, step = [0] * rank, [1] * rank
    for place, axis in enumerate(named):
        step[axis] = 1 if steps is None else int(steps[place])
        if step[axis] < 1:
            raise refused(node, "counts backwards")
        first = int(starts[place])
        begin[axis] = min(max(first + sizes[axis] if first < 0 else first, 0), sizes[axis])
    result = editor.result(node.outputs[0], source.order, integer=integer)
    first_of = editor.ints(physical(begin, source.order))
    if max(step) == 1:
        editor.insert("SLICE", [source.tensor, first_of, editor.ints(result.shape)], result)
        return
    given = editor.shape(node.outputs[0])
    end = [b + (count - 1) * s + 1 for b, count, s in zip(begin, given, step, strict=True)]
    operands = [first_of, editor.ints(physical(end, source.order)), editor.ints(physical(step, source.order))]
    editor.insert("STRIDED_SLICE", [source.tensor, *operands], result, {"begin_mask": 0, "end_mask": 0})


def gather(editor: Editor, node: ir.Node) -> None:
    """Gather by constant indices of one axis."""
    integer = editor.is_integer(node)
    source, indices = editor.at_hand(node.inputs[0], integer=integer), numbers(node, 1)
    assert indices is not None
    if indices.ndim != 1:
        raise refused(node, f"its indices have {indices.ndim} axes, only lists of indices are written")
    axis = node.attributes.get_int("axis", 0)
    wanted = np.where(indices < 0, indices + source.logical[axis], indices).astype(np.int32)
    result = editor.result(node.outputs[0], source.order, integer=integer)
    gathered(editor, source.tensor, wanted, source.axis(axis), result)


def gathered(editor: Editor, source: Tensor, indices: np.ndarray, axis: int, result: Tensor) -> Tensor:
    """The elements at these indices of a physical axis."""
    operands = [source, editor.constant(np.asarray(indices, np.int32))]
    return editor.insert("GATHER", operands, result, {"axis": axis, "batch_dims": 0})


def expand(editor: Editor, node: ir.Node) -> None:
    """Expand: BROADCAST_TO."""
    integer = editor.is_integer(node)
    order, (source,) = aligned(editor, node, node.inputs[:1], integer=integer)
    result = editor.result(node.outputs[0], order, integer=integer)
    if source.dtype == "uint8":
        assert source.data is not None
        whole = editor.constant(np.broadcast_to(source.data, result.shape))
        editor.replaced(node.outputs[0], PlacedTensor(whole, order))
        return
    editor.insert("BROADCAST_TO", [source, editor.ints(result.shape)], result)


def tile(editor: Editor, node: ir.Node) -> None:
    """Tile."""
    integer, repeats = editor.is_integer(node), numbers(node, 1)
    source = editor.at_hand(node.inputs[0], integer=integer)
    assert repeats is not None
    result = editor.result(node.outputs[0], source.order, integer=integer)
    editor.insert("TILE", [source.tensor, editor.ints(physical([int(n) for n in repeats], source.order))], result)


def depth_to_space(editor: Editor, node: ir.Node) -> None:
    """DepthToSpace. LiteRT's is DCR; the channels of CRD are put into that order first."""
    integer, block = editor.is_integer(node), node.attributes["blocksize"].as_int()
    source = editor.read(node.inputs[0], NHWC, integer=integer)
    if node.attributes.get_string("mode", "DCR") == "CRD":
        order = np.arange(source.shape[3]).reshape(-1, block * block).T.reshape(-1)
        source = gathered(editor, source, order, 3, editor.like(source, f"{source.name}_ordered"))
    result = editor.result(node.outputs[0], NHWC, integer=integer)
    editor.insert("DEPTH_TO_SPACE", [source], result, {"block_size": block})


def space_to_depth(editor: Editor, node: ir.Node) -> None:
    """SpaceToDepth, whose channels LiteRT orders alike."""
    integer, block = editor.is_integer(node), node.attributes["blocksize"].as_int()
    source = editor.read(node.inputs[0], NHWC, integer=integer)
    result = editor.result(node.outputs[0], NHWC, integer=integer)
    editor.insert("SPACE_TO_DEPTH", [source], result, {"block_size": block})


def where(editor: Editor, node: ir.Node) -> None:
    """Where: SELECT_V2."""
    integer = editor.is_integer(node)
    if integer:
        kept = editor.form(node).data[0]
        grid = editor.grid(node.inputs[kept])
        order, found = aligned(editor, node, [node.inputs[0], node.inputs[kept]], integer=True)
        zero = editor.constant(np.asarray(grid.zero_point), grid)
        branches = [found[1], zero] if kept == 1 else [zero, found[1]]
        operands = [found[0], *branches]
    else:
        order, operands = aligned(editor, node, node.inputs, integer=False)
    editor.insert("SELECT_V2", operands, editor.result(node.outputs[0], order, integer=integer))
