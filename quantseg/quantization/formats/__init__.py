"""From a float graph and its plan to the quantised graph: one output format per file, all in one table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

import quantseg
from quantseg.errors import PlanError
from quantseg.graph.passes import convert
from quantseg.quantization.affine import QuantParams
from quantseg.quantization.formats import channels_last, qdq, qoperator, web
from quantseg.quantization.formats.editor import GraphEditor, Stored
from quantseg.quantization.formats.endings import transpose_before_enlarging
from quantseg.quantization.formats.float_products import keep_float
from quantseg.quantization.plan import QuantPlan


@dataclass(frozen=True)
class Format:
    """How the integer nodes of a graph are written.

    emit_node: inserts the integer form of one node and returns the integers of each of its outputs. variants: the ways
    to write a node, with the same results and different speed, the default first; () where there is only one. finish:
    edits the whole graph at the end.
    """

    emit_node: Callable[[GraphEditor, ir.Node], Sequence[Stored]]
    variants: Callable[[ir.Node], tuple[str, ...]] = lambda _: ()
    finish: Callable[[ir.Model], None] = lambda _: None


FORMATS: dict[str, Format] = {
    "qdq": Format(qdq.emit_node, finish=transpose_before_enlarging),
    "qoperator": Format(qoperator.emit_node),
    "channels-last": Format(channels_last.emit_node, channels_last.variants),
    "web": Format(web.emit_node, web.variants, keep_float),
}


def emit(
    model: ir.Model, plan: QuantPlan, *, qformat: str = "qdq", metadata: Mapping[str, str] | None = None
) -> ir.Model:
    """The quantised model; the same arguments give the same bytes. model: prepared and float, not changed.

    metadata: entries to add to the model's metadata_props. Where the plan's integer types need a newer opset, the
    result has that. Raises PlanError for an unknown format, ModelError for a node without an equivalent in that opset.
    """
    check(qformat)
    result = model.clone()
    convert(result, max((params.qtype.first_opset for params in _grids(plan)), default=0))
    names = [str(value.name) for value in result.graph.outputs]
    editor = GraphEditor(result, plan)
    quantised = {node.name for node in plan.quantised}
    for node in list(result.graph):
        if node.name in plan.dropped:
            editor.replace(node, [editor.at_hand(editor.inputs(node)[0])])
        elif node.name in quantised:
            editor.replace(node, FORMATS[qformat].emit_node(editor, node))
    FORMATS[qformat].finish(result)
    RemoveUnusedNodesPass()(result)
    _forget_inner_shapes(result.graph)
    for value, name in zip(result.graph.outputs, names, strict=True):
        value.name = name
    result.producer_name, result.producer_version = "quantseg", quantseg.__version__
    result.metadata_props.update(metadata or {})
    return result


def check(qformat: str) -> None:
    """Raises PlanError for an unknown format."""
    if qformat not in FORMATS:
        raise PlanError(f"{qformat!r} is no format; choose one of {', '.join(FORMATS)}")


def _grids(plan: QuantPlan) -> tuple[QuantParams, ...]:
    return (*plan.tensors.values(), *plan.weights.values())


def _forget_inner_shapes(graph: ir.Graph) -> None:
    """Drops the shapes of intermediate tensors: every runtime infers them, and they are a tenth of a small file."""
    for node in graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = value.type = None
