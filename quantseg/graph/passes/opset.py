"""Conversion to a newer ONNX opset, node by node.

A node that means the same in the new opset stays as it is; one whose inputs or attributes changed is rewritten by an
adapter of `opset_adapters.py`; any other is an error.

Why not onnx.version_converter: it takes no model over 2 GB, drops what it does not know, and has no adapter
for Upsample with scales as an input or for Softmax of unknown rank.
Source: the operator changelog of ONNX, read through onnx.defs.
"""

import onnx
import onnx_ir as ir

from quantseg.errors import ModelError
from quantseg.graph.passes.opset_adapters import OPSET_ADAPTERS
from quantseg.graph.passes.outcome import Change, RewriteOutcome


def convert(model: ir.Model, opset: int) -> RewriteOutcome:
    """Raises the model's opset to `opset`, subgraphs included; a newer model stays as it is.

    Edits the model. Raises ModelError for a node that has no equivalent in the new opset.
    """
    current = model.opset_imports[""]
    if current >= opset:
        return RewriteOutcome()
    changes: list[Change] = []
    for graph in list(model.graphs()):
        for node in list(graph):
            if node.domain == "":
                changes.extend(_convert_node(node, current, opset))
    model.opset_imports[""] = opset
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    model.ir_version = max(model.ir_version, onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True))
    return RewriteOutcome(tuple(changes))


def _convert_node(node: ir.Node, current: int, opset: int) -> list[Change]:
    before, old = _spelling(node), _schema(node, current)
    for since, respell in OPSET_ADAPTERS.get(node.op_type, ()):
        if node.graph is not None and current < since <= opset:
            respell(node, current)
    if node.graph is not None:  # else other nodes replaced it
        _check_same_reading(node, old, _schema(node, opset), current, opset)
        if _spelling(node) == before:
            return []
    return [Change("opset", str(node.name), f"{node.op_type}-{old.since_version} respelt for opset {opset}")]


def _spelling(node: ir.Node) -> tuple[object, ...]:
    return tuple(node.inputs), tuple(node.outputs), dict(node.attributes)


def _schema(node: ir.Node, opset: int) -> onnx.defs.OpSchema:
    try:
        return onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError as error:
        raise ModelError(f"{node.name!r}: ONNX has no {node.op_type} in opset {opset}; re-export the model") from error


def _check_same_reading(
    node: ir.Node, old: onnx.defs.OpSchema, new: onnx.defs.OpSchema, current: int, opset: int
) -> None:
    """Raises ModelError unless the new operator accepts the node and has the same defaults for what it omits."""
    if old.since_version == new.since_version:
        return
    inputs, outputs = len(node.inputs), len(node.outputs)
    fits = new.min_input <= inputs <= new.max_input and new.min_output <= outputs <= new.max_output
    known = set(node.attributes) <= set(new.attributes)
    left_out = set(old.attributes) - set(node.attributes)
    same = all(_default(old, name) == _default(new, name) for name in left_out & set(new.attributes))
    if not (fits and known and same and not (new.deprecated and not old.deprecated)):
        raise ModelError(
            f"{node.name!r}: no conversion of {node.op_type} from opset {current} to {opset}; "
            f"export the model with opset {opset}"
        )


def _default(schema: onnx.defs.OpSchema, name: str) -> bytes:
    default: bytes = schema.attributes[name].default_value.SerializeToString(deterministic=True)
    return default
