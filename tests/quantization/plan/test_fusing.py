"""Activations that a runtime fuses into products: one rounding less, and nothing else, in plan and file."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.errors import PlanError
from quantseg.graph.preparation import Fusing, Prepared, prepare
from quantseg.mixed_precision.target_facts import FUSED_BY_OPENVINO
from quantseg.quantization import formats
from quantseg.quantization.affine import dequantize, quantize
from quantseg.quantization.fake_quant import fake_quantised, rounded_tensors
from quantseg.quantization.pair_check import require_safe
from quantseg.quantization.plan import QuantPlan, QuantSettings, plan
from quantseg.quantization.plan.fusing import FUSED
from tests.support.graphs import Array, graph, op_types, run
from tests.support.quantised import extrema, kernel, noise, optimised

KERNELS = {"v": kernel(8, 4, 3, 3), "w": kernel(6, 8, 1, 1, seed=1), "k": kernel(3, 6, 1, 1, seed=2)}
NUMBERS = {"b": noise(8, seed=3), "s": np.linspace(-0.3, 1.4, 8, dtype=np.float32).reshape(8, 1, 1)}
FEEDS = [{"x": noise(1, 4, 9, 9, seed=seed) * 3} for seed in range(3)]
FIRST = "a = Conv<pads = [1, 1, 1, 1]>(x, v, b)"
ACTIVATIONS = {
    "HardSwish": "h = HardSwish(a)",
    "HardSigmoid": "h = HardSigmoid<alpha = 0.3, beta = 0.4>(a)",
    "PRelu": "h = PRelu(a, s)",
}
GATE = """
    q = GlobalAveragePool(p) e = Conv(q, w) f = Relu(e) t = Conv(f, back) g = HardSigmoid<alpha = 0.2>(t) h = Mul(p, g)
"""
NETWORKS = {
    **{name: f"{FIRST} {line} y = Conv(h, w)" for name, line in ACTIVATIONS.items()},
    "squeeze-excite": f"{FIRST} p = HardSwish(a) {GATE} c = Conv(h, w) d = Relu(c) y = Conv(d, k)",
    "in a row": f"{FIRST} h = PRelu(a, s) c = Conv(h, w) d = HardSwish(c) y = Conv(d, k)",
}


def prepared_of(body: str, *, y: str = "float[]", fusing: Fusing = FUSED_BY_OPENVINO, **more: Array) -> Prepared:
    known = KERNELS | NUMBERS | {"back": kernel(8, 6, 1, 1, seed=4)} | more
    used = {name: array for name, array in known.items() if f" {name})" in body or f" {name}," in body}
    return prepare(graph(body, opset=14, x="float[1,4,9,9]", y=y, **used), fusing=fusing)


def planned(prepared: Prepared, **wanted: Any) -> QuantPlan:
    return plan(prepared, extrema(prepared.model, FEEDS), QuantSettings(**wanted))


def written(prepared: Prepared, decided: QuantPlan) -> ir.Model:
    return formats.emit(prepared.model, decided, qformat="qdq", metadata={})


def fused(decided: QuantPlan) -> list[str]:
    """The operators that compute within a product."""
    return [node.op_type for node in decided.nodes if getattr(node.decision, "reason", "") == FUSED]


def makers(model: ir.Model, op_type: str) -> set[str]:
    """Operators that make what nodes of this kind read."""
    found = [node.inputs[0].producer() for node in model.graph if node.op_type == op_type]
    return {node.op_type for node in found if node is not None}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_stay_as_they_are_and_read_the_product_itself(name: str) -> None:
    prepared = prepared_of(NETWORKS[name])
    assert op_types(prepared.model) == ["Conv", name, "Conv"]
    decided = planned(prepared)
    assert fused(decided) == [name]
    assert "a" not in decided.tensors
    made = written(prepared, decided)
    assert makers(made, name) == {"Conv"}
    (activation,) = (node for node in made.graph if node.op_type == name)
    assert [user.op_type for user, _ in activation.outputs[0].uses()] == ["QuantizeLinear"]


def test_for_any_runtime_nothing_of_it_happens() -> None:
    for body in NETWORKS.values():
        known = prepared_of(body, fusing=Fusing())
        portable = prepare(known.model)
        assert not {*ACTIVATIONS} & {*op_types(portable.model)}
        assert not fused(planned(portable))
        assert not any("OpenVINO" in note for note in planned(portable).notes)


@pytest.mark.parametrize("name", NETWORKS)
def test_all_other_grids_and_all_weights_are_as_without(name: str) -> None:
    prepared = prepared_of(NETWORKS[name])
    alone, together = planned(replace(prepared, fused=None)), planned(prepared)
    left_out = {key for key in alone.tensors if key not in together.tensors}
    assert len(left_out) == len(fused(together)) > 0
    assert {key: grid for key, grid in alone.tensors.items() if key not in left_out} == together.tensors
    assert alone.weights == together.weights
    require_safe(written(prepared, together))


@pytest.mark.parametrize("name", NETWORKS)
def test_fake_quantisation_is_the_written_model_in_onnxruntime(name: str) -> None:
    prepared = prepared_of(NETWORKS[name])
    decided = planned(prepared)
    made, model = written(prepared, decided), fake_quantised(prepared.model, decided)
    assert "a" not in rounded_tensors(prepared.model, decided)
    step = float(decided.tensors["y"].scale)
    for feed in FEEDS:
        (plain,), (found,), (expected,) = run(made, feed), optimised(made, feed), run(model, feed)
        for one in (plain, found):
            assert (np.abs(one - expected) < 0.01 * step).mean() > 0.98  # here and there a sum falls between two
            assert np.abs(one - expected).max() < 1.01 * step


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_one_rounding_is_left_that_of_what_the_activation_gives(name: str) -> None:
    prepared = prepared_of(NETWORKS[name])
    decided = planned(prepared)
    _, exact, rounded = run(with_outputs(fake_quantised(prepared.model, decided), "h", "h_rounded"), FEEDS[0])
    grid = decided.tensors["h"]
    np.testing.assert_array_equal(rounded, dequantize(quantize(exact, grid), grid))
    assert (np.abs(exact - rounded) > 0.1 * float(grid.scale)).mean() > 0.2  # it lies on no grid before


@pytest.mark.parametrize("name", NETWORKS)
def test_it_errs_no_more_than_the_portable_model_by_more_than_a_step(name: str) -> None:
    prepared = prepared_of(NETWORKS[name])
    portable = prepare(prepared.model)
    ours, theirs = (written(one, planned(one)) for one in (prepared, portable))
    step = float(planned(prepared).tensors["y"].scale)
    for feed in FEEDS:
        (exact,), (one,), (other,) = run(prepared.model, feed), run(ours, feed), run(theirs, feed)
        assert np.sqrt(np.mean((one - exact) ** 2)) <= np.sqrt(np.mean((other - exact) ** 2)) + step
        assert np.abs(one - other).mean() < 2 * step


def with_outputs(model: ir.Model, *names: str) -> ir.Model:
    values = {value.name: value for node in model.graph for value in node.outputs}
    model.graph.outputs.extend(values[name] for name in names)
    return model


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (f"{FIRST} h = HardSwish(a) y = Add(h, a)", {}),  # something else reads the product
        (f"{FIRST} h = HardSwish(a) y = Conv(h, w)", {"exclude": ("Conv_0",)}),  # the product is float
        (f"{FIRST} j = Add(a, a) h = HardSwish(j) y = Conv(h, w)", {}),  # no product before it
        ("h = HardSwish(x) y = Conv(h, u)", {}),
    ],
)
def test_others_keep_their_grid(body: str, wanted: Mapping[str, Any]) -> None:
    prepared = prepared_of(body, u=kernel(6, 4, 1, 1))
    wanted = {key: (str(next(iter(prepared.model.graph)).name),) for key in wanted}
    decided = planned(prepared, **wanted)
    assert not fused(decided)
    assert decided.notes[0] == "made for OpenVINO, which has no activation to fuse here"


def test_a_product_that_is_an_answer_keeps_its_grid() -> None:
    decided = planned(prepared_of(f"{FIRST} h = HardSwish(a) y = Conv(h, w)", y="float[] a, float[]"))
    assert not fused(decided)
    assert "a" in decided.tensors


@pytest.mark.slow
@given(st.permutations(["HardSwish", "HardSigmoid", "PRelu", "Relu"]))
def test_the_note_counts_what_is_fused(order: list[str]) -> None:
    lines = ACTIVATIONS | {"Relu": "h = Relu(a)"}
    square = kernel(8, 8, 1, 1)
    body = FIRST
    for number, name in enumerate(order):
        line = lines[name].replace("h =", f"h{number} =").replace("(a", f"(a{number}" if number else "(a")
        body += f" {line} a{number + 1} = Conv(h{number}, n)"
    body += " y = HardSwish(a4)"
    decided = planned(prepared_of(body, n=square))
    assert len(fused(decided)) == 4
    assert decided.notes[0].startswith("made for OpenVINO, which fuses 4 activations")
    assert "onnxruntime does not, and is slower" in decided.notes[0]


def test_a_hard_swish_in_many_nodes_is_one_operator_of_opset_14() -> None:
    body = f"{FIRST} c = Add(a, three) d = Clip(c, zero, six) e = Mul(a, d) h = Div(e, six) y = Conv(h, w)"
    numbers = {name: np.array(value, np.float32) for name, value in {"three": 3, "zero": 0, "six": 6}.items()}
    model = graph(body, x="float[1,4,9,9]", v=KERNELS["v"], w=KERNELS["w"], b=NUMBERS["b"], **numbers)
    prepared = prepare(model, fusing=FUSED_BY_OPENVINO)
    assert op_types(prepared.model) == ["Conv", "HardSwish", "Conv"]
    assert prepared.model.graph.opset_imports[""] == 14


def test_a_rewrite_that_does_not_exist_is_refused() -> None:
    with pytest.raises(PlanError, match=r"^'lower_everything' is no rewrite; choose of fold_constants, "):
        Fusing(without=frozenset({"lower_everything"}))
