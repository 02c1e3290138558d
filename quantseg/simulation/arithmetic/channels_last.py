"""onnxruntime's pooling operators on NHWC tensors: the NCHW arithmetic between two transpositions."""

from dataclasses import replace

import numpy as np

from quantseg.simulation.arithmetic import pooling
from quantseg.simulation.arithmetic.call import Array, Call, Operator


def _moved(operator: Operator, *, always: bool) -> Operator:
    """The operator on NHWC tensors, by way of NCHW. always: if not, only where its attribute `channels_last` is set."""

    def wrapped(call: Call) -> tuple[Array, ...]:
        if not always and not call.number("channels_last", 0):
            return operator(call)
        first = np.ascontiguousarray(np.moveaxis(call.array(0), -1, 1))
        results = operator(replace(call, inputs=(first, *call.inputs[1:])))
        return tuple(np.ascontiguousarray(np.moveaxis(found, 1, -1)) for found in results)

    return wrapped


OPERATORS: dict[str, Operator] = {
    "NhwcMaxPool": _moved(pooling.max_pool, always=True),
    "QLinearAveragePool": _moved(pooling.qlinear_average_pool, always=False),
    "QLinearGlobalAveragePool": _moved(pooling.qlinear_global_average_pool, always=False),
}
