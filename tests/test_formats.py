import functools
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quantseg import formats, graph
from quantseg.affine import Range
from quantseg.errors import PlanError
from quantseg.formats import FORMATS
from quantseg.ops import RULES, KeptFloat, integer_form
from quantseg.planning import QuantSettings, plan
from quantseg.prepare import prepare
from tests import graphs, models, quantised
from tests.quantised import Array, Made, kernel, noise

FEEDS = [{"x": noise(1, 3, 8, 8, seed=seed)} for seed in range(4)]
ONE_STEP = 1.001
"""One quantisation step, and the rounding of its float32 comparison."""


@dataclass(frozen=True)
class Case:
    """An operator between two convolutions, a = Conv(x) and y = Conv(b): b = body(a), with so many channels.

    kernel: what onnxruntime runs for it. float_nodes: what it runs in float, for want of an integer kernel.
    """

    body: str
    kernel: str
    channels: int = 8
    float_nodes: frozenset[str] = frozenset()
    constants: dict[str, Array] = field(default_factory=dict)

    def model(self) -> Any:
        body = f"a = Conv<pads=[1,1,1,1]>(x, w1, b1) {self.body} y = Conv(b, w2)"
        weights = {"w1": kernel(8, 3, 3, 3, seed=1), "b1": noise(8, seed=2) / 10}
        last = {"w2": kernel(4, self.channels, 1, 1, seed=3)}
        return graphs.graph(body, x="float[1,3,8,8]", **weights, **last, **self.constants)


def case(body: str, kernel: str, *, channels: int = 8, float_nodes: str = "", **constants: Array) -> Case:
    return Case(body, kernel, channels, frozenset(float_nodes.split()), constants)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


SECOND = "c = Conv<pads=[1,1,1,1]>(x, w)"
W = kernel(8, 3, 3, 3, seed=7)

CASES = {
    "Conv": case("b = Conv<strides=[2,2]>(a, w, c)", "QLinearConv", w=kernel(8, 8, 3, 3), c=noise(8)),
    "Conv depthwise": case("b = Conv<group=8>(a, w)", "QLinearConv", w=kernel(8, 1, 3, 3)),
    "Conv grouped": case("b = Conv<group=2>(a, w)", "QLinearConv", w=kernel(8, 4, 3, 3)),
    "Conv dilated": case("b = Conv<dilations=[2,2]>(a, w)", "QLinearConv", w=kernel(8, 8, 3, 3)),
    "Conv 1 wide": case("b = Conv<pads=[0,1,0,1]>(a, w)", "QLinearConv", w=kernel(8, 8, 1, 3)),
    "ConvTranspose": case(
        "b = ConvTranspose<strides=[2,2]>(a, w, c)", "DepthToSpace", w=kernel(8, 8, 2, 2), c=noise(8)
    ),
    "Gemm": case(
        "f = Flatten(a) g = Gemm(f, w, c) b = Reshape(g, s)",
        "QGemm", w=kernel(512, 32), c=noise(32), s=ints(1, 8, 2, 2),
    ),
    "Gemm transB": case(
        "f = Flatten(a) g = Gemm<transB=1>(f, w) b = Reshape(g, s)",
        "QGemm", w=kernel(32, 512), s=ints(1, 8, 2, 2),
    ),
    "MatMul": case("b = MatMul(a, w)", "QLinearMatMul", w=kernel(8, 8)),
    "MatMul of a stack": case("b = MatMul(a, w)", "QLinearMatMul", w=kernel(8, 8, 8)),
    "MatMul of activations": case(
        "t = Transpose<perm=[0,1,3,2]>(a) b = MatMul(a, t)", "QLinearMatMul"
    ),
    "Add": case(f"{SECOND} b = Add(a, c)", "QLinearAdd", w=W),
    "Add to itself": case("b = Add(a, a)", "QLinearAdd"),
    "Add a constant": case("s = Sigmoid(a) d = Add(s, c) b = LeakyRelu(d)", "QLinearAdd", c=noise(8, 1, 1)),
    "Add a far constant": case("s = Sigmoid(a) d = Add(c, s) b = LeakyRelu(d)", "QLinearAdd", c=noise(8, 1, 1) + 9),
    "Mul": case(f"{SECOND} b = Mul(a, c)", "QLinearMul", w=W),
    "Mul by a constant": case("s = Sigmoid(a) d = Mul(c, s) b = LeakyRelu(d)", "QLinearMul", c=noise(8, 1, 1)),
    "Mul by a number": case("s = Sigmoid(a) d = Mul(s, c) b = LeakyRelu(d)", "QLinearMul", c=np.float32(0.3).reshape(())),
    "Mul by a gate": case(
        "g = GlobalAveragePool(a) h = Conv(g, w) s = Sigmoid(h) b = Mul(a, s)", "QLinearMul", w=kernel(8, 8, 1, 1)
    ),
    "Concat of like": case(f"{SECOND} b = Concat<axis=1>(a, c)", "Concat", channels=16, w=W),
    "Concat of unlike": case(f"{SECOND} b = Concat<axis=1>(a, c)", "QLinearConcat", channels=16, w=W / 10),
    "Concat with itself": case("b = Concat<axis=1>(a, a)", "Concat", channels=16),
    "Concat with a constant": case("b = Concat<axis=1>(c, a)", "Concat", channels=16, c=noise(1, 8, 8, 8)),
    "Concat of three": case(
        "r = Relu(a) s = Sigmoid(a) b = Concat<axis=1>(a, r, s)", "QLinearConcat", channels=24
    ),
    "MaxPool": case("b = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)", "NhwcMaxPool"),
    "AveragePool": case("b = AveragePool<kernel_shape=[2,2]>(a)", "QLinearAveragePool"),
    "AveragePool padded": case(
        "b = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(a)", "QLinearAveragePool"
    ),
    "GlobalAveragePool": case("b = GlobalAveragePool(a)", "QLinearGlobalAveragePool"),
    "Resize nearest": case(
        'b = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">(a, , s)',
        "Resize", s=np.array([1, 1, 2, 2], np.float32),
    ),
    "Resize linear": case(
        'b = Resize<mode="linear">(a, , , s)', "Resize", float_nodes="Resize", s=ints(1, 8, 13, 13)
    ),
    "Reshape": case("b = Reshape(a, s)", "Reshape", s=ints(1, 8, 4, 16)),
    "Transpose": case("b = Transpose<perm=[0,1,3,2]>(a)", "Transpose"),
    "Flatten": case("f = Flatten<axis=2>(a) b = Reshape(f, s)", "Flatten", s=ints(1, 8, 8, 8)),
    "Squeeze": case("s = Squeeze(a, z) b = Unsqueeze(s, z)", "Squeeze", z=ints(0)),
    "DepthToSpace": case("b = DepthToSpace<blocksize=2>(a)", "DepthToSpace", channels=2),
    "Slice": case("b = Slice(a, s, e, z)", "Slice", s=ints(1, 0), e=ints(7, 6), z=ints(2, 3)),
    "Split": case("c, d = Split<axis=1>(a) b = Add(c, d)", "Split", channels=4),
    "Gather": case("b = Gather<axis=1>(a, i)", "Gather", channels=3, i=ints(3, 1, 2)),
    "Tile": case("b = Tile(a, i)", "Tile", channels=16, i=ints(1, 2, 1, 1)),
    "Expand": case("g = GlobalAveragePool(a) b = Expand(g, i)", "Expand", i=ints(1, 8, 4, 4)),
    "Pad with zeros": case("l = Sigmoid(a) b = Pad(l, p)", "Pad", channels=9, p=ints(0, 1, 1, 1, 0, 0, 2, 2)),
    "Pad by reflection": case('b = Pad<mode="reflect">(a, p)', "Pad", p=ints(0, 0, 1, 1, 0, 0, 2, 2)),
    "Sigmoid": case("b = Sigmoid(a)", "QLinearSigmoid"),
    "Softmax over channels": case("b = Softmax<axis=1>(a)", "QLinearSoftmax"),
    "Softmax over columns": case("b = Softmax<axis=3>(a)", "QLinearSoftmax"),
    "LeakyRelu": case("b = LeakyRelu<alpha=0.1>(a)", "QLinearLeakyRelu"),
    "Relu": case("b = Relu(a)", "QLinearConv"),
    "Relu beside another reader": case("r = Relu(a) b = Add(r, a)", "QLinearAdd"),
    "Clip 0…1": case("b = Clip(a, l, h)", "QLinearConv", l=np.float32(0), h=np.float32(1)),
    "Clip −½…¼": case("b = Clip(a, l, h)", "QLinearConv", l=np.float32(-0.5), h=np.float32(0.25)),
    "Clip 0.2…0.7": case(
        "b = Clip(a, l, h)", "QLinearConv", float_nodes="Clip", l=np.float32(0.2), h=np.float32(0.7)
    ),
}  # fmt: skip
OPERATORS = {node.op_type for made in CASES.values() for node in made.model().graph}


@functools.cache
def made(name: str, qformat: str) -> Made:
    return quantised.make(CASES[name].model(), FEEDS, qformat=qformat)


@functools.cache
def outcome(name: str, qformat: str) -> Array:
    return quantised.optimised(made(name, qformat).model, FEEDS[0])[0]


def test_every_operator_that_can_compute_in_integers_has_a_case() -> None:
    def always_float(op_type: str) -> bool:
        inputs = [graphs.ir.Value(name=f"i{k}", type=graphs.ir.TensorType(graphs.ir.DataType.FLOAT)) for k in range(3)]
        return isinstance(integer_form(graphs.ir.node(op_type, inputs)), KeptFloat)

    in_integers = {op_type for op_type in RULES if not always_float(op_type)}
    assert {"MatMul", "Add", "Resize", "MaxPool"} <= in_integers
    assert in_integers <= OPERATORS


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", CASES)
def test_the_model_is_valid_and_near_the_float_one(name: str, qformat: str) -> None:
    proto = onnx.load_from_string(graph.to_bytes(made(name, qformat).model))
    onnx.checker.check_model(proto, full_check=True)
    expected = graphs.run(CASES[name].model(), FEEDS[0])[0]
    noise_power = np.square(outcome(name, qformat) - expected).mean()
    assert 10 * np.log10(np.square(expected).mean() / noise_power) > 25


@pytest.mark.parametrize("name", CASES)
def test_both_formats_agree_within_a_step(name: str) -> None:
    step = float(made(name, "qdq").plan.tensors["y"].scale)
    assert np.abs(outcome(name, "qdq") - outcome(name, "qoperator")).max() <= ONE_STEP * step


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", CASES)
def test_onnxruntime_runs_it_in_integers(name: str, qformat: str) -> None:
    nodes = quantised.executed(made(name, qformat).model, FEEDS[0])
    assert {node.op_type for node in nodes if node.kind == "float"} == CASES[name].float_nodes
    assert any(node.op_type.endswith(CASES[name].kernel) for node in nodes)
    assert not any(node.op_type in ("Conv", "FusedConv", "ConvTranspose", "Gemm", "MatMul") for node in nodes)


@pytest.mark.parametrize("name", CASES)
def test_without_rewrites_the_runtime_computes_the_same(name: str) -> None:
    """QDQ means what it says operator by operator: fusing only rounds differently."""
    step = float(made(name, "qdq").plan.tensors["y"].scale)
    plain = graphs.run(made(name, "qdq").model, FEEDS[0])[0]
    assert np.abs(outcome(name, "qdq") - plain).max() <= 2 * ONE_STEP * step
