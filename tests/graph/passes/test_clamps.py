"""Clamps of every spelling are one Relu or Clip, and the image is the same to the last bit."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.graph import infer_shapes
from quantseg.graph.passes.clamps import merge_clamps
from tests.support.graphs import Array, assert_same, graph, noise, op_types, run

F = np.float32
X = noise(1, 2, 6, 6) * 5
CONSTANTS: dict[str, Array] = {"zero": F(0), "six": F(6), "low": F(-1), "wide": np.zeros((1, 1, 1, 1, 1), F)}
CONSTANTS |= {"row": noise(6), "nan": F(np.nan)}


def merged(model: ir.Model) -> ir.Model:
    copy = model.clone()
    infer_shapes(copy)
    merge_clamps(copy)
    return copy


def spelt(body: str) -> ir.Model:
    return graph(body, **{name: np.asarray(value) for name, value in CONSTANTS.items() if name in body})


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ("r = Relu(x) y = Min(r, six)", ["Clip"]),
        ("r = Min(six, x) y = Relu(r)", ["Clip"]),
        ("r = Max(x, zero) y = Min(r, six)", ["Clip"]),
        ("y = Max(x, zero)", ["Relu"]),
        ("y = Max(low, x)", ["Clip"]),
        ("r = Relu(x) y = Relu(r)", ["Relu"]),
        ("r = Clip(x, low, six) y = Relu(r)", ["Clip"]),
        ("r = Clip(x, low, zero) y = Clip(r, zero, six)", ["Clip"]),  # nothing is left but zero
        ("r = Relu(x) c = Clip(r, , six) m = Max(c, low) y = Neg(m)", ["Clip", "Neg"]),
    ],
)
def test_clamps_become_one(body: str, kinds: list[str]) -> None:
    model = spelt(body)
    new = merged(model)
    assert op_types(new) == kinds
    assert_same(run(new, {"x": X}), run(model, {"x": X}), tolerance=0)


@pytest.mark.parametrize(
    "body",
    [
        "y = Clip(x, zero, six)",
        "y = Max(x, row)",
        "y = Max(x, zero, six)",
        "n = Neg(x) y = Max(x, n)",
        "y = Max(x, wide)",  # makes x wider
        "y = Min(x, nan)",
        "r = Relu(x) c = Clip(r, , six) y = Add(r, c)",  # the first has another reader
        "r = Clip(x, six, zero) y = Relu(r)",  # bounds that cross
        "s = ReduceMax<keepdims=0>(x) y = Clip(x, , s)",
        "i = Cast<to=7>(x) j = Cast<to=7>(six) y = Max(i, j)",  # no pixels
    ],
)
def test_what_is_no_chain_stays(body: str) -> None:
    model = spelt(body)
    assert op_types(merged(model)) == op_types(model)


bounds = st.floats(-3, 3, width=32)
clamps = st.one_of(
    st.just("Relu(@)"),
    bounds.map(lambda low: f"Max(@, {low:.5f})"),
    bounds.map(lambda high: f"Min({high:.5f}, @)"),
    st.tuples(bounds, bounds).map(lambda pair: f"Clip(@, {min(pair):.5f}, {max(pair):.5f})"),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(chain=st.lists(clamps, min_size=1, max_size=5))
def test_any_chain_is_one_clamp(chain: list[str]) -> None:
    constants: dict[str, Array] = {}
    body, value = "", "x"
    for index, text in enumerate(chain):
        name, arguments = text[:-1].split("(")
        inputs = []
        for place, argument in enumerate(arguments.split(", ")):
            inputs.append(value if argument == "@" else f"c{index}_{place}")
            if argument != "@":
                constants[inputs[-1]] = np.array(float(argument), F)
        value = f"v{index}"
        body += f" {value} = {name}({', '.join(inputs)})"
    model = graph(f"{body} y = Neg({value})", **constants)
    new = merged(model)
    assert len(op_types(new)) == 2
    assert_same(run(new, {"x": X}), run(model, {"x": X}), tolerance=0)
