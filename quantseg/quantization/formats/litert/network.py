"""A LiteRT network in memory: tensors and operators, as a .tflite file holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from quantseg.quantization.affine import QuantParams


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of fixed shape. dtype: a numpy name of `schema.TYPES`. params: the grid of its integers, if it has one.

    data: the numbers of a constant; None for what is computed or fed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    params: QuantParams | None = None
    data: NDArray[Any] | None = None

    @property
    def is_constant(self) -> bool:
        """Whether its numbers are in the file."""
        return self.data is not None


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator. kind: a name of `files.tflite.operators.OPERATORS`. options: fields of its table of options.

    node: the ONNX node that it was written for, for messages; a file does not hold it.
    """

    kind: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    node: str = ""


@dataclass(frozen=True, eq=False)
class LiteRtNetwork:
    """operators: in the order in which they run. inputs, outputs: tensors. metadata: name → text.

    description: the tool that wrote the file; "" for this one.
    """

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    description: str = ""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors, each once: inputs first, then in the order in which operators name them."""
        found: dict[Tensor, None] = dict.fromkeys(self.inputs)
        for operator in self.operators:
            found |= dict.fromkeys(one for one in (*operator.inputs, *operator.outputs) if one is not None)
        return tuple(found | dict.fromkeys(self.outputs))
