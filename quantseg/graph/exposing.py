"""Intermediate tensors as graph outputs, so that a runtime returns their values."""

from collections.abc import Sequence

import onnx_ir as ir

from quantseg.errors import ModelError


def expose(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """A clone of the model whose only outputs are the named tensors; graph inputs among them are left out.

    Raises ModelError for a name that the graph does not have.
    """
    clone = model.clone()
    values = {value.name: value for node in clone.graph for value in node.outputs}
    inputs = {value.name for value in clone.graph.inputs}
    missing = [name for name in names if name not in values and name not in inputs]
    if missing:
        why = "it is of another model, or a rewrite for integers made it"
        raise ModelError(f"{missing[0]!r}: the model has no such tensor: {why}")
    clone.graph.outputs[:] = [values[name] for name in names if name not in inputs]
    return clone
