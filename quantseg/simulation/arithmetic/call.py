"""One operator with its operands, as the simulator sees it: arrays and plain values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.quantization.affine import F32, Ints
from quantseg.quantization.rounding.requantisation import CHANNELS_LAST
from quantseg.simulation.arithmetic.processors import EXACT, SimulatedProcessor

Array = NDArray[Any]


@dataclass(frozen=True)
class Call:
    """One operator with its inputs (None for an omitted one), its attributes by ONNX name and the opset.

    rounding: how results are requantised, a name in ROUNDINGS. outputs: how many outputs are wanted. processor: the
    processor whose kernels are simulated.
    """

    inputs: tuple[Array | None, ...]
    attributes: Mapping[str, Any]
    opset: int = 21
    rounding: str = "onnxruntime"
    outputs: int = 1
    processor: SimulatedProcessor = EXACT

    @property
    def as_onnxruntime(self) -> bool:
        """Whether kernels round as onnxruntime's do, in its NCHW or its NHWC layout."""
        return self.rounding in ("onnxruntime", CHANNELS_LAST)

    def has(self, index: int) -> bool:
        """Whether this input is present."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def array(self, index: int) -> Array:
        """A required input. Raises ModelError if it is missing."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise ModelError(f"input {index} is missing")
        return found

    def maybe(self, index: int) -> Array | None:
        """An optional input; None if it is omitted."""
        return self.inputs[index] if index < len(self.inputs) else None

    def scale(self, index: int) -> F32:
        """A per-tensor scale, shape (). Raises ModelError for any other shape."""
        found = self.array(index)
        if found.size != 1:
            raise ModelError(f"input {index}, a scale for the whole tensor, has shape {list(found.shape)}")
        return np.asarray(found.reshape(()), np.float32)

    def zero_point(self, index: int, kind: Any = np.uint8) -> Ints:
        """A per-tensor zero-point, shape (); 0 of type `kind` if it is omitted."""
        found = self.maybe(index)
        if found is None:
            return np.zeros((), kind)
        if found.size != 1:
            raise ModelError(f"input {index}, a zero-point for the whole tensor, has shape {list(found.shape)}")
        return found.reshape(())

    def number(self, name: str, default: int) -> int:
        """An integer attribute."""
        return int(self.attributes.get(name, default))

    def axis(self, default: int, ndim: int, name: str = "axis") -> int:
        """An axis attribute as a non-negative index. Raises ModelError where the tensor has no such axis."""
        axis = self.number(name, default)
        if not -ndim <= axis < max(ndim, 1):
            raise ModelError(f"axis {axis} of a tensor of {ndim} axes")
        return axis % max(ndim, 1)


Operator = Callable[[Call], tuple[Array, ...]]
"""Computes the outputs of one call. Raises ModelError where operands do not fit."""
