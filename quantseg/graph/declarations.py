"""What a file declares of its tensors, against what is computed: stale shapes are dropped, and gaps are filled."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.detection import COUNTING, behind
from quantseg.graph.edit import static_shape
from quantseg.graph.passes.outcome import Change, RewriteOutcome
from quantseg.graph.weightless import infer_shapes

Runs = Callable[[ir.Model, Sequence[str]], Sequence[NDArray[Any]]]
"""Runs a model once on any input, and returns the named tensors."""


def drop_stale_shapes(model: ir.Model) -> RewriteOutcome:
    """Replaces declared shapes that contradict the computed ones, in the main graph, by these. Edits the model.

    Sizes that are computed and not declared are filled in at the outputs: their channels tell the head.
    """
    fresh = model.clone()
    for node in fresh.graph:
        for value in node.outputs:
            value.shape = None
    infer_shapes(fresh)
    changes = []
    for node, computed in zip(model.graph, fresh.graph, strict=True):
        for value, other in zip(node.outputs, computed.outputs, strict=True):
            if other.shape is not None and value.shape is not None and not _agree(value.shape, other.shape):
                detail = f"declared {_shown(value.shape)}, is {_shown(other.shape)}"
                changes.append(Change("drop_stale_shapes", str(value.name), detail))
                value.shape = other.shape
            elif other.shape is not None and value.is_graph_output():
                value.shape = other.shape if value.shape is None else _filled(value.shape, other.shape)
    return RewriteOutcome(tuple(changes))


def unknown(graph: ir.Graph) -> tuple[str, ...]:
    """Names of the tensors of the main graph that something reads and whose type or number of axes is not known."""
    made = (value for node in graph for value in node.outputs if value.uses() or value.is_graph_output())
    return tuple(str(value.name) for value in made if value.dtype is None or value.shape is None)


def fill_from_run(model: ir.Model, run: Runs) -> RewriteOutcome:
    """Sets type and shape of such tensors from one run of the model. Needs unique names and inferred shapes.

    Where an input has an open size, so have all axes but that of the channels. So have all sizes that may depend on how
    many instances are detected: on maps of regions the first, else each. Raises what `run` raises.
    """
    names = unknown(model.graph)
    if not names:
        return RewriteOutcome()
    open_sizes = any(not isinstance(size, int) for value in model.graph.inputs for size in value.shape or ())
    arrays: Mapping[str, NDArray[Any]] = dict(zip(names, run(model, names), strict=True))
    counted = behind(model.graph, COUNTING)
    for node in model.graph:
        for value in node.outputs:
            array = arrays.get(str(value.name))
            if array is None:
                continue
            value.type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
            fixed = range(array.ndim) if not open_sizes else range(1, 2)
            if node in counted:
                fixed = range(1, 4) if array.ndim == 4 and not open_sizes else range(0)
            known = [size if axis in fixed else None for axis, size in enumerate(array.shape)]
            value.shape = ir.Shape(known)
    infer_shapes(model)
    detail = f"types and shapes of {len(names)} tensors taken from a run"
    return RewriteOutcome((Change("fill_from_run", names[0], detail),))


def computes_sizes(model: ir.Model) -> bool:
    """Whether the main graph computes with sizes of tensors that are not known, as a Resize to the size of another."""
    return any(node.op_type == "Shape" and static_shape(node.inputs[0]) is None for node in model.graph)


def with_input_sizes(model: ir.Model, shapes: Mapping[str, Sequence[int | None]]) -> ir.Model:
    """A clone whose inputs have these shapes, and whose other declared shapes are forgotten."""
    clone = model.clone()
    for value in clone.graph.inputs:
        if value.name in shapes:
            value.shape = ir.Shape(shapes[str(value.name)])
    for node in clone.graph:
        for value in node.outputs:
            value.shape = None
    return clone


def _agree(declared: ir.Shape, computed: ir.Shape) -> bool:
    """Whether no axis is declared with another size than computed."""
    if len(declared) != len(computed):
        return False
    pairs = zip(declared, computed, strict=True)
    return all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))


def _filled(declared: ir.Shape, computed: ir.Shape) -> ir.Shape:
    pairs = zip(declared, computed, strict=True)
    return ir.Shape([b if isinstance(b, int) and not isinstance(a, int) else a for a, b in pairs])


def _shown(shape: ir.Shape) -> str:
    return "x".join(str(size) if isinstance(size, int) else "?" for size in shape) or "scalar"
