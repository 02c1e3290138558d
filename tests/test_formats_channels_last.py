"""Channels-last beside QOperator: the same integers, whatever stands in the network and wherever its channels stand.

Both formats run onnxruntime's kernels, which round alike in either layout, so outputs are equal bit for bit.
"""

import functools
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

from quantseg import formats
from quantseg.affine import Range
from quantseg.formats import FORMATS
from quantseg.graph import expose, load, to_bytes
from quantseg.planning import UNMEASURED, Placement, QuantPlan, QuantSettings, observable, plan
from quantseg.prepare import Prepared, prepare
from quantseg.qtypes import INT8, UINT8
from reference_models import WEIGHTS
from tests import graphs, quantised
from tests.quantised import Array, kernel, noise

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

    def add(self, text: str, shape: Shape | None = None, *, also: int = 0) -> Feature:
        """One node more; `also`: outputs beside its first one, of the same shape."""
        names = [f"v{len(self.body)}{suffix}" for suffix in ("", "b", "c")[: 1 + also]]
        self.body.append(f"{', '.join(names)} = {text}")
        made = [Feature(name, shape or self.features[-1].shape) for name in names]
        if shape is not None:
            self.features += made
        return made[0]

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
    after = [
        (length + pads[i] + pads[i + 2] - dilation[i] * (size[i] - 1) - 1) // stride[i] + 1
        for i, length in enumerate((rows, columns))
    ]
    if min(after) < 1:
        size, after = [1, 1], [(rows + pads[0] + pads[2] - 1) // stride[0] + 1, (columns + pads[1] + pads[3] - 1) // stride[1] + 1]
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
        "HardSwish({})" if net.one_of(True, False) else "HardSigmoid({})",
        f"Softmax<axis={net.number(-4, 3)}>({{}})",
    )
    return net.add(text.format(x.name).replace("HardSwish", "HardSigmoid"), x.shape)


def pool(net: Network, x: Feature) -> Feature:
    _, _, rows, columns = x.shape
    if net.random.random() < 0.15:
        return net.add(f"GlobalAveragePool({x.name})", x.sized(rows=1, columns=1))
    size, stride, pads = [net.number(2, 3) for _ in "hw"], [net.number(1, 2) for _ in "hw"], [net.number(0, 1) for _ in range(4)]
    if rows + pads[0] + pads[2] < 3 or columns + pads[1] + pads[3] < 3:
        pads = [1, 1, 1, 1]
    after = [(n + pads[i] + pads[i + 2] - size[i]) // stride[i] + 1 for i, n in enumerate((rows, columns))]
    op_type = net.one_of("MaxPool", "AveragePool", "AveragePool<count_include_pad=1, ")
    op_type = op_type if op_type.endswith(" ") else f"{op_type}<"
    text = f"{op_type}kernel_shape={size}, strides={stride}, pads={pads}>({x.name})"
    return net.add(text, x.sized(rows=after[0], columns=after[1]))


def binary(net: Network, x: Feature) -> Feature:
    _, channels, rows, columns = x.shape
    other: str
    kind = net.one_of("like", "plane", "gate", "vector", "number", "image", "row", "wider")
    shape = x.shape
    if kind == "like":
        other = net.like(x).name
    elif kind == "plane":
        other = net.like(x, but=1).name if channels == 1 else net.add(f"ReduceMax<axes=[1]>({x.name})").name
        shape = next(f.shape for f in net.features if f.name == other) if channels == 1 else shape
    elif kind == "gate":
        pooled = net.add(f"GlobalAveragePool({x.name})").name
        gate = net.add(f"Conv({pooled}, {net.kernel(channels, channels, 1, 1)})").name
        other = net.add(f"Sigmoid({gate})").name
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
    if axis == 1 and total > MOST_CHANNELS or axis > 1 and total > 20:
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
    parts = [net.constant([number]) for number in (start, end, net.one_of(axis, axis - 4), -step if backwards else step)]
    return net.add(f"Slice({x.name}, {', '.join(parts)})", (shape[0], shape[1], shape[2], shape[3]))


def split(net: Network, x: Feature) -> Feature:
    parts, axis = net.number(2, 3), net.one_of(1, 1, 2)
    if x.shape[axis] % parts or (axis == 2 and net.free == "NHW"):
        return x
    each = x.shape[axis] // parts
    shape = x.sized(channels=each) if axis == 1 else x.sized(rows=each)
    return net.add(f"Split<axis={axis}>({x.name}, {net.constant([each] * parts)})", shape, also=parts - 1)


def choose(net: Network, x: Feature) -> Feature:
    """A channel shuffle, or Gather."""
    batch, channels, rows, columns = x.shape
    groups = net.one_of(*(n for n in range(1, channels + 1) if channels % n == 0))
    if groups > 1 and net.free == "" and net.one_of(True, False):
        apart = net.add(f"Reshape({x.name}, {net.constant([batch, groups, channels // groups, rows, columns])})").name
        turned = net.add(f"Transpose<perm=[0,2,1,3,4]>({apart})").name
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
    name = net.add(f"{LAST}({x.name})").name
    operation = net.one_of("Softmax<axis=-1>({})", "Sigmoid({})", f"Add({{}}, {net.noise(x.shape[1])})", "Neg({})")
    name = net.add(operation.format(name)).name
    return net.add(f"{FIRST}({name})", x.shape)


def flattened(net: Network, x: Feature) -> Feature:
    batch, channels, rows, columns = x.shape
    name = net.add(f"Reshape({x.name}, {net.constant([0, channels, -1, 1])})", (batch, channels, rows * columns, 1)).name
    return Feature(name, (batch, channels, rows * columns, 1))


LAYERS: tuple[Callable[[Network, Feature], Feature], ...] = (
    *(conv, conv, conv_transpose, activation, pool, binary, binary, concat, concat, cut, split, choose, resize, pad),
    *(detour, flattened),
)


@dataclass(frozen=True)
class Drawn:
    """A network, feeds for it, and how it is quantised."""

    text: str
    model: ir.Model
    feeds: tuple[dict[str, Array], ...]
    settings: QuantSettings

    def __repr__(self) -> str:
        return f"{self.text}\n{self.settings}\n{[feed['x'].shape for feed in self.feeds]}"


@st.composite
def networks(draw: st.DrawFn) -> Drawn:
    """Layers behind a convolution; what stands on the way may be read again, or be an answer."""
    random = draw(st.randoms(use_true_random=True))
    free = random.choice(["", "", "N", "NHW"])
    shape = (random.randint(1, 2), random.randint(1, 5), random.randint(4, 9), random.randint(4, 9))
    net = Network(random, shape, free)
    x = conv(net, net.features[0])
    for layer in draw(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=9)):
        x = layer(net, x)
        if x.shape[2] * x.shape[3] > MOST_PIXELS or x.shape[1] > MOST_CHANNELS or random.random() < 0.1:
            x = random.choice(net.features[1:])
    tail = random.choice(["conv", "conv", "gemm", "last"])
    channels = x.shape[1]
    if tail == "gemm":
        pooled = net.add(f"GlobalAveragePool({x.name})").name
        flat = net.add(f"Flatten({pooled})").name
        net.body.append(f"y = Gemm<transB=1>({flat}, {net.kernel(3, channels)})")
    else:
        logits = net.add(f"Conv({x.name}, {net.kernel(3, channels, 1, 1)})").name
        net.body.append(f"y = {LAST}({logits})" if tail == "last" else f"y = Identity({logits})")
    also = random.sample(net.features[1:], min(random.choice([0, 0, 1, 2]), len(net.features) - 1))
    sizes = [one if one in free else str(size) for one, size in zip("NCHW", shape, strict=True)]
    outputs = ", ".join(f"float[] {name}" for name in ("y", *(feature.name for feature in also)))
    body = "\n".join(net.body)
    text = f'<ir_version: 8, opset_import: ["": 13]> g (float[{", ".join(sizes)}] x) => ({outputs}) {{ {body} }}'
    feeds = tuple({"x": noise(*shape, seed=seed)} for seed in range(2))
    return Drawn(text, graphs.parse(text, **net.constants), feeds, draw(all_settings()))


@st.composite
def all_settings(draw: st.DrawFn) -> QuantSettings:
    """Every kind of grid."""
    signed = draw(st.booleans())
    uint8: dict[str, Any] = {"per_channel": False} if signed else {"per_channel": False, "weight": UINT8}
    weights = draw(st.sampled_from([{}, {}, {"per_channel": False}, uint8]))
    return QuantSettings(
        activation=INT8 if signed else UINT8,
        reduce_range=draw(st.booleans()),
        symmetric=draw(st.booleans()),
        **weights,
    )


def planned(model: ir.Model, feeds: Sequence[dict[str, Array]], chosen: QuantSettings) -> tuple[Prepared, QuantPlan]:
    prepared = prepare(model)
    return prepared, plan(prepared, quantised.extrema(prepared.model, feeds), chosen)


def written(prepared: Prepared, decided: QuantPlan, qformat: str = "channels-last") -> ir.Model:
    return formats.emit(prepared.model, decided, qformat=qformat, metadata={})


def check(model: ir.Model) -> None:
    onnx.checker.check_model(onnx.load_from_string(to_bytes(model)), full_check=True)


def assert_equal(made: ir.Model, other: ir.Model, feed: dict[str, Array]) -> None:
    """Equal shapes and equal numbers, bit for bit."""
    for one, two, value in zip(quantised.optimised(made, feed), quantised.optimised(other, feed), made.graph.outputs, strict=True):
        np.testing.assert_array_equal(one, two, err_msg=str(value.name))


@settings(max_examples=60)
@given(networks())
def test_every_network_computes_the_integers_of_qoperator(drawn: Drawn) -> None:
    prepared, decided = planned(drawn.model, drawn.feeds, drawn.settings)
    made = written(prepared, decided)
    check(made)
    assert_equal(made, written(prepared, decided, "qoperator"), drawn.feeds[0])
