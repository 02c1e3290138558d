import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.errors import ModelError
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.execution import KINDS, ExecutedNode, kind_of, summary
from quantseg.runtimes.onnxruntime_graph import NodeFacts
from quantseg.runtimes.onnxruntime_profile import executed_nodes
from tests.support import models

RUNTIME = RUNTIMES["onnxruntime"]

QDQ = models.text("""
<ir_version: 8, opset_import: ["": 13]>
g (float[1, 1, 8, 8] x) => (float[1, 1, 16, 16] y)
<float s = {0.1}, uint8 z = {128}, int8 o = {0}, int8[1, 1, 1, 1] w = {5}, float[1, 1, 2, 2] t = {1, 1, 1, 1}>
{
  xq = QuantizeLinear(x, s, z)
  xd = DequantizeLinear(xq, s, z)
  wd = DequantizeLinear(w, s, o)
  c = Conv(xd, wd)
  cq = QuantizeLinear(c, s, z)
  cd = DequantizeLinear(cq, s, z)
  p = MaxPool <kernel_shape = [2, 2], pads = [0, 0, 1, 1]> (cd)
  pq = QuantizeLinear(p, s, z)
  pd = DequantizeLinear(pq, s, z)
  y = ConvTranspose <strides = [2, 2]> (pd, t)
}
""")
IMAGE = {"x": np.ones((1, 1, 8, 8), np.float32)}

BRANCHES = models.text("""
<ir_version: 8, opset_import: ["": 13]>
g (float[1, 3, 64, 64] x, bool c) => (float[1, 3, 64, 64] y) {
  a = Relu(x)
  y = If (c) <
    then_branch = t () => (float[1, 3, 64, 64] o) { e = Sigmoid(a)  o = Exp(e) },
    else_branch = f () => (float[1, 3, 64, 64] n) { n = Neg(a) }
  >
}
""")


def executed(model: onnx.ModelProto, feeds: dict[str, Any], runs: int = 2) -> tuple[ExecutedNode, ...]:
    return RUNTIME.executed(model.SerializeToString(), feeds, threads=1, runs=runs)


def test_a_qdq_convolution_runs_in_int8_between_its_boundaries() -> None:
    # Whether it is laid out anew for that (Transpose, NhwcMaxPool) depends on the processor.
    nodes = [node for node in executed(QDQ, IMAGE) if node.op_type != "Transpose"]
    assert [(node.op_type.removeprefix("Nhwc"), node.kind) for node in nodes] == [
        ("QuantizeLinear", "boundary"),
        ("QLinearConv", "int8"),
        ("MaxPool", "int8"),
        ("DequantizeLinear", "boundary"),
        ("ConvTranspose", "float"),
    ]


def test_a_conv_transpose_between_qdq_pairs_stays_float() -> None:
    totals = summary(executed(QDQ, IMAGE))
    assert totals.float_conv_transposes == 1
    assert (totals.quantize_nodes, totals.dequantize_nodes) == (1, 1)


def test_domains_tell_the_kernels_of_the_runtime_from_those_of_onnx() -> None:
    unet = models.unet(base=16, depth=2, size=32)
    nodes = executed(unet, {"x": np.ones((1, 3, 32, 32), np.float32)})
    assert {node.domain for node in nodes if node.op_type == "ConvTranspose"} == {""}
    assert all(node.domain.startswith("com.microsoft") for node in nodes if node.op_type.startswith("Reorder"))
    assert summary(nodes).float_conv_transposes == 2


def test_only_the_branch_that_ran_is_listed_and_not_its_container() -> None:
    feeds = {"x": np.ones((1, 3, 64, 64), np.float32), "c": np.array(True)}
    assert [node.op_type for node in executed(BRANCHES, feeds)] == ["Relu", "Sigmoid", "Exp"]
    assert [node.op_type for node in executed(BRANCHES, {**feeds, "c": np.array(False)})] == ["Relu", "Neg"]


def test_names_are_the_models_and_unnamed_nodes_are_told_apart() -> None:
    model = models.text("""
    <ir_version: 8, opset_import: ["": 13]>
    g (float[2] x) => (float[2] y) { a = Sigmoid(x)  b = Sigmoid(a)  y = Sigmoid(b) }
    """)
    model.graph.node[0].name = 'an "odd" näme'
    first, *others = executed(model, {"x": np.ones(2, np.float32)})
    assert first.name == 'an "odd" näme'
    assert len({node.name for node in others}) == 2


def test_shares_add_up_to_one() -> None:
    nodes = executed(QDQ, IMAGE)
    assert sum(node.share for node in nodes) == pytest.approx(1)
    assert all(node.seconds >= 0 for node in nodes)


@pytest.mark.parametrize("feeds", [IMAGE, {}], ids=["runs", "fails"])
def test_no_file_is_left_and_nothing_is_printed(
    feeds: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    try:
        executed(QDQ, feeds)
    except ModelError:
        assert not feeds
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("op_type", "inputs", "outputs", "kind"),
    [
        ("Conv", ["float", "float"], ["float"], "float"),
        ("ConvTranspose", ["float"], ["float"], "float"),
        ("Resize", ["float", "float"], ["float"], "float"),
        ("ArgMax", ["float"], ["int64"], "float"),
        ("Conv", ["float16", "float16"], ["float16"], "float"),
        ("QLinearConv", ["uint8", "float", "uint8", "int8"], ["uint8"], "int8"),
        ("QLinearConcat", ["float", "uint8", "uint8"], ["uint8"], "int8"),
        ("ConvInteger", ["uint8", "uint8"], ["int32"], "int8"),
        ("MatMulIntegerToFloat", ["uint8", "int8", "float"], ["float"], "int8"),
        ("DynamicQuantizeMatMul", ["float", "float"], ["float"], "int8"),
        ("MatMulNBits", ["float", "uint8", "float"], ["float"], "float"),
        ("MaxPool", ["int8"], ["int8"], "int8"),
        ("Resize", ["uint8", "float", "float"], ["uint8"], "int8"),
        ("Transpose", ["uint8"], ["uint8"], "int8"),
        ("Transpose", ["float"], ["float"], "movement"),
        ("ReorderInput", ["float"], ["float"], "movement"),
        ("Concat", ["float", "float"], ["float"], "movement"),
        ("Concat", ["int64", "int64"], ["int64"], "other"),
        ("Gather", ["int64", "int64"], ["int64"], "other"),
        ("Shape", ["float"], ["int64"], "other"),
        ("Shape", ["uint8"], ["int64"], "other"),
        ("Cast", ["uint8"], ["float"], "other"),
        ("QuantizeLinear", ["float", "float", "uint8"], ["uint8"], "boundary"),
        ("DequantizeLinear", ["uint8", "float", "uint8"], ["float"], "boundary"),
        ("DynamicQuantizeLinear", ["float"], ["uint8", "float", "uint8"], "boundary"),
        ("RandomUniform", [], ["float"], "float"),
    ],
)
def test_kind_of(op_type: str, inputs: list[str], outputs: list[str], kind: str) -> None:
    assert kind_of(op_type, inputs, outputs) == kind


def kernel(name: str, microseconds: int, *, index: int = 0, op_type: str = "Relu") -> dict[str, Any]:
    tensors = [{"float": [1]}]
    arguments = {
        "op_name": op_type,
        "node_index": str(index),
        "input_type_shape": tensors,
        "output_type_shape": tensors,
    }
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds, "args": arguments}


RUN = {"cat": "Session", "name": "model_run", "dur": 0, "args": {}}


def test_the_first_run_is_left_out_and_the_median_taken() -> None:
    events = [kernel("a", 9000), RUN, kernel("a", 10), RUN, kernel("a", 30), RUN, kernel("a", 11), RUN]
    (node,) = executed_nodes(events, {("Relu", "a"): NodeFacts("d")})
    assert node == ExecutedNode("a", "Relu", "d", "float", seconds=pytest.approx(11e-6), share=1.0)


def test_a_node_in_a_loop_is_timed_as_the_sum_of_its_turns() -> None:
    once = [
        kernel("loop", 99, index=1, op_type="Loop"),
        kernel("a", 10),
        kernel("a", 20),
        kernel("b", 70, index=2),
    ]
    nodes = executed_nodes([*once, RUN, *once, RUN], {})
    assert [(node.name, node.share) for node in nodes] == [
        ("a", pytest.approx(0.3)),
        ("b", pytest.approx(0.7)),
    ]


def test_an_unnamed_node_finds_its_domain_by_its_operator() -> None:
    run = [kernel("QLinearAdd_7", 1, op_type="QLinearAdd"), RUN]
    (node,) = executed_nodes([*run, *run], {("QLinearAdd", ""): NodeFacts("com.microsoft")})
    assert node.domain == "com.microsoft"


NODES = st.builds(
    ExecutedNode,
    name=st.just("n"),
    op_type=st.sampled_from(["Conv", "ConvTranspose", "Transpose", "QuantizeLinear"]),
    domain=st.just(""),
    kind=st.sampled_from(KINDS),
    seconds=st.floats(0, 1),
    share=st.floats(0, 1),
)


@given(st.lists(NODES))
def test_every_node_is_of_one_kind(nodes: list[ExecutedNode]) -> None:
    totals = summary(nodes)
    assert tuple(totals.kinds) == KINDS
    assert sum(total.nodes for total in totals.kinds.values()) == len(nodes)
    assert sum(total.share for total in totals.kinds.values()) == pytest.approx(sum(node.share for node in nodes))
