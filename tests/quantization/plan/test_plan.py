import json
import math
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.errors import CalibrationError, PlanError
from quantseg.graph.preparation import prepare
from quantseg.quantization.affine import Range, dequantize, quantize
from quantseg.quantization.operators import RULES
from quantseg.quantization.pairs import safe_scale, unsafe
from quantseg.quantization.plan import KeptFloat, Quantised, QuantPlan, QuantSettings, bias_params, observable, plan
from quantseg.quantization.plan.grids import CONCAT_COST
from quantseg.quantization.plan.ties import STEP, STEPS
from quantseg.quantization.plan.weights import LARGEST_BIAS
from quantseg.quantization.qtypes import INT4, INT8, INT16, UINT8
from tests.support import graphs, quantised
from tests.support.quantised import Array, kernel, noise

FEEDS = [{"x": noise(1, 3, 8, 8, seed=seed)} for seed in range(3)]
W1, W2 = kernel(8, 3, 3, 3, seed=1), kernel(4, 8, 1, 1, seed=2)


def between(body: str, *, outputs: str = "float[] y", channels: int = 8, **constants: Array) -> ir.Model:
    """a = Conv(x), b = body(a), y = Conv(b)."""
    last = kernel(4, channels, 1, 1, seed=2)
    text = f"a = Conv<pads=[1,1,1,1]>(x, w1) {body} y = Conv(b, w2)"
    head = '<ir_version: 8, opset_import: ["": 13]> g (float[1,3,8,8] x) =>'
    return graphs.parse(f"{head} ({outputs}) {{ {text} }}", w1=W1, w2=last, **constants)


def planned(model: ir.Model, *, ranges: dict[str, Range] | None = None, **settings: Any) -> QuantPlan:
    """The plan at the extrema over FEEDS; `ranges` overrides single tensors."""
    prepared = prepare(model)
    seen = quantised.extrema(prepared.model, FEEDS) | (ranges or {})
    return plan(prepared, seen, QuantSettings(**settings))


def decision(made: QuantPlan, op_type: str) -> Quantised | KeptFloat:
    """Of the one node of that type."""
    (node,) = (node for node in made.nodes if node.op_type == op_type)
    return node.decision


def number(value: float) -> Array:
    return np.array(value, np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


# Clamps and the grid before them.


@pytest.mark.parametrize("settings", [{}, {"activation": INT8}, {"per_channel": False}])
def test_a_relu_is_the_saturation_of_the_grid_before_it(settings: dict[str, Any]) -> None:
    made = planned(between("b = Relu(a)"), ranges={"b": Range(0.0, 5.1)}, **settings)
    assert made.dropped == {"Relu_1"}
    assert made.tensors["a"] == made.tensors["b"]
    assert made.tensors["a"].zero_point == made.tensors["a"].qtype.qmin
    assert made.tensors["a"].scale == pytest.approx(5.1 / 255)


@pytest.mark.parametrize("activation", [UINT8, INT8])
def test_a_symmetric_grid_has_negative_values_so_the_relu_stays(activation: Any) -> None:
    made = planned(between("b = Relu(a)"), symmetric=True, activation=activation)
    assert not made.dropped
    assert isinstance(decision(made, "Relu"), Quantised)


@pytest.mark.parametrize(
    ("body", "outputs"), [("r = Relu(a) b = Add(r, a)", "float[] y"), ("b = Relu(a)", "float[] y, float[] a")]
)
def test_a_relu_stays_where_something_else_reads_what_it_cuts(body: str, outputs: str) -> None:
    made = planned(between(body, outputs=outputs))
    assert not made.dropped
    assert made.tensors["a"].zero_point > 0


def test_a_relu_of_a_float_tensor_stays_float() -> None:
    made = planned(between("t = Softplus(a) b = Relu(t)"))
    assert decision(made, "Relu") == KeptFloat("Relu: what it reads is float")


@pytest.mark.parametrize(
    ("low", "high", "seen", "dropped"),
    [
        (0.0, 6.0, (0.0, 6.0), True),
        (0.0, 6.0, (0.0, 3.0), True),  # the grid ends before the clip does
        (-1.0, 1.0, (-1.0, 1.0), True),
        (0.5, 6.0, (0.5, 6.0), False),  # every grid holds zero, which the clip would raise
        (-6.0, -0.5, (-6.0, -0.5), False),
        (0.0, 6.0, (0.0, 6.1), False),  # a calibrated range beyond the clip: more than half a step
    ],
)
def test_a_clip_folds_where_the_grid_ends_with_it(
    low: float, high: float, seen: tuple[float, float], dropped: bool
) -> None:
    model = between("b = Clip(a, l, h)", l=number(low), h=number(high))
    made = planned(model, ranges={"b": Range(*seen)})
    assert (made.dropped == {"Clip_1"}) is dropped


def test_bounds_computed_at_run_time_are_left_to_the_runtime() -> None:
    made = planned(between("h = ReduceMax<keepdims=0>(x) b = Clip(a, , h)"))
    assert "run time" in getattr(decision(made, "Clip"), "reason", "")


# Tensors on one grid.


def test_moving_values_keeps_their_grid() -> None:
    body = """m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
        r = Resize<mode="linear">(m, , s) n = Resize<mode="nearest">(r, , s)
        t = Transpose<perm=[0,1,3,2]>(n) v = Reshape(t, v1) d = DepthToSpace<blocksize=2>(v)
        c = Slice(d, c0, c1, c2) p = Pad(c, q) b1, b = Split<axis=1>(p)"""
    constants = {"s": np.array([1, 1, 2, 2], np.float32), "v1": ints(1, 8, 16, 16), "q": ints(0, 0, 1, 1, 0, 0, 1, 1)}
    model = between(body, channels=1, **constants, c0=ints(1), c1=ints(9), c2=ints(2))
    made = planned(model)
    assert not made.kept_float
    grids = {made.tensors[name] for name in ["a", "m", "r", "n", "t", "v", "d", "c", "p", "b"]}
    assert len(grids) == 1


def test_only_the_first_of_tensors_on_one_grid_is_observed() -> None:
    model = prepare(between("m = MaxPool<kernel_shape=[2,2]>(a) t = Transpose(m) b = Transpose(t)")).model
    assert observable(model.graph) == ("x", "a", "y")


@given(st.floats(0.0, 3.0), st.booleans())
def test_a_concat_shares_a_grid_exactly_where_that_costs_one_bit_at_most(bits: float, mirrored: bool) -> None:
    spans = {"a": Range(-1.0, 1.0), "c": Range(-(2.0**bits), 2.0**bits)}
    if mirrored:
        spans = {"a": spans["c"], "c": spans["a"]}
    body = "c = Conv<pads=[1,1,1,1]>(x, w1) j = Concat<axis=1>(a, c) k = Conv(j, w3) l = Add(a, c) b = Add(k, l)"
    prepared = prepare(between(body, w3=kernel(8, 16, 1, 1)))
    made = plan(prepared, {**dict.fromkeys("xybkl", Range(-1.0, 1.0)), **spans}, QuantSettings())
    wide = made.tensors["j"]
    assert (
        0 <= float(wide.scale) / (2 * 2**bits / 255) - 1 + 1e-6 < STEP * STEPS
    )  # a little more where that avoids ties
    shared = made.tensors["a"] == made.tensors["c"] == wide
    assert shared == (math.log2(2**bits) <= CONCAT_COST or bits == 0)
    assert bool(made.notes) != shared
    detail = getattr(decision(made, "Concat"), "detail", "")
    assert detail == ("one grid for all inputs" if shared else "inputs requantised")
    if not shared:
        (note,) = made.notes
        assert note.startswith("Concat_2: an input is requantised, its grid would cost")
        assert f"{'c' if mirrored else 'a'!r} {bits:.1f} bits" in note


def test_a_skip_that_is_joined_twice_pays_for_both() -> None:
    """Each step is within one bit, the two together are not: the narrowest source is remembered."""
    body = """c = Conv<pads=[1,1,1,1]>(x, w1) d = Concat<axis=1>(a, c)
        e = Conv<pads=[1,1,1,1]>(x, w1) j = Concat<axis=1>(d, e) k = Conv(j, w3) b = Add(k, a)"""
    spans = {"a": Range(0.0, 1.0), "c": Range(0.0, 2**0.8), "e": Range(0.0, 2**1.6)}
    made = planned(between(body, w3=kernel(8, 24, 1, 1)), ranges=spans)
    assert made.tensors["a"] == made.tensors["c"] == made.tensors["d"] != made.tensors["j"]


def test_what_a_concat_alone_reads_is_rounded_once_whatever_its_range() -> None:
    """Also through what only moves it; the skip, which others read, keeps its grid."""
    body = """c = Conv<pads=[1,1,1,1]>(x, w1) m = Transpose<perm=[0,1,3,2]>(c) j = Concat<axis=1>(a, m)
        k = Conv(j, w3) b = Add(k, a)"""
    spans = {"a": Range(-8.0, 8.0), "c": Range(-1.0, 1.0)}
    made = planned(between(body, w3=kernel(8, 16, 1, 1)), ranges=spans)
    assert made.tensors["c"] == made.tensors["m"] == made.tensors["j"] == made.tensors["a"]
    assert not made.notes
    made = planned(between(body, w3=kernel(8, 16, 1, 1)), ranges=spans | {"a": Range(-1.0, 1.0), "c": Range(-8.0, 8.0)})
    assert made.tensors["c"] == made.tensors["m"] == made.tensors["j"] != made.tensors["a"]


@pytest.mark.parametrize(("activation", "zero_point"), [(UINT8, 0), (INT8, -128)])
@pytest.mark.parametrize("op_type", ["Sigmoid", "Softmax"])
def test_bounded_functions_have_their_range_whatever_the_data(op_type: str, activation: Any, zero_point: int) -> None:
    model = between(f"b = {op_type}(a)")
    assert "b" not in observable(prepare(model).model.graph)
    made = planned(model, activation=activation)
    assert made.tensors["b"].scale == np.float32(1 / 255)
    assert made.tensors["b"].zero_point == zero_point


@pytest.mark.parametrize(("seen", "covered"), [(0.9, 0.9), (0.01, 4 / 64)])
def test_a_softmax_over_many_numbers_has_a_calibrated_grid_that_is_not_too_short(seen: float, covered: float) -> None:
    body = "f = Reshape(a, k) s = Softmax(f) b = Reshape(s, l)"
    made = planned(between(body, k=ints(1, 8, 64), l=ints(1, 8, 8, 8)), ranges={"s": Range(0, seen)})
    assert made.tensors["s"].scale == pytest.approx(covered / 255)


def test_constant_operands_have_their_own_extrema() -> None:
    made = planned(between("l = LeakyRelu(a) b = Add(l, c)", c=np.linspace(-1, 4.1, 8, dtype=np.float32)))
    assert made.tensors["c"].scale == pytest.approx(5.1 / 255)
    assert made.tensors["c"].zero_point == 50


def test_a_tensor_that_was_not_observed_is_named() -> None:
    prepared = prepare(between("b = Relu(a)"))
    ranges = quantised.extrema(prepared.model, FEEDS)
    del ranges["b"]
    with pytest.raises(CalibrationError, match=r"'b' was not observed, or had no element"):
        plan(prepared, ranges, QuantSettings())


# Weights and biases.


def test_weights_are_symmetric_per_output_channel() -> None:
    made = planned(between("b = Relu(a)"), full_range_weights=True)
    grid = made.weights["Conv_0"]
    assert (grid.axis, grid.qtype) == (0, INT8)
    np.testing.assert_allclose(grid.scale, np.abs(W1).max(axis=(1, 2, 3)) / 127, rtol=1e-6)
    assert not grid.zero_point.any()


@pytest.mark.parametrize(
    ("settings", "levels", "zero_point"),
    [
        ({"per_channel": False, "full_range_weights": True}, 127 / np.abs(W1).max(), 0),
        ({"per_channel": False, "reduce_range": True}, 64 / np.abs(W1).max(), 0),
        ({"per_channel": False, "weight": UINT8}, 255 / np.ptp(W1), np.round(-W1.min() / np.ptp(W1) * 255)),
        ({"per_channel": False, "weight": UINT8, "symmetric": True}, 127.5 / np.abs(W1).max(), 128),
    ],
)
def test_one_scale_for_all_weights_on_request(settings: dict[str, Any], levels: float, zero_point: int) -> None:
    grid = planned(between("b = Relu(a)"), **settings).weights["Conv_0"]
    assert grid.axis is None
    assert float(grid.scale) == pytest.approx(1 / levels)
    assert grid.zero_point == zero_point


@pytest.mark.parametrize("per_channel", [True, False])
def test_by_default_scales_grow_until_no_pair_of_weights_saturates(per_channel: bool) -> None:
    model = between("b = Relu(a)")
    made, full = (planned(model, per_channel=per_channel, full_range_weights=full) for full in (False, True))
    grid, widest = made.weights["Conv_0"], full.weights["Conv_0"]
    rows = W1.reshape(8, -1, 9)
    np.testing.assert_array_equal(grid.scale, safe_scale(rows, widest.scale))
    assert (grid.scale >= widest.scale).all()
    assert (grid.scale > widest.scale).any()
    assert not unsafe(quantize(W1, grid).reshape(rows.shape)).any()
    assert unsafe(quantize(W1, widest).reshape(rows.shape)).any()


def test_depthwise_weights_keep_all_8_bits() -> None:
    model = between("b = Conv<group=8>(a, w)", w=kernel(8, 1, 3, 3))
    made, full = (planned(model, full_range_weights=full) for full in (False, True))
    assert made.weights["Conv_1"] == full.weights["Conv_1"]


def test_uint8_weights_per_channel_are_symmetric_around_128() -> None:
    grid = planned(between("b = Relu(a)"), weight=UINT8).weights["Conv_0"]
    assert set(grid.zero_point.tolist()) == {128}
    np.testing.assert_allclose(grid.scale, np.abs(W1).max(axis=(1, 2, 3)) / 127.5, rtol=1e-6)


def test_a_dead_channel_gets_scale_one() -> None:
    weights = kernel(8, 8, 1, 1)
    weights[2] = 0
    grid = planned(between("b = Conv(a, w)", w=weights)).weights["Conv_1"]
    assert np.flatnonzero(grid.scale == 1).tolist() == [2]
    assert not grid.zero_point.any()


@pytest.mark.slow
@pytest.mark.parametrize("per_channel", [True, False])
@given(exponent=st.integers(-12, 0), bias=st.floats(-1e6, 1e6, width=32))
def test_bias_integers_leave_half_of_int32_to_the_products(per_channel: bool, exponent: int, bias: float) -> None:
    weights, biases = W1 * np.float32(10.0**exponent), np.full(8, 0.1, np.float32)
    biases[3] = bias
    model = between("b = Conv<pads=[1,1,1,1]>(x, v, c)", v=weights, c=biases)
    made = plan(
        prepare(model),
        dict.fromkeys("xby", Range(-3.0, 3.0)),
        QuantSettings(per_channel=per_channel, full_range_weights=True),
    )
    (name,) = (node.name for node in made.nodes if node.name == "Conv_1")
    grid = bias_params(made.tensors["x"], made.weights[name])
    steps = biases.astype(np.float64) / grid.scale
    assert np.abs(steps).max() <= LARGEST_BIAS * (1 + 1e-6)
    raised = bool(made.notes)
    fits = made.weights[name].scale == pytest.approx(
        np.abs(weights).max(axis=(1, 2, 3) if per_channel else None) / 127, rel=1e-6
    )
    assert fits != raised


def test_the_int32_bias_is_right_beside_tiny_weights() -> None:
    weights, biases = W1.copy(), np.zeros(8, np.float32)
    weights[3] *= 1e-7
    biases[3] = 50000
    model = between("b = Conv<pads=[1,1,1,1]>(x, v, c)", v=weights, c=biases, outputs="float[] y, float[] b")
    made = quantised.make(model, FEEDS)
    stored = quantised.initializers(made.model)["Conv_1_bias_quantized"]
    assert np.abs(stored.astype(np.int64)).max() <= LARGEST_BIAS
    assert any("weight scales raised" in note for note in made.plan.notes)
    grid = made.plan.tensors["b"]
    expected, actual = graphs.run(model, FEEDS[0])[1], quantised.optimised(made.model, FEEDS[0])[1]
    assert np.abs(actual - expected).max() <= float(grid.scale)


# Which nodes.


def test_a_node_is_excluded_by_name_pattern_or_type() -> None:
    model = between("b = Relu(a)")
    for pattern in ("Conv_0", "Conv_[0]", "*_0"):
        made = planned(model, exclude=(pattern,))
        assert not made.is_quantised("Conv_0")
        assert made.is_quantised("Conv_2")
    made = planned(model, include=("Conv",))
    assert [node.name for node in made.quantised] == ["Conv_0", "Conv_2"]
    assert made.kept_float == {"not among those of include=…": 1}
    made = planned(model, include=("Conv_*",), exclude=("Conv_0",))
    assert [node.name for node in made.quantised] == ["Conv_2"]


def test_a_type_is_no_part_of_a_name() -> None:
    with pytest.raises(PlanError):
        planned(between("b = Relu(a)"), exclude=("conv",))


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_pattern_that_fits_nothing_is_an_error(option: str) -> None:
    with pytest.raises(PlanError, match=rf"{option}='Cnov_\*': no node has this name or type"):
        planned(between("b = Relu(a)"), **{option: ("Conv", "Cnov_*")})


def test_a_plan_without_integers_is_an_error() -> None:
    with pytest.raises(PlanError, match="every node stays float"):
        planned(between("b = Relu(a)"), exclude=("Conv",))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": INT4}, "int4 activations: no kernel takes them"),
        ({"weight": INT16}, "int16 weights: no kernel takes them"),
        ({"weight": INT4, "per_channel": False}, "int4 weights per tensor: 15 steps are too few"),
        ({"activation": INT8, "weight": UINT8, "per_channel": False}, "no kernel takes this pair"),
        ({"full_range_weights": True, "reduce_range": True}, "weights=True and reduce_range=True contradict"),
    ],
)
def test_settings_without_a_kernel_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        QuantSettings(**settings)


@pytest.mark.parametrize("op_type", [op for op in RULES if RULES[op].__name__ in ("without_kernel", "at_run_time")])
def test_what_has_no_kernel_says_so(op_type: str) -> None:
    value = ir.Value(name="v", type=ir.TensorType(ir.DataType.FLOAT))
    form = RULES[op_type](ir.node(op_type, [value]))
    assert isinstance(form, KeptFloat)
    assert form.reason.startswith(f"{op_type}: ")


def test_every_float_node_has_its_reason() -> None:
    body = """t = Erf(a) s = Shape(t) n = InstanceNormalization(t, g, h) p, i = MaxPool<kernel_shape=[2,2]>(n)
        m = ReduceMean(p) q = Sub(p, m) r = Resize<mode="cubic">(q, , k)
        u = Pad(r, w, f) z = ConvTranspose<dilations=[2,2]>(u, e) b = Softplus(z)"""
    constants = {"g": noise(8), "h": noise(8), "k": np.array([1, 1, 2, 2], np.float32), "w": ints(*[0] * 8)}
    model = between(body, outputs="float[] y, int64[] s, int64[] i", **constants, f=number(3), e=kernel(8, 8, 2, 2))
    made = planned(model)
    reasons = {node.op_type: node.decision.reason for node in made.nodes if isinstance(node.decision, KeptFloat)}
    assert all(reasons.values())
    assert reasons["Softplus"] == "Softplus: no integer kernel in onnxruntime"
    assert reasons["MaxPool"] == "MaxPool: its indices are read, and integers tie where floats do not"
    assert reasons["Resize"] == "Resize: cubic interpolation overshoots the range of its input"
    assert "dilat" in reasons["ConvTranspose"]
    assert {node.op_type for node in made.quantised} == {"Conv"}


@pytest.mark.parametrize(
    ("attributes", "bias", "reason"),
    [
        ("<transA=1>", noise(4), "transA"),
        ("<alpha=0.5>", noise(4), "alpha 0.5 and beta 1"),
        ("<beta=2.0>", noise(4), "alpha 1 and beta 2"),
        ("", noise(3, 4), "differs from row to row"),
        ("", noise(3, 1), "differs from row to row"),
    ],
)
def test_a_gemm_that_the_kernel_does_not_know_stays_float(attributes: str, bias: Array, reason: str) -> None:
    body = f"f = Gemm(x, w, c) y = Gemm{attributes}(f, w, d)"
    rows = 4 if "transA" in attributes else 3
    bias = noise(3, 4)[:1] if rows == 4 else bias
    model = graphs.graph(body, x=f"float[{rows},4]", w=kernel(4, 4), c=noise(4), d=bias)
    prepared = prepare(model)
    made = plan(prepared, dict.fromkeys("xfy", Range(-1.0, 1.0)), QuantSettings())
    assert [type(node.decision) for node in made.nodes] == [Quantised, KeptFloat]
    assert reason in getattr(made.nodes[1].decision, "reason", "")


@pytest.mark.parametrize("op", ["Sigmoid(a)", 'Resize<mode="linear">(a, , s)', "Add(a, a)", "Softmax<axis=1>(a)"])
def test_integers_do_not_round_the_answer_once_more(op: str) -> None:
    model = graphs.graph(f"a = Conv(x, w1) y = {op}", x="float[1,3,8,8]", w1=W1, s=np.array([1, 1, 2, 2], np.float32))
    made = planned(model)
    assert made.is_quantised("Conv_0")
    assert "only the output head follows" in next(iter(made.kept_float))


@pytest.mark.parametrize("op", ["Relu(a)", "MaxPool<kernel_shape=[2,2]>(a)", "Transpose(a)"])
def test_what_moves_the_answer_exactly_stays_in_integers(op: str) -> None:
    made = planned(graphs.graph(f"a = Conv(x, w1) y = {op}", x="float[1,3,8,8]", w1=W1))
    assert not made.kept_float


def test_the_plan_is_strict_json_in_the_order_of_the_graph() -> None:
    model = between("t = Tanh(a) r = Relu(t) b = LeakyRelu(r)")
    made = planned(model, exclude=("LeakyRelu",))
    content = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert [node["name"] for node in content["nodes"]] == [str(node.name) for node in prepare(model).model.graph]
    assert content["settings"]["exclude"] == ["LeakyRelu"]
    assert content["tensors"]["x"]["qtype"] == "uint8"
    assert {node["precision"] for node in content["nodes"]} == {"integer", "float"}
    assert all(node["reason"] for node in content["nodes"] if node["precision"] == "float")
    assert len(content["weights"]["Conv_0"]["scale"]) == 8


def test_the_plan_tells_what_was_lowered() -> None:
    made = planned(between("d = Dropout(a) b = Relu(d)"))
    assert made.changes == ("remove_identities: Dropout_1: Dropout changes nothing",)


@given(st.floats(-50, 50), st.floats(0.01, 100))
def test_every_grid_holds_zero_exactly(low: float, width: float) -> None:
    prepared = prepare(between("b = LeakyRelu(a)"))
    made = plan(prepared, dict.fromkeys(observable(prepared.model.graph), Range(low, low + width)), QuantSettings())
    for params in made.tensors.values():
        assert dequantize(params.zero_point, params) == 0
