"""Tensors without a grid, and values that are read exactly: what stays float around them, and no more."""

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.graph.preparation import Prepared, prepare
from quantseg.quantization.affine import Range
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.plan import QuantSettings, around_unbounded, finite_tensors, plan
from quantseg.quantization.plan.unbounded import REASON
from quantseg.quantization.qtypes import UINT8
from quantseg.quantization.ranges import RangeTable
from tests.support.candidates import float_model
from tests.support.graphs import graph, noise

W, V = noise(2, 2, 1, 1), noise(4, 2, 3, 3)


def names(prepared: Prepared, *op_types: str) -> set[str]:
    return {str(node.name) for node in prepared.model.graph if node.op_type in op_types}


def test_an_infinity_is_an_error_in_inputs_and_results_of_products_alone() -> None:
    body = "c = Conv(x, w) r = Relu(c) d = Div(one, r) y = Conv(d, v)"
    made = prepare(graph(body, one=np.ones(1, np.float32), w=W, v=V))
    assert finite_tensors(made.model.graph) == {"x", "c", "r", "y"}


def test_what_moves_such_a_tensor_stays_float_too() -> None:
    body = "c = Conv(x, w) a = Add(c, m) t = Transpose<perm=[0,1,3,2]>(a) p = Softmax<axis=1>(t) y = Conv(p, v)"
    made = prepare(graph(body, w=W, v=V, m=noise(1, 2, 6, 6)))
    around = around_unbounded(made.model.graph, {"a"})
    assert set(around) == names(made, "Add", "Transpose", "Softmax")
    assert set(around.values()) == {f"{op_type}: {REASON}" for op_type in ("Add", "Transpose", "Softmax")}
    assert not around_unbounded(made.model.graph, ())


def test_a_candidate_starts_with_these_nodes_in_float() -> None:
    body = "c = Conv(x, w) a = Add(c, m) p = Sigmoid(a) y = Conv(p, v)"
    model = float_model(prepare(graph(body, w=W, v=V, m=noise(1, 2, 6, 6))))
    settings, ranges = QuantSettings(), {name: Range(-1, 1) for name in "xcpy"}
    table = RangeTable(ranges, model.digest, UINT8, False, "minmax", None, 1, frozenset("a"))
    made = Candidate.of(model, table, settings).plan
    assert [node.op_type for node in made.quantised] == ["Conv", "Conv"]
    assert made.kept_float == {f"Add: {REASON}": 1, f"Sigmoid: {REASON}": 1}


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        ("c = Conv(x, w) r = Relu(c) i = Cast<to=7>(r) k = Cast<to=1>(i) y = Conv(k, v)", {"Conv", "Relu"}),
        ("c = Conv(x, w) r = Floor(c) y = Conv(r, v)", {"Conv"}),
        ("c = Conv(x, w) t = Transpose<perm=[0,1,3,2]>(c) r = Round(t) y = Conv(r, v)", {"Conv", "Transpose"}),
        ("c = Conv(x, w) s = Sigmoid(c) r = Ceil(s) y = Conv(r, v)", {"Sigmoid"}),
        ("c = Conv(x, w) b = Cast<to=1>(c) y = Conv(b, v)", set()),
    ],
)  # fmt: skip
def test_what_is_read_exactly_is_computed_in_float(body: str, stays: set[str]) -> None:
    made = prepare(graph(body, w=W, v=V))
    ranges = {str(v.name): Range(-1, 1) for v in values(made.model.graph)}
    decided = plan(made, ranges, QuantSettings())
    kept = {n.op_type for n in decided.nodes if n not in decided.quantised and "exactly" in n.decision.reason}
    assert kept == stays
    assert decided.quantised[-1].op_type == "Conv"


def values(of: ir.Graph) -> list[ir.Value]:
    return [*of.inputs, *(value for node in of for value in node.outputs)]
