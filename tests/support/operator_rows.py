"""Operators of segmentation networks in each spelling that exporters write: the nodes from `a` to `b`, as ONNX text.

`a` is an image (2, 8, 12, 12) that a convolution makes; another convolution reads `b`. The names of constants are
those of CONSTANTS. Spellings are those of torch's exporter (opsets 9 to 18), tf2onnx and paddle2onnx.
"""

import re
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from tests.support import graphs
from tests.support.quantised import Array, kernel, noise


@dataclass(frozen=True)
class Row:
    """One spelling. x: the model's input. channels: of b. reasons: parts of what the plan says of its float nodes, ()
    where all is in integers. decibels: what the int8 answer keeps at least, below the usual where numbers tie.
    """

    body: str
    opset: int = 13
    x: str = "float[2,3,12,12]"
    channels: int = 8
    reasons: tuple[str, ...] = ()
    decibels: float = 28.0


def _ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


F = np.float32
CONSTANTS: dict[str, Array] = {
    **{f"n{number}": _ints(number) for number in (0, 1, 2, 3, 4, 8, -1)},
    **{f"m{number}": kernel(8, 8, seed=20 + number) for number in range(4)},
    "zero": F(0), "half": F(0.5), "one": F(1), "two": F(2), "three": F(3), "six": F(6), "sixth": F(1) / F(6),
    "fifth": F(0.2), "tenth": F(0.1), "minus": F(-1), "root": F(1.4142135), "tiny": F(1e-5), "steep": F(1.702),
    "cubic": F(0.044715), "tanhs": F(0.7978846), "many": F(144), "dims": np.array(2), "dims3": np.array(3),
    "vector": noise(8, 1, 1, seed=11), "divisor": np.abs(noise(1, 8, 1, 1, seed=12)) + F(0.5),
    "slopes": np.linspace(-0.5, 0.75, 8, dtype=F).reshape(8, 1, 1), "gamma": noise(8, seed=20) / 4 + F(1),
    "beta": noise(8, seed=21) / 4, "gamma3": (noise(8, seed=20) / 4 + F(1)).reshape(8, 1, 1),
    "spread": np.abs(noise(8, seed=22)) + F(0.5), "ones": np.ones(2, F), "zeros": np.zeros(2, F),
    "k1": kernel(8, 8, 1, 1), "k3": kernel(8, 8, 3, 3, seed=5), "k7": kernel(1, 2, 7, 7, seed=6),
    "down": kernel(4, 8, 1, 1, seed=8), "down2": kernel(4, 8, 1, 1, seed=9), "up": kernel(8, 4, 1, 1, seed=10),
    "bd": noise(4, seed=31) / 4, "bu": noise(8, seed=32) / 4, "gd": kernel(4, 8, seed=13), "gu": kernel(8, 4, seed=14),
    "td": kernel(8, 4, seed=13), "tu": kernel(4, 8, seed=14), "one1": kernel(1, 8, 1, 1, seed=40),
    "twice": kernel(8, 8, 2, 2, seed=18),
    "hw": _ints(2, 3), "start": _ints(1, 1), "end": _ints(11, 10), "order": _ints(0, 2, 5, 7), "halves": _ints(4, 4),
    "far": _ints(2**62), "image": _ints(2, 8, 12, 12), "column": _ints(2, 8, 1, 1), "flat": _ints(0, 8, -1),
    "flat4": _ints(2, 4, -1), "tokens": _ints(2, -1, 8), "heads": _ints(2, 144, 2, 4), "square": _ints(2, 8, 8),
    "groups": _ints(2, 2, 4, 12, 12), "group1": _ints(0, 1, -1), "group2": _ints(0, 2, -1),
    "blocks": _ints(2, 8, 6, 2, 6, 2), "deep": _ints(2, 32, 6, 6), "tiles": _ints(1, 1, 12, 12),
    "sizes": _ints(2, 8, 24, 24), "odd": _ints(2, 8, 17, 19), "sizes4": _ints(2, 4, 12, 12), "sizes2": _ints(24, 24),
    "by2": F([1, 1, 2, 2]), "none": np.zeros(0, F),
    "pads": _ints(0, 0, 1, 2, 0, 0, 2, 1), "pads2": _ints(1, 2, 2, 1), "pads1": _ints(0, 0, 1, 1, 0, 0, 1, 1),
    "crop": _ints(0, 0, -1, -1, 0, 0, -2, 0), "deeper": _ints(0, 2, 0, 0, 0, 2, 0, 0),
}  # fmt: skip

GATE = "h = Add(a, three) g = Clip(h, zero, six)"
SQUEEZED = "q = Conv(p, down, bd) r = Relu(q) s = Conv(r, up, bu)"
EXCITE = f"{SQUEEZED} g = Sigmoid(s) b = Mul(a, g)"
TOKENS = "f = Reshape(a, flat) t = Transpose<perm=[0,2,1]>(f)"
IMAGE = "v = Transpose<perm=[0,2,1]>(u) b = Reshape(v, image)"
PAIRS = "qa = Conv(a, down) qf = Reshape(qa, flat4) q = Transpose<perm=[0,2,1]>(qf) ka = Conv(a, down2) "
PAIRS += "k = Reshape(ka, flat4) va = Conv(a, k1) v = Reshape(va, flat) e = MatMul(q, k)"
ASYMMETRIC = 'coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
CORNERS = 'mode="linear", coordinate_transformation_mode="align_corners"'
SIZE = "s0 = Shape(a) s1 = Slice(s0, n0, n2, n0)"
STATISTICS = "statistics are computed from each image"

CLAMPS = {
    "Relu": Row("b = Relu(a)"),
    "Relu6": Row("b = Clip(a, zero, six)"),
    "Relu6 by attributes": Row("b = Clip<min=0.0, max=6.0>(a)", 10),
    "Relu6 by Constants": Row(
        "l = Constant<value=float {0.0}>() h = Constant<value=float {6.0}>() b = Clip(a, l, h)", 11
    ),
    "Relu6 by Min of Relu": Row("r = Relu(a) b = Min(r, six)"),
    "Relu6 by Max and Min": Row("r = Max(zero, a) b = Min(r, six)"),
    "Hardtanh": Row("b = Clip(a, minus, one)"),
    "Clip beside another reader": Row("c = Clip(a, zero, one) b = Add(c, a)"),
}
BENT = {
    "LeakyRelu": Row("b = LeakyRelu<alpha=0.1>(a)"),
    "LeakyRelu, default slope": Row("b = LeakyRelu(a)"),
    "LeakyRelu by Max": Row("m = Mul(a, tenth) b = Max(a, m)"),
    "PRelu": Row("b = PRelu(a, slopes)"),
    "PRelu by two Relus": Row("r = Relu(a) n = Neg(a) s = Relu(n) m = Mul(s, slopes) b = Sub(r, m)"),
    "Elu": Row("b = Elu(a)", reasons=("Elu: no integer kernel",)),
}
GATES = {
    "Sigmoid": Row("b = Sigmoid(a)"),
    "Sigmoid by 1/(1 + exp)": Row("n = Neg(a) e = Exp(n) d = Add(e, one) b = Div(one, d)"),
    "Sigmoid by Reciprocal": Row("n = Neg(a) e = Exp(n) d = Add(one, e) b = Reciprocal(d)"),
    "HardSigmoid": Row("b = HardSigmoid(a)"),
    "HardSigmoid by Clip(x/5 + ½)": Row("m = Mul(a, fifth) d = Add(m, half) b = Clip(d, zero, one)"),
    "HardSigmoid by Clip(x/6 + ½)": Row("m = Div(a, six) d = Add(m, half) b = Clip(d, zero, one)"),
    "HardSigmoid by Clip(x + 3)/6": Row(f"{GATE} b = Div(g, six)"),
    "hard-swish": Row("b = HardSwish(a)", 14),
    "hard-swish by HardSigmoid": Row("g = HardSigmoid<alpha=0.16666667>(a) b = Mul(a, g)"),
    "hard-swish, divided last": Row(f"{GATE} m = Mul(a, g) b = Div(m, six)"),
    "hard-swish, gate divided": Row(f"{GATE} d = Div(g, six) b = Mul(a, d)"),
    "hard-swish, times a sixth": Row(f"{GATE} m = Mul(g, sixth) b = Mul(a, m)"),
    "hard-swish by Min of Relu": Row("h = Add(a, three) r = Relu(h) g = Min(r, six) m = Mul(a, g) b = Mul(m, sixth)"),
    "hard-swish by Clip(x/6 + ½)": Row("m = Mul(a, sixth) d = Add(m, half) g = Clip(d, zero, one) b = Mul(a, g)"),
    "SiLU": Row("g = Sigmoid(a) b = Mul(a, g)"),
    "SiLU, gate first": Row("g = Sigmoid(a) b = Mul(g, a)"),
    "SiLU by x/(1 + exp)": Row("n = Neg(a) e = Exp(n) d = Add(e, one) b = Div(a, d)"),
    "SiLU by x·1/(1 + exp)": Row("n = Neg(a) e = Exp(n) d = Add(e, one) g = Div(one, d) b = Mul(a, g)"),
    "Swish with β": Row("m = Mul(a, steep) g = Sigmoid(m) b = Mul(a, g)"),
    "Tanh": Row("b = Tanh(a)"),
    "Tanh of a sum": Row("s = Add(a, a) b = Tanh(s)", reasons=("Tanh: no integer kernel",)),
    "Mish": Row("s = Softplus(a) t = Tanh(s) b = Mul(a, t)", reasons=("Softplus: no integer kernel", "Tanh:")),
    "GELU": Row(
        "d = Div(a, root) e = Erf(d) o = Add(e, one) m = Mul(a, o) b = Mul(m, half)",
        reasons=("Erf: no integer kernel",),
    ),
    "GELU by Tanh": Row(
        """p = Mul(a, a) q = Mul(p, a) r = Mul(q, cubic) s = Add(a, r) u = Mul(s, tanhs) t = Tanh(u) o = Add(t, one)
        m = Mul(a, o) b = Mul(m, half)""",
        reasons=("Tanh: no integer kernel",),
    ),
}
SQUEEZE_EXCITE = {
    "squeeze-excite": Row(f"p = GlobalAveragePool(a) {EXCITE}"),
    "squeeze-excite by ReduceMean": Row(f"p = ReduceMean<axes=[2,3], keepdims=1>(a) {EXCITE}", 11),
    "squeeze-excite by ReduceMean, axes from behind": Row(f"p = ReduceMean<axes=[-1,-2]>(a) {EXCITE}"),
    "squeeze-excite by ReduceMean, axes as input": Row(f"p = ReduceMean(a, hw) {EXCITE}", 18),
    "squeeze-excite by two ReduceMeans": Row(f"o = ReduceMean<axes=[3]>(a) p = ReduceMean<axes=[2]>(o) {EXCITE}"),
    "squeeze-excite by a big AveragePool": Row(f"p = AveragePool<kernel_shape=[12,12]>(a) {EXCITE}"),
    "squeeze-excite by HardSigmoid": Row(f"p = GlobalAveragePool(a) {SQUEEZED} g = HardSigmoid(s) b = Mul(a, g)"),
    "squeeze-excite by Gemm": Row(
        """p = GlobalAveragePool(a) f = Flatten(p) q = Gemm<transB=1>(f, gd, bd) r = Relu(q)
        s = Gemm<transB=1>(r, gu, bu) g = Sigmoid(s) u = Reshape(g, column) b = Mul(a, u)"""
    ),
    "squeeze-excite by Gemm, axes dropped": Row(
        """p = ReduceMean<axes=[2,3], keepdims=0>(a) q = Gemm<transB=1>(p, gd, bd) r = Relu(q)
        s = Gemm<transB=1>(r, gu) g = Sigmoid(s) u = Unsqueeze(g, hw) b = Mul(a, u)"""
    ),
    "squeeze-excite by MatMul and Expand": Row(
        """p = ReduceMean<axes=[2,3], keepdims=0>(a) q = MatMul(p, td) r = Relu(q) s = MatMul(r, tu) g = Sigmoid(s)
        u = Reshape(g, column) e = Expand(u, image) b = Mul(a, e)"""
    ),
    "squeeze-excite with channels last": Row(
        """n = Transpose<perm=[0,2,3,1]>(a) o = ReduceMean<axes=[1,2], keepdims=1>(n)
        p = Transpose<perm=[0,3,1,2]>(o) q = Conv(p, down, bd) r = Relu(q) s = Conv(r, up, bu) g = Sigmoid(s)
        w = Transpose<perm=[0,2,3,1]>(g) m = Mul(n, w) b = Transpose<perm=[0,3,1,2]>(m)"""
    ),
    "one gate for all channels": Row("s = Conv(a, one1) g = Sigmoid(s) b = Mul(a, g)"),
    "attention over channels (CBAM)": Row(
        f"""p = GlobalAveragePool(a) {SQUEEZED} o = GlobalMaxPool(a) u = Conv(o, down, bd) v = Relu(u)
        w = Conv(v, up, bu) t = Add(s, w) g = Sigmoid(t) b = Mul(a, g)"""
    ),
    "attention over pixels (CBAM)": Row(
        """m = ReduceMean<axes=[1]>(a) n = ReduceMax<axes=[1]>(a) c = Concat<axis=1>(m, n)
        s = Conv<pads=[3,3,3,3]>(c, k7) g = Sigmoid(s) b = Mul(a, g)"""
    ),
    "what the gate leaves": Row("s = Sigmoid(a) i = Sub(one, s) c = Conv(a, k1) b = Mul(c, i)"),
    "image pooling": Row(
        f"""p = ReduceMean<axes=[2,3]>(a) c = Conv(p, k1) r = Relu(c) h0 = Shape(a) h1 = Slice(h0, n2, n4, n0) {SIZE}
        z = Concat<axis=0>(s1, h1)
        u = Resize<mode="linear", coordinate_transformation_mode="pytorch_half_pixel">(r, , , z) b = Add(u, a)"""
    ),
}
POOLS = {
    "AveragePool": Row("b = AveragePool<kernel_shape=[2,2], strides=[2,2]>(a)"),
    "AveragePool, padding counted": Row("b = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(a)"),
    "AveragePool, padding left out": Row("b = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(a)"),
    "AveragePool, rounded up": Row("b = AveragePool<kernel_shape=[5,5], strides=[2,2], ceil_mode=1>(a)"),
    "AveragePool, rounded up, padding counted": Row(
        "b = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=1, count_include_pad=1>(a)"
    ),
    "AveragePool, padded on two sides": Row(
        "b = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1], count_include_pad=1>(a)"
    ),
    "AveragePool, as many pixels": Row('b = AveragePool<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER">(a)'),
    "AveragePool behind a Pad": Row("z = Pad(a, pads1) b = AveragePool<kernel_shape=[3,3]>(z)"),
    "AveragePool, dilated by 1": Row("b = AveragePool<kernel_shape=[3,3], dilations=[1,1]>(a)", 19),
    "AveragePool, dilated": Row("b = AveragePool<kernel_shape=[3,3], dilations=[2,2]>(a)", 19),
    "AveragePool of rows": Row("p = AveragePool<kernel_shape=[1,12]>(a) b = Mul(a, p)"),
    "MaxPool": Row("b = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(a)"),
    "MaxPool, rounded up": Row("b = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(a)"),
    "MaxUnpool": Row(
        """p, i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a) c = Conv(p, k1)
        b = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(c, i)""",
        decibels=18,  # where two pixels round to one number, the first is taken for the maximum
    ),
    "GlobalAveragePool": Row("b = GlobalAveragePool(a)"),
    "GlobalMaxPool": Row("p = GlobalMaxPool(a) b = Mul(a, p)"),
    "ReduceMax": Row("p = ReduceMax(a, hw) b = Mul(a, p)", 18),
    "pyramid pooling": Row(
        f"""p = AveragePool<kernel_shape=[6,6], strides=[6,6]>(a) c = Conv(p, down) r = Relu(c)
        u = Resize<{CORNERS}>(r, , , sizes4) q = AveragePool<kernel_shape=[4,4], strides=[4,4]>(a) d = Conv(q, down2)
        s = Relu(d) v = Resize<{CORNERS}>(s, , , sizes4) b = Concat<axis=1>(u, v)"""
    ),
}
RESIZES = {
    "nearest": Row('b = Resize<mode="nearest">(a, , by2)'),
    "nearest by torch": Row(f'b = Resize<mode="nearest", {ASYMMETRIC}, cubic_coeff_a=-0.75>(a, none, by2)', 11),
    "nearest to sizes": Row(f'b = Resize<mode="nearest", {ASYMMETRIC}>(a, , , odd)'),
    "nearest to computed sizes": Row(
        f"""{SIZE} h = Slice(s0, n2, n4, n0) w = Mul(h, n2) z = Concat<axis=0>(s1, w)
        b = Resize<mode="nearest", {ASYMMETRIC}>(a, , , z)"""
    ),
    "nearest to computed sizes by torch": Row(
        f"""{SIZE} h = Gather(s0, dims) w = Gather(s0, dims3) hf = Cast<to=1>(h) wf = Cast<to=1>(w) h2 = Mul(hf, two)
        w2x = Mul(wf, two) hl = Floor(h2) wl = Floor(w2x) hi = Unsqueeze<axes=[0]>(hl) wi = Unsqueeze<axes=[0]>(wl)
        c = Concat<axis=0>(hi, wi) i = Cast<to=7>(c) z = Concat<axis=0>(s1, i)
        b = Resize<mode="nearest", {ASYMMETRIC}>(a, none, none, z)""",
        11,
    ),
    "nearest of any size": Row(
        f"""{SIZE} h = Slice(s0, n2, n4, n0) w = Mul(h, n2) z = Concat<axis=0>(s1, w)
        b = Resize<mode="nearest", {ASYMMETRIC}>(a, , , z)""",
        x="float[N,3,H,W]",
        reasons=("works on INT64",),
    ),
    "Upsample": Row('b = Upsample<mode="nearest">(a, by2)', 9),
    "Upsample by attributes": Row('b = Upsample<mode="nearest", scales=[1.0,1.0,2.0,2.0]>(a)', 8),
    "Upsample, linear": Row('b = Upsample<mode="linear">(a, by2)', 9),
    "Resize of opset 10": Row('b = Resize<mode="nearest">(a, by2)', 10),
    "bilinear": Row('b = Resize<mode="linear">(a, , by2)'),
    "bilinear by torch": Row(
        'b = Resize<mode="linear", coordinate_transformation_mode="pytorch_half_pixel">(a, none, none, sizes)', 11
    ),
    "bilinear, corners aligned": Row(f"b = Resize<{CORNERS}>(a, , , sizes)"),
    "bilinear over named axes": Row('b = Resize<mode="linear", axes=[2,3]>(a, , , sizes2)', 18),
    "bilinear of any size": Row(
        'b = Resize<mode="linear">(a, , by2)', x="float[N,3,H,W]", reasons=("needs fixed heights and widths",)
    ),
    "bicubic": Row('b = Resize<mode="cubic">(a, , by2)', reasons=("cubic interpolation overshoots",)),
    "ConvTranspose": Row("b = ConvTranspose<strides=[2,2]>(a, twice)"),
}
ARITHMETIC = {
    "Add": Row("c = Conv<pads=[1,1,1,1]>(a, k3) b = Add(a, c)"),
    "Add with itself": Row("b = Add(a, a)"),
    "Add of a vector": Row("c = Add(a, a) b = Add(c, vector)"),
    "Sum": Row("c = Conv(a, k1) b = Sum(a, c, a)"),
    "Sub": Row("c = Conv<pads=[1,1,1,1]>(a, k3) b = Sub(c, a)"),
    "Sub of a mean": Row("p = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(a) b = Sub(a, p)"),
    "Sub of a number": Row("c = Add(a, a) b = Sub(c, half)"),
    "Sub of a vector": Row("c = Add(a, a) b = Sub(c, vector)"),
    "Sub from a number": Row("c = Add(a, a) b = Sub(one, c)"),
    "Mul": Row("c = Conv(a, k1) b = Mul(a, c)"),
    "Mul by a number": Row("c = Add(a, a) b = Mul(c, fifth)"),
    "Mul by a vector": Row("c = Add(a, a) b = Mul(c, vector)"),
    "Div by a number": Row("c = Add(a, a) b = Div(c, six)"),
    "Div by a vector": Row("c = Add(a, a) b = Div(c, divisor)"),
    "Div by a tensor": Row("s = Sigmoid(a) t = Add(s, one) b = Div(a, t)", reasons=("Div: no integer kernel",)),
    "Neg": Row("c = Add(a, a) b = Neg(c)"),
    "Pow 2": Row("b = Pow(a, two)"),
    "Abs": Row("b = Abs(a)"),
}
MOVEMENT = {
    "Pad": Row("p = Pad(a, pads) b = Conv(p, k3)"),
    "Pad by attributes": Row("p = Pad<pads=[0,0,1,1,0,0,1,2]>(a) b = Conv(p, k3)", 10),
    "Pad over named axes": Row("p = Pad(a, pads2, , hw) b = Conv(p, k3)", 18),
    "Pad by reflection": Row('p = Pad<mode="reflect">(a, pads) b = Conv(p, k3)'),
    "Pad by repetition": Row('p = Pad<mode="edge">(a, pads) b = Conv(p, k3)'),
    "Pad that crops": Row("b = Pad(a, crop)"),
    "Pad of channels": Row("b = Pad(a, deeper)", channels=12),
    "Pad with a half": Row("p = Pad(a, pads, half) b = Conv(p, k3)", reasons=("Pad: it writes something else",)),
    "Slice": Row("b = Slice(a, start, end, hw)"),
    "Slice by attributes": Row("b = Slice<starts=[1,1], ends=[11,10], axes=[2,3]>(a)", 9),
    "pixels to channels by Slices": Row(
        """s = Slice(a, n0, far, n2, n2) t = Slice(a, n1, far, n2, n2) u = Slice(s, n0, far, n3, n2)
        v = Slice(t, n1, far, n3, n2) b = Concat<axis=1>(u, v)""",
        channels=16,
    ),
    "Split by attributes": Row("s, t = Split<axis=1, split=[4,4]>(a) b = Concat<axis=1>(t, s)", 11),
    "Split by an input": Row("s, t = Split<axis=1>(a, halves) b = Add(t, s)", channels=4),
    "Split in equal parts": Row("s, t = Split<axis=1, num_outputs=2>(a) b = Add(t, s)", 18, channels=4),
    "gated half": Row("s, t = Split<axis=1>(a, halves) g = Sigmoid(t) b = Mul(s, g)", channels=4),
    "channel shuffle": Row("r = Reshape(a, groups) t = Transpose<perm=[0,2,1,3,4]>(r) b = Reshape(t, image)"),
    "Gather of channels": Row("b = Gather<axis=1>(a, order)", channels=4),
    "DepthToSpace": Row('b = DepthToSpace<blocksize=2, mode="CRD">(a)', channels=2),
    "SpaceToDepth": Row("b = SpaceToDepth<blocksize=2>(a)", channels=32),
    "SpaceToDepth by torch": Row(
        "r = Reshape(a, blocks) t = Transpose<perm=[0,1,3,5,2,4]>(r) b = Reshape(t, deep)", channels=32
    ),
    "Concat": Row("c = Conv(a, k1) b = Concat<axis=1>(a, c)", channels=16),
    "Expand": Row("p = GlobalAveragePool(a) e = Expand(p, image) b = Concat<axis=1>(a, e)", channels=16),
    "Tile": Row("p = GlobalAveragePool(a) e = Tile(p, tiles) b = Add(a, e)"),
}
ATTENTION = {
    "Softmax over channels": Row("s = Softmax<axis=1>(a) b = Mul(a, s)"),
    "Softmax over channels by torch": Row(
        "t = Transpose<perm=[0,3,2,1]>(a) s = Softmax<axis=3>(t) u = Transpose<perm=[0,3,2,1]>(s) b = Mul(a, u)", 11
    ),
    "Softmax over rows": Row("s = Softmax<axis=-1>(a) b = Mul(a, s)"),
    "Softmax over pixels": Row(
        "f = Reshape(a, flat) s = Softmax<axis=2>(f) u = Reshape(s, image) b = Mul(a, u)",
        11,
        decibels=25,  # half a step of a wide grid is an exponent
    ),
    "Softmax over all but the batch": Row("s = Softmax<axis=1>(a) b = Mul(a, s)", 11, decibels=25),
    "self-attention": Row(
        f"""{PAIRS} m = Mul(e, half) s = Softmax<axis=-1>(m) t = Transpose<perm=[0,2,1]>(s) o = MatMul(v, t)
        r = Reshape(o, image) w = Mul(r, half) b = Add(w, a)"""
    ),
    "self-attention, divided": Row(
        f"""{PAIRS} m = Div(e, two) s = Softmax<axis=-1>(m) t = Transpose<perm=[0,2,1]>(v) o = MatMul(s, t)
        u = Transpose<perm=[0,2,1]>(o) r = Reshape(u, image) b = Add(r, a)""",
        decibels=27,  # weights that saturate no sum of 16 bits cost it half a decibel
    ),
    "self-attention of two heads": Row(
        f"""{TOKENS} qm = MatMul(t, m0) qb = Add(qm, beta) qh = Reshape(qb, heads)
        qt = Transpose<perm=[0,2,1,3]>(qh) q = Mul(qt, half) km = MatMul(t, m1) kh = Reshape(km, heads)
        kt = Transpose<perm=[0,2,3,1]>(kh) k = Mul(kt, half) e = MatMul(q, k) s = Softmax<axis=-1>(e)
        vm = MatMul(t, m2) vh = Reshape(vm, heads) vt = Transpose<perm=[0,2,1,3]>(vh) o = MatMul(s, vt)
        ot = Transpose<perm=[0,2,1,3]>(o) r = Reshape(ot, tokens) w = MatMul(r, m3) u = Add(w, t)
        uu = Transpose<perm=[0,2,1]>(u) b = Reshape(uu, image)""",
        decibels=26,  # a chain of eight roundings
    ),
    "attention between channels": Row(
        """f = Reshape(a, flat) t = Transpose<perm=[0,2,1]>(f) p = MatMul(f, t) e = Div(p, many)
        s = Softmax<axis=-1>(e) o = MatMul(s, f) r = Reshape(o, image) b = Add(r, a)"""
    ),
    "attention between channels (DANet)": Row(
        """f = Reshape(a, flat) t = Transpose<perm=[0,2,1]>(f) p = MatMul(f, t) e = Div(p, many)
        m = ReduceMax<axes=[-1]>(e) w = Expand(m, square) d = Sub(w, e) s = Softmax<axis=-1>(d) o = MatMul(s, f)
        r = Reshape(o, image) b = Add(r, a)"""
    ),
    "global context": Row(
        """k = Conv(a, one1) l = Reshape(k, group1) s = Softmax<axis=2>(l) t = Transpose<perm=[0,2,1]>(s)
        f = Reshape(a, flat) o = MatMul(f, t) r = Unsqueeze(o, n3) c = Conv(r, k1) b = Add(a, c)"""
    ),
    "Gemm": Row("p = GlobalAveragePool(a) f = Flatten(p) c = Gemm<transB=1>(f, m0, beta) b = Reshape(c, column)"),
    "Gemm, any number for transB": Row(
        "p = GlobalAveragePool(a) f = Flatten(p) d = Gemm<transB=2>(f, gd, bd) c = Gemm<transB=-1>(d, gu, bu) "
        "b = Reshape(c, column)"
    ),
    "MatMul and a bias": Row(f"{TOKENS} c = MatMul(t, m0) u = Add(c, beta) {IMAGE}"),
    "MatMul, GELU, MatMul": Row(
        f"""{TOKENS} c = MatMul(t, m0) d = Add(c, beta) e = Div(d, root) h = Erf(e) o = Add(h, one) m = Mul(d, o)
        w = Mul(m, half) u = MatMul(w, m1) {IMAGE}""",
        reasons=("Erf: no integer kernel",),
    ),
}
NORMALISATION = {
    "BatchNormalization": Row("r = Add(a, a) b = BatchNormalization(r, gamma, beta, beta, spread)"),
    "InstanceNormalization": Row("b = InstanceNormalization(a, gamma, beta)", reasons=(STATISTICS,)),
    "group normalisation by torch": Row(
        """r = Reshape(a, group2) i = InstanceNormalization(r, ones, zeros) t = Reshape(i, image)
        m = Mul(t, gamma3) b = Add(m, vector)""",
        reasons=(STATISTICS,),
    ),
    "LayerNormalization": Row(f"{TOKENS} u = LayerNormalization(t, gamma, beta) {IMAGE}", 17, reasons=(STATISTICS,)),
    "layer normalisation by torch": Row(
        f"""{TOKENS} m = ReduceMean<axes=[-1]>(t) d = Sub(t, m) e = Pow(d, two) w = ReduceMean<axes=[-1]>(e)
        p = Add(w, tiny) s = Sqrt(p) n = Div(d, s) o = Mul(n, gamma) u = Add(o, beta) {IMAGE}""",
        reasons=(STATISTICS,),
    ),
    "division by the root mean square": Row(
        """e = Mul(a, a) w = ReduceMean<axes=[1]>(e) p = Add(w, tiny) s = Sqrt(p) n = Div(a, s) o = Mul(n, gamma3)
        b = Add(o, vector)""",
        reasons=(STATISTICS,),
    ),
    "layer normalisation of images": Row(
        """m = ReduceMean<axes=[1]>(a) d = Sub(a, m) e = Mul(d, d) w = ReduceMean<axes=[1]>(e) p = Add(w, tiny)
        s = Sqrt(p) n = Div(d, s) o = Mul(n, gamma3) b = Add(o, vector)""",
        reasons=(STATISTICS,),
    ),
}

ROWS: dict[str, Row] = {
    **CLAMPS, **BENT, **GATES, **SQUEEZE_EXCITE, **POOLS, **RESIZES, **ARITHMETIC, **MOVEMENT, **ATTENTION,
    **NORMALISATION,
}  # fmt: skip


def model_of(row: Row) -> ir.Model:
    """The network of a row: its nodes between two convolutions."""
    used = set(re.findall(r"[(,]\s*(\w+)\s*(?=[,)])", row.body))
    constants = {name: np.asarray(array) for name, array in CONSTANTS.items() if name in used}
    weights = {"w1": kernel(8, 3, 1, 1, seed=1), "b1": noise(8, seed=2) / 2, "w2": kernel(4, row.channels, 3, 3)}
    text = f"a = Conv(x, w1, b1) {row.body} y = Conv<pads=[1,1,1,1]>(b, w2)"
    return graphs.graph(text, opset=row.opset, x=row.x, **weights, **constants)
