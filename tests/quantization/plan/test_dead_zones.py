"""Dead zones: a grid leaves out what the activation behind makes 0 of, and the network computes the same."""

import numpy as np
import pytest

from quantseg.graph import expose
from quantseg.graph.preparation import prepare
from quantseg.quantization.affine import Range
from quantseg.quantization.fake_quant import fake_quantised
from quantseg.quantization.plan import QuantSettings, plan
from tests.support import graphs
from tests.support.quantised import extrema, kernel, noise

HARD_SWISH = "c = Conv <pads = [1,1,1,1]> (x, w) s = HardSwish(c) y = Conv(s, v)"
SILU = "c = Conv <pads = [1,1,1,1]> (x, w) g = Sigmoid(c) s = Mul(c, g) y = Conv(s, v)"
READ_TWICE = (
    "c = Conv <pads = [1,1,1,1]> (x, w) g = Sigmoid(c) s = Mul(c, g) t = Conv(c, v) u = Conv(s, v) y = Add(t, u)"
)
WEIGHTS = {"w": 8 * kernel(8, 2, 3, 3, seed=1), "v": kernel(3, 8, 1, 1, seed=2)}
FEEDS = [{"x": noise(1, 2, 12, 12, seed=seed)} for seed in range(3)]


def planned(body: str, opset: int = 14):
    prepared = prepare(graphs.graph(body, x="float[1,2,12,12]", opset=opset, **WEIGHTS))
    ranges = extrema(prepared.model, FEEDS)
    first = next(node for node in prepared.model.graph if node.op_type == "Conv")
    name = str(first.outputs[0].name)
    return prepared, ranges, name, plan(prepared, ranges, QuantSettings())


def covered(grid) -> Range:
    low, high = (float(grid.scale) * (end - int(grid.zero_point)) for end in (0, 255))
    return Range(low, high)


@pytest.mark.parametrize(("body", "least"), [(HARD_SWISH, -3.0), (SILU, -9.0)])
def test_the_tensor_before_the_activation_ends_where_it_is_dead(body: str, least: float) -> None:
    prepared, ranges, name, decided = planned(body)
    assert ranges[name].minimum < 2 * least * scale_of(prepared, name)
    grid = covered(decided.tensors[name])
    assert 2 * least * scale_of(prepared, name) < grid.minimum
    assert grid.maximum >= ranges[name].maximum - float(decided.tensors[name].scale)


def scale_of(prepared, name: str) -> float:
    """√α where the lowering has folded it into the tensor, else 1."""
    found = next(value for node in prepared.model.graph for value in node.outputs if value.name == name)
    return 6**-0.5 if any(user.op_type == "Add" for user, _ in found.uses()) else 1.0


def test_hard_swish_behind_the_cut_grid_is_what_it_was() -> None:
    prepared, _, name, decided = planned(HARD_SWISH)
    result = next(str(n.outputs[0].name) for n in prepared.model.graph if n.op_type == "Mul")
    cut = fake_quantised(prepared.model, decided, weights=(), tensors=(name,))
    step = float(decided.tensors[name].scale)
    for feed in FEEDS:
        (before,), (real,) = (
            graphs.run(expose(prepared.model, [name]), feed),
            graphs.run(expose(prepared.model, [result]), feed),
        )
        (found,) = graphs.run(expose(cut, [result]), feed)
        dead = before < covered(decided.tensors[name]).minimum
        assert dead.any()
        np.testing.assert_array_equal(found[dead], 0)
        np.testing.assert_array_equal(real[dead], 0)
        assert np.abs(found - real).max() <= 2 * step * max(1.0, np.abs(before).max())


def test_silu_below_the_cut_grid_is_less_than_half_a_step_of_its_own() -> None:
    prepared, ranges, name, decided = planned(SILU)
    result = next(str(n.outputs[0].name) for n in prepared.model.graph if n.op_type == "Mul")
    low, half = covered(decided.tensors[name]).minimum, float(decided.tensors[result].scale) / 2
    x = np.linspace(ranges[name].minimum, low, 1000)
    assert np.abs(x / (1 + np.exp(-x))).max() < half
    assert abs(low / (1 + np.exp(-low))) < half


def test_another_reader_needs_the_whole_range() -> None:
    _, ranges, name, decided = planned(READ_TWICE)
    assert covered(decided.tensors[name]).minimum <= ranges[name].minimum + float(decided.tensors[name].scale)
