import functools
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import pytest

from quantseg import graph
from quantseg.errors import PlanError
from quantseg.graph.preparation import prepare
from quantseg.quantization import formats
from quantseg.quantization.affine import Range, params_from_range
from quantseg.quantization.formats import FORMATS
from quantseg.quantization.operators import RULES, KeptFloat, integer_form
from quantseg.quantization.pairs import excess
from quantseg.quantization.plan import QuantSettings, plan
from quantseg.quantization.qtypes import INT8, INT16, UINT8
from tests.support import graphs, quantised
from tests.support.places import ROOT
from tests.support.quantised import Array, Made, kernel, noise

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


def number(value: float) -> Array:
    return np.array(value, np.float32)


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
    "Mul by a number": case("s = Sigmoid(a) d = Mul(s, c) b = LeakyRelu(d)", "QLinearMul", c=number(0.3)),
    "Mul by a gate": case(
        "g = GlobalAveragePool(a) h = Conv(g, w) s = Sigmoid(h) b = Mul(a, s)", "QLinearMul", w=kernel(8, 8, 1, 1)
    ),
    "Concat of like": case(f"{SECOND} b = Concat<axis=1>(a, c)", "Concat", channels=16, w=W),
    "Concat of unlike": case(
        f"{SECOND} d = Concat<axis=1>(a, c) b = Concat<axis=1>(d, a)", "QLinearConcat", channels=24, w=W * 10
    ),
    "Concat of unlike that it alone reads": case(f"{SECOND} b = Concat<axis=1>(a, c)", "Concat", channels=16, w=W / 10),
    "Concat with itself": case("b = Concat<axis=1>(a, a)", "Concat", channels=16),
    "Concat with a constant": case("b = Concat<axis=1>(c, a)", "Concat", channels=16, c=noise(1, 8, 8, 8)),
    "Concat of three": case(
        "r = Relu(a) s = Sigmoid(a) b = Concat<axis=1>(a, r, s)", "Clip", channels=24
    ),
    "MaxPool": case("b = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)", "NhwcMaxPool"),
    "AveragePool": case("b = AveragePool<kernel_shape=[2,2]>(a)", "QLinearAveragePool"),
    "AveragePool padded": case(
        "b = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(a)", "QLinearAveragePool"
    ),
    "GlobalAveragePool": case("b = GlobalAveragePool(a)", "QLinearGlobalAveragePool"),
    "Sub": case(f"{SECOND} b = Sub(a, c)", "QLinearAdd", w=W),
    "Sub from one number": case("l = LeakyRelu(a) s = Sub(c, l) b = Sigmoid(s)", "QLinearAdd", c=number(1)),
    "ReduceMax over channels": case("b = ReduceMax<axes=[1]>(a)", "ReduceMax", channels=1),
    "ReduceMin over rows": case("b = ReduceMin<axes=[2]>(a)", "ReduceMin"),
    "SpaceToDepth": case("b = SpaceToDepth<blocksize=2>(a)", "SpaceToDepth", channels=32),
    "Resize nearest": case(
        'b = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">(a, , s)',
        "Resize", s=np.array([1, 1, 2, 2], np.float32),
    ),
    "Resize linear": case(
        'b = Resize<mode="linear">(a, , s)', "QLinearAdd", s=np.array([1, 1, 2, 3], np.float32)
    ),
    "Resize linear by fractions": case(
        'b = Resize<mode="linear">(a, , , s)', "QLinearMatMul", s=ints(1, 8, 13, 13)
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
    "Clip 0.2…0.7": case("b = Clip(a, l, h)", "Clip", l=np.float32(0.2), h=np.float32(0.7)),
}  # fmt: skip
BY_PIXEL = {"DepthToSpace": "Transpose", "Resize": "Concat", "Split": "Slice"}
"""With the channels last: what moves whole pixels in place of a kernel that moves number by number."""
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
    assert in_integers <= OPERATORS | {"ArgMax"}  # an answer, no image: test_folding_int8.py


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", CASES)
def test_the_model_is_valid_and_near_the_float_one(name: str, qformat: str) -> None:
    proto = onnx.load_from_string(graph.to_bytes(made(name, qformat).model))
    onnx.checker.check_model(proto, full_check=True)
    expected = graphs.run(CASES[name].model(), FEEDS[0])[0]
    noise_power = np.square(outcome(name, qformat) - expected).mean()
    assert 10 * np.log10(np.square(expected).mean() / noise_power) > 25


@pytest.mark.parametrize("qformat", [name for name in FORMATS if name != "qdq"])
@pytest.mark.parametrize("name", CASES)
def test_the_formats_agree_within_a_step(name: str, qformat: str) -> None:
    step = float(made(name, "qdq").plan.tensors["y"].scale)
    assert np.abs(outcome(name, "qdq") - outcome(name, qformat)).max() <= ONE_STEP * step


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", CASES)
def test_onnxruntime_runs_it_in_integers(name: str, qformat: str) -> None:
    nodes = quantised.executed(made(name, qformat).model, FEEDS[0])
    assert {node.op_type for node in nodes if node.kind == "float"} == CASES[name].float_nodes
    kernel = CASES[name].kernel
    expected = BY_PIXEL.get(kernel, kernel) if qformat == "channels-last" else kernel
    if qformat != "qdq" and kernel == "QLinearConcat":
        expected = "QLinearAdd"  # requantises what is on another grid; the Concat is plain
    assert any(node.op_type.endswith(expected) for node in nodes)
    assert not any(node.op_type in ("Conv", "FusedConv", "ConvTranspose", "Gemm", "MatMul") for node in nodes)


@pytest.mark.parametrize("name", CASES)
def test_without_rewrites_the_runtime_computes_the_same(name: str) -> None:
    """QDQ means what it says operator by operator: fusing only rounds differently."""
    step = float(made(name, "qdq").plan.tensors["y"].scale)
    plain = graphs.run(made(name, "qdq").model, FEEDS[0])[0]
    assert np.abs(outcome(name, "qdq") - plain).max() <= 2 * ONE_STEP * step


def structure(
    body: str, outputs: str = "float[] y", *, opset: int = 13, x: str = "float[1,3,8,8]", **constants: Array
) -> Any:
    head = f'<ir_version: 8, opset_import: ["": {opset}]> g ({x} x) => ({outputs})'
    return graphs.parse(f"{head} {{ {body} }}", w1=W, w2=kernel(4, 8, 1, 1, seed=3), **constants)


STRUCTURES = {
    "two outputs": structure("a = Conv(x, w1) r = Relu(a) y = Conv(r, w2)", "float[] y, float[] r"),
    "an output that a Relu reads": structure("a = Conv(x, w1) r = Relu(a) y = Conv(r, w2)", "float[] a, float[] y"),
    "one tensor, two outputs": structure("a = Conv(x, w1) y = Identity(a) z = Identity(a)", "float[] y, float[] z"),
    "an integer answer": structure("a = Conv(x, w1) y = ArgMax<axis=1>(a)", "int64[] y"),
    "the image pooled first": structure("p = MaxPool<kernel_shape=[2,2]>(x) y = Conv(p, w1)"),
    "the image joined": structure(
        "a = Conv<pads=[1,1,1,1]>(x, w1) c = Concat<axis=1>(x, a) y = Conv(c, w)", w=kernel(4, 11, 1, 1)
    ),
    "weights of two convolutions": structure(
        "a = Conv<pads=[1,1,1,1]>(x, w, c) b = Conv<pads=[1,1,1,1]>(a, w, c) y = Conv(b, w1)", w=W[:3], c=noise(3)
    ),
    "weights of two products, and a summand": structure(
        "a = MatMul(x, w) b = Add(a, w) l = LeakyRelu(b) y = MatMul(l, w)", w=kernel(8, 8)
    ),
    "names that look like ours": structure(
        "a = Conv(x, w1) a_quantized = Sigmoid(a) a_dequantized = LeakyRelu(a_quantized) "
        "w1_quantized = Tanh(a_dequantized) y = Conv(w1_quantized, w2)"
    ),
    "a dead channel": structure("a = Conv(x, w) y = Conv(a, w2)", w=np.stack([W[0], 0 * W[1], *W[2:]])),
    "a dead layer": structure("z = Mul(x, k) a = Conv(z, w1) b = Add(a, k) y = Conv(b, w2)", k=number(0)),
    "a scalar bias": structure(
        "f = Flatten(x) g = Gemm(f, w, c) y = Gemm(g, v)", w=kernel(192, 8), c=noise(1), v=kernel(8, 4)
    ),
    "a bias for each row": structure(
        "f = Flatten<axis=2>(x) g = Gemm(f, w, c) y = Gemm(g, v)", w=kernel(64, 8), c=noise(3, 1), v=kernel(8, 4)
    ),
    "a vector product": structure("a = Conv<pads=[1,1,1,1]>(x, w1) y = MatMul(a, w)", w=noise(8)),
    "a constant left side": structure("a = Conv(x, w1) b = MatMul(w, a) y = Conv(b, w2)", w=kernel(4, 6)),
    "weights computed at run time": structure(
        "a = Conv(x, w) f = Slice(a, p, q, z) y = Conv(a, f)", w=W[:1], p=ints(0, 0), q=ints(2, 2), z=ints(2, 3)
    ),
    "pooling indices unread": structure("a = Conv(x, w1) p, i = MaxPool<kernel_shape=[2,2]>(a) y = Conv(p, w2)"),
    "pooling indices read": structure(
        "a = Conv(x, w1) p, i = MaxPool<kernel_shape=[2,2]>(a) y = Conv(p, w2)", "float[] y, int64[] i"
    ),
    "dropout with its mask unread": structure("a = Conv(x, w1) p, m = Dropout(a) y = Conv(p, w2)"),
    "half of a split unread": structure("a = Conv(x, w1) c, d = Split<axis=1>(a) y = Conv(d, w)", w=kernel(4, 4, 1, 1)),
    "a branch": structure(
        """a = Conv(x, w1) r = Relu(a) t = ReduceSum<keepdims=0>(x) z = Greater(t, k)
        b = If(z)<then_branch = t1 () => (float[] o) { o = Add(a, r) },
                  else_branch = t2 () => (float[] p) { p = Conv(r, w3) }> y = Conv(b, w2)""",
        k=number(0), w3=kernel(8, 8, 1, 1),
    ),
    "free batch and size": structure("a = Conv(x, w1) r = Relu(a) y = Conv(r, w2)", x="float[N,3,H,W]"),
    "opset 18": structure(
        """a = Conv(x, w1) s = Sigmoid(a) p = Pad(s, q, , z) c, d = Split<axis=1, num_outputs=2>(p)
        e = Concat<axis=1>(d, c) y = Conv(e, w2)""",
        opset=18, q=ints(1, 1, 1, 1), z=ints(2, 3),
    ),
    "opset 21": structure("a = Conv(x, w1) r = Relu(a) y = Conv(r, w2)", opset=21),
    "relu after relu": structure(
        "a = Conv(x, w1) r = Relu(a) s = Clip(r, , h) t = Relu(s) y = Conv(t, w2)", h=number(0.5)
    ),
    "automatic padding": structure(
        """a = Conv<auto_pad="SAME_UPPER">(x, w1)
        p = MaxPool<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER">(a)
        y = Conv<auto_pad="SAME_LOWER", strides=[2,2]>(p, w)""",
        w=kernel(4, 8, 3, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", STRUCTURES)
def test_every_structure_stays_valid_and_right(name: str, qformat: str) -> None:
    model = STRUCTURES[name]
    result = quantised.make(model, FEEDS, qformat=qformat).model
    onnx.checker.check_model(onnx.load_from_string(graph.to_bytes(result)), full_check=True)
    assert [value.name for value in result.graph.outputs] == [value.name for value in model.graph.outputs]
    for feed in FEEDS:
        for actual, expected in zip(quantised.optimised(result, feed), graphs.run(model, feed), strict=True):
            assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
            if actual.dtype == np.float32:
                assert np.square(actual - expected).mean() <= np.square(expected).mean() * 10**-2.2
            else:
                assert (actual == expected).mean() > 0.9


@pytest.mark.parametrize("node", ["Conv_0", "Relu", "MaxPool", "Concat", "Sigmoid", "Add", "Conv_7"])
@pytest.mark.parametrize("option", ["include", "exclude"])
def test_what_stands_beside_an_excluded_node_stays_valid(option: str, node: str) -> None:
    model = structure(
        """a = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(a) m = MaxPool<kernel_shape=[2,2]>(r)
        g = Conv(m, w) s = Sigmoid(g) c = Concat<axis=1>(m, s) d = Add(c, c) y = Conv(d, v)""",
        w=kernel(8, 8, 1, 1), v=kernel(4, 16, 1, 1),
    )  # fmt: skip
    chosen = (node,) if option == "exclude" else (node, "Conv_3")
    made = quantised.make(model, FEEDS, **{option: chosen})
    onnx.checker.check_model(onnx.load_from_string(graph.to_bytes(made.model)), full_check=True)
    actual, expected = quantised.optimised(made.model, FEEDS[0])[0], graphs.run(model, FEEDS[0])[0]
    assert np.square(actual - expected).mean() <= np.square(expected).mean() * 10**-2.5


SETTINGS: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "default": ({}, (-127, 127)),
    "symmetric": ({"symmetric": True}, (-127, 127)),
    "int8": ({"activation": INT8}, (-127, 127)),
    "int8 symmetric": ({"activation": INT8, "symmetric": True}, (-127, 127)),
    "per tensor": ({"per_channel": False}, (-126, 127)),
    "full range": ({"full_range_weights": True}, (-127, 127)),
    "full range per tensor": ({"full_range_weights": True, "per_channel": False}, (-127, 127)),
    "uint8 weights per channel": ({"weight": UINT8}, (0, 255)),
    "reduced range": ({"reduce_range": True}, (-64, 64)),
    "uint8 weights": ({"per_channel": False, "weight": UINT8}, (0, 255)),
    "reduced uint8 weights": ({"per_channel": False, "weight": UINT8, "reduce_range": True}, (0, 127)),
}


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_give_valid_models_of_their_integers(name: str, qformat: str) -> None:
    settings, (lowest, highest) = SETTINGS[name]
    model = structure(
        """a = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(a) m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
        g = GlobalAveragePool(m) h = Conv(g, w) s = Sigmoid(h) e = Mul(m, s) l = LeakyRelu(e)
        u = Resize<mode="nearest">(l, , k) c = Concat<axis=1>(r, u) p = Softmax<axis=1>(c) y = Conv(p, v)""",
        w=kernel(8, 8, 1, 1), v=kernel(4, 16, 1, 1), k=np.array([1, 1, 2, 2], np.float32),
    )  # fmt: skip
    made = quantised.make(model, FEEDS, qformat=qformat, **settings)
    onnx.checker.check_model(onnx.load_from_string(graph.to_bytes(made.model)), full_check=True)
    stored = quantised.initializers(made.model)
    weights = stored["w1_quantized"]
    assert (weights.min() >= lowest, weights.max() <= highest) == (True, True)
    if weights.dtype == np.int8 and not {"full_range_weights", "reduce_range"} & set(settings):
        assert 0.9 < excess(weights.reshape(*weights.shape[:2], -1)).max() <= 1
    else:
        assert highest in (weights.max(), -weights.min())
    activation = settings.get("activation", UINT8)
    quantizers = (node for node in made.model.graph if node.op_type == "QuantizeLinear")
    zero_points = [stored[str(node.inputs[2].name)] for node in quantizers]
    assert {z.dtype for z in zero_points} == {activation.dtype}
    if settings.get("symmetric"):
        assert {int(z) for z in zero_points} == {0 if activation.signed else 128}
    expected = graphs.run(model, FEEDS[0])[0]
    error = quantised.optimised(made.model, FEEDS[0])[0] - expected
    assert np.square(error).mean() <= np.square(expected).mean() * 10**-1.8


# The file.


def emitted(qformat: str = "qdq", **metadata: str) -> bytes:
    prepared = prepare(CASES["Add"].model())
    ranges = {**dict.fromkeys("xaby", Range(-3.0, 3.0)), "c": Range(-9.0, 9.0)}
    made = plan(prepared, ranges, QuantSettings())
    return graph.to_bytes(formats.emit(prepared.model, made, qformat=qformat, metadata=metadata))


@pytest.mark.slow
@pytest.mark.parametrize("qformat", FORMATS)
def test_the_same_input_gives_the_same_bytes_in_another_process(qformat: str) -> None:
    program = (
        "import hashlib; from tests.quantization.formats.test_formats import emitted; "
        f"print(hashlib.sha256(emitted({qformat!r})).hexdigest())"
    )
    root = ROOT
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, cwd=root,
            capture_output=True, check=True, text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert digests == {hashlib.sha256(emitted(qformat)).hexdigest()}


def test_the_float_model_is_not_changed() -> None:
    prepared = prepare(CASES["Mul by a gate"].model())
    before = graph.to_bytes(prepared.model)
    made = plan(prepared, quantised.extrema(prepared.model, FEEDS), QuantSettings())
    for qformat in FORMATS:
        formats.emit(prepared.model, made, qformat=qformat, metadata={"key": "value"})
    assert graph.to_bytes(prepared.model) == before


def test_metadata_and_producer_are_written() -> None:
    proto = onnx.load_from_string(emitted(key="value"))
    assert {entry.key: entry.value for entry in proto.metadata_props} == {"key": "value"}
    assert (proto.producer_name, bool(proto.producer_version)) == ("quantseg", True)


def test_only_qdq_does_without_onnxruntimes_domain() -> None:
    domains = {
        qformat: {entry.domain for entry in onnx.load_from_string(emitted(qformat)).opset_import} for qformat in FORMATS
    }
    with_others = {"", "com.microsoft"}
    assert domains == {"qdq": {""}, "qoperator": with_others, "channels-last": with_others, "web": with_others}


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(PlanError, match="'onnx' is no format; choose one of qdq, qoperator"):
        emitted("onnx")


def test_a_type_that_the_opset_lacks_raises_the_opset() -> None:
    prepared = prepare(graphs.graph("y = Conv(x, w)", x="float[1,2,4,4]", w=kernel(2, 2, 1, 1)))
    made = plan(prepared, dict.fromkeys("xy", Range(-1.0, 1.0)), QuantSettings())
    wide = replace(made, tensors=dict.fromkeys(made.tensors, params_from_range(Range(-1.0, 1.0), INT16)))
    written = formats.emit(prepared.model, wide, qformat="qdq", metadata={})
    assert (prepared.model.opset_imports[""], written.opset_imports[""]) == (13, 21)
    graph.check(written, full=True)
