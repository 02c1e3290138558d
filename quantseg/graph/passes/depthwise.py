"""A per-channel scale and shift as a 1x1 depthwise Conv, which runtimes have an integer kernel for."""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike, NDArray

from quantseg.graph.edit import initializer


def depthwise(
    graph: ir.Graph, source: ir.Value, scale: NDArray[Any], shift: ArrayLike | None = None, *, name: str
) -> ir.Node:
    """A node for scale·source + shift, not yet inserted; its weights are initializers of the graph already.

    source: (batch, channels, …) of three axes or more. scale: (1, channels, 1, …), of the same rank. shift: one number
    or (channels,).
    """
    channels, spatial = scale.shape[1], scale.ndim - 2
    weight = scale.astype(np.float32).reshape(channels, 1, *(1,) * spatial)
    inputs = [source, initializer(graph, f"{name}_scale", weight)]
    if shift is not None:
        inputs.append(initializer(graph, f"{name}_shift", np.broadcast_to(np.asarray(shift, np.float32), (channels,))))
    return ir.node("Conv", inputs, {"group": channels, "kernel_shape": [1] * spatial}, name=name)
