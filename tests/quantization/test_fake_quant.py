"""Fake quantisation: all of it is the quantised model, none of it the float one, and nothing is rounded twice."""

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.graph import expose, to_bytes
from quantseg.graph.preparation import Prepared, prepare
from quantseg.quantization import formats
from quantseg.quantization.fake_quant import fake_quantised, rounded_tensors
from quantseg.quantization.operators import IntegerForm, Kind, integer_form
from quantseg.quantization.plan import QuantPlan, QuantSettings, plan
from quantseg.quantization.qtypes import INT4, INT8
from tests.support import graphs, models
from tests.support.quantised import extrema, kernel, noise

RESNET = """
    a = Conv <pads = [1,1,1,1]> (x, w1, b1)
    r = Relu(a)
    m = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r)
    d = Conv <group = 8, pads = [1,1,1,1]> (m, w2)
    c = Clip(d, lo, hi)
    e = Conv(c, w3)
    s = Add(e, m)
    u = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (s, , k)
    j = Concat <axis = 1> (u, r)
    t = Transpose <perm = [0,1,3,2]> (j)
    g = Sigmoid(t)
    h = Mul(g, t)
    y = Conv(h, w4, b4)
"""


def resnet() -> Prepared:
    """Residual, gate, clamps, a pool and a Concat, on 12 x 12 pixels."""
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (8, 8, 1, 1), "w4": (4, 16, 1, 1)}
    weights = {name: kernel(*shape, seed=number) for number, (name, shape) in enumerate(shapes.items())}
    bounds = {"lo": np.array(0, np.float32), "hi": np.array(6, np.float32), "k": np.array([1, 1, 2, 2], np.float32)}
    return prepare(graphs.graph(RESNET, x="float[1,3,12,12]", b1=noise(8), b4=noise(4), **weights, **bounds))


def unet() -> Prepared:
    return prepare(ir.serde.deserialize_model(models.unet(base=4, depth=2, classes=3, size=12)))


NETWORKS = {"resnet": resnet, "unet": unet}
FEEDS = [{"x": noise(1, 3, 12, 12, seed=seed)} for seed in range(3)]


def planned(prepared: Prepared, **wanted: object) -> QuantPlan:
    return plan(prepared, extrema(prepared.model, FEEDS), QuantSettings(**wanted))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "wanted", [{}, {"per_channel": False}, {"activation": INT8, "symmetric": True}, {"weight": INT4}]
)
def test_all_of_it_is_the_quantised_model(network, wanted):
    prepared = NETWORKS[network]()
    decided = planned(prepared, **wanted)
    made = formats.emit(prepared.model, decided, qformat="qdq", metadata={})
    step = float(decided.tensors["y"].scale)
    for feed in FEEDS:
        (expected,), (found,) = graphs.run(made, feed), graphs.run(fake_quantised(prepared.model, decided), feed)
        wrong = np.abs(expected - found)
        assert (wrong < 0.01 * step).mean() > 0.98  # here and there a sum falls between two integers
        assert wrong.max() < 2.01 * step


@pytest.mark.parametrize("network", NETWORKS)
def test_none_of_it_is_the_float_model_and_the_given_one_does_not_change(network):
    prepared = NETWORKS[network]()
    decided, before = planned(prepared), to_bytes(prepared.model)
    fake_quantised(prepared.model, decided)
    none = fake_quantised(prepared.model, decided, weights=(), tensors=())
    assert to_bytes(prepared.model) == before
    graphs.assert_same(graphs.run(none, FEEDS[0]), graphs.run(prepared.model, FEEDS[0]), 0)


@pytest.mark.parametrize("network", NETWORKS)
def test_one_tensor_alone_is_rounded_to_its_grid(network):
    prepared = NETWORKS[network]()
    decided = planned(prepared)
    for name in rounded_tensors(prepared.model, decided):
        if name == "x":
            continue
        part = fake_quantised(prepared.model, decided, weights=(), tensors=(name,))
        (exact,) = graphs.run(expose(prepared.model, [name]), FEEDS[0])
        (rounded,) = graphs.run(expose(part, [name]), FEEDS[0])
        grid = decided.tensors[name]
        steps = rounded / grid.scale
        assert np.abs(steps - np.rint(steps)).max() < 1e-3
        inside = (exact >= grid.representable.minimum) & (exact <= grid.representable.maximum)
        assert np.abs(rounded - exact)[inside].max() <= 0.501 * grid.scale


@pytest.mark.parametrize("network", NETWORKS)
def test_one_weight_alone_is_rounded(network):
    prepared = NETWORKS[network]()
    decided = planned(prepared)
    for name in decided.weights:
        part = fake_quantised(prepared.model, decided, weights=(name,), tensors=())
        old = {node.name: node.inputs[1].const_value for node in prepared.model.graph if node.name in decided.weights}
        new = {node.name: node.inputs[1].const_value for node in part.graph if node.name in decided.weights}
        changed = [key for key in old if not np.array_equal(old[key].numpy(), new[key].numpy())]
        assert changed == [name]
        assert "QuantizeLinear" not in graphs.op_types(part)


@pytest.mark.parametrize("network", NETWORKS)
def test_nothing_is_rounded_twice_in_a_row(network):
    """Between a rounding and the next one something is computed, not only moved or cut off by the grid's own end."""
    prepared = NETWORKS[network]()
    decided = planned(prepared)
    forms = {node.name: integer_form(node) for node in prepared.model.graph}
    moving = {name for name, form in forms.items() if isinstance(form, IntegerForm) and form.kind is Kind.MOVEMENT}
    tensors = rounded_tensors(prepared.model, decided)
    assert len(set(tensors)) == len(tensors)
    assert set(tensors) <= set(decided.tensors)
    made = fake_quantised(prepared.model, decided)
    roundings = [node for node in made.graph if node.op_type == "QuantizeLinear"]
    assert len(roundings) == len(tensors)
    for rounding in roundings:
        maker = rounding.inputs[0].producer()
        while maker is not None and maker.name in moving | decided.dropped:
            maker = maker.inputs[0].producer()
        assert maker is None or maker.op_type != "DequantizeLinear"
    assert moving & {node.name for node in decided.quantised}
