"""Files that are no models, and models that lie, give one clear line; good ones come back whole."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from quantseg import graph as graphs
from quantseg.errors import ModelError
from tests.support.graphs import assert_same, graph, noise, run

W = noise(4, 2, 3, 3)


def proto_of(opset: int = 13) -> onnx.ModelProto:
    return ir.serde.serialize_model(graph("y = Conv(x, w)", opset=opset, w=W))


def written(folder: Path, proto: onnx.ModelProto) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def external(folder: Path, **entries: str) -> Path:
    """A model whose weight lies in weights.bin, with these entries instead of the true ones."""
    proto = proto_of()
    tensor = proto.graph.initializer[0]
    (folder / "weights.bin").write_bytes(b"four" + tensor.raw_data)
    true = {"location": "weights.bin", "offset": "4", "length": str(W.nbytes)}
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {**true, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return written(folder, proto)


def test_a_model_in_memory_is_the_one_in_its_file(tmp_path: Path) -> None:
    path = written(tmp_path, proto_of())
    one, other = graphs.load(path), graphs.load(path.read_bytes())
    assert graphs.to_bytes(one) == graphs.to_bytes(other)


def test_weights_in_a_file_of_their_own_need_the_path_of_the_model(tmp_path: Path) -> None:
    path = external(tmp_path)
    graphs.load(path)
    with pytest.raises(ModelError, match=r"^the model: weight 'w' lies in a file of its own; give the path"):
        graphs.load(path.read_bytes())


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", proto_of().SerializeToString()[:100], proto_of(6).SerializeToString()]
)
def test_bytes_that_are_no_model_are_one_line(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"^the model: ") as error:
        graphs.load(content)
    assert "\n" not in str(error.value)


def test_good_model_comes_back_whole(tmp_path: Path) -> None:
    model = graphs.load(written(tmp_path, proto_of()))
    x = {"x": noise(1, 2, 6, 6)}
    assert_same(run(model, x), run(graph("y = Conv(x, w)", w=W), x), tolerance=0)


def test_external_weights_are_read_from_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = external(tmp_path)
    monkeypatch.chdir(tmp_path)
    for given_as in (path, Path("model.onnx")):
        model = graphs.load(given_as)
        np.testing.assert_array_equal(model.graph.initializers["w"].const_value.numpy(), W)


def test_nodes_out_of_order_are_sorted(tmp_path: Path) -> None:
    proto = ir.serde.serialize_model(graph("a = Relu(x) y = Abs(a)"))
    proto.graph.node.reverse()
    assert [node.op_type for node in graphs.load(written(tmp_path, proto)).graph] == ["Relu", "Abs"]


def test_long_spelling_of_the_default_domain(tmp_path: Path) -> None:
    proto = proto_of()
    proto.opset_import[0].domain = "ai.onnx"
    assert graphs.load(written(tmp_path, proto)).opset_imports == {"": 13}


Damage = Callable[[Path], Path]


def damaged(edit: Callable[[onnx.ModelProto], object]) -> Damage:
    def make(folder: Path) -> Path:
        proto = proto_of()
        edit(proto)
        return written(folder, proto)

    return make


def bytes_of(content: bytes) -> Damage:
    def make(folder: Path) -> Path:
        (folder / "model.onnx").write_bytes(content)
        return folder / "model.onnx"

    return make


def linked(folder: Path) -> Path:
    path = external(folder / "model")
    outside = folder / "outside.bin"
    (folder / "model" / "weights.bin").rename(outside)
    (folder / "model" / "weights.bin").symlink_to(outside)
    return path


def hard_linked(folder: Path) -> Path:
    path = external(folder)
    os.link(folder / "weights.bin", folder / "again.bin")
    return path


WRONG = {
    "missing": (lambda folder: folder / "none.onnx", "no such file"),
    "folder": (lambda folder: folder, "is a folder"),
    "empty": (bytes_of(b""), "is empty"),
    "text": (bytes_of(b"<html>not found</html>"), "not an ONNX model"),
    "cut short": (bytes_of(proto_of().SerializeToString()[:-40]), "not an ONNX model"),
    "no graph": (bytes_of(onnx.ModelProto(ir_version=7).SerializeToString()), "no ONNX graph"),
    "opset 6": (damaged(lambda p: setattr(p.opset_import[0], "version", 6)), "opset 6 is too old"),
    "opset 999": (damaged(lambda p: setattr(p.opset_import[0], "version", 999)), "opset 999 is newer"),
    "other domain only": (
        damaged(lambda p: setattr(p.opset_import[0], "domain", "ai.onnx.ml")),
        "no ONNX opset",
    ),
    "unknown operator": (damaged(lambda p: setattr(p.graph.node[0], "op_type", "Konv")), "Konv"),
    "unknown input": (damaged(lambda p: p.graph.node[0].input.__setitem__(0, "nobody")), "nobody"),
    "too few bytes": (damaged(lambda p: p.graph.initializer[0].dims.__setitem__(0, 5)), "holds 288"),
    "a terabyte declared": (
        damaged(lambda p: p.graph.initializer[0].dims.__setitem__(0, 1 << 40)),
        "holds 288",
    ),
    "overflowing size": (
        damaged(lambda p: p.graph.initializer[0].dims.extend([1 << 62, 1 << 62])),
        "holds 288",
    ),
    "negative size": (damaged(lambda p: p.graph.initializer[0].dims.__setitem__(0, -4)), "negative"),
    "unknown type": (damaged(lambda p: setattr(p.graph.initializer[0], "data_type", 99)), "unknown type 99"),
    "no type": (damaged(lambda p: setattr(p.graph.initializer[0], "data_type", 0)), "no type"),
    "sparse weight": (
        damaged(lambda p: p.graph.sparse_initializer.add(dims=[1 << 60])),
        "sparse weights are not supported",
    ),
    "external above": (
        lambda folder: external(folder, location="../weights.bin"),
        "outside the model's folder",
    ),
    "external absolute": (lambda folder: external(folder, location=str(folder / "weights.bin")), "outside"),
    "external null byte": (lambda folder: external(folder, location="a\0b"), "outside the model's folder"),
    "external missing": (lambda folder: external(folder, location="other.bin"), "is missing"),
    "external folder": (lambda folder: external(folder, location="."), "is missing"),
    "external cut short": (lambda folder: external(folder, offset="5"), "cut short"),
    "external negative": (lambda folder: external(folder, offset="-1"), "cut short"),
    "external too long": (lambda folder: external(folder, length="1000000"), "holds 1000000"),
    "external nonsense": (lambda folder: external(folder, offset="many"), "not a number"),
    "hard link": (hard_linked, "several hard links"),
    "symbolic link": (linked, "outside the model's folder"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_file_gives_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    make, words = WRONG[name]
    (tmp_path / "model").mkdir()
    path = make(tmp_path)
    with pytest.raises(ModelError, match=words) as caught:
        graphs.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


def test_tensors_inside_attributes_and_subgraphs_are_checked(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(W, "w")
    tensor.dims[0] = 1 << 40
    lies = helper.make_node("Constant", [], ["c"], value=tensor)
    value = helper.make_tensor_value_info("c", TensorProto.FLOAT, None)
    branch = helper.make_graph([lies], "branch", [], [value])
    proto = proto_of()
    proto.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch))
    with pytest.raises(ModelError, match="holds 288"):
        graphs.load(written(tmp_path, proto))


@pytest.mark.parametrize("kind", ["float32", "int64", "uint8", "bool", "float64", "float16", "complex64", "uint64"])
def test_numbers_in_typed_fields_are_counted_as_bytes_are(kind: str, tmp_path: Path) -> None:
    array = np.arange(6).reshape(2, 3).astype(kind)
    data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    proto = proto_of()
    proto.graph.initializer.append(helper.make_tensor("extra", data_type, [2, 3], array.ravel()))
    assert graphs.load(written(tmp_path, proto)).graph.initializers["extra"].const_value.numpy().shape == (
        2,
        3,
    )
    proto.graph.initializer[-1].dims[0] = 3
    with pytest.raises(ModelError, match="'extra'"):
        graphs.load(written(tmp_path, proto))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_is_a_model_error_or_a_model(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(proto_of().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    with suppress(ModelError):
        graphs.load(path)


def test_digest_covers_external_data(tmp_path: Path) -> None:
    path = external(tmp_path)
    first = graphs.digest(path)
    assert first == graphs.digest(path)
    content = bytearray((tmp_path / "weights.bin").read_bytes())
    content[-1] ^= 1
    (tmp_path / "weights.bin").write_bytes(content)
    assert graphs.digest(path) != first
