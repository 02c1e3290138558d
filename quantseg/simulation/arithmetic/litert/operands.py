"""An operator of a .tflite file, as the simulator sees it: arrays with grids, and what all kernels have in common."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.quantization.affine import QuantParams
from quantseg.simulation.arithmetic.call import Array, Call
from quantseg.simulation.arithmetic.litert.fixed_point import Whole

NONE, RELU, RELU_N1_TO_1, RELU6 = 0, 1, 2, 3
SAME = 0
_CLAMPS: dict[int, tuple[float, float]] = {
    NONE: (-np.inf, np.inf),
    RELU: (0.0, np.inf),
    RELU_N1_TO_1: (-1.0, 1.0),
    RELU6: (0.0, 6.0),
}


@dataclass(frozen=True)
class Operands:
    """The inputs of one operator, their grids, its output's grid, shape and type, and its options."""

    call: Call

    @staticmethod
    def of(call: Call) -> "Operands":
        """Of a step whose attributes were read from a .tflite file."""
        return Operands(call)

    def array(self, index: int) -> Array:
        """An input."""
        return self.call.array(index)

    def grid(self, index: int) -> QuantParams:
        """The grid of an input. Raises ModelError where it has none."""
        found = self.call.attributes["grids"][index]
        if found is None:
            raise ModelError(f"input {index} has no scale")
        return found  # type: ignore[no-any-return]

    @property
    def is_float(self) -> bool:
        """Whether the output is real numbers."""
        return bool(self.dtype == np.float32)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The output's type."""
        found: np.dtype[Any] = np.dtype(self.call.attributes["dtype"])
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        """The output's shape."""
        return tuple(self.call.attributes["shape"])

    @property
    def given(self) -> QuantParams:
        """The output's grid."""
        found = self.call.attributes["given"]
        if found is None:
            raise ModelError("the output has no scale")
        return found  # type: ignore[no-any-return]

    def option(self, name: str, default: Any = 0) -> Any:
        """An option of the operator."""
        return self.call.attributes["options"].get(name, default)

    def centred(self, index: int) -> Whole:
        """An input's integers minus its zero-point."""
        return self.array(index).astype(np.int64) - int(self.grid(index).zero_point.reshape(-1)[0])

    def scale(self, index: int) -> np.float32:
        """The scale of an input with one scale."""
        found: np.float32 = self.grid(index).scale.reshape(-1)[0]
        return found

    @property
    def out_scale(self) -> np.float32:
        """The output's scale."""
        found: np.float32 = self.given.scale.reshape(-1)[0]
        return found

    def stored(self, whole: Whole) -> Array:
        """Integers that still lack the output's zero-point, saturated and clamped by the fused activation."""
        low, high = self.limits()
        return np.clip(whole + int(self.given.zero_point), low, high).astype(self.dtype)

    def limits(self) -> tuple[int, int]:
        """The least and the greatest integer that the fused activation allows."""
        grid, (low, high) = self.given, _CLAMPS[self.option("fused_activation_function")]
        zero, scale = int(grid.zero_point), float(np.float32(grid.scale))
        least, most = grid.qtype.qmin, grid.qtype.qmax
        if np.isfinite(low):
            least = max(least, zero + _round(np.float32(low) / np.float32(scale)))
        if np.isfinite(high):
            most = min(most, zero + _round(np.float32(high) / np.float32(scale)))
        return least, most

    def clamped(self, real: NDArray[np.floating]) -> Array:
        """Real numbers, clamped by the fused activation."""
        low, high = _CLAMPS[self.option("fused_activation_function")]
        found: Array = np.clip(real, low, high).astype(np.float32)
        return found


def _round(x: np.float32) -> int:
    return int(np.floor(float(x) + 0.5)) if x >= 0 else int(np.ceil(float(x) - 0.5))
