import warnings
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.quantization import quant_utils

from quantseg.errors import CalibrationError, PlanError
from quantseg.quantization.affine import (
    QuantParams,
    Range,
    dequantize,
    integer_limits,
    params_from_range,
    params_of_weights,
    quantize,
)
from quantseg.quantization.qtypes import INT4, INT8, INT16, INT32, QTYPES, UINT4, UINT8, UINT16
from tests.support import models
from tests.support.strategies import LARGEST, STORED, moderate, params, ranges, reals, tensors

WHOLE = [UINT8, INT8, UINT16, INT16]
booleans = st.booleans()
types = st.sampled_from(STORED)


def onnx_type(qtype):
    return getattr(TensorProto, qtype.name.upper())


def params_for(low, high, qtype=UINT8, **settings):
    return params_from_range(Range(low, high), qtype, **settings)


# Range


@given(ranges(), ranges(), reals)
def test_a_union_is_the_least_range_that_holds_both(a, b, x):
    def holds(span, value):
        return span.minimum <= value <= span.maximum

    union = a | b
    assert union == b | a
    assert not (holds(a, x) or holds(b, x)) or holds(union, x)
    assert {union.minimum, union.maximum} <= {a.minimum, a.maximum, b.minimum, b.maximum}
    assert union.width >= max(a.width, b.width)


@given(ranges())
def test_widening_to_zero_changes_a_range_only_where_it_must(span):
    wide = span.with_zero()
    assert wide.minimum <= 0 <= wide.maximum
    assert wide == wide.with_zero() == span | wide
    assert (wide == span) == (span.minimum <= 0 <= span.maximum)


@pytest.mark.parametrize("ends", [(1, 0), (np.nan, 1), (0, np.nan), (-np.inf, 0), (0, np.inf)])
def test_a_range_is_finite_and_in_order(ends):
    with pytest.raises(CalibrationError, match="is not a finite range"):
        Range(*ends)


# Scale and zero-point, beside onnxruntime's quantizer


@given(ranges(), st.sampled_from(WHOLE), booleans, booleans)
@example(Range(0, 0), UINT8, False, False)
@example(Range(0, 1e-37), UINT8, False, False)
@example(Range(-LARGEST, LARGEST), INT16, False, False)
@example(Range(-0.0, 5), UINT8, True, False)
@example(Range(5, 6), INT8, False, True)
def test_scale_and_zero_point_of_a_range_are_onnxruntimes(span, qtype, symmetric, reduced):
    ours = params_from_range(span, qtype, symmetric=symmetric, reduced=reduced)
    qmin, qmax = quant_utils.get_qmin_qmax_for_qType(onnx_type(qtype), reduce_range=reduced, symmetric=symmetric)
    low, high = np.float32(span.minimum), np.float32(span.maximum)
    zero, scale = quant_utils.compute_scale_zp(low, high, qmin, qmax, symmetric)
    assert (ours.scale, ours.zero_point) == (scale, zero)
    assert (ours.scale.dtype, ours.zero_point.dtype) == (np.float32, qtype.dtype)
    assert ours.scale.shape == ours.zero_point.shape == ()


@given(
    arrays(np.float32, (3, 2, 2), elements=reals),
    st.sampled_from(WHOLE),
    booleans,
    booleans,
    st.sampled_from([None, 0, 1, -1]),
)
@example(np.zeros((3, 2, 2), np.float32), INT8, True, False, 0)
def test_weights_are_stored_as_onnxruntime_stores_them(weights, qtype, symmetric, reduced, axis):
    """Per tensor and per channel: onnxruntime quantises each channel as a tensor of its own."""
    ours = params_of_weights(weights, qtype, axis=axis, symmetric=symmetric, reduced=reduced)
    channels = [weights] if axis is None else np.moveaxis(weights, axis, 0)
    with np.errstate(over="ignore"):
        theirs = [
            quant_utils.quantize_data(c.ravel(), onnx_type(qtype), symmetric, reduce_range=reduced) for c in channels
        ]
    assert ours.scale.shape == (() if axis is None else (len(channels),))
    assert ours.scale.ravel().tolist() == [float(scale) for _, scale, _ in theirs]
    assert ours.zero_point.ravel().tolist() == [int(zero) for zero, _, _ in theirs]
    stored = quantize(weights, ours)
    stored = stored[None] if axis is None else np.moveaxis(stored, axis, 0)
    for mine, (_, _, quantised) in zip(stored, theirs, strict=True):
        assert np.array_equal(mine.ravel(), quantised)


@given(ranges(), st.sampled_from([UINT4, INT4]))
def test_four_bits_are_onnxruntimes_where_the_range_is_not_symmetric(span, qtype):
    ours = params_from_range(span, qtype)
    qmin, qmax = quant_utils.get_qmin_qmax_for_qType(onnx_type(qtype))
    zero, scale = quant_utils.compute_scale_zp(np.float32(span.minimum), np.float32(span.maximum), qmin, qmax)
    assert (ours.scale, ours.zero_point) == (scale, zero)


def test_symmetric_int4_is_known_to_differ():
    """onnxruntime spreads [−a, a] over −8 … 7, so that a itself saturates; here both ends are exact."""
    qmin, qmax = quant_utils.get_qmin_qmax_for_qType(TensorProto.INT4, symmetric=True)
    _, scale = quant_utils.compute_scale_zp(np.float32(-7), np.float32(7), qmin, qmax, symmetric=True)
    assert 7 * scale < 6.6
    assert params_for(-7, 7, INT4, symmetric=True).representable.maximum == 7


def test_the_formula_by_hand():
    p = params_for(-1, 3)
    assert (p.scale, p.zero_point) == (np.float32(4 / 255), 64)  # 1 / (4/255) = 63.75
    p = params_for(-1, 3, INT8, symmetric=True)
    assert (p.scale, p.zero_point) == (np.float32(3 / 127), 0)
    p = params_for(2, 3)
    assert (p.scale, p.zero_point) == (np.float32(3 / 255), 0)


def test_a_reduced_range_needs_eight_bits():
    with pytest.raises(PlanError, match=r"int4: .*reduce_range=True"):
        integer_limits(INT4, symmetric=False, reduced=True)


@given(ranges(moderate), types, booleans)
def test_the_grid_covers_the_range_to_half_a_step(span, qtype, symmetric):
    """Half a step, because zero-points are rounded; 0.01 more, because the scale is, and counts 65,535 times."""
    p = params_from_range(span, qtype, symmetric=symmetric)
    grid, slack = p.representable, float(p.scale) * 0.51
    wide = span.with_zero()
    assert grid.minimum <= 0 <= grid.maximum
    assert grid.minimum - slack <= wide.minimum
    assert wide.maximum <= grid.maximum + slack


# Quantise and dequantise


@given(tensors(moderate), params())
def test_the_error_is_half_a_step_inside_and_saturates_outside(x, p):
    """To float32: x / S is off by half a unit in the last place, which is 2⁻²⁴ of it, and so is S · (q − Z)."""
    restored, grid, scale = dequantize(quantize(x, p), p), p.representable, float(p.scale)
    low, high = np.float32(grid.minimum), np.float32(grid.maximum)
    nearest = np.clip(x, low, high).astype(np.float64)
    slack = np.abs(nearest) * 2.0**-22
    assert np.all(np.abs(restored - nearest) <= scale / 2 + slack)
    assert np.all(restored[x >= high] == high)
    assert np.all(restored[x <= low] == low)


@given(params(reals))
def test_zero_is_exact(p):
    for zero in (0.0, -0.0):
        stored = quantize(np.full(3, zero, np.float32), p)
        assert np.all(stored == p.zero_point)
        assert np.all(dequantize(stored, p) == 0)


@given(params(), st.data())
def test_stored_values_survive_the_round_trip(p, data):
    elements = st.integers(p.qtype.qmin, p.qtype.qmax)
    q = data.draw(arrays(p.qtype.dtype, 50, elements=elements))
    assert np.array_equal(quantize(dequantize(q, p), p), q)


@given(tensors(), params(reals))
def test_larger_values_are_never_stored_as_smaller_ones(x, p):
    stored = quantize(np.sort(x), p).astype(np.int64)
    assert np.all(np.diff(stored) >= 0)
    assert np.all((stored >= p.qtype.qmin) & (stored <= p.qtype.qmax))


def test_ties_go_to_even():
    p = QuantParams(np.float32(2), np.uint8(10), UINT8)
    assert quantize(np.array([1, 3, 5, -1, -3], np.float32), p).tolist() == [10, 12, 12, 10, 8]


def test_beyond_float32_saturates_without_a_warning():
    p = params_for(0, 1e-30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert quantize(np.array([-LARGEST, LARGEST], np.float32), p).tolist() == [0, 255]


def test_channels_are_quantised_each_by_its_own():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    whole = params_of_weights(x, INT8, axis=1)
    for channel in range(3):
        alone = QuantParams(whole.scale[channel], whole.zero_point[channel], INT8)
        assert np.array_equal(quantize(x, whole)[:, channel], quantize(x[:, channel], alone))
        assert np.array_equal(
            dequantize(quantize(x, whole), whole)[:, channel], dequantize(quantize(x, alone), alone)[:, channel]
        )


# Beside the operators of ONNX


def linear(kind, p, shape):
    """A model of one QuantizeLinear or DequantizeLinear with these parameters."""
    real, stored = TensorProto.FLOAT, onnx_type(p.qtype)
    x, y = (real, stored) if kind == "QuantizeLinear" else (stored, real)
    attributes = {} if p.axis is None else {"axis": p.axis}
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "scale", "zero"], ["y"], **attributes)],
        "linear",
        [helper.make_tensor_value_info("x", x, shape)],
        [helper.make_tensor_value_info("y", y, shape)],
        [
            helper.make_tensor("scale", real, p.scale.shape, p.scale.ravel()),
            helper.make_tensor("zero", stored, p.zero_point.shape, p.zero_point.ravel()),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def drawn_values(seed, shape):
    """Values with ties, ends and far outliers for a grid around [−1, 1]."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype(np.float32)
    flat = x.ravel()
    flat[::5] = np.round(flat[::5] * 254) / 254
    flat[::11] *= 1000
    return x


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("qtype", WHOLE, ids=attrgetter("name"))
def test_onnxruntime_quantises_and_dequantises_alike(qtype, symmetric, axis):
    x = drawn_values(0, (3, 4, 50))
    p = params_of_weights(np.clip(x, -1, 1.5), qtype, axis=axis, symmetric=symmetric)
    q = quantize(x, p)
    assert np.array_equal(models.run(linear("QuantizeLinear", p, x.shape), {"x": x})[0], q)
    assert np.array_equal(models.run(linear("DequantizeLinear", p, x.shape), {"x": q})[0], dequantize(q, p))


@pytest.mark.parametrize("axis", [None, 1])
@pytest.mark.parametrize("qtype", STORED, ids=attrgetter("name"))
def test_the_onnx_reference_quantises_and_dequantises_alike(qtype, axis):
    x = drawn_values(1, (3, 4, 50))
    p = params_of_weights(np.clip(x, -1, 1.5), qtype, axis=axis, symmetric=False)
    stored = np.asarray(ReferenceEvaluator(linear("QuantizeLinear", p, x.shape)).run(None, {"x": x})[0])
    assert np.array_equal(stored.astype(qtype.dtype), quantize(x, p))
    restored = ReferenceEvaluator(linear("DequantizeLinear", p, x.shape)).run(None, {"x": stored})[0]
    assert np.array_equal(restored, dequantize(quantize(x, p), p))


def test_biases_are_stored_in_int32():
    p = QuantParams(np.array([2.0**-20, 2.0**-10], np.float32), np.zeros(2, np.int32), INT32, axis=0)
    bias = np.array([3.5, -(2.0**30)], np.float32)
    q = quantize(bias, p)
    assert q.tolist() == [3.5 * 2**20, -(2**31)]
    assert dequantize(q, p).tolist() == [3.5, -(2.0**21)]
    assert np.array_equal(models.run(linear("DequantizeLinear", p, bias.shape), {"x": q})[0], dequantize(q, p))


# Values that compare


def test_parameters_compare_by_value():
    a, b = params_for(-1, 3), params_for(-1, 3)
    assert (a == b, hash(a) == hash(b)) == (True, True)
    for other in (params_for(-1, 4), params_for(-1, 3, QTYPES["uint16"]), "params"):
        assert a != other
    rows = np.array([[1, 2], [3, 4]], np.float32)
    assert params_of_weights(rows, INT8, axis=0) != params_of_weights(rows, INT8, axis=1)


@given(tensors(moderate), types)
def test_weights_per_tensor_are_their_range(x, qtype):
    assume(qtype.bits >= 8)
    whole = params_from_range(Range(float(x.min()), float(x.max())), qtype, symmetric=True)
    assert params_of_weights(x, qtype, axis=None) == whole
