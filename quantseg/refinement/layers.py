"""The layers of a plan whose constant weights are rounded, and graphs that output the means of their channels."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.calibration.context import Context
from quantseg.graph import as_session_source
from quantseg.graph.edit import ints
from quantseg.quantization.affine import F32
from quantseg.quantization.operators import IntegerForm, integer_form
from quantseg.quantization.plan import QuantPlan, constant
from quantseg.runtimes import Session, as_written

Array = NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product that the plan quantises. form: which inputs are data, weight and bias."""

    node: ir.Node
    form: IntegerForm

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.node.name)

    @property
    def source(self) -> str:
        """Name of the tensor that the layer reads."""
        value = self.node.inputs[self.form.data[0]]
        assert value is not None
        return str(value.name)

    @property
    def made(self) -> str:
        """Name of the tensor that the layer writes."""
        return str(self.node.outputs[0].name)

    @property
    def weight(self) -> F32:
        """The weight, in the shape that it has in the model."""
        assert self.form.weight is not None
        return constant(self.node.inputs[self.form.weight])

    @property
    def groups(self) -> int:
        """The number of groups of a grouped convolution; 1 for other layers."""
        return self.node.attributes.get_int("group", 1)

    def rows(self, weight: F32) -> F32:
        """An array of the weight's shape as (output channels, weights of one output channel)."""
        moved = np.moveaxis(weight, self.form.weight_axis or 0, 0)
        return moved.reshape(len(moved), -1)


Layers = tuple[Layer, ...]


def layers_of(model: ir.Model, plan: QuantPlan) -> Layers:
    """The layers whose weights the plan rounds, in the graph's order.

    A MatMul with a stack of matrices is left out: it has no axis of output channels. So is a ConvTranspose (of target
    litert), whose outputs read other taps at every other pixel, and a product of constants, as of the queries that a
    detector begins with: no image says anything of it.
    """
    found = []
    for node in model.graph:
        form = integer_form(node)
        known = isinstance(form, IntegerForm) and form.weight_axis is not None and node.op_type != "ConvTranspose"
        reads = node.inputs[form.data[0]] if isinstance(form, IntegerForm) else None
        known = known and (reads is None or not reads.is_initializer())
        if str(node.name) in plan.weights and isinstance(form, IntegerForm) and known:
            found.append(Layer(node, form))
    return tuple(found)


@contextmanager
def opened(model: ir.Model, context: Context) -> Iterator[Session]:
    """A session of onnxruntime that computes with the weights exactly as written. Closed when the context ends."""
    runtime = as_written(context.runtime)
    with (
        as_session_source(model) as source,
        closing(runtime.open(source, threads=context.threads, spinning=False)) as session,
    ):
        yield session


def with_means(model: ir.Model, names: Sequence[str], axes: Sequence[int]) -> ir.Model:
    """A clone whose only outputs are the channel means (channels on axis 1) of the named tensors.

    axes: the rank of each tensor.
    """
    clone = model.clone()
    values = {value.name: value for value in (*clone.graph.inputs, *(v for node in clone.graph for v in node.outputs))}
    means = [channel_mean(clone, values[name], count) for name, count in zip(names, axes, strict=True)]
    clone.graph.extend(means)
    clone.graph.outputs[:] = [mean.outputs[0] for mean in means]
    return clone


def channel_mean(model: ir.Model, value: ir.Value, axes: int) -> ir.Node:
    """A ReduceMean node, not yet in the graph, over all axes but axis 1, with keepdims. axes: the rank of `value`."""
    name, others = f"{value.name}/mean", [axis for axis in range(axes) if axis != 1]
    if model.graph.opset_imports[""] >= 18:
        node = ir.node("ReduceMean", [value, ints(model.graph, f"{name}_axes", others)], {"keepdims": 1}, name=name)
    else:
        node = ir.node("ReduceMean", [value], {"keepdims": 1, "axes": others}, name=name)
    node.outputs[0].name, node.outputs[0].type = name, ir.TensorType(ir.DataType.FLOAT)
    return node
