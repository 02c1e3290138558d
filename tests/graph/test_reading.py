"""Files that are no models, and models that lie, give one clear line; good ones come back whole."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from google.protobuf.descriptor import Descriptor
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from quantseg import graph as graphs
from quantseg.errors import ModelError
from quantseg.files import limits
from quantseg.graph.preparation import prepare
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


def typed(folder: Path) -> Path:
    """A float weight whose numbers stand in the field of int64."""
    proto = proto_of()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.int64_data.extend([1] * W.size)
    return written(folder, proto)


def external_strings(folder: Path) -> Path:
    proto = proto_of()
    secret = TensorProto(name="s", data_type=TensorProto.STRING, data_location=TensorProto.EXTERNAL, dims=[0])
    secret.external_data.add(key="location", value="../secret.bin")
    proto.graph.initializer.append(secret)
    return written(folder, proto)


def external_twice(folder: Path) -> Path:
    proto = onnx.ModelProto.FromString(external(folder).read_bytes())
    proto.graph.initializer[0].external_data.add(key="location", value="../weights.bin")
    return written(folder, proto)


def overlapping(folder: Path) -> Path:
    """Tensors that use the same bytes of a file a hundred times."""
    proto = onnx.ModelProto.FromString(external(folder).read_bytes())
    for number in range(100):
        proto.graph.initializer.add().CopyFrom(proto.graph.initializer[0])
        proto.graph.initializer[-1].name = f"again{number}"
    return written(folder, proto)


def not_text(place: bytes) -> Damage:
    """One byte of a text becomes one that UTF-8 has not."""
    return bytes_of(proto_of().SerializeToString().replace(place, place[:-1] + b"\xff"))


def functions(calls: Mapping[str, Sequence[str]], start: str) -> onnx.ModelProto:
    """A model that calls `start`. calls: a function's name → the functions that it calls one after the other."""
    proto = proto_of()
    proto.ir_version = 9
    own = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    for name, called in calls.items():
        nodes = [helper.make_node(f, [f"v{k}"], [f"v{k + 1}"], domain="own") for k, f in enumerate(called)]
        last = helper.make_node("Relu", [f"v{len(called)}"], ["out"])
        proto.functions.append(helper.make_function("own", name, ["v0"], ["out"], [*nodes, last], own))
    proto.opset_import.append(own[1])
    proto.graph.node[0].input[0] = "called"
    proto.graph.node.insert(0, helper.make_node(start, ["x"], ["called"], domain="own"))
    return proto


def misfitting(edit: Callable[[onnx.NodeProto, onnx.FunctionProto], object]) -> onnx.ModelProto:
    proto = functions({"f0": []}, "f0")
    edit(proto.graph.node[0], proto.functions[0])
    return proto


DOUBLING = {f"f{k}": [f"f{k + 1}"] * 2 for k in range(40)} | {"f40": []}
CHAIN = {f"f{k}": [f"f{k + 1}"] for k in range(2000)} | {"f2000": []}
CIRCLE = {"f0": ["f1"], "f1": ["f0"]}


def calling(calls: Mapping[str, Sequence[str]]) -> Damage:
    return lambda folder: written(folder, functions(calls, "f0"))


def parameters(op_type: str, *lengths: int) -> Damage:
    """A model with a node whose constants have these lengths, or a Conv of four channels with a bias of one."""

    def make(folder: Path) -> Path:
        names = [f"p{k}" for k in range(len(lengths))]
        text = f"y = Conv(x, w, {names[0]})" if op_type == "Conv" else f"y = {op_type}(x, {', '.join(names)})"
        arrays = {name: np.ones(length, np.float32) for name, length in zip(names, lengths, strict=True)}
        return written(folder, ir.serde.serialize_model(graph(text, w=W, **arrays)))

    return make


def loop(trips: str = "m", start: str = "true", go_on: str = "Identity(c)", around: str = "") -> onnx.ModelProto:
    """y = a Loop from x. trips, start: its inputs. go_on: its condition from c. around: the trips of an outer Loop."""
    values = {"m": np.int64(1 << 62), "many": np.int64(2000), "true": np.array(True), "false": np.array(False)}
    tensor = "float[1,2,6,6]"

    def node(out: str, body: str, head: str, inputs: str) -> str:
        return f"{out} = Loop <body = {head} {{ {body} }}> ({inputs})"

    head = f"b (int64 i, bool c, {tensor} v) => (bool d, {tensor} w)"
    if around:
        inner = node("k", f"d = {go_on} w = Neg(v)", head, f"{trips}, {start}, u")
        outer = f"o (int64 j, bool e, {tensor} u) => (bool f, {tensor} k)"
        text = node("l", f"f = Identity(e) {inner}", outer, f"{around}, true, x")
    else:
        text = node("l", f"d = {go_on} w = Neg(v)", head, f"{trips}, {start}, x")
    return ir.serde.serialize_model(graph(f"{text} y = Abs(l)", **values))


def looping(**how: str) -> Damage:
    return lambda folder: written(folder, loop(**how))


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
    "external by way of nothing": (lambda folder: external(folder, location="none/../weights.bin"), "is missing"),
    "external strings": (external_strings, "keeps strings in an external file"),
    "external said twice": (external_twice, "says twice where its data lies"),
    "external overlap": (overlapping, "overlap in external files"),
    "field of another type": (typed, r"tensor 'w' of type float has values in int64_data, where they do not belong"),
    "numbers in two fields": (damaged(lambda p: p.graph.initializer[0].float_data.extend([1])), "values in float_data"),
    "name that is no text": (not_text(b"\x01y"), r"output b'\\xff' is not UTF-8; export it again"),
    "operator that is no text": (not_text(b"Conv"), r"op_type b'Con\\xff' is not UTF-8"),
    "output of no node": (damaged(lambda p: setattr(p.graph.output[0], "name", "z")), "output 'z' is made by no node"),
    "device": (lambda folder: Path("/dev/null"), "a device, not a file"),
    "functions that double": (calling(DOUBLING), r"has more than 262,144 nodes, functions written out"),
    "functions in a chain": (calling(CHAIN), "functions call others 64 deep and more"),
    "functions in a circle": (calling(CIRCLE), "calls itself in the end"),
    "call of more inputs": (
        lambda folder: written(folder, misfitting(lambda call, body: call.input.append("x"))),
        "has 2 inputs and 1 outputs, its function 'f0' 1 and 1",
    ),
    "call of more outputs": (
        lambda folder: written(folder, misfitting(lambda call, body: call.output.append("more"))),
        "has 1 inputs and 2 outputs, its function 'f0' 1 and 1",
    ),
    "function that reads nothing": (
        lambda folder: written(folder, misfitting(lambda call, body: body.node[0].input.__setitem__(0, "nobody"))),
        "reads 'nobody', which nothing makes",
    ),
    "batch norm of other lengths": (
        parameters("BatchNormalization", 2, 1, 2, 2),
        r"\(BatchNormalization\) has constants of shape \[2\], \[1\], \[2\], \[2\] for its channels",
    ),
    "instance norm of other lengths": (
        parameters("InstanceNormalization", 2, 3),
        r"shape \[2\], \[3\] for its channels",
    ),
    "bias of another length": (parameters("Conv", 3), r"\(Conv\) has constants of shape \[4\], \[3\] for its channels"),
    "endless loop": (looping(), r"\(Loop\) runs its body 4,611,686,018,427,387,904 times; export it with fewer trips"),
    "loop without a number of trips": (looping(trips="", go_on="Identity(true)"), "runs its body without end"),
    "loop without a condition": (looping(start=""), "runs its body 4,6"),
    "loop in a loop": (looping(trips="many", around="many"), "runs its body 4,000,000 times"),
    "groups that do not divide": (
        damaged(lambda p: p.graph.node[0].attribute.append(helper.make_attribute("group", 3))),
        r"weight of shape \[4, 2, 3, 3\] for 3 groups",
    ),
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


def secret(location: str) -> TensorProto:
    """A tensor of two numbers in an external file."""
    tensor = TensorProto(name="k", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def constant_function(tensor: TensorProto) -> onnx.FunctionProto:
    """out = v + k, where k is the default of an attribute."""
    nodes = [helper.make_node("Constant", [], ["k"]), helper.make_node("Add", ["v", "k"], ["out"])]
    nodes[0].attribute.add(name="value", type=onnx.AttributeProto.TENSOR, ref_attr_name="value")
    function = helper.make_function("own", "plus", ["v"], ["out"], nodes, [helper.make_opsetid("", 13)])
    function.attribute_proto.append(helper.make_attribute("value", tensor))
    return function


def with_function(function: onnx.FunctionProto) -> onnx.ModelProto:
    proto = ir.serde.serialize_model(graph("p = Relu(x) y = Abs(p)", x="float[1,2]"))
    proto.ir_version = 9
    proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("own", 1))
    proto.graph.node[0].CopyFrom(helper.make_node("plus", ["x"], ["p"], domain="own"))
    return proto


PLACES: dict[str, Callable[[onnx.ModelProto, TensorProto], object]] = {
    "default of a function's attribute": lambda p, t: p.functions.append(constant_function(t)),
    "node of a function": lambda p, t: p.functions.add().node.add().attribute.append(helper.make_attribute("v", t)),
    "list of tensors": lambda p, t: p.graph.node[0].attribute.append(helper.make_attribute("v", [t])),
    "subgraph": lambda p, t: p.graph.node[0].attribute.add(name="g").g.initializer.append(t),
    "subgraphs": lambda p, t: p.graph.node[0].attribute.add(name="g").graphs.add().initializer.append(t),
    "training": lambda p, t: p.training_info.add().algorithm.initializer.append(t),
    "start of training": lambda p, t: p.training_info.add().initialization.initializer.append(t),
    "sparse weight": lambda p, t: p.graph.sparse_initializer.add().values.CopyFrom(t),
    "sparse attribute": lambda p, t: p.graph.node[0].attribute.add(name="s").sparse_tensor.values.CopyFrom(t),
    "indices": lambda p, t: p.graph.node[0].attribute.add(name="s").sparse_tensors.add().indices.CopyFrom(t),
}
"""Places in a file where a tensor may stand."""


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("outside", ["../outside.bin", "absolute"])
def test_no_tensor_anywhere_is_read_from_outside_the_folder(name: str, outside: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(8))
    proto = proto_of()
    PLACES[name](proto, secret(str(tmp_path / "outside.bin") if outside == "absolute" else outside))
    path = written(tmp_path / "model", proto)
    for read in (graphs.load, graphs.digest):
        with pytest.raises(ModelError, match=r"outside the model's folder|sparse weights are not supported") as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(ModelError, match=r"lies in a file of its own|sparse"):
        graphs.load(path.read_bytes())


def holders(kind: Descriptor, seen: set[str]) -> set[str]:
    """Fields of the messages of a model that hold a tensor, by the descriptors."""
    found = set()
    for field in kind.fields:
        if field.message_type is None:
            continue
        if field.message_type.name == "TensorProto":
            found.add(f"{kind.name}.{field.name}")
        if field.message_type.full_name not in seen:
            seen.add(field.message_type.full_name)
            found |= holders(field.message_type, seen)
    return found


def test_the_places_above_are_all_that_this_version_of_onnx_has() -> None:
    known = {"GraphProto.initializer", "AttributeProto.t", "AttributeProto.tensors"}
    assert holders(onnx.ModelProto.DESCRIPTOR, set()) == known | {
        "SparseTensorProto.values",
        "SparseTensorProto.indices",
    }


def test_external_data_of_a_function_is_that_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "k.bin").write_bytes(np.float32([1, 2]).tobytes())
    (tmp_path / "k.bin").write_bytes(np.float32([8, 9]).tobytes())  # in the current folder
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "model", with_function(constant_function(secret("k.bin"))))
    prepared = prepare(graphs.load(path)).model
    assert_same(run(prepared, {"x": np.float32([[1, -4]])}), [np.float32([[2, 2]])], tolerance=0)
    (tmp_path / "model" / "k.bin").write_bytes(np.float32([1, 3]).tobytes())
    assert graphs.digest(path) != graphs.digest(written(tmp_path / "model", proto_of()))


def test_the_folder_of_a_model_by_a_link_is_that_of_the_link(tmp_path: Path) -> None:
    """As in onnxruntime, which opens the same path."""
    for name in ("real", "link"):
        (tmp_path / name).mkdir()
    real = external(tmp_path / "real")
    (tmp_path / "link" / "model.onnx").symlink_to(real)
    path = tmp_path / "link" / "model.onnx"
    with pytest.raises(ModelError, match=r"'weights\.bin', which is missing; copy it there"):
        graphs.load(path)
    (tmp_path / "link" / "weights.bin").write_bytes(b"four" + (2 * W).tobytes())
    weights = graphs.load(path).graph.initializers["w"].const_value
    np.testing.assert_array_equal(weights.numpy(), 2 * W)
    x = {"x": noise(1, 2, 6, 6)}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert_same(session.run(None, x), run(graph("y = Conv(x, w)", w=2 * W), x))


@pytest.mark.parametrize(
    "how",
    [
        {"trips": "many"},
        {"start": "false"},
        {"trips": "", "start": "false"},
        {"go_on": "Not(c)"},
        {"go_on": "Identity(false)"},
        {"trips": "many", "around": "many", "start": "false"},
    ],
)
def test_loops_that_end_are_read(how: Mapping[str, str], tmp_path: Path) -> None:
    model = graphs.load(written(tmp_path, loop(**how)))
    run(model, {"x": noise(1, 2, 6, 6)})


def test_an_endless_loop_in_a_function_is_refused(tmp_path: Path) -> None:
    proto = loop()
    call, last = proto.graph.node
    values = [helper.make_node("Constant", [], [t.name], value=t) for t in proto.graph.initializer]
    body = onnx.FunctionProto(domain="own", name="f", input=["x"], output=["l"], node=[*values, call])
    body.opset_import.append(helper.make_opsetid("", 13))
    proto.functions.append(body)
    proto.ir_version = 9
    proto.opset_import.append(helper.make_opsetid("own", 1))
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.extend([helper.make_node("f", ["x"], ["l"], domain="own"), last])
    with pytest.raises(ModelError, match=r"\(Loop\) runs its body"):
        graphs.load(written(tmp_path, proto))


def test_strings_are_kept(tmp_path: Path) -> None:
    proto = proto_of()
    proto.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [2], [b"a", b"b"]))
    proto.graph.node.insert(0, helper.make_node("Identity", ["s"], ["t"]))
    model = graphs.load(written(tmp_path, proto))
    graphs.infer_shapes(model)
    assert graphs.load(graphs.to_bytes(model)).graph.initializers["s"].const_value.string_data() == [b"a", b"b"]
    prepare(model)


def test_long_vectors_are_not_taken_for_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnx would make a message of each of their elements."""
    body = "e = Expand(c, n) s = Slice(e, i, j) z = Shape(x) r = Reshape(x, z) y = Relu(r)"
    more = {"i": np.array([0]), "j": np.array([1])}
    used = []
    infer = onnx.shape_inference.infer_shapes
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", lambda m, **how: used.append(how) or infer(m, **how))
    for length, expected in ((6, [{}, {"data_prop": True}]), (1 << 21, [{}])):
        used.clear()
        model = graph(body, c=noise(1), n=np.array([length]), **more)
        graphs.infer_shapes(model)
        assert used == expected
        assert model.graph[0].outputs[0].shape == [length]


def test_a_file_of_very_many_parts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MODEL_MESSAGES", 10)
    with pytest.raises(ModelError, match="more than 10 nodes, attributes and tensors"):
        graphs.load(written(tmp_path, proto_of()))


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, proto_of())
    monkeypatch.setattr(limits, "MODEL_BYTES", path.stat().st_size - 1)
    with pytest.raises(ModelError, match="over 2 GB in one file; export it with external data"):
        graphs.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    for read in (graphs.load, graphs.digest):
        with pytest.raises(ModelError, match=r"m\.onnx: cannot be read \(a named pipe, not a file\)"):
            read(tmp_path / "m.onnx")


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
