"""The plan beside onnxruntime's own quantizer, at min/max and like settings: same scales, zero-points and outputs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quantseg.evaluation.peers import PeerSettings, quantize_with_onnxruntime
from quantseg.graph import load, to_bytes
from quantseg.quantization.plan.ties import STEP, STEPS
from quantseg.quantization.qtypes import INT8, UINT8
from tests.support import graphs, models, quantised
from tests.support.quantised import Array, kernel, noise

FEEDS = [{"x": noise(1, 3, 16, 16, seed=seed)} for seed in range(4)]

SETTINGS: dict[str, dict[str, Any]] = {
    "uint8, int8 per channel": {},
    "uint8, int8 per tensor": {"per_channel": False},
    "symmetric": {"symmetric": True},
    "symmetric per tensor": {"symmetric": True, "per_channel": False},
    "int8, int8": {"activation": INT8},
    "int8, int8 symmetric": {"activation": INT8, "symmetric": True},
    "reduced range": {"reduce_range": True},
    "reduced range per tensor": {"reduce_range": True, "per_channel": False},
    "uint8, uint8 per tensor": {"weight": UINT8, "per_channel": False},
    "uint8, uint8 reduced": {"weight": UINT8, "per_channel": False, "reduce_range": True},
}


def ours(model: ir.Model, name: str, *, qformat: str = "qdq") -> quantised.Made:
    """The model as this tool makes it, with int8 weights of the whole range: onnxruntime's quantizer has no others."""
    settings = SETTINGS[name]
    whole = settings.get("weight", INT8) is INT8 and "reduce_range" not in settings
    return quantised.make(model, FEEDS, qformat=qformat, full_range_weights=whole, **settings)


def theirs(model: ir.Model, folder: Path, *, qformat: str = "qdq", **settings: Any) -> ir.Model:
    """The model as onnxruntime's quantizer makes it, calibrated on FEEDS."""
    source, target = folder / "float.onnx", folder / "int8.onnx"
    source.write_bytes(to_bytes(model))
    names = {"activation": "activation_type", "weight": "weight_type", "symmetric": "activation_symmetric"}
    options = {names.get(key, key): getattr(value, "name", value) for key, value in settings.items()}
    options["weight_symmetric"] = settings.get("weight", INT8).signed
    quantize_with_onnxruntime(source, target, FEEDS, PeerSettings(qformat=qformat, **options))
    return load(target)


def grids(model: ir.Model) -> dict[str, tuple[Array, Array]]:
    """Tensor → scale and zero-point: constants of its QuantizeLinear (activations), DequantizeLinear (weights)."""
    stored = quantised.initializers(model)
    found = {}
    for node in model.graph:
        if node.op_type == "QuantizeLinear":
            tensor = str(node.outputs[0].name).removesuffix("_QuantizeLinear_Output")
        elif node.op_type == "DequantizeLinear" and str(node.inputs[0].name) in stored:
            tensor = str(node.inputs[0].name).removesuffix("_quantized")
        else:
            continue
        found[tensor] = stored[str(node.inputs[1].name)], stored[str(node.inputs[2].name)]
    return found


@pytest.fixture(scope="module")
def network() -> ir.Model:
    """Convolutions (grouped, strided, with bias and without), sum, product, MaxPool, Resize: where both tools agree."""
    body = """
        a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a)
        p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
        c = Conv<group=2, pads=[1,1,1,1]>(p, w2) l = LeakyRelu(c) s = Add(p, l)
        v = Mul(s, l)
        n = Resize<mode="nearest">(v, , k)
        y = Conv<pads=[1,1,1,1], strides=[2,2]>(n, w3, b3)"""
    constants = {"b1": noise(8, seed=4) / 10, "b3": noise(4, seed=5) / 10, "k": np.array([1, 1, 2, 2], np.float32)}
    weights = {"w1": kernel(8, 3, 3, 3, seed=1), "w2": kernel(8, 4, 3, 3, seed=2), "w3": kernel(4, 8, 3, 3, seed=3)}
    return graphs.graph(body, x="float[1,3,16,16]", **constants, **weights)


@pytest.mark.parametrize("name", SETTINGS)
def test_scales_and_zero_points_are_equal(network: ir.Model, tmp_path: Path, name: str) -> None:
    decided = ours(network, name).plan
    peers = grids(theirs(network, tmp_path, **SETTINGS[name]))
    for tensor in "xrpclsvny":
        scale, zero_point = peers[tensor]
        grown = float(decided.tensors[tensor].scale / scale - 1)  # sums and products: so that no tie is reached
        assert -3e-7 < grown < (STEP * STEPS if tensor in "svn" else 3e-7), tensor
        assert decided.tensors[tensor].zero_point == zero_point, tensor
    for conv, weight in zip(decided.weights, ("w1", "w2", "w3"), strict=True):
        scale, zero_point = peers[weight]
        np.testing.assert_allclose(decided.weights[conv].scale, scale, rtol=3e-7, err_msg=weight)
        np.testing.assert_array_equal(decided.weights[conv].zero_point, zero_point, err_msg=weight)


@pytest.mark.parametrize("qformat", ["qdq", "qoperator"])
@pytest.mark.parametrize("name", SETTINGS)
def test_outputs_agree_within_a_step(network: ir.Model, tmp_path: Path, name: str, qformat: str) -> None:
    made = ours(network, name, qformat=qformat)
    other = theirs(network, tmp_path, qformat=qformat, **SETTINGS[name])
    step = float(made.plan.tensors["y"].scale)
    for feed in FEEDS:
        mine, peers = (graphs.run(model, feed)[0] for model in (made.model, other))
        assert np.abs(mine - peers).max() <= 1.001 * step


@pytest.mark.parametrize("name", SETTINGS)
def test_stored_weights_are_equal(network: ir.Model, tmp_path: Path, name: str) -> None:
    mine = quantised.initializers(ours(network, name).model)
    stored = quantised.initializers(theirs(network, tmp_path, **SETTINGS[name]))
    for weight in ("w1", "w2", "w3"):
        np.testing.assert_array_equal(mine[f"{weight}_quantized"], stored[f"{weight}_quantized"], err_msg=weight)


# Where the two are known to differ.


def test_concat_inputs_share_our_grid_and_keep_theirs(tmp_path: Path) -> None:
    """The other tool requantises each input of a Concat; one grid for all spares that where it costs little."""
    body = """a = Conv<pads=[1,1,1,1]>(x, w1) c = Conv<pads=[1,1,1,1]>(x, w2)
        b = Concat<axis=1>(a, c) y = Conv(b, w3)"""
    weights = {"w1": kernel(8, 3, 3, 3, seed=1), "w2": kernel(8, 3, 3, 3, seed=2), "w3": kernel(4, 16, 1, 1)}
    model = graphs.graph(body, x="float[1,3,16,16]", **weights)
    ours = quantised.make(model, FEEDS).plan.tensors
    peers = grids(theirs(model, tmp_path))
    assert ours["a"] == ours["b"] == ours["c"]
    assert len({float(peers[tensor][0]) for tensor in "abc"}) > 1
    assert float(ours["b"].scale) == pytest.approx(float(peers["b"][0]), rel=3e-7)


def test_an_average_has_our_own_grid_and_their_inputs(tmp_path: Path) -> None:
    """Averages are narrower than what they average, so a grid of their own resolves them better."""
    weights = {"w1": kernel(8, 3, 3, 3), "w2": kernel(4, 8, 1, 1)}
    model = graphs.graph(
        "a = Conv(x, w1) b = AveragePool<kernel_shape=[3,3]>(a) y = Conv(b, w2)", x="float[1,3,16,16]", **weights
    )
    ours = quantised.make(model, FEEDS).plan.tensors
    peers = grids(theirs(model, tmp_path))
    assert ours["b"].scale < ours["a"].scale
    assert peers["b"] == peers["a"]


def test_conv_transpose_runs_in_integers_in_ours_alone(tmp_path: Path) -> None:
    """No onnxruntime kernel computes ConvTranspose in integers; ours is lowered to Conv + DepthToSpace before."""
    model = ir.serde.deserialize_model(models.unet(base=4, depth=1, classes=2, size=16))
    ours, peers = quantised.make(model, FEEDS).model, theirs(model, tmp_path)
    kinds = {}
    for name, made in (("ours", ours), ("peers", peers)):
        onnx.checker.check_model(onnx.load_from_string(to_bytes(made)), full_check=True)
        kinds[name] = {node.op_type for node in quantised.executed(made, FEEDS[0]) if node.kind == "float"}
    assert kinds == {"ours": set(), "peers": {"ConvTranspose"}}


def test_the_bias_of_tiny_weights_overflows_in_neither(tmp_path: Path) -> None:
    """Both raise the weights' scale, by different rules."""
    weights, bias = kernel(8, 3, 3, 3), np.zeros(8, np.float32)
    weights[3] *= 1e-7
    bias[3] = 1000
    model = graphs.graph("y = Conv(x, w, b)", x="float[1,3,16,16]", w=weights, b=bias)
    made = quantised.make(model, FEEDS)
    expected = graphs.run(model, FEEDS[0])[0]
    for result in (made.model, theirs(model, tmp_path)):
        assert np.abs(graphs.run(result, FEEDS[0])[0] - expected).max() <= float(made.plan.tensors["y"].scale)
