"""Equalisation: the same network in float for any factors that the classes allow, and less noise in integers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from unittest import mock

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg import graph
from quantseg.calibration.observation import ChannelExtrema
from quantseg.evaluation.reference_models import reference_models
from quantseg.graph import expose, infer_shapes, make_unique
from quantseg.graph.preparation import Prepared, prepare
from quantseg.quantization import formats
from quantseg.quantization.fake_quant import rounded_tensors
from quantseg.refinement.equalisation import Equalised, equalise
from quantseg.refinement.equalisation.channels import channel_classes
from quantseg.refinement.equalisation.factors import TensorGrid, WeightReader, _cost, solve
from tests.support import graphs
from tests.support.candidates import Tensors, calibrated
from tests.support.places import ROOT
from tests.support.quantised import Array, kernel, noise

SHARED = ROOT.parent / "shared" / "models"
Feeds = Sequence[Mapping[str, Array]]


def raw(model: ir.Model) -> Prepared:
    """The model without lowering, so that every operator stays as it was written."""
    clone = model.clone()
    make_unique(clone)
    infer_shapes(clone)
    return Prepared(clone, (), ())


def seen(prepared: Prepared, feeds: Feeds) -> dict[str, ChannelExtrema]:
    """Extrema of each channel of every float tensor, by onnxruntime and numpy."""
    made = [output for node in prepared.model.graph for output in node.outputs if output.dtype == ir.DataType.FLOAT]
    names = [str(value.name) for value in made]
    runs = [
        dict(zip(names, graphs.run(expose(prepared.model, names), feed), strict=True)) | dict(feed) for feed in feeds
    ]
    found = {}
    for name in (*names, *feeds[0]):
        parts = [np.moveaxis(run[name], 1, 0).reshape(run[name].shape[1], -1) for run in runs if run[name].ndim > 1]
        if parts:
            values = np.concatenate(parts, axis=1)
            found[name] = ChannelExtrema(values.min(axis=1), values.max(axis=1))
    return found


def scaled(prepared: Prepared, feeds: Feeds, seed: int | None = None, spread: float = 2.0) -> Equalised | None:
    """Equalised, all tensors being rounded. seed: of any factors that are allowed, instead of the best ones."""
    observed = seen(prepared, feeds)

    def anything(readers: object, grids: object, reach: Array, free: Array, ceilings: Mapping[int, float]) -> Array:
        drawn = np.random.default_rng(seed).uniform(-spread, spread, len(reach))
        top = np.array([ceilings.get(number, np.inf) for number in range(len(reach))])
        return np.where(free, np.minimum(drawn, top), 0.0)

    if seed is None:
        return equalise(prepared, observed, list(observed))
    with mock.patch("quantseg.refinement.equalisation.solve", anything):
        return equalise(prepared, observed, list(observed))


def assert_equal(prepared: Prepared, done: Equalised | None, feeds: Feeds, tolerance: float = 1e-4) -> None:
    assert done is not None
    for feed in feeds:
        graphs.assert_same(graphs.run(done.prepared.model, feed), graphs.run(prepared.model, feed), tolerance)


# Any network stays the same function.


@dataclass
class Drawn:
    """A graph while it is drawn: its text, its weights and the tensors that may be read, with channels and side."""

    seed: int
    lines: list[str] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    tensors: list[tuple[str, int, int]] = field(default_factory=lambda: [("x", 4, 6)])

    def constant(self, values: Array) -> str:
        name = f"k{len(self.weights)}"
        self.weights[name] = values
        return name

    def noise(self, *shape: int) -> Array:
        return noise(*shape, seed=self.seed + len(self.weights))

    def uneven(self, *shape: int) -> Array:
        """Weights whose output channels differ by up to a hundred times."""
        sizes = np.exp(np.random.default_rng(self.seed + len(self.weights)).uniform(-2, 2, shape[0]))
        return (kernel(*shape, seed=self.seed + len(self.weights)) * sizes.reshape(-1, *[1] * (len(shape) - 1))).astype(
            np.float32
        )

    def node(self, text: str, channels: int, side: int) -> str:
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        self.tensors.append((name, channels, side))
        return name

    def conv(self, read: str, channels: int, side: int, made: int, group: int = 1) -> str:
        w, b = self.constant(self.uneven(made, channels // group, 3, 3)), self.constant(self.noise(made))
        return self.node(f"Conv <group = {group}, pads = [1,1,1,1]> ({read}, {w}, {b})", made, side)


ONE = {
    "Relu": "Relu({x})",
    "LeakyRelu": "LeakyRelu <alpha = 0.1> ({x})",
    "PRelu": "PRelu({x}, {slopes})",
    "Relu6": "Clip({x}, {zero}, {six})",
    "Clip": "Clip({x}, {minus_two}, {six})",
    "floor": "Clip({x}, {minus_two})",
    "above zero": "Clip({x}, {one}, {six})",
    "below zero": "Clip({x}, {minus_two}, {minus_one})",
    "MaxPool": "MaxPool <kernel_shape = [3,3], pads = [1,1,1,1]> ({x})",
    "AveragePool": "AveragePool <kernel_shape = [3,3], pads = [1,1,1,1]> ({x})",
    "ReduceMax": "ReduceMax <axes = [0], keepdims = 1> ({x})",
    "Sigmoid": "Sigmoid({x})",
    "Transpose": "Transpose <perm = [0,1,3,2]> ({x})",
    "Mul": "Mul({x}, {vector})",
    "Mul over pixels": "Mul({image}, {x})",
    "Add": "Add({x}, {vector})",
    "Add from the left": "Add({channels}, {x})",
    "Sub": "Sub({vector}, {x})",
    "Add over pixels": "Add({x}, {image})",
    "Add a number": "Add({x}, {one})",
    "Div": "Div({x}, {vector})",
    "Where": "Where({mask}, {x}, {zero})",
    "Equal": "Equal({x}, {x})",
    "Resize over channels": 'Resize <mode = "nearest"> ({x}, , {turned})',
}
WHOLE = ("Resize", "DepthToSpace", "CRD", "Slice", "Slice backwards", "Split", "Gather", "Pad", "Conv", "depthwise",
         "ConvTranspose", "gate", "unpool", "Expand", "shared weight", "Reshape", "If")  # fmt: skip
TWO = ("Add", "Concat", "Concat of rows", "Mul", "own Add", "own Mul")


@st.composite
def networks(draw: st.DrawFn) -> tuple[ir.Model, tuple[str, ...]]:
    """A network of some of the operators, every second one a convolution of uneven channels, and their names."""
    net = Drawn(draw(st.integers(0, 1000)))
    chosen = draw(st.lists(st.sampled_from([*ONE, *WHOLE, *TWO]), min_size=1, max_size=4))
    net.conv("x", 4, 6, 8)
    for op in chosen:
        last = net.tensors[-1]
        if op in TWO:
            _two(net, op, last, draw(st.sampled_from(net.tensors)))
        elif op in ONE:
            _one(net, op, *last)
        else:
            _whole(net, op, *last)
        name, channels, side = net.tensors[-1]
        net.conv(name, channels, side, draw(st.sampled_from([4, 8])))
    name, channels, side = net.tensors[-1]
    net.conv(name, channels, side, 3)
    body = "\n".join([*net.lines, f"y = Identity({net.tensors[-1][0]})"])
    return graphs.graph(body, x="float[1,4,6,6]", **net.weights), tuple(chosen)


def _one(net: Drawn, op: str, x: str, channels: int, side: int) -> None:
    numbers = {"zero": 0, "six": 6, "one": 1, "minus_two": -2, "minus_one": -1}
    values = {name: np.array(number, np.float32) for name, number in numbers.items()} | {
        "slopes": np.abs(net.noise(channels, 1, 1)),
        "vector": net.noise(1, channels, 1, 1) + np.float32(2),
        "channels": net.noise(channels, 1, 1),
        "image": net.noise(1, 1, side, side),
        "mask": net.noise(1, 1, side, side) > 0,
        "turned": np.array([1, 1, 1, 1], np.float32),
    }
    words = {name: net.constant(array) for name, array in values.items() if f"{{{name}}}" in ONE[op]}
    made = net.node(ONE[op].format(x=x, **words), channels, side)
    if op == "Equal":
        net.node(f"Cast <to = 1> ({made})", channels, side)


def _two(net: Drawn, op: str, last: tuple[str, int, int], other: tuple[str, int, int]) -> None:
    (x, channels, side), (y, others, height) = last, other
    if op.startswith("own"):
        y = net.conv(x, channels, side, channels)
        net.node(f"{op[4:]}({y}, {x})", channels, side)
    elif side == height and op == "Concat":
        net.node(f"Concat <axis = -3> ({x}, {y})", channels + others, side)
    elif (side, channels) == (height, others):
        rows = net.node(f"{op}({x}, {y})" if op in ("Add", "Mul") else f"Concat <axis = 2> ({x}, {y})", channels, side)
        if op == "Concat of rows":
            net.node(f"MaxPool <kernel_shape = [2,1], strides = [2,1]> ({rows})", channels, side)


def _whole(net: Drawn, op: str, x: str, channels: int, side: int) -> None:
    def ints(*numbers: int) -> str:
        return net.constant(np.array(numbers, np.int64))

    half = channels // 2
    if op == "Resize":
        scales = net.constant(np.array([1, 1, 2, 2], np.float32))
        net.node(f'Resize <mode = "linear"> ({x}, , {scales})', channels, 2 * side)
    elif op in ("DepthToSpace", "CRD"):
        mode = "DCR" if op == "DepthToSpace" else "CRD"
        net.node(f'DepthToSpace <blocksize = 2, mode = "{mode}"> ({x})', channels // 4, 2 * side)
    elif op == "Slice":
        net.node(f"Slice({x}, {ints(-half)}, {ints(1 << 40)}, {ints(-3)})", half, side)
    elif op == "Slice backwards":
        net.node(f"Slice({x}, {ints(-1)}, {ints(-(1 << 40))}, {ints(1)}, {ints(-1)})", channels, side)
    elif op == "Split":
        net.lines.append(f"p{len(net.lines)}, q{len(net.lines)} = Split <axis = -3> ({x}, {ints(1, channels - 1)})")
        net.node(f"Concat <axis = 1> (q{len(net.lines) - 1}, p{len(net.lines) - 1})", channels, side)
    elif op == "Gather":
        net.node(f"Gather <axis = 1> ({x}, {ints(0, -1, 1, 0)})", 4, side)
    elif op == "Pad":
        net.node(f"Pad({x}, {ints(0, 1, 0, 0, 0, -1, 0, 0)})", channels, side)
    elif op in ("Conv", "depthwise"):
        net.conv(x, channels, side, channels, 2 if op == "Conv" else channels)
    elif op == "ConvTranspose":
        w = net.constant(net.uneven(channels, 4, 2, 2))
        net.node(f"ConvTranspose <strides = [2,2]> ({x}, {w})", 4, 2 * side)
    elif op == "gate":
        pooled = net.node(f"GlobalAveragePool({x})", channels, 1)
        name = net.conv(pooled, channels, 1, channels)
        gate = net.node(f"HardSigmoid({name})", channels, 1)
        net.node(f"Mul({gate}, {x})", channels, side)
    elif op == "unpool":
        pooled = net.node(f"MaxPool <kernel_shape = [2,2], strides = [2,2]> ({x})", channels, side // 2)
        scales = net.constant(np.array([1, 1, 2, 2], np.float32))
        wide = net.node(
            f'Resize <mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"> '
            f"({pooled}, , {scales})",
            channels,
            side,
        )
        net.lines.append(f"m{len(net.lines)} = Equal({wide}, {x})")
        zero = net.constant(np.zeros(1, np.float32))
        net.node(f"Where(m{len(net.lines) - 1}, {wide}, {zero})", channels, side)
    elif op == "Expand":
        net.node(f"Expand({x}, {ints(1, channels, 1, 1)})", channels, side)
    elif op == "shared weight":
        w, b = net.constant(net.uneven(channels, channels, 3, 3)), net.constant(net.noise(channels))
        for _ in range(2):
            x = net.node(f"Conv <pads = [1,1,1,1]> ({x}, {w}, {b})", channels, side)
    elif op == "Reshape":
        flat = net.node(f"Reshape({x}, {ints(1, channels, side * side)})", channels, side)
        net.tensors.pop()
        net.node(f"Reshape({flat}, {ints(1, channels, side, side)})", channels, side)
    elif op == "If":
        yes = net.constant(np.array(True))
        size = f"float[1,{channels},{side},{side}]"
        then = f"a{len(net.lines)} () => ({size} u{len(net.lines)}) {{ u{len(net.lines)} = Sigmoid({x}) }}"
        other = f"b{len(net.lines)} () => ({size} v{len(net.lines)}) {{ v{len(net.lines)} = Neg({x}) }}"
        net.node(f"If <then_branch = {then}, else_branch = {other}> ({yes})", channels, side)


@pytest.mark.slow
@settings(max_examples=120)
@given(networks(), st.booleans())
def test_any_factors_that_are_allowed_leave_the_network_as_it_is(drawn, lowered):
    model, _ = drawn
    feeds = [{"x": noise(1, 4, 6, 6, seed=1)}, {"x": noise(1, 4, 6, 6, seed=2) * 3}]
    prepared = prepare(model) if lowered else raw(model)
    assert_equal(prepared, scaled(prepared, feeds, seed=3) or Equalised(prepared, 0, 1.0, 1.0), feeds)


PASSING = ("Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "Transpose", "Mul", "Mul over pixels", "Add", "Sub",
           "Add from the left", "Where", "Resize over channels", "Resize", "DepthToSpace", "CRD", "Slice", "Gather",
           "Slice backwards", "Split", "unpool", "Expand", "Reshape", "gate", "own Add", "own Mul")  # fmt: skip


@pytest.mark.parametrize("op", [*ONE, *WHOLE, *TWO])
def test_each_operator_passes_factors_on_or_pins_them(op):
    """The classes that a convolution makes are free after the operators that pass a factor on, pinned after others."""
    net = Drawn(5)
    net.conv("x", 4, 6, 8)
    if op in TWO:
        net.conv("x", 4, 6, 8)
        _two(net, op, net.tensors[-1], net.tensors[-2])
    elif op in ONE:
        _one(net, op, *net.tensors[-1])
    else:
        _whole(net, op, *net.tensors[-1])
    name, channels, side = net.tensors[-1]
    net.conv(name, channels, side, 3)
    body = "\n".join([*net.lines, f"y = Identity({net.tensors[-1][0]})"])
    prepared = raw(graphs.graph(body, x="float[1,4,6,6]", **net.weights))
    feeds = [{"x": noise(1, 4, 6, 6)}]
    done = scaled(prepared, feeds, seed=1)
    if done is not None:
        assert_equal(prepared, done, feeds)
    if op in PASSING:
        assert done is not None


def test_a_linear_layer_takes_factors_whatever_its_bias_and_layout():
    """Gemm with and without transB, bias of one and two axes; MatMul; Flatten between."""
    body = """
        c = Conv(x, w)
        f = Flatten(c)
        g = Gemm <transB = 1> (f, a, p)
        r = Relu(g)
        h = Gemm(r, b, q)
        m = MatMul(h, d)
        y = MatMul(m, e)
    """
    shapes = {"w": (3, 2, 5, 5), "a": (6, 12), "p": (1, 6), "b": (6, 6), "q": (6,), "d": (6, 5), "e": (5, 4)}
    weights = {name: noise(*shape, seed=number) for number, (name, shape) in enumerate(shapes.items())}
    prepared = raw(graphs.graph(body, **weights))
    feeds = [{"x": noise(1, 2, 6, 6)}]
    assert scaled(prepared, feeds, seed=1) is not None
    assert_equal(prepared, scaled(prepared, feeds, seed=1), feeds)


@pytest.mark.parametrize("attributes", ["<transA = 1>", ""])
def test_a_product_whose_rows_are_no_channels_is_left_alone(attributes):
    """transA, and a bias that differs from row to row: square, so that sizes alone tell nothing."""
    body = f"m = MatMul(x, w)\n r = Relu(m)\n g = Gemm {attributes} (r, a, p)\n s = Relu(g)\n y = MatMul(s, b)"
    weights = {name: noise(4, 4, seed=number) for number, name in enumerate("wab")}
    prepared = raw(graphs.graph(body, x="float[4,4]", p=noise(4, 1), **weights))
    feeds = [{"x": noise(4, 4)}]
    done = scaled(prepared, feeds, seed=1)
    assert_equal(prepared, done or Equalised(prepared, 0, 1.0, 1.0), feeds)


@pytest.mark.parametrize(
    "line",
    ["t = Add(c, v)", "t = Mul(c, v)", "t = Add(c, d)", "t = Mul(c, d)", "t = Expand(c, s)", "t = PRelu(c, d)"],
)
def test_operands_of_another_rank_have_their_channels_elsewhere(line):
    """As many rows as channels, so that only the rank tells them apart."""
    first = "c = Conv(x, w)\n p = Conv(x, u)\n d = Reshape(p, l)"
    body = f"{first}\n {line}\n r = Neg(t)\n y = ReduceSum <keepdims = 0> (r, z)"
    numbers = {"l": np.array([4, 4, 4]), "s": np.array([2, 1, 4, 4, 4]), "z": np.array([0])}
    weights = {"w": noise(4, 2, 1, 1), "u": noise(4, 2, 1, 1, seed=1), "v": noise(1, 4, 1, 4, 4)}
    prepared = raw(graphs.graph(body, x="float[1,2,4,4]", **weights, **numbers))
    feeds = [{"x": noise(1, 2, 4, 4)}]
    assert_equal(prepared, scaled(prepared, feeds, seed=1) or Equalised(prepared, 0, 1.0, 1.0), feeds)


def test_an_output_within_the_graph_keeps_its_units():
    model = graphs.parse(
        '<ir_version: 8, opset_import: ["": 13]> g (float[1,2,6,6] x) => (float[] a, float[] y) '
        "{ a = Conv(x, w) r = Relu(a) y = Conv(r, v) }",
        w=noise(4, 2, 3, 3),
        v=noise(3, 4, 3, 3),
    )
    assert scaled(prepare(model), [{"x": noise(1, 2, 6, 6)}], seed=1) is None


def test_what_has_another_shape_each_time_is_equal_too():
    """Batch and image are open: pixels may change, channels may not."""
    body = """
        a = Conv <pads = [1,1,1,1]> (x, w)
        r = Clip(a, lo, hi)
        u = Resize <mode = "linear"> (r, , k)
        g = GlobalAveragePool(r)
        c = Conv(g, v)
        m = Mul(u, c)
        y = Conv(m, e)
    """
    weights = {"w": kernel(8, 2, 3, 3), "v": kernel(8, 8, 1, 1), "e": kernel(3, 8, 1, 1)}
    bounds = {"lo": np.array(0, np.float32), "hi": np.array(6, np.float32), "k": np.array([1, 1, 2, 2], np.float32)}
    prepared = prepare(graphs.graph(body, x="float[N,2,H,W]", **weights, **bounds))
    feeds = [{"x": noise(2, 2, 6, 4)}, {"x": noise(1, 2, 8, 8)}]
    assert_equal(prepared, scaled(prepared, feeds, seed=2), feeds)


MODELS = {**reference_models(), **{path.stem: path for path in sorted(SHARED.glob("*.onnx"))}}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MODELS, *([] if SHARED.is_dir() else ["shared"])])
def test_real_models_stay_equal(name):
    if name not in MODELS:
        pytest.skip("the shared models are not here")
    prepared = prepare(graph.load(MODELS[name]))
    (image,) = prepared.model.graph.inputs
    shape = [size if isinstance(size, int) else 64 if axis > 1 else 1 for axis, size in enumerate(image.shape)]
    feeds = [{str(image.name): noise(*shape)}]
    done = scaled(prepared, feeds, seed=1, spread=1.0)
    assert done is not None
    assert done.classes > 20
    assert_equal(prepared, done, feeds)


# The factors that are chosen.


@st.composite
def problems(draw: st.DrawFn):
    """Two products, the first one's output rounded with another tensor on the same classes, some of them held."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    count, groups = draw(st.sampled_from([(4, 1), (6, 2), (6, 6)]))
    sizes = np.exp(random.uniform(-4, 4, count))
    first, second = np.arange(2), np.arange(2, 2 + count)
    answer = np.arange(2 + count, 2 + count + groups)
    readers = []
    for read, made, group in ((first, second, 1), (second, answer, groups)):
        weight = random.normal(size=(len(made), len(read) // group, 3))
        readers.append(WeightReader(np.abs(weight).max(axis=2), np.square(weight).sum(axis=2), 3, group, read, made))
    grids = [
        TensorGrid(second, sizes * draw(st.sampled_from([0.0, 0.5])), sizes),
        TensorGrid(first, np.ones(2), np.ones(2)),
    ]
    reach = np.concatenate([np.full(2, 2.0), sizes, np.ones(groups)])
    reach[draw(st.sampled_from([2, 3]))] *= draw(st.sampled_from([0.0, 1.0]))
    free = np.zeros(len(reach), np.bool_)
    free[second] = random.random(count) < 0.8
    ceilings = {int(number): float(random.uniform(0, 1)) for number in second[:2]}
    return readers, grids, reach, free, ceilings


def modelled(
    readers: Sequence[WeightReader], grids: Sequence[TensorGrid], reach: Array, logs: Array
) -> tuple[float, Array]:
    """The cost that is minimised, put together anew."""
    power = np.square(reach / 6.0)
    gains, weights = np.zeros(len(reach)), []
    for reader in readers:
        made = float(power[reader.made].sum()) or 1.0
        for out in range(len(reader.made)):
            within = len(reader.read) // reader.groups
            first = out // (len(reader.made) // reader.groups) * within
            gains[reader.read[first : first + within]] += reader.squares[out] / made
        weights += [(reader, reader.taps / made)] if reader.magnitudes.shape[1] > 1 else []
    return _cost(logs, gains, grids, weights, power)


@pytest.mark.slow
@settings(max_examples=25)
@given(problems())
def test_no_solution_costs_more_than_leaving_it_or_leaves_what_is_allowed(problem):
    readers, grids, reach, free, ceilings = problem
    logs = solve(*problem)
    assert modelled(readers, grids, reach, logs)[0] <= modelled(readers, grids, reach, np.zeros(len(reach)))[0]
    assert not logs[~free].any()
    assert all(logs[number] <= most for number, most in ceilings.items())
    assert np.array_equal(logs, solve(*problem))


@settings(max_examples=25)
@given(problems(), st.integers(0, 100))
def test_the_slope_is_that_of_the_cost(problem, seed):
    readers, grids, reach, _, _ = problem
    logs = np.random.default_rng(seed).normal(size=len(reach))
    _, slope = modelled(readers, grids, reach, logs)
    for number in range(len(reach)):
        step = 1e-5 * np.eye(len(reach))[number]
        ends = [modelled(readers, grids, reach, logs + side * step)[0] for side in (1, -1)]
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(
            slope[number], rel=1e-4, abs=1e-6 * np.abs(slope).max() + 1e-15
        )


def sqnr(expected: Array, found: Array) -> float:
    return float(10 * np.log10(np.square(expected).mean() / np.square(expected - found).mean()))


def test_a_channel_a_hundred_times_as_wide_costs_the_others_nothing_once_it_is_scaled():
    w, v = kernel(8, 4, 3, 3), kernel(6, 8, 3, 3, seed=1)
    w[2] *= 100
    v[:, 2] /= 100
    model = graphs.graph("a = Conv(x, w)\n r = Relu(a)\n y = Conv(r, v)", x="float[1,4,12,12]", w=w, v=v)
    data = Tensors([noise(1, 4, 12, 12, seed=seed) for seed in range(3)])
    prepared, feeds = prepare(model), data.feeds()
    names = rounded_tensors(prepared.model, calibrated(prepared, data).plan)
    done = equalise(prepared, seen(prepared, feeds), names)
    assert done is not None
    assert done.most / done.least > 20
    levels = []
    for one in (prepared, done.prepared):
        made = formats.emit(one.model, calibrated(one, data).plan, qformat="qdq", metadata={})
        levels.append(sqnr(graphs.run(model, feeds[0])[0], graphs.run(made, feeds[0])[0]))
    assert levels[1] > levels[0] + 20


def test_the_given_model_does_not_change_and_the_same_input_gives_the_same_bytes():
    prepared = prepare(
        graphs.graph("a = Conv(x, w)\n r = Relu(a)\n y = Conv(r, v)", w=noise(4, 2, 1, 1), v=noise(3, 4, 1, 1))
    )
    before, feeds = graph.to_bytes(prepared.model), [{"x": noise(1, 2, 6, 6)}]
    once, again = scaled(prepared, feeds), scaled(prepared, feeds)
    assert once is not None
    assert again is not None
    assert graph.to_bytes(once.prepared.model) == graph.to_bytes(again.prepared.model)
    assert graph.to_bytes(prepared.model) == before


def test_dead_channels_are_left_alone():
    w = noise(4, 2, 1, 1)
    w[1] = 0
    prepared = prepare(graphs.graph("a = Conv(x, w)\n r = Relu(a)\n y = Conv(r, v)", w=w, v=noise(3, 4, 1, 1)))
    feeds = [{"x": noise(1, 2, 6, 6)}]
    channels = channel_classes(prepared.model.graph)
    done = scaled(prepared, feeds)
    assert done is not None
    assert done.classes == len(channels.free()) - 1
    assert_equal(prepared, done, feeds)
