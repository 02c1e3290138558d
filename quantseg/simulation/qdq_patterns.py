"""Replaces QDQ patterns by integer operators, as runtimes do.

    Q(op(DQ(a), DQ(b), …)) = QLinear_op(a, b, …)
Where the pattern is incomplete (a float input, a float result with other consumers, integers of other than 8 bits),
the nodes stay as they are, and the operator computes in float.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.graph.operators import CLAMPS, MOVEMENTS, PRODUCTS, SELECTIONS
from quantseg.simulation.step import Step

Array = NDArray[Any]
Operand = tuple[str, str, str]
"""Names of integers, scale and zero-point."""

_BYTES = (np.dtype(np.uint8), np.dtype(np.int8))
_MOVING = MOVEMENTS | SELECTIONS | {"Resize"}
"""Operators that run on the integers themselves where input and output have the same scale and zero-point."""


def _convolution(operands: Sequence[Operand], wanted: tuple[str, str]) -> tuple[str, ...]:
    data, weight, *bias = operands
    return (*data, *weight, *wanted, *(operand[0] for operand in bias))


def _plain(operands: Sequence[Operand], wanted: tuple[str, str]) -> tuple[str, ...]:
    return (*(name for operand in operands for name in operand), *wanted)


def _gemm(operands: Sequence[Operand], wanted: tuple[str, str]) -> tuple[str, ...]:
    left, right, *bias = operands
    return (*left, *right, bias[0][0] if bias else "", *wanted)


def _concat(operands: Sequence[Operand], wanted: tuple[str, str]) -> tuple[str, ...]:
    return (*wanted, *(name for operand in operands for name in operand))


Arranging = Callable[[Sequence[Operand], tuple[str, str]], tuple[str, ...]]

_FORMS: dict[str, tuple[str, Arranging]] = {
    "Add": ("QLinearAdd", _plain),
    "AveragePool": ("QLinearAveragePool", _plain),
    "Concat": ("QLinearConcat", _concat),
    "Conv": ("QLinearConv", _convolution),
    "ConvTranspose": ("QLinearConvTranspose", _convolution),
    "Gemm": ("QGemm", _gemm),
    "GlobalAveragePool": ("QLinearGlobalAveragePool", _plain),
    "LeakyRelu": ("QLinearLeakyRelu", _plain),
    "MatMul": ("QLinearMatMul", _plain),
    "Mul": ("QLinearMul", _plain),
    "Sigmoid": ("QLinearSigmoid", _plain),
    "Softmax": ("QLinearSoftmax", _plain),
}
"""Float operator → its integer form, and the order of that form's operands."""


def grouped(steps: tuple[Step, ...], constants: Mapping[str, Array], outputs: frozenset[str]) -> tuple[Step, ...]:
    """The steps, with each complete pattern replaced by one integer step at the position of its operator."""
    return _Reader(steps, constants, outputs).read()


class _Reader:
    """Finds patterns in one graph."""

    def __init__(self, steps: tuple[Step, ...], constants: Mapping[str, Array], outputs: frozenset[str]) -> None:
        self._steps, self._constants = steps, constants
        self._makers = {name: step for step in steps for name in step.outputs}
        self._readers = Counter(name for step in steps for name in step.inputs)
        self._readers.update(outputs)
        self._reading: dict[str, Step] = {name: step for step in steps for name in step.inputs}

    def read(self) -> tuple[Step, ...]:
        done: dict[str, Step] = {}
        written: set[str] = set()
        for step in self._steps:
            found = self._pattern(step)
            if found is not None:
                done[step.name] = found
                written.update(found.outputs)
        kept = (done.get(step.name, step) for step in self._steps)
        return tuple(step for step in kept if step.name in done or not written.intersection(step.outputs))

    def _pattern(self, step: Step) -> Step | None:
        if step.op_type not in _FORMS and step.op_type not in _MOVING:
            return None
        results = [self._quantised(name) for name in step.outputs if self._readers[name]]
        if step.op_type in _MOVING:
            computes = step.op_type == "Resize" and step.attributes.get("mode", "nearest") != "nearest"
            return None if computes else self._moved(step, results)
        operands = [self._dequantised(name) for name in step.inputs]
        if len(results) != 1 or results[0] is None or None in operands or not self._fits(step, operands, results[0]):
            return None
        op_type, arranged = _FORMS[step.op_type]
        known = [operand for operand in operands if operand is not None]
        inputs = arranged(known, (results[0].inputs[1], results[0].inputs[2]))
        return replace(step, op_type=op_type, inputs=inputs, outputs=results[0].outputs)

    def _moved(self, step: Step, results: Sequence[Step | None]) -> Step | None:
        """The operator on integers, if all its outputs have the scale and zero-point of its input; else None."""
        operand = self._dequantised(step.inputs[0]) if step.inputs else None
        if operand is None or not results or self._kind(operand) not in _BYTES:
            return None
        for result in results:
            if result is None or not self._same_grid(operand, ("", result.inputs[1], result.inputs[2])):
                return None
        stored = {result.inputs[0]: result.outputs[0] for result in results if result is not None}
        outputs = tuple(stored.get(name, "") for name in step.outputs)
        while outputs and not outputs[-1]:
            outputs = outputs[:-1]
        return replace(step, inputs=(operand[0], *step.inputs[1:]), outputs=outputs)

    def _dequantised(self, name: str) -> Operand | None:
        """The input of the DequantizeLinear that makes this tensor, per tensor or per channel; else None."""
        maker = self._makers.get(name)
        if maker is None or maker.op_type != "DequantizeLinear" or maker.attributes.get("block_size", 0):
            return None
        return (maker.inputs[0], maker.inputs[1], maker.inputs[2] if len(maker.inputs) > 2 else "")

    def _quantised(self, name: str) -> Step | None:
        """The QuantizeLinear that is the only consumer of a tensor, if need be behind a redundant Relu or Clip.

        A clamp is redundant where the saturation of QuantizeLinear has the same effect.
        """
        if self._readers[name] != 1 or name not in self._reading:
            return None
        reader = self._reading[name]
        if reader.op_type in CLAMPS and reader.inputs[0] == name:
            behind = self._quantised(reader.outputs[0])
            return behind if behind is not None and self._is_saturation(reader, behind) else None
        per_tensor = len(reader.inputs) == 3 and self._size(reader.inputs[1]) == 1
        return reader if reader.op_type == "QuantizeLinear" and per_tensor else None

    def _is_saturation(self, clamp: Step, stored: Step) -> bool:
        """Whether the clamp is redundant: no integer of the quantised tensor stands for a value that it changes."""
        scale, zero = (self._constants.get(name) for name in stored.inputs[1:3])
        if scale is None or zero is None:
            return False
        info = np.iinfo(zero.dtype)
        least, most = (float(scale.reshape(())) * (limit - int(zero.reshape(()))) for limit in (info.min, info.max))
        if clamp.op_type == "Relu":
            return least >= 0
        low, high = (self._constants.get(name) for name in (*clamp.inputs[1:3], "", "")[:2])
        return (low is None or least >= float(low.reshape(()))) and (high is None or most <= float(high.reshape(())))

    def _fits(self, step: Step, operands: Sequence[Operand | None], result: Step) -> bool:
        """Whether an integer kernel supports this pattern: 8-bit integers, per-tensor scales except for weights."""
        kinds = [self._kind(operand) for operand in operands if operand is not None]
        wanted = self._kind((result.outputs[0], result.inputs[1], result.inputs[2]))
        weighted = step.op_type in PRODUCTS
        scales = [self._size(operand[1]) for operand in operands if operand is not None]
        if kinds[0] not in _BYTES or wanted != kinds[0]:
            return False
        if weighted:
            biased = len(kinds) < 3 or self._kind(operands[2]) == np.int32
            plain = step.op_type != "Gemm" or step.attributes.get("beta", 1.0) == 1.0 or len(kinds) < 3
            return kinds[1] in _BYTES and scales[0] == 1 and biased and plain
        return all(kind == kinds[0] for kind in kinds) and all(size == 1 for size in scales)

    def _same_grid(self, one: Operand, other: Operand) -> bool:
        pairs = [(self._constants.get(a), self._constants.get(b)) for a, b in zip(one[1:], other[1:], strict=True)]
        return all(
            a is not None and b is not None and a.size == b.size == 1 and a.dtype == b.dtype and a.item() == b.item()
            for a, b in pairs
        )

    def _kind(self, operand: Operand | None) -> np.dtype[Any] | None:
        """The integer type, if the zero-point or a constant shows it; else None."""
        if operand is None:
            return None
        found = self._constants.get(operand[2])
        found = self._constants.get(operand[0]) if found is None else found
        return None if found is None else found.dtype

    def _size(self, name: str) -> int:
        found = self._constants.get(name)
        return 0 if found is None else found.size
