"""From any float model to the graph that is observed, planned and quantised: same numbers, fewer kinds."""

from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, RemoveInitializersFromInputsPass

from quantseg.errors import ModelError, PlanError
from quantseg.graph import check, infer_shapes, make_unique
from quantseg.graph.operators import PRODUCTS
from quantseg.graph.passes import LOWERINGS, Change, Refusal, convert

_OTHER_FLOATS = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)


@dataclass(frozen=True)
class Fusing:
    """Activations that a runtime computes in float within the kernel of the product before them, at no cost.

    activations: their operators. without: rewrites of LOWERINGS that would write them as integer operators.
    opset: the first one that has an operator for each. Raises PlanError for a rewrite that does not exist.
    """

    activations: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    opset: int = 13

    def __post_init__(self) -> None:
        for name in sorted(self.without - LOWERINGS.keys()):
            raise PlanError(f"{name!r} is no rewrite; choose of {', '.join(LOWERINGS)}")


@dataclass(frozen=True)
class Prepared:
    """The lowered model, what each rewrite changed, and what each would not change and why.

    fused: operators that the runtime computes within a product before them, for the plan; None: for any runtime.
    """

    model: ir.Model
    changes: tuple[Change, ...]
    refusals: tuple[Refusal, ...]
    fused: frozenset[str] | None = None


def prepare(model: ir.Model, *, opset: int = 13, fusing: Fusing | None = None) -> Prepared:
    """Lowers a copy of the model; the model given never changes, and the same one gives the same copy.

    opset: at least this one; a model of a newer opset keeps its own. fusing: of the one runtime that the model is for.
    In the result every constant is an initializer, none of them a graph input; every node and value has a
    name of its own; shapes are inferred where they can be. Subgraphs are converted to the opset and otherwise
    left alone. Raises ModelError for weights that are not float32 and for a node that the opset has no equal
    of.
    """
    copy = model.clone()
    InlinePass()(copy)
    RemoveInitializersFromInputsPass()(copy)
    make_unique(copy)
    infer_shapes(copy)
    _check_float32(copy)
    for_all = fusing or Fusing()
    outcome = convert(copy, max(opset, for_all.opset))
    for name, lowering in LOWERINGS.items():
        if name not in for_all.without:
            infer_shapes(copy)
            outcome += lowering(copy)
    make_unique(copy)
    infer_shapes(copy)
    check(copy)
    fused = None if fusing is None else fusing.activations
    return Prepared(copy, outcome.changes, outcome.refusals, fused=fused)


def _check_float32(model: ir.Model) -> None:
    """The network itself must compute in float32: inputs and the weights of its linear nodes."""
    values = list(model.graph.inputs)
    for node in model.graph:
        if node.op_type in PRODUCTS:
            values += [value for value in node.inputs[1:] if value is not None]
    for value in values:
        if value.dtype in _OTHER_FLOATS:
            raise ModelError(f"{value.name!r} is {value.dtype.name.lower()}; export the model in float32")
