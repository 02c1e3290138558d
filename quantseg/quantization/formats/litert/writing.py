"""From a prepared graph and its plan to a LiteRT network: node by node, images in NHWC order, all sizes fixed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from quantseg.errors import ModelError
from quantseg.files.tflite import METADATA, RUNTIME_VERSION
from quantseg.graph import infer_shapes
from quantseg.graph.declarations import with_input_sizes
from quantseg.graph.passes.constants import fold_constants
from quantseg.quantization.formats.litert.channels import absorbed
from quantseg.quantization.formats.litert.editor import Editor
from quantseg.quantization.formats.litert.fusing import fused, needed
from quantseg.quantization.formats.litert.layout import NHWC, Order, PlacedTensor, plain
from quantseg.quantization.formats.litert.network import LiteRtNetwork, Tensor
from quantseg.quantization.formats.litert.writers import WRITERS
from quantseg.quantization.formats.litert.writers.attributes import refused
from quantseg.quantization.plan import QuantPlan

_FIRST_RUNTIME = "2.13.0"
"""The first version of the runtime that has all versions of operators that are written here: TRANSPOSE_CONV 4."""


@dataclass(frozen=True)
class Interface:
    """What a network takes and gives. sizes: input → its shape, all known. channels_last: inputs (N, C, H, W) of the
    model that are taken in NHWC order. properties: entries that an ONNX file would have in its metadata. about: more
    entries, which apps may read.
    """

    sizes: Mapping[str, tuple[int, ...]]
    channels_last: frozenset[str] = frozenset()
    properties: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)


def network(model: ir.Model, plan: QuantPlan | None, interface: Interface) -> LiteRtNetwork:
    """The network of a prepared float graph, by its plan; None: all in float. The model is not changed.

    Raises ModelError, with the node's name, for an operator that LiteRT lacks.
    """
    graph = _of_fixed_sizes(model, interface.sizes).graph
    editor = Editor(graph, plan)
    inputs = [value for value in graph.inputs if not value.is_initializer()]
    fed = [editor.feed(value, _order_of(editor, value, interface)) for value in inputs]
    dropped = frozenset() if plan is None else plan.dropped
    for node in graph:
        editor.begin(node)
        if node.name in dropped:
            assert node.inputs[0] is not None
            editor.at_hand(node.inputs[0], integer=True)
            editor.pass_on(node.inputs[0], node.outputs[0])
            continue
        writer = WRITERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if writer is None:
            domain = f"{node.domain}." if node.domain else ""
            raise refused(node, f"LiteRT has no operator for {domain}{node.op_type}", "export the model without it")
        writer(editor, node)
    given = [_output(editor, value, fed) for value in graph.outputs]
    outputs = [placed.tensor for placed in given]
    operators = needed(absorbed(fused(editor.operators, outputs), outputs), outputs)
    orders = {
        "inputs": {str(value.name): list(_order_of(editor, value, interface)) for value in inputs},
        "outputs": {one.tensor.name: list(one.order) for one in given},
    }
    metadata = {
        METADATA: json.dumps({**interface.about, "orders": orders, "properties": interface.properties}, sort_keys=True),
        RUNTIME_VERSION: _FIRST_RUNTIME,
    }
    return LiteRtNetwork(operators, tuple(fed), tuple(outputs), metadata)


def _order_of(editor: Editor, value: ir.Value, interface: Interface) -> Order:
    return NHWC if value.name in interface.channels_last else plain(len(editor.shape(value)))


def _of_fixed_sizes(model: ir.Model, sizes: Mapping[str, tuple[int, ...]]) -> ir.Model:
    """A clone whose inputs have these sizes, with all other sizes inferred."""
    fixed = with_input_sizes(model, sizes)
    infer_shapes(fixed)
    fold_constants(fixed)
    infer_shapes(fixed)
    return fixed


def _output(editor: Editor, value: ir.Value, fed: list[Tensor]) -> PlacedTensor:
    """The tensor that is the network's output, under the output's own name."""
    found = editor.at_hand(value, integer=False)
    rank = len(found.order)
    order: Order = found.order if found.order in (plain(rank), NHWC) else plain(rank)
    tensor = editor.read(value, order, integer=False)
    maker = next((one for one in reversed(editor.operators) if tensor in one.outputs), None)
    if maker is None and tensor not in fed:
        raise ModelError(f"output {value.name!r} is a constant; there is nothing to compute")
    if maker is None or tensor.name != value.name:
        copy = Tensor(str(value.name), tensor.shape, tensor.dtype, tensor.params)
        if maker is not None and len(maker.outputs) == 1 and not _is_read(editor, tensor):
            editor.renamed_at(maker, copy)
        else:
            editor.insert("RESHAPE", [tensor, editor.ints(tensor.shape)], copy)
        tensor = copy
    return PlacedTensor(tensor, order)


def _is_read(editor: Editor, tensor: Tensor) -> bool:
    return any(tensor in operator.inputs for operator in editor.operators)
