"""Max pooling that remembers where each maximum was, and unpooling that puts it back there, with their ONNX forms.

torch's exporter knows no MaxUnpool, and writes the indices of MaxPool in a roundabout way. ONNX has both operators
(https://onnx.ai/onnx/operators/onnx__MaxUnpool.html); its indices count through the whole tensor where torch's count
through one plane, so the pair is exported together or not at all.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional


class _Pool(Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = functional.max_pool2d(features, 2, return_indices=True)
        ctx.save_for_backward(indices)
        ctx.mark_non_differentiable(indices)
        ctx.size = features.shape[2:]
        return values, indices

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> Tensor:
        (indices,) = ctx.saved_tensors
        return functional.max_unpool2d(gradient, indices, 2, output_size=ctx.size)

    @staticmethod
    def symbolic(graph: Any, features: Any) -> Any:
        return graph.op("MaxPool", features, kernel_shape_i=[2, 2], strides_i=[2, 2], outputs=2)


class _Unpool(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        height, width = values.shape[2:]
        # The functional form checks its sizes in a way that the exporter's tracing breaks.
        return torch.ops.aten.max_unpool2d(values, indices, (2 * height, 2 * width))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (indices,) = ctx.saved_tensors
        return gradient.flatten(2).gather(2, indices.flatten(2)).view_as(indices), None

    @staticmethod
    def symbolic(graph: Any, values: Any, indices: Any) -> Any:
        return graph.op("MaxUnpool", values, indices, kernel_shape_i=[2, 2], strides_i=[2, 2])


def pool(features: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, H, W), H and W even, to the maxima (N, C, H/2, W/2) of 2x2 windows and their places in each plane."""
    return _Pool.apply(features)


def unpool(values: Tensor, indices: Tensor) -> Tensor:
    """(N, C, H/2, W/2) and the places of `pool` to (N, C, H, W): each value at its place, zero elsewhere."""
    return _Unpool.apply(values, indices)
