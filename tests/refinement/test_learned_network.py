"""A graph in torch gives what onnxruntime gives: each operator, the reference models, real models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantseg import graph
from quantseg.errors import ModelError
from quantseg.evaluation.reference_models import reference_models
from quantseg.graph.preparation import prepare
from quantseg.quantization.fake_quant import fake_quantised
from tests.support import graphs, models, quantised
from tests.support.candidates import candidate
from tests.support.places import SHARED
from tests.support.quantised import Array, kernel, noise

torch = pytest.importorskip("torch", reason="learned rounding is an extra; install quantseg[learn]")

from quantseg.refinement.rounding.learned.network import Network  # noqa: E402
from quantseg.refinement.rounding.learned.operators import OPERATORS  # noqa: E402

MODELS = SHARED / "models"


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def number(value: float) -> Array:
    return np.array(value, np.float32)


def in_torch(model: Any, feeds: dict[str, Array]) -> list[Array]:
    names = [str(value.name) for value in model.graph.outputs]
    found = Network(model).run({name: torch.from_numpy(x) for name, x in feeds.items()}, names)
    return [found[name].detach().numpy() for name in names]


def linear(**attributes: str) -> str:
    words = "".join(f', {name}="{value}"' for name, value in attributes.items())
    return f'y = Resize<mode="linear"{words}>(x, , s)'


def nearest(**attributes: str) -> str:
    words = "".join(f', {name}="{value}"' for name, value in attributes.items())
    return f'y = Resize<mode="nearest"{words}>(x, , s)'


W = kernel(4, 4, 3, 3)
SCALES = floats(1, 1, 2, 1.5)
CASES: dict[str, list[tuple[str, dict[str, Array]]]] = {
    "Conv": [
        ("y = Conv<pads=[1,0,2,1], strides=[2,1], dilations=[1,2]>(x, w, b)", {"w": W, "b": noise(4)}),
        ("y = Conv<group=2, pads=[1,1,1,1]>(x, w)", {"w": kernel(4, 2, 3, 3)}),
        ('y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)', {"w": W}),
        ('y = Conv<auto_pad="SAME_LOWER", strides=[2,2]>(x, w)', {"w": W}),
        ('y = Conv<auto_pad="VALID">(x, w)', {"w": W}),
    ],
    "Gemm": [
        ("f = Flatten(x) y = Gemm<alpha=0.5, beta=2.0, transB=1>(f, w, b)", {"w": kernel(3, 144), "b": noise(3)}),
        ("f = Flatten(x) y = Gemm<transA=1>(f, w)", {"w": kernel(1, 3)}),
    ],
    "MatMul": [("y = MatMul(x, w)", {"w": kernel(6, 5)})],
    "Relu": [("y = Relu(x)", {})],
    "Clip": [("y = Clip(x, l, h)", {"l": number(-0.5), "h": number(0.25)}), ("y = Clip(x, , h)", {"h": number(0)})],
    "LeakyRelu": [("y = LeakyRelu<alpha=0.2>(x)", {})],
    "PRelu": [("y = PRelu(x, s)", {"s": noise(4, 1, 1)})],
    "Sigmoid": [("y = Sigmoid(x)", {})],
    "HardSigmoid": [("y = HardSigmoid<alpha=0.3, beta=0.4>(x)", {})],
    "HardSwish": [("y = HardSwish(x)", {})],
    "Tanh": [("y = Tanh(x)", {})],
    "Erf": [("y = Erf(x)", {})],
    "Exp": [("y = Exp(x)", {})],
    "Sqrt": [("e = Exp(x) y = Sqrt(e)", {})],
    "Softplus": [("y = Softplus(x)", {})],
    "Softmax": [("y = Softmax<axis=1>(x)", {}), ("y = Softmax(x)", {})],
    "Add": [("y = Add(x, c)", {"c": noise(4, 1, 1)})],
    "Sub": [("y = Sub(x, c)", {"c": noise(4, 1, 1)})],
    "Mul": [("y = Mul(x, c)", {"c": noise(4, 1, 1)})],
    "Div": [("y = Div(x, c)", {"c": 2 + np.abs(noise(4, 1, 1))})],
    "Pow": [("e = Exp(x) y = Pow(e, c)", {"c": number(1.5)})],
    "Max": [("y = Max(x, c)", {"c": noise(4, 1, 1)})],
    "Min": [("y = Min(x, c)", {"c": noise(4, 1, 1)})],
    "Concat": [("r = Relu(x) y = Concat<axis=1>(x, r, x)", {})],
    "MaxPool": [
        ("y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)", {}),
        ("y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]>(x)", {}),
        ("y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)", {}),
        ("y = MaxPool<kernel_shape=[2,2], dilations=[2,2]>(x)", {}),
        ('y = MaxPool<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER">(x)', {}),
    ],
    "AveragePool": [
        ("y = AveragePool<kernel_shape=[2,3], strides=[2,1]>(x)", {}),
        ("y = AveragePool<kernel_shape=[3,3], pads=[1,1,0,1]>(x)", {}),
        ("y = AveragePool<kernel_shape=[3,3], pads=[1,1,0,1], count_include_pad=1>(x)", {}),
        ("y = AveragePool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)", {}),
    ],
    "GlobalAveragePool": [("y = GlobalAveragePool(x)", {})],
    "GlobalMaxPool": [("y = GlobalMaxPool(x)", {})],
    "ReduceMean": [("y = ReduceMean<axes=[2,3], keepdims=0>(x)", {})],
    "ReduceSum": [("y = ReduceSum(x, a)", {"a": ints(1)})],
    "ReduceMax": [("y = ReduceMax<axes=[-1]>(x)", {})],
    "ReduceMin": [("y = ReduceMin(x)", {})],
    "Resize": [
        *[
            (linear(coordinate_transformation_mode=mode), {"s": SCALES})
            for mode in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
        ],
        *[
            (nearest(coordinate_transformation_mode=mode, nearest_mode=way), {"s": SCALES})
            for mode in ("half_pixel", "align_corners", "asymmetric")
            for way in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        ],
        ('y = Resize<mode="linear">(x, , , z)', {"z": ints(1, 4, 4, 11)}),
    ],
    "DepthToSpace": [
        ("y = DepthToSpace<blocksize=2>(x)", {}),
        ('y = DepthToSpace<blocksize=2, mode="CRD">(x)', {}),
    ],
    "SpaceToDepth": [("y = SpaceToDepth<blocksize=2>(x)", {})],
    "Reshape": [("y = Reshape(x, s)", {"s": ints(0, -1, 12)})],
    "Flatten": [("y = Flatten<axis=2>(x)", {}), ("y = Flatten<axis=-1>(x)", {})],
    "Transpose": [("y = Transpose<perm=[0,2,3,1]>(x)", {}), ("y = Transpose(x)", {})],
    "Squeeze": [("y = Squeeze(x, a)", {"a": ints(0)})],
    "Unsqueeze": [("y = Unsqueeze(x, a)", {"a": ints(0, -1)})],
    "Slice": [
        ("y = Slice(x, a, b, c, d)", {"a": ints(1, -4), "b": ints(9, -1), "c": ints(1, 3), "d": ints(2, 1)}),
        ("y = Slice(x, a, b, c, d)", {"a": ints(-1), "b": ints(-9), "c": ints(2), "d": ints(-2)}),
    ],
    "Split": [
        ("a, b = Split<axis=1>(x) y = Sub(a, b)", {}),
        ("a, y = Split<axis=1>(x, s)", {"s": ints(1, 3)}),
    ],
    "Gather": [("y = Gather<axis=1>(x, i)", {"i": ints(3, 0, -1)})],
    "Expand": [("y = Expand(x, s)", {"s": ints(2, 1, 1, 1)})],
    "Pad": [
        ("y = Pad(x, p, v)", {"p": ints(0, 0, 1, 2, 0, 0, 3, 0), "v": number(0.5)}),
        ('y = Pad<mode="reflect">(x, p)', {"p": ints(0, 0, 1, 2, 0, 0, 2, 1)}),
        ('y = Pad<mode="edge">(x, p)', {"p": ints(0, 0, 1, 2, 0, 0, 2, 1)}),
    ],
    "Shape": [('s = Shape(x) f = Cast<to=1>(s) y = Mul(f, h)', {"h": number(0.5)})],
    "Cast": [("i = Cast<to=7>(x) y = Cast<to=1>(i)", {})],
    "Identity": [("y = Identity(x)", {})],
    "Equal": [("m = MaxPool<kernel_shape=[1,1]>(x) e = Equal(x, m) y = Cast<to=1>(e)", {})],
    "Greater": [("e = Greater(x, z) y = Cast<to=1>(e)", {"z": number(0.1)})],
    "Where": [("e = Greater(x, z) y = Where(e, x, z)", {"z": number(0.1)})],
    "ArgMax": [("i = ArgMax<axis=1>(x) y = Cast<to=1>(i)", {})],
}  # fmt: skip
ROWS = [(op_type, *row) for op_type, rows in CASES.items() for row in rows]


def test_every_operator_has_a_case() -> None:
    assert set(CASES) == set(OPERATORS)


@pytest.mark.parametrize(("op_type", "body", "constants"), ROWS, ids=[f"{row[0]}-{i}" for i, row in enumerate(ROWS)])
def test_an_operator_computes_what_onnxruntime_computes(op_type: str, body: str, constants: dict[str, Array]) -> None:
    opset = 14 if op_type == "HardSwish" else 13
    model = graphs.graph(body, x="float[1,4,6,6]", opset=opset, **constants)
    feeds = {"x": noise(1, 4, 6, 6, seed=3)}
    graphs.assert_same(in_torch(model, feeds), models.run(graph.to_bytes(model), feeds))


@pytest.mark.parametrize("body", ['y = Resize<mode="cubic">(x, , s)', "y = LpNormalization(x)"])
def test_what_nothing_can_be_learned_through_is_refused_by_name(body: str) -> None:
    model = graphs.graph(body, x="float[1,4,6,6]", s=SCALES)
    with pytest.raises(ModelError, match=r"^'\w*_?0?': "):
        in_torch(prepare(model).model, {"x": noise(1, 4, 6, 6)})


def same_as_onnxruntime(path: Path) -> None:
    prepared = prepare(graph.load(path)).model
    (value,) = prepared.graph.inputs
    assert value.shape is not None
    sizes = [size if isinstance(size, int) else 64 if axis else 1 for axis, size in enumerate(value.shape)]
    feeds = {str(value.name): noise(*sizes)}
    graphs.assert_same(in_torch(prepared, feeds), graphs.run(prepared, feeds), tolerance=1e-3)


@pytest.mark.parametrize("name", reference_models())
def test_a_reference_model_in_torch(name: str) -> None:
    same_as_onnxruntime(reference_models()[name])


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.onnx")), ids=lambda path: path.stem)
def test_a_real_model_in_torch(path: Path) -> None:
    same_as_onnxruntime(path)


def test_rounding_is_onnxruntimes() -> None:
    """The pairs of a plan: what the torch graph makes of them lies within a rounding of ties."""
    body = "a = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(a) b = Add(r, a) y = Conv(b, w2)"
    model = graphs.graph(body, x="float[1,4,6,6]", w1=kernel(8, 4, 3, 3), w2=kernel(3, 8, 1, 1))
    prepared, feeds = prepare(model), {"x": noise(1, 4, 6, 6)}
    decided = candidate(prepared, quantised.extrema(prepared.model, [feeds])).plan
    rounded = fake_quantised(prepared.model, decided)
    (ours,), (theirs,) = in_torch(rounded, feeds), graphs.run(rounded, feeds)
    steps = np.abs(ours - theirs) / float(decided.tensors["y"].scale)
    assert steps.max() < 1.01
    assert (steps < 0.01).mean() > 0.9


def test_a_gradient_goes_straight_through_rounding_and_stops_where_it_saturates() -> None:
    body = "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)"
    model = graphs.graph(body, x="float[3]", s=number(0.5), z=np.array(10, np.uint8))
    x = torch.tensor([0.3, -40.0, 400.0], requires_grad=True)
    y = Network(model).run({"x": x}, ["y"])["y"]
    y.sum().backward()
    assert y.tolist() == [0.5, -5.0, 122.5]
    assert x.grad.tolist() == [1.0, 0.0, 0.0]
