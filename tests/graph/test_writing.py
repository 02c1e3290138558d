"""A written model is whole, the same bytes each time, and split in two above the limit of one message."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from quantseg import graph as graphs
from quantseg.errors import ModelError, OutputError
from quantseg.graph import TensorSpec, writing
from tests.support.graphs import assert_same, graph, noise, parse, run

W = noise(16, 2, 5, 5)
X = {"x": noise(1, 2, 6, 6)}


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "SINGLE_FILE_LIMIT", 1000)


def test_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        graphs.save(graph("y = Conv(x, w)", w=W), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.usefixtures("small_limit")
def test_big_model_is_written_in_two_files_that_any_runtime_opens(tmp_path: Path) -> None:
    model = graph("y = Conv(x, w)", w=W)
    graphs.save(model, tmp_path / "big.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.onnx", "big.onnx.data"]
    assert (tmp_path / "big.onnx").stat().st_size < 1000
    session = onnxruntime.InferenceSession(tmp_path / "big.onnx", providers=["CPUExecutionProvider"])
    assert_same(session.run(None, X), run(model, X))
    onnx.load(tmp_path / "big.onnx")  # onnx's own reader finds the data too


@pytest.mark.usefixtures("small_limit")
def test_big_model_may_be_written_over_itself(tmp_path: Path) -> None:
    model = graph("y = Conv(x, w)", w=W)
    graphs.save(model, tmp_path / "big.onnx")
    graphs.save(graphs.load(tmp_path / "big.onnx"), tmp_path / "big.onnx")
    assert_same(run(graphs.load(tmp_path / "big.onnx"), X), run(model, X), tolerance=0)


def test_external_weights_come_along_into_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = graph("y = Conv(x, w)", w=W)
    with monkeypatch.context() as patch:
        patch.setattr(writing, "SINGLE_FILE_LIMIT", 1000)
        graphs.save(model, tmp_path / "big.onnx")
    graphs.save(graphs.load(tmp_path / "big.onnx"), tmp_path / "elsewhere" / "one.onnx")
    (tmp_path / "big.onnx.data").unlink()
    assert_same(run(graphs.load(tmp_path / "elsewhere" / "one.onnx"), X), run(model, X), tolerance=0)


def test_session_source_is_bytes_or_a_file_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = graph("y = Conv(x, w)", w=W)
    with graphs.as_session_source(model) as source:
        assert isinstance(source, bytes)
    monkeypatch.setattr(writing, "SINGLE_FILE_LIMIT", 1000)
    with graphs.as_session_source(model) as source:
        assert isinstance(source, Path)
        session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
        assert_same(session.run(None, X), run(model, X))
    assert not source.exists()


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        graphs.save(graph("y = Relu(x)"), tmp_path)


def test_signature_leaves_initializers_out_and_shows_dynamic_sizes() -> None:
    model = parse(
        '<ir_version: 7, opset_import: ["": 13]> g (float[n,3,h,8] x, float[3] w, uint8[2] m)'
        " => (float[n,3,h,8] y, int64[1] z) <float[3] w = {1.0, 2.0, 3.0}>"
        " { y = PRelu(x, w) z = Cast<to=7>(m) }"
    )
    inputs, outputs = graphs.signature(model)
    assert inputs == (TensorSpec("x", "float32", (None, 3, None, 8)), TensorSpec("m", "uint8", (2,)))
    assert outputs == (TensorSpec("y", "float32", (None, 3, None, 8)), TensorSpec("z", "int64", (1,)))


def test_signature_of_a_sequence_is_refused() -> None:
    model = parse(
        '<ir_version: 7, opset_import: ["": 13]> g (float[2] x) => (seq(float[2]) y) { y = SequenceConstruct(x) }'
    )
    with pytest.raises(ModelError, match="'y' is not a tensor"):
        graphs.signature(model)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Relu(x)", False),
        ("q = QuantizeLinear(x, s) y = DequantizeLinear(q, s)", True),
        ("y, t, z = DynamicQuantizeLinear(x)", True),
    ],
)
def test_quantised_models_are_recognised(body: str, expected: bool) -> None:
    assert graphs.is_quantised(graph(body, s=np.float32(0.1))) is expected


def test_names_are_given_and_made_unique_and_kept() -> None:
    model = graph("a = Relu(x) b = Abs(a) c = Neg(b) y = Add(a, c)")
    relu, absolute, negative, add = model.graph
    relu.name = negative.name = "twice"
    absolute.name = ""
    add.name = "Abs_1"
    negative.outputs[0].name = "a"
    graphs.make_unique(model)
    assert [node.name for node in model.graph] == ["twice", "Abs_1_1", "twice_1", "Abs_1"]
    assert [node.outputs[0].name for node in model.graph] == ["a", "b", "a_1", "y"]
    assert run(model, X)[0].shape == X["x"].shape


def test_shapes_are_inferred_past_weights_of_any_size() -> None:
    model = graph("c = Conv(x, w) y = Reshape(c, s)", x="float[n,2,h,6]", w=W, s=np.array([0, -1]))
    graphs.infer_shapes(model)
    batch, channels, height, width = model.graph.node(0).outputs[0].shape
    assert (str(batch), channels, width) == ("n", 16, 2)
    assert not isinstance(height, int)
    assert model.graph.initializers["w"].const_value is not None
    assert len(model.graph.inputs) == 1


def test_signature_of_a_value_without_a_type_is_refused() -> None:
    model = parse('<ir_version: 7, opset_import: ["": 13]> g (float[2] x) => (float[2] y) { y = Relu(x) }')
    model.graph.outputs[0].type = ir.TensorType(ir.DataType.UNDEFINED)
    with pytest.raises(ModelError, match="'y' has no type; export the model again"):
        graphs.signature(model)


def test_stated_shapes_are_those_of_the_named_values_whose_rank_is_known() -> None:
    model = parse(
        '<ir_version: 7, opset_import: ["": 13]> g (float[N,2] x) => (float[N,2] y) { a = Relu(x) y = Abs(a) }'
    )
    assert graphs.stated_shapes(model, {"x", "a", "y"}) == {"x": (None, 2), "y": (None, 2)}
    assert graphs.stated_shapes(model, {"y"}) == {"y": (None, 2)}
