"""What of a graph lies behind a tensor, as far as the next products and the outputs."""

from quantseg.refinement.downstream import cone_of

from quantseg.graph.preparation import prepare
from tests.support import graphs
from tests.support.quantised import kernel


def test_a_cone_ends_at_the_next_products_and_at_the_answer():
    body = "a = Relu(x)\n b = Conv(a, w)\n c = Add(a, x)\n d = Relu(b)\n y = Add(c, d)"
    model = prepare(graphs.graph(body, x="float[1,4,6,6]", w=kernel(4, 4, 1, 1))).model
    cone = cone_of(model.graph, frozenset({"x"}))
    assert set(cone.sinks) == {"b", "y"}
    assert len(cone.nodes) == 4
