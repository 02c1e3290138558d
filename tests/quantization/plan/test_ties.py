"""Scales with which no processor rounds otherwise: what is counted as proved is true of the written file."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.graph.preparation import prepare
from quantseg.quantization import formats
from quantseg.quantization.affine import QuantParams, Range, params_from_range
from quantseg.quantization.plan import QuantPlan, QuantSettings, plan, ties
from quantseg.quantization.plan.ties import STEP, STEPS, blend_scales
from quantseg.quantization.qtypes import INT8, UINT8
from quantseg.quantization.rounding.agreement import PairGrids, apart, differ
from tests.support import graphs, quantised
from tests.support.quantised import Array, kernel, noise

W1, W2 = kernel(8, 3, 3, 3, seed=1), kernel(4, 8, 1, 1, seed=2)
FEEDS = [{"x": noise(1, 3, 8, 8, seed=seed)} for seed in range(2)]
spans = st.tuples(st.floats(-4, 0), st.floats(0.1, 4)).map(lambda ends: Range(*ends))
settings_of = st.fixed_dictionaries({"activation": st.sampled_from([UINT8, INT8]), "symmetric": st.booleans()})


def between(body: str, **constants: Array) -> ir.Model:
    """a = Conv(x), c = Conv(x), b = body(a, c), y = Conv(b)."""
    text = f"a = Conv<pads=[1,1,1,1]>(x, w1) c = Conv<pads=[1,1,1,1]>(x, w3) {body} y = Conv(b, w2)"
    return graphs.graph(text, x="float[1,3,8,8]", w1=W1, w2=W2, w3=-W1[::-1], **constants)


def planned(model: ir.Model, given_ranges: dict[str, Range], **wanted: Any) -> QuantPlan:
    prepared = prepare(model)
    return plan(prepared, quantised.extrema(prepared.model, FEEDS) | given_ranges, QuantSettings(**wanted))


def pairs(made: QuantPlan, *names: str, sign: int = 1) -> int:
    """Pairs of all integers on which kernels of a sum (sign 1) or difference (−1) on these tensors' grids differ."""
    params = [made.tensors[name] for name in names]
    scales = [float(each.scale) for each in params]
    zeros = tuple(int(each.zero_point) for each in params)
    found = PairGrids((scales[0], sign * scales[1], scales[2]), zeros, params[0].qtype.signed)
    a, b = (side.reshape(-1) + found.limits[0] for side in np.indices((256, 256)))
    return int(np.count_nonzero(differ("Add", found, a, b)))


@pytest.mark.slow
@pytest.mark.parametrize(("op_type", "sign"), [("Add", 1), ("Sub", -1)])
@settings(max_examples=25, deadline=None)
@given(spans, spans, spans, settings_of)
def test_the_count_of_a_sum_is_that_of_all_pairs(
    op_type: str, sign: int, a: Range, c: Range, b: Range, wanted: dict[str, Any]
) -> None:
    made = planned(between(f"b = {op_type}(a, c)"), {"a": a, "c": c, "b": b}, **wanted)
    assert made.ties == {f"{op_type}_2": pairs(made, "a", "c", "b", sign=sign)}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.floats(0.5, 4), st.sampled_from([0.25, 0.5, 1.0, 2.0]), st.sampled_from([1.0, 1.5, 2.0]), settings_of)
def test_sums_that_would_lie_at_ties_are_mended(a: float, share: float, factor: float, wanted: dict[str, Any]) -> None:
    """Ratios of scales that are simple fractions: with the scales as calibrated many sums lie half way."""
    ranges = {"a": Range(0, a), "c": Range(0, a * share), "b": Range(0, a * factor)}
    made = planned(between("b = Add(a, c)"), ranges, **wanted)
    assert made.ties == {"Add_2": 0}
    assert pairs(made, "a", "c", "b") == 0


@settings(max_examples=30, deadline=None)
@given(spans, spans, spans, settings_of)
def test_a_scale_grows_by_a_thousandth_at_most_and_covers_its_range(
    a: Range, c: Range, b: Range, wanted: dict[str, Any]
) -> None:
    made = planned(between("b = Mul(a, c)"), {"a": a, "c": c, "b": b}, **wanted)
    activation, symmetric = wanted["activation"], wanted["symmetric"]
    for name, span in {"a": a, "c": c, "b": b}.items():
        asked = params_from_range(span, activation, symmetric=symmetric)
        assert made.tensors[name].zero_point == asked.zero_point
        grown = float(made.tensors[name].scale / asked.scale)
        assert 1 <= grown <= 1 + STEP * STEPS if name == "b" else grown == 1


def test_every_tensor_of_a_group_moves_together() -> None:
    body = "s = Add(a, c) p = MaxPool<kernel_shape=[2,2]>(s) b = Relu(p)"
    made = planned(between(body), {"a": Range(-2, 2), "c": Range(-1, 1), "s": Range(-3, 3), "p": Range(-3, 3)})
    assert made.tensors["s"] == made.tensors["p"]
    assert made.ties == {"Add_2": 0}


def test_a_chain_of_sums_settles_one_after_the_other() -> None:
    body = "s = Add(a, c) t = Add(s, a) u = Sub(t, c) b = Add(u, s)"
    ranges = {
        "a": Range(0, 1),
        "c": Range(0, 1),
        "s": Range(0, 2),
        "t": Range(0, 3),
        "u": Range(0, 2),
        "b": Range(0, 4),
    }
    made = planned(between(body), ranges)
    assert made.ties == dict.fromkeys(["Add_2", "Add_3", "Sub_4", "Add_5"], 0)
    for names, sign in {("a", "c", "s"): 1, ("s", "a", "t"): 1, ("t", "c", "u"): -1, ("u", "s", "b"): 1}.items():
        assert pairs(made, *names, sign=sign) == 0


def test_of_a_constant_only_its_own_integers_count() -> None:
    constant = np.array([0.0, 1.0], np.float32).reshape(1, 2, 1, 1)
    body = "d = Reshape(a, shape) s = Mul(d, k) b = Reshape(s, back)"
    shapes = {"shape": np.array([1, 2, 32, 8]), "back": np.array([1, 8, 8, 8])}
    made = planned(between(body, k=constant, **shapes), {"a": Range(0, 2), "d": Range(0, 2), "s": Range(0, 1.3)})
    assert made.ties[next(name for name in made.ties if name.startswith("Mul"))] == 0


def test_what_is_not_mended_is_counted_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ties, "STEPS", 1)  # nothing may move
    made = planned(between("b = Add(a, c)"), {"a": Range(0, 1), "c": Range(0, 1), "b": Range(0, 2)})
    count = pairs(made, "a", "c", "b")
    assert count > 10_000
    assert made.ties == {"Add_2": count}
    assert made.to_json()["ties"] == {"Add_2": count}
    assert f"Add_2: {count} of its possible inputs are rounded otherwise by another processor" in made.notes


@pytest.mark.parametrize("qtype", [UINT8, INT8])
@pytest.mark.parametrize("own", [0.75, 0.5, 0.25, 0.875, 0.625, 1 / 3, 0.9])
@settings(max_examples=15, deadline=None)
@given(span=spans)
def test_a_pixel_and_its_neighbour_never_meet_half_way(qtype: Any, own: float, span: Range) -> None:
    params = params_from_range(span, qtype)
    first, second = blend_scales(params, own)
    assert blends_apart((first, second), params) == 0
    assert own * (1 - STEP * STEPS) <= float(first / params.scale) <= own * (1 + 1e-6)
    assert float((first + second) / params.scale) == pytest.approx(1, abs=1e-3)


def blends_apart(scales: tuple[np.float32, np.float32], params: QuantParams) -> int:
    zero = int(params.zero_point)
    return apart("Add", PairGrids((*map(float, scales), float(params.scale)), (zero,) * 3, params.qtype.signed))


@pytest.mark.parametrize("qformat", ["qdq", "qoperator", "channels-last"])
def test_the_sums_of_a_written_resize_are_those_that_were_proved(qformat: str) -> None:
    body = 'b = Resize<mode="linear">(a, , k)'
    prepared = prepare(between(body, k=np.array([1, 1, 2, 2], np.float32)))
    made = plan(prepared, quantised.extrema(prepared.model, FEEDS), QuantSettings())
    assert set(made.ties.values()) == {0}
    written = formats.emit(prepared.model, made, qformat=qformat, metadata={})
    stored = {float(array) for array in quantised.initializers(written).values() if array.shape == ()}
    for own in (0.75, 0.25):
        assert {float(scale) for scale in blend_scales(made.tensors["a"], own)} <= stored
