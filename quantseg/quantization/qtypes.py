"""The integer types in which a tensor may be stored, one row each."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class QType:
    """An integer type and the first ONNX opset in which QuantizeLinear and DequantizeLinear accept it.

    Types of fewer than 8 bits are packed two to a byte in the file, and take a byte each in memory.
    """

    name: str
    bits: int
    signed: bool
    first_opset: int

    @property
    def qmin(self) -> int:
        """Smallest storable integer."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def qmax(self) -> int:
        """Largest storable integer."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The numpy type of one value in memory."""
        width = max(8, self.bits)
        return np.dtype(f"{'int' if self.signed else 'uint'}{width}")


UINT8 = QType("uint8", bits=8, signed=False, first_opset=10)
INT8 = QType("int8", bits=8, signed=True, first_opset=10)
UINT16 = QType("uint16", bits=16, signed=False, first_opset=21)
INT16 = QType("int16", bits=16, signed=True, first_opset=21)
UINT4 = QType("uint4", bits=4, signed=False, first_opset=21)
INT4 = QType("int4", bits=4, signed=True, first_opset=21)
INT32 = QType("int32", bits=32, signed=True, first_opset=10)

QTYPES = {t.name: t for t in (UINT8, INT8, UINT16, INT16, UINT4, INT4, INT32)}
