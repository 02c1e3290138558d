"""Facts about the operators of ONNX, one row each, and the sets of operators derived from them.

A row holds what is true of an operator in every graph. What depends on an attribute (Resize, Pad) or on a runtime is
not here, and nothing is assumed of an operator without a row. Functions by operator (quantization rules, simulated
arithmetic, format writers) are in tables of their own packages. Source: ONNX's operator documentation; checked against
its reference implementation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum


class Family(Enum):
    """How an output element depends on the inputs. Each operator is in exactly one family."""

    PRODUCT = "product"
    """Sums of products of elements of the first two inputs: linear in each input."""
    MOVEMENT = "movement"
    """A copy of an element of the first input; which one depends on shapes and indices alone."""
    UNARY = "unary"
    """A function of the element at the same index of the first input."""
    BROADCAST = "broadcast"
    """A function of the elements at the same index of all inputs, after broadcasting."""
    POOL = "pool"
    """A function of a window in one channel of the first input, (N, C, …)."""
    REDUCTION = "reduction"
    """A function of all elements of the first input along some axes."""
    OTHER = "other"


@dataclass(frozen=True)
class Facts:
    """What is true of one operator.

    rounds: results are rounded in float, so kernels may differ in the last bits. selects: a pool or reduction whose
    output elements are elements of its input, as maxima are. repeats: a movement that may copy an element several
    times. clamps: min(max(x, low), high). biased: a product whose third input is a bias. integer: a product for which
    some runtime has an integer kernel.
    """

    family: Family
    rounds: bool = False
    selects: bool = False
    repeats: bool = False
    clamps: bool = False
    biased: bool = False
    integer: bool = False


FACTS: Mapping[str, Facts] = {
    "Conv": Facts(Family.PRODUCT, rounds=True, biased=True, integer=True),
    "ConvTranspose": Facts(Family.PRODUCT, rounds=True, biased=True),
    "Gemm": Facts(Family.PRODUCT, rounds=True, biased=True, integer=True),
    "MatMul": Facts(Family.PRODUCT, rounds=True, integer=True),
    "DepthToSpace": Facts(Family.MOVEMENT),
    "Flatten": Facts(Family.MOVEMENT),
    "Reshape": Facts(Family.MOVEMENT),
    "Slice": Facts(Family.MOVEMENT),
    "SpaceToDepth": Facts(Family.MOVEMENT),
    "Split": Facts(Family.MOVEMENT),
    "Squeeze": Facts(Family.MOVEMENT),
    "Transpose": Facts(Family.MOVEMENT),
    "Unsqueeze": Facts(Family.MOVEMENT),
    "Expand": Facts(Family.MOVEMENT, repeats=True),
    "Gather": Facts(Family.MOVEMENT, repeats=True),
    "Tile": Facts(Family.MOVEMENT, repeats=True),
    "Abs": Facts(Family.UNARY),
    "Cast": Facts(Family.UNARY),
    "Ceil": Facts(Family.UNARY),
    "Dropout": Facts(Family.UNARY),
    "Floor": Facts(Family.UNARY),
    "Identity": Facts(Family.UNARY),
    "Neg": Facts(Family.UNARY),
    "Not": Facts(Family.UNARY),
    "Relu": Facts(Family.UNARY, clamps=True),
    "Round": Facts(Family.UNARY),
    "Sign": Facts(Family.UNARY),
    "ThresholdedRelu": Facts(Family.UNARY),
    "Celu": Facts(Family.UNARY, rounds=True),
    "Elu": Facts(Family.UNARY, rounds=True),
    "Erf": Facts(Family.UNARY, rounds=True),
    "Exp": Facts(Family.UNARY, rounds=True),
    "Gelu": Facts(Family.UNARY, rounds=True),
    "HardSigmoid": Facts(Family.UNARY, rounds=True),
    "HardSwish": Facts(Family.UNARY, rounds=True),
    "LeakyRelu": Facts(Family.UNARY, rounds=True),
    "Log": Facts(Family.UNARY, rounds=True),
    "Mish": Facts(Family.UNARY, rounds=True),
    "Reciprocal": Facts(Family.UNARY, rounds=True),
    "Selu": Facts(Family.UNARY, rounds=True),
    "Sigmoid": Facts(Family.UNARY, rounds=True),
    "Softplus": Facts(Family.UNARY, rounds=True),
    "Softsign": Facts(Family.UNARY, rounds=True),
    "Sqrt": Facts(Family.UNARY, rounds=True),
    "Tanh": Facts(Family.UNARY, rounds=True),
    "And": Facts(Family.BROADCAST),
    "Clip": Facts(Family.BROADCAST, clamps=True),
    "Equal": Facts(Family.BROADCAST),
    "Greater": Facts(Family.BROADCAST),
    "Less": Facts(Family.BROADCAST),
    "Max": Facts(Family.BROADCAST),
    "Min": Facts(Family.BROADCAST),
    "Or": Facts(Family.BROADCAST),
    "Where": Facts(Family.BROADCAST),
    "Xor": Facts(Family.BROADCAST),
    "Add": Facts(Family.BROADCAST, rounds=True),
    "Div": Facts(Family.BROADCAST, rounds=True),
    "Mean": Facts(Family.BROADCAST, rounds=True),
    "Mul": Facts(Family.BROADCAST, rounds=True),
    "PRelu": Facts(Family.BROADCAST, rounds=True),
    "Pow": Facts(Family.BROADCAST, rounds=True),
    "Sub": Facts(Family.BROADCAST, rounds=True),
    "Sum": Facts(Family.BROADCAST, rounds=True),
    "AveragePool": Facts(Family.POOL, rounds=True),
    "GlobalAveragePool": Facts(Family.POOL, rounds=True),
    "GlobalMaxPool": Facts(Family.POOL, selects=True),
    "LpPool": Facts(Family.POOL, rounds=True),
    "MaxPool": Facts(Family.POOL, selects=True),
    "ReduceMax": Facts(Family.REDUCTION, selects=True),
    "ReduceMean": Facts(Family.REDUCTION, rounds=True),
    "ReduceMin": Facts(Family.REDUCTION, selects=True),
    "ReduceSum": Facts(Family.REDUCTION, rounds=True),
    "BatchNormalization": Facts(Family.OTHER, rounds=True),
    "GroupNormalization": Facts(Family.OTHER, rounds=True),
    "InstanceNormalization": Facts(Family.OTHER, rounds=True),
    "LayerNormalization": Facts(Family.OTHER, rounds=True),
    "LogSoftmax": Facts(Family.OTHER, rounds=True),
    "Softmax": Facts(Family.OTHER, rounds=True),
}
"""Operator type (of ONNX's default domain) → its facts."""


def _those(hold: Callable[[Facts], bool]) -> frozenset[str]:
    return frozenset(op_type for op_type, facts in FACTS.items() if hold(facts))


def _of(*families: Family) -> frozenset[str]:
    return _those(lambda facts: facts.family in families)


PRODUCTS = _of(Family.PRODUCT)
BIASED_PRODUCTS = _those(lambda facts: facts.biased)
INTEGER_PRODUCTS = _those(lambda facts: facts.integer)
MOVEMENTS = _of(Family.MOVEMENT)
REARRANGEMENTS = _those(lambda facts: facts.family is Family.MOVEMENT and not facts.repeats)
SELECTIONS = _those(lambda facts: facts.selects)
UNARY = _of(Family.UNARY)
BROADCAST = _of(Family.BROADCAST)
ELEMENTWISE = UNARY | BROADCAST
CLAMPS = _those(lambda facts: facts.clamps)
POOLS = _of(Family.POOL)
REDUCTIONS = _of(Family.REDUCTION)
ROUNDING = _those(lambda facts: facts.rounds)
