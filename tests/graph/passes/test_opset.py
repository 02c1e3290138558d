"""Each respelling means what the old node meant: onnxruntime runs both."""

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.errors import ModelError
from quantseg.graph import infer_shapes
from quantseg.graph.passes import convert
from quantseg.graph.passes.opset_adapters import OPSET_ADAPTERS
from tests.support.graphs import assert_same, graph, noise, op_types, run

I64 = np.int64


def scales(*factors: float) -> np.ndarray:
    return np.array(factors, np.float32)


CASES = {
    "upsample 7 nearest": graph("y = Upsample<scales=[1.0,1.0,2.0,3.0]>(x)", opset=7),
    "upsample 7 linear": graph('y = Upsample<mode="linear", scales=[1.0,1.0,2.0,3.0]>(x)', opset=7),
    "upsample 9 nearest": graph("y = Upsample(x, s)", opset=9, s=scales(1, 1, 1.5, 2)),
    "upsample 9 linear": graph('y = Upsample<mode="linear">(x, s)', opset=9, s=scales(1, 1, 7 / 6, 2)),
    "resize 10 nearest": graph("y = Resize(x, s)", opset=10, s=scales(1, 1, 2.5, 3)),
    "resize 10 nearest shrinks": graph("y = Resize(x, s)", opset=10, s=scales(1, 1, 0.4, 0.7)),
    "resize 10 linear": graph('y = Resize<mode="linear">(x, s)', opset=10, s=scales(1, 1, 0.7, 1.5)),
    "resize 11 sizes": graph(
        'y = Resize<mode="linear">(x, none, none, n)', opset=11, none=scales(), n=np.array([1, 2, 9, 4], I64)
    ),
    "slice 1": graph("y = Slice<axes=[2,3], starts=[1,-4], ends=[5,-1]>(x)", opset=9),
    "slice 1 without axes": graph("y = Slice<starts=[0,1], ends=[1,2]>(x)", opset=9),
    "clip 6": graph("y = Clip<min=-0.5, max=0.25>(x)", opset=10),
    "clip 6 one side": graph("y = Clip<max=0.25>(x)", opset=7),
    "pad 2": graph("y = Pad<pads=[0,0,1,2,0,0,3,4], value=1.5>(x)", opset=7),
    "pad 2 reflect": graph('y = Pad<mode="reflect", pads=[0,0,1,2,0,0,3,4]>(x)', opset=10),
    "dropout 7": graph("y = Dropout<ratio=0.3>(x)", opset=7),
    "dropout 10": graph("y, mask = Dropout<ratio=0.3>(x)", opset=10),
    "softmax default axis": graph("y = Softmax(x)", opset=9),
    "softmax inner axis": graph("y = Softmax<axis=2>(x)", opset=12),
    "softmax last axis": graph("y = Softmax<axis=3>(x)", opset=11),
    "logsoftmax": graph("y = LogSoftmax<axis=1>(x)", opset=11),
    "hardmax": graph("y = Hardmax<axis=2>(x)", opset=11),
    "squeeze": graph("y = Squeeze<axes=[0]>(x)", opset=11),
    "squeeze all": graph("y = Squeeze(x)", opset=11),
    "unsqueeze": graph("y = Unsqueeze<axes=[0,5]>(x)", opset=8),
    "reduce sum": graph("y = ReduceSum<axes=[1,-1], keepdims=0>(x)", opset=11),
    "reduce sum all": graph("y = ReduceSum(x)", opset=9),
    "reduce mean": graph("y = ReduceMean<axes=[2,3]>(x)", opset=11),
    "split": graph("a, b = Split<axis=3, split=[2,4]>(x) y = Concat<axis=3>(b, a)", opset=11),
    "split evenly": graph("a, b = Split<axis=3>(x) y = Concat<axis=3>(b, a)", opset=11),
    "topk": graph("y, i = TopK<axis=-1, k=3>(x)", opset=9),
    "scatter": graph(
        "y = Scatter<axis=0>(x, i, u)", opset=9, x="float[3,3]", i=np.array([[1, 0, 2]], I64), u=noise(1, 3)
    ),
    "batch normalization 7": graph(
        "y = BatchNormalization<spatial=1, momentum=0.5>(x, s, b, m, v)",
        opset=7,
        s=noise(2),
        b=noise(2, seed=1),
        m=noise(2, seed=2),
        v=noise(2, seed=3) ** 2,
    ),
    "gemm without bias": graph("y = Gemm<transB=1>(x, w, c)", opset=7, x="float[5,4]", w=noise(3, 4), c=noise(3)),
    "grid sample": graph('y = GridSample<mode="bilinear">(x, g)', opset=16, g=np.tanh(noise(1, 5, 4, 2))),
    "roi align": graph(
        "y = RoiAlign<output_height=2, output_width=2>(x, r, b)",
        opset=15,
        r=np.array([[0, 0, 4, 4]], np.float32),
        b=np.array([0], I64),
    ),
    "average pool 7": graph("y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]>(x)", opset=7),
    "max pool 8": graph("y = MaxPool<kernel_shape=[3,3], strides=[2,2]>(x)", opset=8),
    "depth to space 1": graph("y = DepthToSpace<blocksize=2>(x)", opset=9, x="float[1,8,3,3]"),
    "prelu 7": graph("y = PRelu(x, a)", opset=7, a=noise(2, 1, 1)),
}


def converted(model: ir.Model, opset: int) -> ir.Model:
    copy = model.clone()
    infer_shapes(copy)
    convert(copy, opset)
    return copy


def feed(model: ir.Model) -> dict[str, np.ndarray]:
    return {"x": noise(*(dim if isinstance(dim, int) else 5 for dim in model.graph.inputs[0].shape), seed=9)}


@pytest.mark.parametrize(
    ("name", "opset"),
    [(name, opset) for name in CASES for opset in (13, 17, 18, 21) if CASES[name].opset_imports[""] < opset],
)
def test_converted_model_gives_what_the_original_gives(name: str, opset: int) -> None:
    model = CASES[name]
    new = converted(model, opset)
    assert new.opset_imports[""] == opset
    assert_same(run(new, feed(model)), run(model, feed(model)), tolerance=1e-6)


def test_every_respelling_has_a_case() -> None:
    covered = {node.op_type for model in CASES.values() for node in model.graph}
    reductions = {name for name in OPSET_ADAPTERS if name.startswith("Reduce")}
    assert set(OPSET_ADAPTERS) - reductions <= covered


def test_softmax_of_unknown_rank_is_flattened_at_run_time() -> None:
    model = graph("z = Reshape(x, s) y = Softmax(z)", opset=11, x="float[n,2,3]", s=np.array([0, -1, 1], I64))
    model.graph.node(0).outputs[0].shape = None
    new = model.clone()
    convert(new, 13)
    assert "Flatten" in op_types(new)
    assert_same(run(new, feed(model)), run(model, feed(model)))


def test_nodes_in_subgraphs_are_converted_too() -> None:
    body = """
        y = If(c) <
            then_branch = t () => (float[1,2,6,6] a) { a = Clip<min=0.0>(x) },
            else_branch = e () => (float[1,2,6,6] b) { b = Clip<max=0.0>(x) }
        >
    """
    model = graph(body, opset=9, c=np.array(True))
    new = converted(model, 13)
    assert_same(run(new, feed(model)), run(model, feed(model)))


def test_a_newer_model_stays_as_it_is() -> None:
    model = graph("y = Relu(x)", opset=18)
    assert convert(model, 13).changes == ()
    assert model.opset_imports[""] == 18


@pytest.mark.parametrize(
    ("body", "opset", "words"),
    [
        ("y, m, v, a, b = BatchNormalization(x, s, s, s, s) z = Add(y, m)", 9, "training"),
        ("y = BatchNormalization<spatial=0>(x, s, s, s, s)", 7, "spatial"),
        ("y = Resize(x, f)", 10, "shrinks one axis"),
        ("y, mask = Dropout(x) z = Not(mask)", 11, None),
    ],
)
def test_what_has_no_equal_is_refused_by_name(body: str, opset: int, words: str | None) -> None:
    model = graph(body, opset=opset, s=np.ones(2, np.float32), f=scales(1, 1, 0.5, 2))
    if words is None:
        converted(model, 21)
        return
    with pytest.raises(ModelError, match=words):
        converted(model, 21)
