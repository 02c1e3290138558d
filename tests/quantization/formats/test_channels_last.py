"""Channels-last beside QOperator: the same integers, whatever stands in the network and wherever its channels stand.

Both formats run onnxruntime's kernels, which round alike in either layout, so outputs are equal bit for bit.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.graph import load, to_bytes
from quantseg.graph.preparation import Prepared, prepare
from quantseg.quantization import formats
from quantseg.quantization.affine import Range
from quantseg.quantization.formats import FORMATS
from quantseg.quantization.formats.editor import TO_CHANNELS_FIRST, TO_CHANNELS_LAST
from quantseg.quantization.plan import Overrides, QuantPlan, QuantSettings, plan
from quantseg.quantization.qtypes import INT8, UINT8
from reference_models import WEIGHTS
from tests.support import graphs, quantised
from tests.support.quantised import Array, kernel, noise

# Networks that hypothesis draws.

LAST, FIRST = "Transpose<perm=[0,2,3,1]>", "Transpose<perm=[0,3,1,2]>"
MOST_CHANNELS, MOST_PIXELS = 64, 400

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Feature:
    """A tensor (N, C, H, W) of a network."""

    name: str
    shape: Shape

    def sized(self, **changed: int) -> Shape:
        """Its shape with other channels, rows or columns."""
        batch, *sizes = self.shape
        channels, rows, columns = (
            changed.get(what, size) for what, size in zip(("channels", "rows", "columns"), sizes, strict=True)
        )
        return batch, channels, rows, columns


class Network:
    """ONNX text while it is drawn, the constants in it and the tensors that stand ready. free: "", "N" or "NHW"."""

    def __init__(self, random: Random, shape: Shape, free: str) -> None:
        self.random, self.free = random, free
        self.body: list[str] = []
        self.constants: dict[str, Array] = {}
        self.features = [Feature("x", shape)]

    def node(self, text: str, *suffixes: str) -> str:
        """One node more; the name of its first output. suffixes: of its other outputs."""
        name = f"v{len(self.body)}"
        self.body.append(f"{', '.join(name + suffix for suffix in ('', *suffixes))} = {text}")
        return name

    def add(self, text: str, shape: Shape, *suffixes: str) -> Feature:
        """One node more, whose outputs, all of this shape, may be read again."""
        name = self.node(text, *suffixes)
        self.features += [Feature(name + suffix, shape) for suffix in ("", *suffixes)]
        return self.features[-1 - len(suffixes)]

    def constant(self, values: Array | Sequence[int] | Sequence[float]) -> str:
        """The name of a new constant."""
        name = f"k{len(self.constants)}"
        self.constants[name] = np.asarray(values)
        return name

    def noise(self, *shape: int) -> str:
        """A constant of noise."""
        return self.constant(noise(*shape, seed=len(self.constants)))

    def kernel(self, *shape: int) -> str:
        """Weights."""
        return self.constant(kernel(*shape, seed=len(self.constants)))

    def one_of(self, *options: Any) -> Any:
        """One of these."""
        return self.random.choice(options)

    def number(self, least: int, most: int) -> int:
        """A whole number."""
        return self.random.randint(least, most)

    def like(self, x: Feature, *, but: int | None = None) -> Feature:
        """A tensor of x's shape, maybe another one, except for one axis."""
        fits = [f for f in self.features[1:] if all(f.shape[i] == x.shape[i] for i in range(4) if i != but)]
        return self.random.choice(fits or [x])


def counted(
    lengths: Sequence[int], size: Sequence[int], stride: Sequence[int], dilation: Sequence[int], pads: Sequence[int]
) -> list[int]:
    """How many rows and columns windows of this kind have."""
    return [
        (length + pads[i] + pads[i + 2] - dilation[i] * (size[i] - 1) - 1) // stride[i] + 1
        for i, length in enumerate(lengths)
    ]


def conv(net: Network, x: Feature) -> Feature:
    _, channels, rows, columns = x.shape
    kind = net.one_of("plain", "plain", "depthwise", "grouped")
    groups, outputs = 1, net.one_of(1, 4, 16, net.number(1, 40), net.number(1, 40))
    if kind == "depthwise":
        groups = outputs = channels
    elif kind == "grouped":
        groups = net.one_of(*(n for n in range(1, channels + 1) if channels % n == 0))
        outputs = groups * net.number(1, max(1, 40 // groups))
    size, stride, dilation = ([net.number(1, most) for _ in "hw"] for most in (3, 2, 2))
    pads = [net.number(0, 2) for _ in range(4)]
    if min(counted((rows, columns), size, stride, dilation, pads)) < 1:
        size = [1, 1]
    after = counted((rows, columns), size, stride, dilation, pads)
    weight = net.kernel(outputs, channels // groups, *size)
    bias = f", {net.noise(outputs)}" if net.one_of(True, False) else ""
    how = f"group={groups}, strides={stride}, dilations={dilation}, pads={pads}"
    return net.add(f"Conv<{how}>({x.name}, {weight}{bias})", x.sized(channels=outputs, rows=after[0], columns=after[1]))


def conv_transpose(net: Network, x: Feature) -> Feature:
    _, channels, rows, columns = x.shape
    size, outputs = net.number(2, 3), net.number(1, 12)
    how = "" if size == 2 else ", pads=[1,1,1,1], output_padding=[1,1]"
    weight = net.kernel(channels, outputs, size, size)
    shape = x.sized(channels=outputs, rows=2 * rows, columns=2 * columns)
    return net.add(f"ConvTranspose<strides=[2,2]{how}>({x.name}, {weight}, {net.noise(outputs)})", shape)


def activation(net: Network, x: Feature) -> Feature:
    low, high = (net.constant(np.float32(value)) for value in (-0.3, 0.8))
    text = net.one_of(
        "Relu({})",
        f"Clip({{}}, {low}, {high})",
        "LeakyRelu<alpha=0.2>({})",
        "Sigmoid({})",
        "HardSigmoid({})",
        f"Softmax<axis={net.number(-4, 3)}>({{}})",
    )
    return net.add(text.format(x.name), x.shape)


def pool(net: Network, x: Feature) -> Feature:
    _, _, rows, columns = x.shape
    if net.random.random() < 0.15:
        return net.add(f"GlobalAveragePool({x.name})", x.sized(rows=1, columns=1))
    size, stride, pads = (
        [net.number(2, 3) for _ in "hw"],
        [net.number(1, 2) for _ in "hw"],
        [net.number(0, 1) for _ in range(4)],
    )
    if rows + pads[0] + pads[2] < 3 or columns + pads[1] + pads[3] < 3:
        pads = [1, 1, 1, 1]
    after = counted((rows, columns), size, stride, (1, 1), pads)
    op_type = net.one_of("MaxPool", "AveragePool", "AveragePool<count_include_pad=1, ")
    op_type = op_type if op_type.endswith(" ") else f"{op_type}<"
    text = f"{op_type}kernel_shape={size}, strides={stride}, pads={pads}>({x.name})"
    return net.add(text, x.sized(rows=after[0], columns=after[1]))


def binary(net: Network, x: Feature) -> Feature:
    _, channels, rows, columns = x.shape
    kind = net.one_of("like", "plane", "gate", "vector", "number", "image", "row", "wider")
    shape = x.shape
    if kind == "like":
        other = net.like(x).name
    elif kind == "plane":
        many = net.like(x, but=1)
        other, shape = (many.name, many.shape) if channels == 1 else (net.node(f"ReduceMax<axes=[1]>({x.name})"), shape)
    elif kind == "gate":
        pooled = net.node(f"GlobalAveragePool({x.name})")
        gate = net.node(f"Conv({pooled}, {net.kernel(channels, channels, 1, 1)})")
        other = net.node(f"Sigmoid({gate})")
    elif kind == "vector":
        other = net.noise(channels, 1, 1)
    elif kind == "number":
        other = net.constant(np.float32(0.7))
    elif kind == "image" and net.free != "NHW":
        other = net.noise(1, channels, rows, columns)
    elif kind == "row" and net.free != "NHW":
        other = net.noise(columns)
    elif channels == 1:
        other, shape = net.noise(5, 1, 1), x.sized(channels=5)
    else:
        other = x.name
    op_type = net.one_of("Add", "Mul", "Sub")
    both = (x.name, other) if net.one_of(True, False) else (other, x.name)
    return net.add(f"{op_type}({', '.join(both)})", shape)


def concat(net: Network, x: Feature) -> Feature:
    axis = net.one_of(1, 1, 2, 3)
    others = [net.like(x, but=axis) for _ in range(net.number(1, 2))]
    if net.free == "" and net.one_of(True, False, False):
        others.append(Feature(net.noise(*x.shape), x.shape))
    joined = [x, *others] if net.one_of(True, False) else [*others, x]
    total = sum(one.shape[axis] for one in joined)
    if (axis == 1 and total > MOST_CHANNELS) or (axis > 1 and total > 20):
        joined, total = [x], x.shape[axis]
    shape = list(x.shape)
    shape[axis] = total
    names = ", ".join(one.name for one in joined)
    return net.add(f"Concat<axis={net.one_of(axis, axis - 4)}>({names})", (shape[0], shape[1], shape[2], shape[3]))


def cut(net: Network, x: Feature) -> Feature:
    axis, backwards = net.one_of(1, 1, 2, 3), net.one_of(True, False)
    size = x.shape[axis]
    first, last = sorted((net.number(0, size - 1), net.number(0, size - 1)))
    step = net.number(1, 3)
    start, end = (last, first - 1 if first else -(2**40)) if backwards else (first, last + 1)
    if not backwards and net.one_of(True, False):
        start, end = first - size, 2**40 if last == size - 1 else end
    shape = list(x.shape)
    shape[axis] = len(range(first, last + 1)[:: -step if backwards else step])
    parts = [
        net.constant([number]) for number in (start, end, net.one_of(axis, axis - 4), -step if backwards else step)
    ]
    return net.add(f"Slice({x.name}, {', '.join(parts)})", (shape[0], shape[1], shape[2], shape[3]))


def split(net: Network, x: Feature) -> Feature:
    parts, axis = net.number(2, 3), net.one_of(1, 1, 2)
    if x.shape[axis] % parts or (axis == 2 and net.free == "NHW"):
        return x
    each = x.shape[axis] // parts
    shape = x.sized(channels=each) if axis == 1 else x.sized(rows=each)
    return net.add(f"Split<axis={axis}>({x.name}, {net.constant([each] * parts)})", shape, *("b", "c")[: parts - 1])


def choose(net: Network, x: Feature) -> Feature:
    """A channel shuffle, or Gather."""
    batch, channels, rows, columns = x.shape
    groups = net.one_of(*(n for n in range(1, channels + 1) if channels % n == 0))
    if groups > 1 and net.free == "" and net.one_of(True, False):
        apart = net.node(f"Reshape({x.name}, {net.constant([batch, groups, channels // groups, rows, columns])})")
        turned = net.node(f"Transpose<perm=[0,2,1,3,4]>({apart})")
        return net.add(f"Reshape({turned}, {net.constant(x.shape)})", x.shape)
    chosen = [net.number(-channels, channels - 1) for _ in range(net.number(1, channels))]
    if net.one_of(True, False):
        chosen = net.random.sample(range(channels), net.number(1, channels))
    return net.add(f"Gather<axis=1>({x.name}, {net.constant(chosen)})", x.sized(channels=len(chosen)))


def resize(net: Network, x: Feature) -> Feature:
    _, _, rows, columns = x.shape
    by = [net.number(1, 3) for _ in "hw"]
    if rows * columns * by[0] * by[1] > MOST_PIXELS:
        return x
    how = net.one_of(
        'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"',
        'mode="nearest"',
        'mode="nearest", nearest_mode="ceil"',
        'mode="linear"',
        'mode="linear", coordinate_transformation_mode="align_corners"',
    )
    scales = net.constant(np.array([1, 1, *by], np.float32))
    return net.add(f"Resize<{how}>({x.name}, , {scales})", x.sized(rows=rows * by[0], columns=columns * by[1]))


def pad(net: Network, x: Feature) -> Feature:
    _, channels, rows, columns = x.shape
    mode = net.one_of("constant", "constant", "reflect", "edge")
    most = min(2, min(rows, columns) - 1) if mode == "reflect" else 2
    deeper = net.number(0, min(channels - 1, 2)) if mode == "constant" else 0
    sides = [net.number(0, most) for _ in range(4)]
    widths = net.constant([0, deeper, sides[0], sides[1], 0, 0, sides[2], sides[3]])
    shape = x.sized(channels=channels + deeper, rows=rows + sides[0] + sides[2], columns=columns + sides[1] + sides[3])
    return net.add(f'Pad<mode="{mode}">({x.name}, {widths})', shape)


def detour(net: Network, x: Feature) -> Feature:
    """A few nodes on (N, H, W, C), as TensorFlow's exports have."""
    name = net.node(f"{LAST}({x.name})")
    operation = net.one_of("Softmax<axis=-1>({})", "Sigmoid({})", f"Add({{}}, {net.noise(x.shape[1])})", "Neg({})")
    name = net.node(operation.format(name))
    return net.add(f"{FIRST}({name})", x.shape)


def flattened(net: Network, x: Feature) -> Feature:
    batch, channels, rows, columns = x.shape
    return net.add(f"Reshape({x.name}, {net.constant([0, channels, -1, 1])})", (batch, channels, rows * columns, 1))


Layer = Callable[[Network, Feature], Feature]
LAYERS: tuple[Layer, ...] = (
    *(conv, conv, conv_transpose, activation, pool, binary, binary, concat, concat, cut, split, choose, resize, pad),
    *(detour, flattened),
)
IMAGE_LAYERS = (conv, conv_transpose, activation, pool, concat, cut, split, pad)


@dataclass(frozen=True)
class Drawn:
    """A network, feeds for it, and how it is quantised."""

    text: str
    model: ir.Model
    feeds: tuple[dict[str, Array], ...]
    settings: QuantSettings

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What hypothesis prints of a failure."""
        printer.text(f"{self.text}\n{self.settings}\n{[feed['x'].shape for feed in self.feeds]}")


@st.composite
def networks(draw: st.DrawFn, layers: Sequence[Layer] = LAYERS) -> Drawn:
    """Layers behind a convolution; what stands on the way may be read again, or be an answer."""
    random = draw(st.randoms(use_true_random=True))
    free = random.choice(["", "", "N", "NHW"])
    shape = (random.randint(1, 2), random.randint(1, 5), random.randint(4, 9), random.randint(4, 9))
    net = Network(random, shape, free)
    x = conv(net, net.features[0])
    for layer in draw(st.lists(st.sampled_from(layers), min_size=1, max_size=9)):
        x = layer(net, x)
        if x.shape[2] * x.shape[3] > MOST_PIXELS or x.shape[1] > MOST_CHANNELS or random.random() < 0.1:
            x = random.choice(net.features[1:])
    tail = random.choice(["conv", "conv", "gemm", "last"])
    channels = x.shape[1]
    if tail == "gemm":
        pooled = net.node(f"GlobalAveragePool({x.name})")
        flat = net.node(f"Flatten({pooled})")
        net.body.append(f"y = Gemm<transB=1>({flat}, {net.kernel(3, channels)})")
    else:
        logits = net.node(f"Conv({x.name}, {net.kernel(3, channels, 1, 1)})")
        net.body.append(f"y = {LAST}({logits})" if tail == "last" else f"y = Identity({logits})")
    also = random.sample(net.features[1:], min(random.choice([0, 0, 1, 2]), len(net.features) - 1))
    sizes = [one if one in free else str(size) for one, size in zip("NCHW", shape, strict=True)]
    outputs = ", ".join(f"float[] {name}" for name in ("y", *(feature.name for feature in also)))
    body = "\n".join(net.body)
    text = f'<ir_version: 8, opset_import: ["": 13]> g (float[{", ".join(sizes)}] x) => ({outputs}) {{ {body} }}'
    more = shape[0] + random.randint(0, 2) if free else shape[0]
    feeds = ({"x": noise(*shape)}, {"x": noise(more, *shape[1:], seed=1)})
    return Drawn(text, graphs.parse(text, **net.constants), feeds, draw(all_settings()))


@st.composite
def all_settings(draw: st.DrawFn) -> QuantSettings:
    """Every kind of grid."""
    signed = draw(st.booleans())
    uint8: dict[str, Any] = {"per_channel": False} if signed else {"per_channel": False, "weight": UINT8}
    weights = draw(st.sampled_from([{}, {}, {"per_channel": False}, uint8]))
    reduced, symmetric = draw(st.booleans()), draw(st.booleans())
    activation = INT8 if signed else UINT8
    return QuantSettings(activation=activation, reduce_range=reduced, symmetric=symmetric, **weights)


def planned(model: ir.Model, feeds: Sequence[dict[str, Array]], chosen: QuantSettings) -> tuple[Prepared, QuantPlan]:
    prepared = prepare(model)
    return prepared, plan(prepared, quantised.extrema(prepared.model, feeds), chosen)


def second_ways(prepared: Prepared, decided: QuantPlan) -> QuantPlan:
    """The same plan with every node written in its other way."""
    ways = {str(node.name): FORMATS["channels-last"].variants(node) for node in prepared.model.graph}
    return replace(decided, variants={name: found[-1] for name, found in ways.items() if found})


def written(prepared: Prepared, decided: QuantPlan, qformat: str = "channels-last") -> ir.Model:
    return formats.emit(prepared.model, decided, qformat=qformat, metadata={})


def check(model: ir.Model) -> None:
    onnx.checker.check_model(onnx.load_from_string(to_bytes(model)), full_check=True)


def assert_equal(one: ir.Model, other: ir.Model, feed: dict[str, Array]) -> list[Array]:
    """Equal names, shapes and numbers, bit for bit; gives the numbers."""
    names = [str(value.name) for value in one.graph.outputs]
    assert names == [str(value.name) for value in other.graph.outputs]
    results = quantised.optimised(one, feed)
    for name, actual, expected in zip(names, results, quantised.optimised(other, feed), strict=True):
        np.testing.assert_array_equal(actual, expected, err_msg=name)
    return results


def turns(model: ir.Model) -> list[tuple[str, tuple[int, ...]]]:
    """What is transposed between the layouts, and how."""
    found = [node for node in model.graph if node.op_type == "Transpose"]
    orders = [(str(node.inputs[0].name), tuple(node.attributes["perm"].as_ints())) for node in found]
    return [turn for turn in orders if turn[1] in (TO_CHANNELS_LAST, TO_CHANNELS_FIRST)]


@pytest.mark.slow
@settings(max_examples=60)
@given(networks())
def test_every_network_computes_the_integers_of_qoperator(drawn: Drawn) -> None:
    prepared, decided = planned(drawn.model, drawn.feeds, drawn.settings)
    made, other = written(prepared, decided), written(prepared, decided, "qoperator")
    check(made)
    for feed in drawn.feeds[1:]:
        assert_equal(made, other, feed)


@pytest.mark.slow
@settings(max_examples=30)
@given(networks())
def test_every_way_to_write_a_node_gives_the_same_integers(drawn: Drawn) -> None:
    prepared, decided = planned(drawn.model, drawn.feeds, drawn.settings)
    made = written(prepared, second_ways(prepared, decided))
    check(made)
    assert_equal(made, written(prepared, decided), drawn.feeds[0])


@pytest.mark.slow
@settings(max_examples=30)
@given(networks(), st.randoms(use_true_random=True))
def test_what_stands_beside_an_excluded_node_stays_equal(drawn: Drawn, random: Random) -> None:
    prepared = prepare(drawn.model)
    node = str(random.choice(list(prepared.model.graph)[1:]).name)
    chosen = replace(drawn.settings, exclude=(node,))
    decided = plan(prepared, quantised.extrema(prepared.model, drawn.feeds), chosen)
    made = written(prepared, decided)
    check(made)
    assert_equal(made, written(prepared, decided, "qoperator"), drawn.feeds[0])


@pytest.mark.slow
@settings(max_examples=30)
@given(networks())
def test_the_same_network_gives_the_same_bytes(drawn: Drawn) -> None:
    once, again = (written(*planned(drawn.model, drawn.feeds, drawn.settings)) for _ in range(2))
    assert to_bytes(once) == to_bytes(again)


@pytest.mark.slow
@settings(max_examples=30)
@given(networks())
def test_no_tensor_is_transposed_twice(drawn: Drawn) -> None:
    found = turns(written(*planned(drawn.model, drawn.feeds, drawn.settings)))
    assert len(set(found)) == len(found)


@pytest.mark.slow
@settings(max_examples=30)
@given(networks(IMAGE_LAYERS))
def test_only_the_image_the_answers_and_what_is_float_are_transposed(drawn: Drawn) -> None:
    """Of operators that work on images. A clamp between two grids computes in float, and what is float in planes."""
    prepared, decided = planned(drawn.model, drawn.feeds, drawn.settings)
    graph = prepared.model.graph
    in_float = [node for node in graph if not decided.is_quantised(str(node.name)) or node.op_type in ("Clip", "Relu")]
    borders = 1 + len(graph.outputs) + sum(node.op_type == "Flatten" for node in graph)
    borders += sum(1 + len(node.outputs) for node in in_float)
    assert len(turns(written(prepared, decided))) <= borders


# Networks by name.


FEEDS = [{"x": noise(2, 4, 8, 8, seed=seed)} for seed in range(2)]
HALVES = "a = Conv(x, w20) b, c = Split<axis=1>(a)"
W = {f"w{outputs}": kernel(outputs, 4, 1, 1, seed=outputs) for outputs in (1, 4, 5, 8, 20)}
V = {f"v{channels}": kernel(3, channels, 1, 1, seed=channels) for channels in range(1, 21)}


def ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


CONSTANTS: dict[str, Array] = {
    **W, **V,
    "zero": np.array(0, np.float32), "half": np.array(0.5, np.float32), "vector": noise(5, 1, 1),
    "image": noise(1, 5, 8, 8), "batch": noise(2, 5, 1, 1), "strip": noise(2, 1, 3, 8), "strip5": noise(2, 5, 3, 8),
    "five": noise(1, 1, 5, 1, 1), "n0": ints(0), "n1": ints(1), "n2": ints(2), "n3": ints(3), "n6": ints(6),
    "third": np.array(2), "square": np.array([[2, 3], [1, 0]]), "rows": ints(2, 2, 0), "s2588": ints(2, 5, 8, 8),
    "s2488": ints(2, 4, 8, 8), "starts": ints(18, 1), "ends": ints(-(2**62), 7), "axes": ints(1, 2),
    "back": ints(-7, 2), "turned": ints(7, 6, 5, 4, 3, 2, 1, 0), "pairs": ints(1, 0, 3, 2, 5, 4, 7, 6),
    "some": ints(5, 1, 0, 7), "deep": ints(0, 1, 0, 0, 0, 2, 0, 0), "crop": ints(0, -1, -1, 0, 0, -2, 1, 2),
    "k3": kernel(5, 4, 3, 3), "kd": kernel(4, 1, 3, 3), "km": kernel(8, 1, 1, 1), "w44": kernel(4, 4, 1, 1, seed=3),
    "w10": kernel(10, 10, 3, 3), "apart": ints(2, 2, 10, 8, 8), "s22088": ints(2, 20, 8, 8),
    "by2": np.array([1, 1, 2, 2], np.float32), "flat": ints(2, 5, 64), "twice8": kernel(5, 8, 2, 2),
    "frame": ints(0, 0, 1, 1, 0, 0, 1, 0),
}  # fmt: skip
CASES = {
    # operands of fewer channels, and of fewer axes
    "one channel beside many": "a = Conv(x, w1) b = Conv(x, w5) c = Add(a, b) y = Conv(c, v5)",
    "one channel plus a vector": "a = Conv(x, w1) s = Sigmoid(a) c = Add(s, vector) l = LeakyRelu(c) y = Conv(l, v5)",
    "a vector times one channel": "a = Conv(x, w1) s = Sigmoid(a) c = Mul(vector, s) l = LeakyRelu(c) y = Conv(l, v5)",
    "one channel plus an image": "a = Conv(x, w1) s = Sigmoid(a) c = Add(s, image) l = LeakyRelu(c) y = Conv(l, v5)",
    "one channel plus a vector, convolved": "a = Conv(x, w1) r = Relu(a) c = Add(r, vector) y = Conv(c, v5)",
    "one channel times a vector, convolved": "a = Conv(x, w1) r = Relu(a) c = Mul(r, vector) y = Conv(c, v5)",
    "one number for each image": "a = Conv(x, w5) s = Sigmoid(a) c = Add(s, batch) l = LeakyRelu(c) y = Conv(l, v5)",
    "five axes": "a = Conv(x, w5) s = Sigmoid(a) c = Add(s, five) r = Reshape(c, s2588) y = Conv(r, v5)",
    "rows of one channel": "a = Conv(x, w1) c = Concat<axis=2>(a, strip) y = Conv(c, v1)",
    "rows of one channel, the constant first": "a = Conv(x, w1) c = Concat<axis=2>(strip, a) y = Conv(c, v1)",
    "constant rows": "a = Conv(x, w5) c = Concat<axis=2>(strip5, a) y = Conv(c, v5)",
    "pixels and channels meet": """a = Conv(x, w5) g = GlobalAveragePool(a) b = Conv(x, w1) c = Mul(g, b)
        d = Add(b, g) e = Add(c, d) y = Conv(e, v5)""",
    # the batch, and what changes the number of axes
    "halves of the batch": "a = Conv(x, w5) b, c = Split<axis=0>(a) d = Add(b, c) y = Conv(d, v5)",
    "a batch twice": "a = Conv(x, w5) d = Concat<axis=0>(a, a) y = Conv(d, v5)",
    "one of the batch": "a = Conv(x, w5) d = Slice(a, n0, n1, n0) y = Conv(d, v5)",
    "one channel by a number": "a = Conv(x, w5) d = Gather<axis=1>(a, third) u = Unsqueeze(d, n1) y = Conv(u, v1)",
    "channels by a matrix": "a = Conv(x, w5) d = Gather<axis=1>(a, square) u = Reshape(d, s2488) y = Conv(u, v4)",
    "rows by number": "a = Conv(x, w5) d = Gather<axis=2>(a, rows) y = Conv(d, v5)",
    # channels in any order
    "channels and rows cut at once": "a = Conv(x, w20) d = Slice(a, starts, ends, axes, back) y = Conv(d, v3)",
    "an image joined with itself and the image": """a = Conv<pads=[1,1,1,1]>(x, k3) c = Concat<axis=1>(a, x, a)
        d = Concat<axis=1>(c, a) y = Conv(d, v19)""",
    "weights of several places": """a = Conv(x, w4) b = Sigmoid(a) c = Concat<axis=1>(b, a)
        s = Slice(c, n2, n6, n1) e = Conv(s, w44) f = Conv(a, w44) g = Add(e, f) h = Conv(g, w4) y = Conv(h, w4)""",
    "a shuffled image to pixels, both ways": """a = Conv(x, w8) g = Gather<axis=1>(a, turned)
        d = DepthToSpace<blocksize=2, mode="CRD">(g) e = DepthToSpace<blocksize=2>(g) f = Add(d, e) y = Conv(f, v2)""",
    "phases with their channels turned": """a = Conv(x, w8) g = Gather<axis=1>(a, pairs)
        e = DepthToSpace<blocksize=2>(g) y = Conv(e, v2)""",
    "depthwise in another order": """a = Conv(x, w8) g = Gather<axis=1>(a, some)
        e = Conv<group=4, pads=[1,1,1,1]>(g, kd) f = Conv<group=4>(e, km) y = Conv(f, v8)""",
    "a gate of the other half": f"""{HALVES} p = GlobalAveragePool(c) s = Sigmoid(p) m = Mul(b, s) d = Add(m, c)
        y = Conv(d, v10)""",
    "softmax of halves": f"{HALVES} s = Softmax<axis=1>(c) t = Softmax<axis=-1>(b) g = Mul(t, s) y = Conv(g, v10)",
    "halves made deeper": f"{HALVES} d = Pad(c, deep) e = Pad(b, deep) g = Concat<axis=2>(d, e) y = Conv(g, v13)",
    "fewer channels by Pad": "a = Conv(x, w20) d = Pad(a, crop) y = Conv(d, v17)",
    "one half unread": f"{HALVES} d = Conv<pads=[1,1,1,1]>(c, w10) e = Add(c, d) y = Conv(e, v10)",
    "a shuffle of halves": f"""{HALVES} d = Concat<axis=1>(c, b) r = Reshape(d, apart)
        t = Transpose<perm=[0,2,1,3,4]>(r) s = Reshape(t, s22088) e, f = Split<axis=1>(s) g = Add(e, f)
        y = Conv(g, v10)""",
    # the model's own layouts
    "rows for columns": "a = Conv(x, w5) d = Transpose<perm=[0,1,3,2]>(a) y = Conv(d, v5)",
    "channels for rows": "a = Conv(x, w5) d = Transpose<perm=[0,3,1,2]>(a) y = Conv(d, v8)",
    "columns for channels": "a = Conv(x, w5) d = Transpose<perm=[0,2,3,1]>(a) y = Conv(d, v8)",
    # readers in float, answers in between, branches
    "read by integers and by float": "a = Conv(x, w5) e = Erf(a) b = Conv(a, v5) c = Conv(e, v5) y = Add(b, c)",
    "a maximum taken away": "a = Conv(x, w5) m = ReduceMax<axes=[1]>(a) d = Sub(a, m) e = Mul(d, m) y = Conv(e, v5)",
    "a branch": """a = Conv(x, w5) r = Relu(a) t = ReduceSum<keepdims=0>(x) z = Greater(t, zero)
        b = If(z)<then_branch = t1 () => (float[] o) { o = Add(a, r) },
                  else_branch = t2 () => (float[] p) { p = Mul(a, r) }> y = Conv(b, v5)""",
}  # fmt: skip


def named(body: str, *, x: str = "float[2,4,8,8]", outputs: str = "y") -> ir.Model:
    answers = ", ".join(f"float[] {name}" for name in outputs.split())
    used = {name: array for name, array in CONSTANTS.items() if re.search(rf"\b{name}\b", body)}
    return graphs.parse(f'<ir_version: 8, opset_import: ["": 13]> g ({x} x) => ({answers}) {{ {body} }}', **used)


SETTINGS = {
    "uint8": QuantSettings(),
    "int8 symmetric": QuantSettings(activation=INT8, symmetric=True),
    "uint8 weights per tensor": QuantSettings(per_channel=False, weight=UINT8),
}


@pytest.mark.parametrize("chosen", SETTINGS)
@pytest.mark.parametrize("name", CASES)
def test_integers_are_equal_wherever_channels_stand(name: str, chosen: str) -> None:
    model = named(CASES[name])
    prepared, decided = planned(model, FEEDS, SETTINGS[chosen])
    made = written(prepared, decided)
    check(made)
    (actual,) = assert_equal(made, written(prepared, decided, "qoperator"), FEEDS[0])
    expected = graphs.run(model, FEEDS[0])[0]
    assert np.square(actual - expected).mean() <= np.square(expected).mean() / 100


@pytest.mark.parametrize("outputs", ["y", "y a", "y c b", "y a b c d"])
def test_images_may_be_answers_too(outputs: str) -> None:
    model = named(f"{HALVES} d = Concat<axis=1>(c, b) y = Conv(d, v20)", outputs=outputs)
    prepared, decided = planned(model, FEEDS, QuantSettings())
    assert_equal(written(prepared, decided), written(prepared, decided, "qoperator"), FEEDS[0])


@pytest.mark.parametrize("size", [(1, 4, 8, 8), (3, 4, 6, 10), (2, 4, 5, 7)])
def test_one_model_serves_every_size(size: tuple[int, ...]) -> None:
    model = named(
        """a = Conv<pads=[1,1,1,1]>(x, k3) r = Relu(a) t = ConvTranspose<strides=[2,2]>(r, twice8)
        n = Resize<mode="nearest">(r, , by2) c = Concat<axis=1>(t, n) p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c)
        g = GlobalAveragePool(p) s = Sigmoid(g) m = Mul(p, s) f = Pad(m, frame) y = Conv(f, v13)""",
        x="float[n,4,h,w]",
    )
    prepared, decided = planned(model, FEEDS, QuantSettings())
    made = written(prepared, decided)
    check(made)
    assert_equal(made, written(prepared, decided, "qoperator"), {"x": noise(*size)})


# Where layouts meet.


TENSORFLOW = f"""x0 = {FIRST}(x) a0 = Conv(x0, w20) a = {LAST}(a0) r = Relu(a) r0 = {FIRST}(r)
    p0 = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r0) p = {LAST}(p0) b, c = Split<axis=3>(p)
    d = Concat<axis=3>(c, b) d0 = {FIRST}(d) e0 = Resize<mode="nearest">(d0, , by2) e = {LAST}(e0)
    f = Add(e, r) f0 = {FIRST}(f) y0 = Conv(f0, v20) y = {LAST}(y0)"""
BORDERS = {
    "image in, answer out": ("a = Conv(x, w5) r = Relu(a) p = MaxPool<kernel_shape=[2,2]>(r) y = Conv(p, v5)", 2),
    "two answers": ("a = Conv(x, w5) y = Conv(a, v5)", 3),
    "halves, joined, gated, resized": (
        f"""{HALVES} g = GlobalAveragePool(c) s = Sigmoid(g) m = Mul(b, s) d = Concat<axis=1>(m, c)
        n = Resize<mode="nearest">(d, , by2) l = Resize<mode="linear">(d, , by2) e = Add(n, l) y = Conv(e, v20)""",
        2,
    ),
    "enlarged by pixels": ("d = Conv(x, w8) e = DepthToSpace<blocksize=2>(d) y = Conv(e, v2)", 2),
    "shuffled": (
        f"""{HALVES} r = Reshape(a, apart) t = Transpose<perm=[0,2,1,3,4]>(r) s = Reshape(t, s22088)
        e, f = Split<axis=1>(s) y = Conv(e, v10)""",
        2,
    ),
    "flattened in the middle": (
        "a = Conv(x, w5) f = Reshape(a, flat) s = Softmax<axis=2>(f) r = Reshape(s, s2588) y = Conv(r, v5)", 4
    ),
    "a float operator in the middle": ("a = Conv(x, w5) e = Erf(a) y = Conv(e, v5)", 4),
    "from TensorFlow": (TENSORFLOW, 0),
    "from TensorFlow, planes in": (TENSORFLOW.replace(f"x0 = {FIRST}(x)", "x0 = Identity(x)"), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", BORDERS)
def test_layouts_meet_at_borders_alone(name: str) -> None:
    body, count = BORDERS[name]
    x = "float[2,8,8,4]" if name == "from TensorFlow" else "float[2,4,8,8]"
    model = named(body, x=x, outputs="y a" if name == "two answers" else "y")
    feeds = [
        {"x": noise(*([2, 8, 8, 4] if name == "from TensorFlow" else [2, 4, 8, 8]), seed=seed)} for seed in range(2)
    ]
    prepared, decided = planned(model, feeds, QuantSettings())
    made = written(prepared, decided)
    assert len(turns(made)) == count
    assert_equal(made, written(prepared, decided, "qoperator"), feeds[0])


# Models that were trained.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cells_unet", "deeplabv3plus", "segnet", "unet_bilinear"])
def test_a_trained_model_gives_what_its_qdq_form_gives(name: str) -> None:
    """However its convolutions are written. onnxruntime fuses QDQ into the same kernels."""
    model = load(WEIGHTS / f"{name}.onnx")
    (image,) = model.graph.inputs
    feed = {str(image.name): noise(*(size if isinstance(size, int) else 1 for size in image.shape))}
    prepared, decided = planned(model, [feed], QuantSettings())
    made, other = written(prepared, decided), written(prepared, second_ways(prepared, decided))
    check(made)
    assert len(turns(made)) <= 2
    assert_equal(made, written(prepared, decided, "qdq"), feed)
    assert_equal(made, other, feed)


@pytest.mark.parametrize("body", [
    "a = Conv(x, w1) e = Slice(a, k3, k3, k1) b = Concat<axis=1>(a, e) y = Conv(b, w2)",
    "a = Conv(x, w1) e, b = Split<axis=1>(a, k08) y = Conv(b, w2)",
])  # fmt: skip
def test_no_channel_at_all_is_left_as_it_is(body: str) -> None:
    numbers = {"k3": np.array([3]), "k1": np.array([1]), "k08": np.array([0, 8])}
    used = {name: value for name, value in numbers.items() if name in body}
    model = graphs.graph(body, x="float[1,3,6,7]", w1=kernel(8, 3, 1, 1), w2=kernel(4, 8, 1, 1), **used)
    feeds = [{"x": noise(1, 3, 6, 7)}]
    made = {name: quantised.make(model, feeds, qformat=name).model for name in ("qoperator", "channels-last")}
    assert_equal(made["qoperator"], made["channels-last"], feeds[0])


def test_a_resize_that_also_repeats_the_batch_is_left_to_its_operator() -> None:
    resize = 'Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">'
    body = f"a = Conv(x, w1) b = {resize}(a, , s) y = Conv(b, w2)"
    scales = np.array([2, 1, 2, 2], np.float32)
    model = graphs.graph(body, x="float[1,3,6,7]", w1=kernel(8, 3, 1, 1), w2=kernel(4, 8, 1, 1), s=scales)
    feeds = [{"x": noise(1, 3, 6, 7)}]
    made = {name: quantised.make(model, feeds, qformat=name).model for name in ("qoperator", "channels-last")}
    assert_equal(made["qoperator"], made["channels-last"], feeds[0])


def test_seven_bit_weights_are_not_shifted_out_of_seven_bits() -> None:
    prepared = prepare(graphs.graph("y = Conv(x, w)", x="float[1,4,5,6]", w=kernel(16, 4, 3, 3)))
    ranges = dict.fromkeys("xy", Range(-1.0, 1.0))
    name = prepared.model.graph.node(0).name
    decided = plan(prepared, ranges, QuantSettings(reduce_range=True), Overrides(variants={str(name): "shifted"}))
    written = formats.emit(prepared.model, decided, qformat="channels-last", metadata={})
    smallest = min(int(v.const_value.numpy().min()) for v in written.graph.initializers.values() if "w_quant" in v.name)
    assert smallest >= -64
