"""Every other operator of the simulator's table, beside onnxruntime: what moves or compares numbers gives its very own.

Float arithmetic may differ in the last bits, where kernels add or approximate in ways of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from quantseg.errors import ModelError
from quantseg.simulation.arithmetic import OPERATORS
from quantseg.simulation.arithmetic.sizes import MOST_BYTES, checked
from tests.support.operators import Array, assert_equal, integers, judged, simulated

F, B, U, I64 = np.float32, np.int8, np.uint8, np.int64


@dataclass(frozen=True)
class Drawn:
    """An operand that is drawn anew: its shape and type. low: the least of its floats."""

    shape: tuple[int, ...]
    kind: Any = F
    low: float = -4.0

    def array(self, random: np.random.Generator) -> Array:
        if self.kind is bool:
            return random.integers(0, 2, self.shape).astype(bool)
        if np.dtype(self.kind).kind == "f":
            return random.uniform(self.low, 4, self.shape).astype(self.kind)
        if np.dtype(self.kind).itemsize == 1:
            return integers(random, self.kind, self.shape)
        return random.integers(-9, 10, self.shape).astype(self.kind)


@dataclass(frozen=True)
class Row:
    """An operator as a model has it. tolerance: by which results may differ."""

    op_type: str
    operands: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 21
    outputs: int = 1
    tolerance: float = 0

    def __str__(self) -> str:
        return f"{self.op_type}-{self.opset}-{','.join(self.attributes)}"


def row(op_type: str, *operands: Any, opset: int = 21, outputs: int = 1, near: float = 0, **attributes: Any) -> Row:
    return Row(op_type, operands, attributes, opset, outputs, near)


def ints(*numbers: int) -> Array:
    return np.array(numbers, I64)


def tensor(numbers: Sequence[float], kind: Any) -> TensorProto:
    return numpy_helper.from_array(np.array(numbers, kind))


X, Y, V, Q, S = Drawn((2, 3, 4, 5)), Drawn((2, 3, 4, 5)), Drawn((5,)), Drawn((2, 3, 4, 5), U), Drawn((2, 3, 4, 5), B)
BINARY = ["Add", "Div", "Mul", "Sub"]
COMPARING = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]
UNARY = [
    "Abs",
    "Elu",
    "Erf",
    "Exp",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Neg",
    "Relu",
    "Sigmoid",
    "Softplus",
    "Tanh",
]
REDUCED = ["ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum"]
EXACT_UNARY = {"Abs", "Neg", "Relu", "LeakyRelu", "Sigmoid"}

ROWS = [
    *(row(op_type, X, Y) for op_type in BINARY),
    *(row(op_type, X, V) for op_type in BINARY),
    *(row(op_type, Drawn((3, 1, 1)), X) for op_type in BINARY),
    *(row(op_type, Drawn((2, 3), I64), ints(3, -2, 7)) for op_type in BINARY),
    *(row(op_type, Drawn((9, 9), np.int32), Drawn((9, 9), np.int32)) for op_type in COMPARING),
    *(row(op_type, X, V) for op_type in COMPARING),
    *(row(op_type, X, near=0 if op_type in EXACT_UNARY else 2e-6, opset=21) for op_type in UNARY),
    row("Exp", X, near=1e-4), row("Pow", Drawn((3, 4), low=0.1), F(1.7), near=1e-5), row("Pow", X, F(2), near=1e-5),
    row("Floor", X), row("Log", Drawn((3, 4), low=0.1), near=1e-6), row("ReduceProd", V, axes=[0], opset=13, near=1e-6),
    row("ReduceProd", Drawn((2, 3), I64), opset=13),
    row("Sqrt", Drawn((3, 4), low=0)), row("Not", Drawn((3, 4), bool)), row("Neg", Drawn((3, 4), np.int32)),
    row("Relu", S), row("Elu", X, alpha=0.3, near=1e-6), row("LeakyRelu", X, alpha=0.2),
    row("HardSigmoid", X, alpha=0.3, beta=0.4, near=1e-6), row("PRelu", X, Drawn((3, 1, 1))), row("PRelu", X, F(0.25)),
    *(row("Softmax", X, axis=axis, opset=opset, near=1e-6) for axis in (1, -1, 0) for opset in (11, 13)),
    row("Clip", X, F(-1), F(2)), row("Clip", X, None, F(2)), row("Clip", X, F(-1)), row("Clip", X),
    row("Clip", Q, U(20), U(99)), row("Clip", S, B(-7), B(7)), row("Clip", X, min=-1.0, max=1.5, opset=6),
    row("Max", X, V, Drawn((4, 1))), row("Min", X, V, Drawn((4, 1))), row("Max", X), row("Min", Q, Drawn((5,), U)),
    row("Where", Drawn((4, 5), bool), X, V), row("Where", Drawn((2, 1, 4, 1), bool), Q, U(7)),
    row("Cast", X, to=TensorProto.INT32), row("Cast", Q, to=TensorProto.FLOAT), row("Cast", X, to=TensorProto.BOOL),
    row("Cast", Drawn((4,), bool), to=TensorProto.INT64), row("Cast", S, to=TensorProto.UINT8),
    row("Concat", X, Y, Drawn((2, 1, 4, 5)), axis=1), row("Concat", Q, Q, axis=-1), row("Concat", V, axis=0),
    row("Constant", value=tensor([[1, 2], [3, 4]], F)), row("ConstantOfShape", ints(2, 3)),
    row("ConstantOfShape", ints(2, 3), value=tensor([7], I64)), row("ConstantOfShape", ints(), value=tensor([7], F)),
    *(row("DepthToSpace", Drawn((2, 12, 3, 4), kind), blocksize=2, mode=mode)
      for mode in ("DCR", "CRD") for kind in (F, U)),
    row("DepthToSpace", Drawn((1, 18, 2, 3)), blocksize=3), row("DepthToSpace", X, blocksize=1),
    row("SpaceToDepth", Drawn((2, 3, 4, 6)), blocksize=2), row("SpaceToDepth", Drawn((1, 2, 6, 9)), blocksize=3),
    row("Dropout", X, opset=13), row("Identity", Q), row("Flatten", X), row("Flatten", X, axis=0),
    row("Flatten", X, axis=-1), row("Flatten", Q, axis=3),
    row("Expand", Drawn((3, 1)), ints(2, 1, 4)), row("Expand", Drawn((3, 4), U), ints(1)),
    row("Gather", X, ints(2, 0, -1), axis=1), row("Gather", X, np.array(1), axis=-1),
    row("Gather", Q, np.array([[0, 1], [1, 0]]), axis=0), row("Gather", V, ints(4, -5)),
    row("Pad", X, ints(0, 0, 1, 2, 0, 1, 0, 3)), row("Pad", X, ints(0, 0, 1, 2, 0, 1, 0, 3), F(1.5)),
    row("Pad", Q, ints(0, 0, 1, 2, 0, 1, 0, 3), U(9)), row("Pad", X, ints(0, 0, -1, 2, 0, -1, 0, -2), F(3)),
    *(row("Pad", X, ints(0, 0, 2, 3, 0, 0, 1, 2), mode=mode) for mode in ("edge", "reflect")),
    row("Pad", X, ints(0, 0, 2, 3, 0, 0, 1, 2), mode="wrap"), row("Pad", X, ints(1, 2), None, ints(-1), opset=18),
    row("Pad", X, ints(1, 2, 3, 0), F(2), ints(1, 3), opset=18),
    row("Pad", X, pads=[0] * 6 + [1, 2], value=2.0, opset=10),
    *(row(op_type, X, axes=[1, 3], opset=11, near=1e-5) for op_type in REDUCED),
    *(row(op_type, X, axes=[-1], keepdims=0, opset=11, near=1e-5) for op_type in REDUCED),
    *(row(op_type, X, ints(0, 2), keepdims=0, opset=18, near=1e-5) for op_type in REDUCED),
    *(row(op_type, X, opset=18, near=1e-5) for op_type in REDUCED),
    *(row(op_type, X, None, noop_with_empty_axes=1, opset=18) for op_type in REDUCED),
    *(row(op_type, Q, axes=[1], opset=12) for op_type in ("ReduceMax", "ReduceMin")),
    *(row("ArgMax", Drawn((2, 4, 5), kind), axis=axis, keepdims=kept, select_last_index=last, opset=13)
      for kind in (F, U, B) for axis in (1, -1) for kept in (0, 1) for last in (0, 1)),
    row("ArgMax", Drawn((3, 40), np.int32), opset=13),
    row("Reshape", X, ints(0, -1, 4)), row("Reshape", X, ints(6, 20)), row("Reshape", X, ints(2, 0, 0, -1)),
    row("Reshape", Drawn((0, 3)), ints(3, 0), allowzero=1),
    row("Shape", X), row("Shape", X, start=1), row("Shape", X, start=-3, end=-1), row("Shape", X, end=2),
    row("Slice", X, ints(1, 0), ints(3, 9), ints(2, 3)), row("Slice", X, ints(0, 1, 0, 2), ints(2, 3, 4, 4)),
    row("Slice", X, ints(-1, 3), ints(-99, 0), ints(3, 2), ints(-1, -2)),
    row("Slice", Q, ints(-2), ints(2**62), ints(-1)),
    row("Slice", X, ints(9), ints(-99), ints(2), ints(-3)), row("Slice", V, ints(3), ints(0), ints(0), ints(-1)),
    row("Slice", X, ints(3), ints(1), ints(3)), row("Slice", X, ints(0), ints(5), ints(-1), ints(2)),
    row("Slice", X, starts=[1, -3], ends=[3, 9], axes=[2, 3], opset=9), row("Slice", X, starts=[0], ends=[1], opset=9),
    row("Split", X, ints(1, 4), axis=-1, outputs=2), row("Split", X, axis=2, outputs=2, num_outputs=2, opset=18),
    row("Split", X, axis=3, outputs=3, num_outputs=3, opset=18), row("Split", X, axis=1, outputs=3, opset=13),
    row("Split", Q, axis=3, split=[2, 2, 1], outputs=3, opset=11),
    row("Squeeze", Drawn((1, 3, 1, 2))), row("Squeeze", Drawn((1, 3, 1, 2)), ints(-2)),
    row("Squeeze", Drawn((1, 3, 1, 2)), axes=[0, 2], opset=11), row("Unsqueeze", X, ints(0, -1)),
    row("Unsqueeze", V, axes=[0, 2], opset=11), row("Unsqueeze", F(3), ints(0)),
    row("Tile", X, ints(1, 2, 1, 3)), row("Tile", Q, ints(1, 1, 1, 1)),
    row("Transpose", X), row("Transpose", Q, perm=[0, 2, 3, 1]), row("Transpose", S, perm=[3, 0, 1, 2]),
    *(row("QuantizeLinear", X, F(0.03), *zero) for zero in ([U(100)], [B(-7)], [])),
    row("QuantizeLinear", X, np.array([0.1, 0.02, 0.5], F), np.array([0, 100, 255], U), axis=1),
    row("QuantizeLinear", X, F(0.0001), np.uint16(3)), row("QuantizeLinear", X, F(0.0001), np.int16(-3)),
    row("QuantizeLinear", X, F(2**-9), output_dtype=TensorProto.INT8),
    row("QuantizeLinear", Drawn((4, 6)), np.full((4, 2), 0.02, F), np.full((4, 2), 9, U), axis=1, block_size=3),
    row("DequantizeLinear", Q, F(0.03), U(100)), row("DequantizeLinear", S, F(0.03)),
    row("DequantizeLinear", S, np.array([0.1, 0.02, 0.5], F), np.array([0, -100, 127], B), axis=1),
    row("DequantizeLinear", Drawn((3,), np.int32), F(0.001)),
    row("DequantizeLinear", Drawn((3,), np.int16), F(0.1), np.int16(7)),
    row("DequantizeLinear", Drawn((4, 6), B), np.full((4, 2), 0.02, F), np.full((4, 2), 9, B), axis=1, block_size=3),
    row("BatchNormalization", X, *(Drawn((3,)) for _ in range(3)), Drawn((3,), low=0.1), epsilon=1e-3, near=2e-5),
    row("InstanceNormalization", X, Drawn((3,)), Drawn((3,)), near=2e-5),
    row("LayerNormalization", X, Drawn((5,)), Drawn((5,)), near=2e-5),
    row("LayerNormalization", X, Drawn((4, 5)), axis=2, epsilon=1e-2, near=2e-5),
    row("MaxUnpool", Drawn((1, 1, 2, 2)), np.array([[[[5, 7], [13, 15]]]]), kernel_shape=[2, 2], strides=[2, 2]),
    row("MaxUnpool", Drawn((1, 1, 1, 2)), np.array([[[[0, 4]]]]), ints(1, 1, 4, 5), kernel_shape=[2, 2]),
]  # fmt: skip

FILES = "convolution", "transposed", "elementwise", "lookup", "pooling", "matrix", "resize", "detection"
"""Tests of the operators that are not here."""


def plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes as the simulator has them: types are numpy's, tensors arrays."""
    found = dict(attributes)
    for name in ("to", "output_dtype"):
        if name in found:
            found[name] = helper.tensor_dtype_to_np_dtype(found[name])
    if isinstance(found.get("value"), TensorProto):
        found["value"] = numpy_helper.to_array(found["value"])
    return found


@pytest.mark.parametrize("case", ROWS, ids=str)
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_each_operator_is_onnxruntimes(case: Row, seed: int) -> None:
    random = np.random.default_rng(seed)
    operands = [part.array(random) if isinstance(part, Drawn) else part for part in case.operands]
    rest = {"opset": case.opset, "outputs": case.outputs}
    found = simulated(case.op_type, *operands, **rest, **plain(case.attributes))
    expected = judged(case.op_type, *operands, **rest, **case.attributes)
    if not case.tolerance:
        assert_equal(found, expected)
        return
    for one, other in zip(found, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, rtol=case.tolerance, atol=case.tolerance)


def test_no_operator_of_the_table_is_left_out() -> None:
    here = {case.op_type for case in ROWS}
    texts = [Path(__file__).with_name(f"test_{name}.py").read_text(encoding="utf-8") for name in FILES]
    own = {name for name in OPERATORS if not name.startswith("litert.")}  # those are compared with LiteRT's kernels
    assert {name for name in own if name not in here and not any(f'"{name}"' in text for text in texts)} == set()


IMAGE, FLAT = np.zeros((1, 3, 4, 4), F), np.zeros((2, 6), F)


@pytest.mark.parametrize(
    ("op_type", "operands", "attributes", "words"),
    [
        ("Add", (IMAGE, np.zeros((1, 3, 4, 5), F)), {}, r"\[1, 3, 4, 4\] and \[1, 3, 4, 5\] do not fit"),
        ("Where", (np.ones(2, bool), IMAGE, IMAGE), {}, r"\[2\] and \[1, 3, 4, 4\] and \[1, 3, 4, 4\] do not fit"),
        ("Concat", (IMAGE, np.zeros((1, 3, 5, 4), F)), {"axis": 1}, r"\[1, 3, 4, 4\] and \[1, 3, 5, 4\] do not fit"),
        ("Concat", (IMAGE, FLAT), {"axis": 1}, r"\[1, 3, 4, 4\] and \[2, 6\] do not fit"),
        ("Reshape", (FLAT, ints(5, -1)), {}, r"input \[2, 6\] does not fit shape \[5, -1\]"),
        ("Transpose", (FLAT,), {"perm": [0, 2]}, r"input \[2, 6\] does not fit perm \[0, 2\]"),
        ("DepthToSpace", (IMAGE,), {"blocksize": 2}, r"\[1, 3, 4, 4\] does not split into blocks of 2x2"),
        ("SpaceToDepth", (IMAGE,), {"blocksize": 3}, r"\[1, 3, 4, 4\] does not split into blocks of 3x3"),
        ("Split", (FLAT, ints(1, 2)), {"axis": 1}, r"\[2, 6\] does not split into \[1, 2\] along axis 1"),
        ("Expand", (FLAT, ints(3, 6)), {}, r"\[2, 6\] does not fit shape \[3, 6\]"),
        ("Tile", (FLAT, ints(2)), {}, r"\[2, 6\] does not fit repeats \[2\]"),
        ("Gather", (FLAT, ints(6)), {"axis": 1}, r"places up to 6 along axis 1 of \[2, 6\]"),
        ("Squeeze", (FLAT, ints(0)), {}, r"axes \[0\] of \[2, 6\] are not all of size 1"),
        ("ReduceMax", (FLAT, ints(2)), {}, "axes .2. of a tensor of 2 axes"),
        ("ArgMax", (FLAT,), {"axis": 2}, "axis 2 of a tensor of 2 axes"),
        ("Pad", (FLAT, ints(1, 2)), {}, r"\[2, 6\] does not fit pads \[1, 2\]"),
        ("MatMul", (FLAT, FLAT), {}, r"\[2, 6\] and \[2, 6\] do not fit"),
        ("BatchNormalization", (IMAGE, *[np.zeros(4, F)] * 4), {}, r"\[1, 3, 4, 4\] and \[4\], one for each"),
        ("MaxUnpool", (IMAGE, np.zeros((1, 3, 4, 5), I64)), {}, r"\[1, 3, 4, 4\] and \[1, 3, 4, 5\] do not fit"),
        ("QuantizeLinear", (FLAT, np.ones(4, F)), {"axis": 1}, r"scale \[4\] does not fit \[2, 6\] along axis 1"),
        ("QuantizeLinear", (FLAT, np.ones(6, F), np.zeros(5, U)), {}, r"scale \[6\] and zero-point \[5\] do not fit"),
        ("DequantizeLinear", (FLAT.astype(U), np.ones((), np.int32)), {}, "a scale of type int32"),
        ("Identity", (), {}, "input 0 is missing"),
    ],
)
def test_operands_that_do_not_fit_are_named(
    op_type: str, operands: tuple[Any, ...], attributes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        simulated(op_type, *operands, **attributes)


@pytest.mark.parametrize(
    ("op_type", "operands"),
    [
        ("ConstantOfShape", (ints(1 << 20, 1 << 20),)),
        ("Expand", (np.zeros((1, 1), F), ints(1 << 20, 1 << 20))),
        ("Tile", (FLAT, ints(1 << 20, 1 << 10))),
        ("Pad", (FLAT, ints(0, 1 << 30, 0, 0))),
    ],
)
def test_results_above_four_gibibytes_are_refused(op_type: str, operands: tuple[Any, ...]) -> None:
    with pytest.raises(ModelError, match="more than 4 GiB"):
        simulated(op_type, *operands)


def test_a_result_of_four_gibibytes_is_the_largest() -> None:
    assert MOST_BYTES == 1 << 32
    assert checked((1 << 10, 1 << 20), 4) == (1 << 10, 1 << 20)
    with pytest.raises(ModelError, match=r"shape \[1024, 1048577\], more than 4 GiB"):
        checked((1 << 10, (1 << 20) + 1), 4)
    with pytest.raises(ModelError, match=r"shape \[3, -1\]; the window is larger than what it reads"):
        checked((3, -1))
