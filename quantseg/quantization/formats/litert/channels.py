"""A GATHER of channels, as a channel shuffle is, goes into the weights of the convolution before it.

    gather(conv(x, W)) = conv(x, gather(W))
XNNPACK has no GATHER, and LiteRT's copies element by element. A convolution of several groups becomes one of a single
group, with zeros between the groups: its integers stay the same.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantseg.quantization.affine import QuantParams
from quantseg.quantization.formats.litert.network import Operator, Tensor

MOST_DENSE = 1 << 18
"""Most weights of a convolution of several groups that is written as one of a single group."""


def absorbed(operators: Sequence[Operator], outputs: Sequence[Tensor]) -> tuple[Operator, ...]:
    """The operators without such GATHERs."""
    readers = Counter(one for operator in operators for one in operator.inputs if one is not None)
    readers.update(outputs)
    makers: dict[Tensor, int] = {}
    done: list[Operator] = []
    for operator in operators:
        source = operator.inputs[0]
        place = makers.get(source) if operator.kind == "GATHER" and source is not None else None
        if place is not None and source is not None and readers[source] == 1:
            conv = _permuted(done[place], operator)
            if conv is not None:
                done[place] = conv
                makers[operator.outputs[0]] = place
                continue
        makers |= dict.fromkeys(operator.outputs, len(done))
        done.append(operator)
    return tuple(done)


def _permuted(conv: Operator, gather: Operator) -> Operator | None:
    """The convolution that gives the gathered channels; None where this is none, or other axes are gathered."""
    indices, last = gather.inputs[1], len(gather.outputs[0].shape) - 1
    if conv.kind != "CONV_2D" or gather.options["axis"] != last or indices is None or indices.data is None:
        return None
    data, weight, bias = conv.inputs
    if data is None or weight is None or bias is None or weight.data is None or bias.data is None:
        return None
    order, dense = indices.data.reshape(-1), _dense(weight.data, data.shape[3])
    if dense.size > MOST_DENSE and dense is not weight.data:
        return None
    operands = (data, _taken(weight, dense, order), _taken(bias, bias.data, order))
    return replace(conv, inputs=operands, outputs=gather.outputs)


def _dense(weight: NDArray[np.generic], channels: int) -> NDArray[np.generic]:
    """The weight (O, h, w, I/g) for one group: (O, h, w, I)."""
    outputs, rows, columns, inputs = weight.shape
    if inputs == channels:
        return weight
    dense = np.zeros((outputs, rows, columns, channels), weight.dtype)
    each = outputs * inputs // channels
    for group in range(channels // inputs):
        rows_of = slice(group * each, (group + 1) * each)
        dense[rows_of, :, :, group * inputs : (group + 1) * inputs] = weight[rows_of]
    return dense


def _taken(tensor: Tensor, data: NDArray[np.generic], order: NDArray[np.int32]) -> Tensor:
    """The constant with these output channels."""
    grid, taken = tensor.params, np.ascontiguousarray(data[order])
    if grid is not None and grid.axis is not None:
        grid = QuantParams(grid.scale[order], grid.zero_point[order], grid.qtype, grid.axis)
    return Tensor("", taken.shape, tensor.dtype, grid, taken)
