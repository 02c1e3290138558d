"""From any float model to the prepared graph that is calibrated and quantised: same results, fewer operators."""

import operator
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, RemoveInitializersFromInputsPass

from quantseg.errors import ModelError, PlanError, first_line
from quantseg.graph import check, infer_shapes, make_unique
from quantseg.graph.contradictions import check_contradictions
from quantseg.graph.declarations import Runs, fill_from_run
from quantseg.graph.half_floats import widen
from quantseg.graph.operators import PRODUCTS
from quantseg.graph.passes import LOWERINGS, Change, Refusal, convert

KERNELS = "kernels"
"""The key of a node's note (not in files) of the set of integer kernels that it is planned for."""


@dataclass(frozen=True)
class Fusing:
    """Activations that a runtime fuses, in float and at no cost, into the kernel of the product before them.

    activations: their operator types; None: no fusing is known. without: the rewrites of LOWERINGS to skip, as they
    would replace operators that the runtime has kernels for. opset: the first that has all these operators. kernels:
    the set of integer kernels that nodes are planned for (see `quantization.operators`); None: onnxruntime's. Raises
    PlanError for a rewrite that does not exist.
    """

    activations: frozenset[str] | None = frozenset()
    without: frozenset[str] = frozenset()
    opset: int = 13
    kernels: str | None = None

    def __post_init__(self) -> None:
        for name in sorted(self.without - LOWERINGS.keys()):
            raise PlanError(f"{name!r} is no rewrite; choose of {', '.join(LOWERINGS)}")


@dataclass(frozen=True)
class Prepared:
    """The lowered model, with the changes and refusals of all rewrites.

    fused: activation types that the target's runtime fuses into the product before them; None for no single target.
    without: the rewrites of LOWERINGS that were left out beside those of the target. kernels: see Fusing.
    """

    model: ir.Model
    changes: tuple[Change, ...]
    refusals: tuple[Refusal, ...]
    fused: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    kernels: str | None = None

    @property
    def target(self) -> tuple[object, ...]:
        """What differs between the graphs that are prepared for different targets."""
        return self.fused, self.without, self.kernels


def of_target(fusing: Fusing | None, without: frozenset[str]) -> tuple[object, ...]:
    """`Prepared.target` of what is prepared so."""
    return (None, without, None) if fusing is None else (fusing.activations, without, fusing.kernels)


def prepare(
    model: ir.Model,
    *,
    opset: int = 13,
    fusing: Fusing | None = None,
    without: frozenset[str] = frozenset(),
    run: Runs | None = None,
) -> Prepared:
    """Lowers a copy of the model, deterministically; the model given is not changed.

    opset: the least opset of the result; a model of a newer one keeps its own. fusing: what the target's runtime fuses,
    if there is a single target. without: further rewrites of LOWERINGS to skip. run: tells types and shapes that the
    graph does not; None leaves them open. In the result every constant is an initializer and none a graph input, every
    node and value has a unique name, and shapes are inferred where possible. Subgraphs are converted to the opset and
    otherwise left alone. float16 and bfloat16 become float32. Raises ModelError for inputs or weights of double
    precision, for functions that cannot be inlined, and for a node without an equivalent in the opset.
    """
    copy = model.clone()
    _inline_functions(copy)
    RemoveInitializersFromInputsPass()(copy)
    _correct_constants(copy)
    make_unique(copy)
    shapes = _Shapes(copy)
    shapes.bring_up_to_date()
    outcome = widen(copy)
    _check_float32(copy)
    check_contradictions(copy.graph)
    for_all = fusing or Fusing()
    if run is not None:
        outcome += fill_from_run(copy, run)
    outcome += convert(copy, max(opset, for_all.opset))
    for name, lowering in LOWERINGS.items():
        if name not in for_all.without | without:
            shapes.bring_up_to_date()
            outcome += lowering(copy)
    make_unique(copy)
    shapes.bring_up_to_date()
    check(copy)
    fused = None if fusing is None else fusing.activations
    if for_all.kernels is not None:
        for node in copy.graph:
            node.meta[KERNELS] = for_all.kernels
    return Prepared(copy, outcome.changes, outcome.refusals, fused, without, for_all.kernels)


class _Shapes:
    """Inferred shapes of a graph, inferred anew only where it has changed: inference takes longer than a rewrite.

    Whether it has is told by its objects, which are kept, so that no new one takes the identity of an old one.
    """

    def __init__(self, model: ir.Model) -> None:
        self._model, self._known = model, list[object]()

    def bring_up_to_date(self) -> None:
        """Infers shapes if nodes, their inputs, outputs or attributes, or constants are others than the last time."""
        if not _same(now := _parts(self._model), self._known):
            infer_shapes(self._model)
            self._known = now


def _parts(model: ir.Model) -> list[object]:
    """The objects that a graph consists of, in its order; None between nodes of different lengths."""
    found: list[object] = [*model.graph.inputs, None, *model.graph.outputs, None]
    for node in model.graph:
        found += [node, *node.inputs, None, *node.outputs, None, *node.attributes.values(), None]
    return found + [value.const_value for value in model.graph.initializers.values()]


def _same(ones: list[object], others: list[object]) -> bool:
    return len(ones) == len(others) and all(map(operator.is_, ones, others))


def _inline_functions(model: ir.Model) -> None:
    """Writes the bodies of local functions in place of their calls. Raises ModelError where that cannot be."""
    try:
        InlinePass()(model)
    except (ir.passes.InvariantError, LookupError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"its local functions cannot be inlined ({first_line(error)}); export it without them"
        ) from error


def _correct_constants(model: ir.Model) -> None:
    """Sets the type and shape that the file states of a constant to those of its tensor, as runtimes do."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is None:
                continue
            if value.dtype not in (None, tensor.dtype):
                value.dtype = tensor.dtype
            if value.shape is not None and value.shape != tensor.shape:
                value.shape = ir.Shape(tensor.shape.numpy())


def _check_float32(model: ir.Model) -> None:
    """Raises ModelError where a graph input, or an operand of a product, is of double precision."""
    values = list(model.graph.inputs)
    for node in model.graph:
        if node.op_type in PRODUCTS:
            values += [value for value in node.inputs[1:] if value is not None]
    for value in values:
        if value.dtype == ir.DataType.DOUBLE:
            raise ModelError(f"{value.name!r} is double; export the model in float32")
