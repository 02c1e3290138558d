"""Joins OpenVINO's compiled graph and its performance counters into executed nodes.

The graph has the plugin's layers with the element types that they compute in; the counters have the times. A layer that
was fused into another, constant-folded or removed appears in only one of the two.
Source: OpenVINO documentation, "Representation of low-precision models" and ov::ProfilingInfo.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantseg.runtimes.execution import ExecutedNode, Kind

_ONNX = {"Convolution": "Conv", "Deconvolution": "ConvTranspose", "Concatenation": "Concat"}
"""OpenVINO layer type → ONNX operator, so that figures of different runtimes can be compared."""
_ELEMENTWISE = frozenset({"Convert", "Eltwise", "FakeQuantize", "Reorder", "Subgraph"})
"""Layers that may read one element type and write another. A Subgraph is a chain of them in one kernel."""
_MOVEMENT = frozenset(
    {
        *("BatchToSpace", "Broadcast", "Concatenation", "DepthToSpace", "Gather", "GatherElements", "GatherND"),
        *("MemoryInput", "MemoryOutput", "Pad", "Reorder", "Reshape", "Roll", "ScatterElementsUpdate"),
        *("ScatterNDUpdate", "ScatterUpdate", "ShuffleChannels", "SpaceToBatch", "SpaceToDepth", "Split"),
        *("StridedSlice", "Tile", "Transpose"),
    }
)
_EIGHT_BIT = frozenset({"i8", "u8"})
_FLOAT = frozenset({"bf16", "f16", "f32", "f64"})


@dataclass(frozen=True)
class ProfiledLayer:
    """A layer of the compiled graph. source, result: element types of its first input and output; None without one.

    precision: the element type that its kernel computes in, as reported by the plugin.
    """

    name: str
    layer_type: str
    precision: str
    source: str | None
    result: str | None


def layers(runtime_model: Any) -> tuple[ProfiledLayer, ...]:
    """The layers of a compiled model, from its `get_runtime_model()`, in the order of execution."""
    return tuple(map(_layer, runtime_model.get_ordered_ops()))


def seconds_by_node(profiling_info: Sequence[Any]) -> dict[str, float]:
    """Node name → its seconds in one inference, for the executed nodes."""
    return {info.node_name: info.real_time.total_seconds() for info in profiling_info if info.status.name == "EXECUTED"}


def executed_nodes(graph: Sequence[ProfiledLayer], runs: Sequence[Mapping[str, float]]) -> tuple[ExecutedNode, ...]:
    """The layers of `graph` that ran in every run, with their median time."""
    ran = [layer for layer in graph if all(layer.name in run for run in runs)]
    medians = [statistics.median(run[layer.name] for run in runs) for layer in ran]
    total = sum(medians) or 1.0
    return tuple(
        ExecutedNode(
            name=layer.name,
            op_type=_operator(layer),
            domain="openvino",
            kind=_kind(layer),
            seconds=seconds,
            share=seconds / total,
        )
        for layer, seconds in zip(ran, medians, strict=True)
    )


def _layer(operation: Any) -> ProfiledLayer:
    facts = {key: value.value for key, value in operation.get_rt_info().items()}
    sources, results = operation.input_values(), operation.outputs()
    return ProfiledLayer(
        name=operation.get_friendly_name(),
        layer_type=facts["layerType"],
        precision=facts["runtimePrecision"],
        source=sources[0].get_element_type().get_type_name() if sources else None,
        result=results[0].get_element_type().get_type_name() if results else None,
    )


def _operator(layer: ProfiledLayer) -> str:
    if _kind(layer) == "boundary":
        return "QuantizeLinear" if layer.result in _EIGHT_BIT else "DequantizeLinear"
    return _ONNX.get(layer.layer_type, layer.layer_type)


def _kind(layer: ProfiledLayer) -> Kind:
    """The kind of a layer, from its kernel's element type; for an elementwise layer from its input and output types.

    An elementwise layer between float and 8-bit tensors is a boundary, whatever arithmetic is fused into it.
    """
    elementwise = layer.layer_type in _ELEMENTWISE
    sides = {layer.source, layer.result}
    if elementwise and sides & _EIGHT_BIT and sides & _FLOAT:
        return "boundary"
    element = layer.source if elementwise else layer.precision
    if element in _EIGHT_BIT:
        return "int8"
    if element not in _FLOAT:
        return "other"
    return "movement" if layer.layer_type in _MOVEMENT else "float"
