"""The prepared graph is the same function in fewer kinds of nodes, whatever shape the original came in."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from PIL import Image, ImageDraw, ImageFont

from quantseg import graph as graphs
from quantseg.errors import ModelError
from quantseg.graph.preparation import prepare
from tests.support import models
from tests.support.graphs import Array, assert_same, graph, noise, op_types, parse, run
from tests.support.places import SHARED

SHARED_MODELS = {
    "deeplab_v3_mbv2_voc": (1, 257, 257, 3),
    "ppocr_mobile_v2_det": (1, 3, 96, 160),
    "road_segmentation_adas_0001": (1, 512, 896, 3),
    "sinet_portrait": (1, 3, 320, 320),
}
W = noise(4, 2, 3, 3)
NORM = {"g": noise(4), "h": noise(4, seed=1), "v": noise(4, seed=2) ** 2}
BN = "BatchNormalization(c, g, h, h, v)"


def image(name: str) -> Array:
    """What the network was made for, about as it expects it: a photograph, or text for the text detector."""
    shape = SHARED_MODELS[name]
    last = shape[-1] == 3
    size = (shape[2], shape[1]) if last else (shape[3], shape[2])
    if name.startswith("ppocr"):
        image = Image.new("RGB", size, "white")
        ImageDraw.Draw(image).text((8, 20), "quantseg draws", fill="black", font=ImageFont.load_default(size=20))
    else:
        path = min((SHARED / "data" / "camvid" / "val" / "images").iterdir())
        with Image.open(path) as photograph:
            image = photograph.convert("RGB").resize(size)
    pixels = np.asarray(image, np.float32)
    scaled = pixels if name.startswith("road") else pixels / 64 - 2
    return np.ascontiguousarray(scaled if last else scaled.transpose(2, 0, 1))[None]


@pytest.mark.slow
@pytest.mark.parametrize("opset", [13, 17, 21])
@pytest.mark.parametrize("name", SHARED_MODELS)
def test_prepared_model_equals_the_original_on_a_real_image(name: str, opset: int) -> None:
    path = SHARED / "models" / f"{name}.onnx"
    if not path.exists():
        pytest.skip("the shared models are not here")
    model = graphs.load(path)
    prepared = prepare(model, opset=opset).model
    (spec,) = graphs.signature(model)[0]
    x = {spec.name: image(name)}
    expected, actual = models.run(path.read_bytes(), x), run(prepared, x)
    assert np.ptp(expected[0]) > 0.01
    assert_same(actual, expected, tolerance=1e-4)
    assert graphs.signature(prepared) == graphs.signature(model)
    assert not {"BatchNormalization", "ConvTranspose", "Constant", "Upsample", "Pad"} & set(op_types(prepared))
    assert prepared.opset_imports[""] == opset


def check_form(model: ir.Model) -> None:
    """What later stages rely on."""
    nodes = [node for part in model.graphs() for node in part]
    names = [node.name for node in nodes]
    values = [value.name for node in model.graph for value in node.outputs] + list(model.graph.initializers)
    assert all(names)
    assert len(set(names)) == len(names)
    assert all(values)
    assert len(set(values)) == len(values)
    assert not set(model.graph.inputs) & set(model.graph.initializers.values())
    assert "Constant" not in op_types(model)
    onnx.checker.check_model(ir.serde.serialize_model(model), full_check=True)


AWKWARD = {
    "two outputs": parse(
        '<ir_version: 7, opset_import: ["": 13]> g (float[1,2,6,6] x) => (float[1,4,4,4] y, float[1,4,4,4] z)'
        f" {{ c = Conv(x, w) y = {BN} z = Relu(y) }}",
        w=W,
        **NORM,
    ),
    "a weight shared by two nodes": graph(f"c = Conv(x, w) d = {BN} e = Conv(x, w) y = Add(d, e)", w=W, **NORM),
    "an if": graph(
        f"""c = Conv(x, w) d = {BN}
        s = ReduceMax<keepdims=0>(x) t = Cast<to=9>(s)
        y = If(t) <
            then_branch = a () => (float[1,4,4,4] p) {{
                k = Constant<value = float {{2.0}}>() p = Mul(d, k)
            }},
            else_branch = b () => (float[1,4,4,4] q) {{ q = Clip<min=-0.1>(d) }}
        >""",
        opset=9,
        w=W,
        **NORM,
    ),
    "channels last": graph(
        f"a = Transpose<perm=[0,3,1,2]>(x) c = Conv(a, w) d = {BN} e = Transpose<perm=[0,2,3,1]>(d)"
        " f = Transpose<perm=[0,3,1,2]>(e) k = Conv(f, u) y = Transpose<perm=[0,2,3,1]>(k)",
        x="float[1,6,6,2]",
        w=W,
        u=noise(3, 4, 2, 2),
        **NORM,
    ),
    "dynamic sizes": graph(
        f"c = Conv(x, w) d = {BN} e = Pad(d, p) k = ConvTranspose<strides=[2,2], pads=[1,1,1,1]>(e, u)"
        " s = Shape(x) y = Reshape(k, n)",
        x="float[batch,2,height,width]",
        y="float[batch,many]",
        w=W,
        u=noise(4, 3, 4, 4),
        p=np.array([0, 0, 1, 0, 0, 0, 0, 1]),
        n=np.array([0, -1]),
        **NORM,
    ),
    "nameless and twice named": graph("a = Relu(x) b = Conv(a, w) c = Relu(b) y = Relu(c)", w=W),
    "an output that is its input": graph("y = Identity(x)"),
    "old and everything constant": graph(
        "k = Constant<value = float[2] {1.0, 2.0}>() r = Unsqueeze<axes=[1,2]>(k) m = Mul(x, r)"
        f" c = Conv(m, w) d = {BN} y = Upsample<scales=[1.0,1.0,2.0,2.0]>(d)",
        opset=7,
        w=W,
        **NORM,
    ),
}


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_graphs_keep_their_meaning_and_take_the_form(name: str, opset: int) -> None:
    model = AWKWARD[name]
    before = graphs.to_bytes(model)
    prepared = prepare(model, opset=opset)
    assert graphs.to_bytes(model) == before
    check_form(prepared.model)
    shape = [dim if isinstance(dim, int) else 6 for dim in model.graph.inputs[0].shape]
    for sign in (1, -1):
        x = {"x": sign * np.abs(noise(*shape))}
        assert_same(run(prepared.model, x), run(model, x))
    assert "BatchNormalization" not in op_types(prepared.model)


def test_names_of_dynamic_sizes_are_kept() -> None:
    prepared = prepare(AWKWARD["dynamic sizes"]).model
    assert [str(dim) for dim in prepared.graph.inputs[0].shape] == ["batch", "2", "height", "width"]
    assert [str(dim) for dim in prepared.graph.outputs[0].shape] == ["batch", "many"]


def test_inner_transposes_go_and_outer_ones_stay() -> None:
    kinds = Counter(op_types(prepare(AWKWARD["channels last"]).model))
    assert kinds == {"Transpose": 2, "Conv": 2}


def test_initializers_listed_as_inputs_are_inputs_no_more() -> None:
    model = graph("y = Conv(x, w)", w=W)
    model.graph.inputs.append(model.graph.initializers["w"])
    prepared = prepare(model).model
    assert [value.name for value in prepared.graph.inputs] == ["x"]
    assert len(model.graph.inputs) == 2
    check_form(prepared)


def test_functions_are_inlined() -> None:
    model = parse(
        """<ir_version: 9, opset_import: ["": 17, "own": 1]>
        g (float[1,2,6,6] x) => (float[1,2,6,6] y) { a = own.twice(x) y = own.twice(a) }
        <opset_import: ["": 17], domain: "own"> twice (u) => (v) { v = Add(u, u) }"""
    )
    prepared = prepare(model).model
    assert op_types(prepared) == ["Add", "Add"]
    check_form(prepared)


def test_same_model_gives_the_same_bytes() -> None:
    model = AWKWARD["dynamic sizes"]
    assert graphs.to_bytes(prepare(model).model) == graphs.to_bytes(prepare(model).model)


def test_prepared_again_nothing_changes() -> None:
    for name in ("two outputs", "dynamic sizes", "channels last"):
        once = prepare(AWKWARD[name])
        again = prepare(once.model)
        assert again.changes == ()
        assert graphs.to_bytes(again.model) == graphs.to_bytes(once.model)


def test_changes_and_refusals_name_their_nodes() -> None:
    model = graph(
        "c = ConvTranspose<dilations=[2,2]>(x, w) e = ConvTranspose<strides=[2,2]>(x, u) s = Relu(c) y = Relu(e)",
        w=noise(2, 3, 3, 3),
        u=noise(2, 3, 2, 2),
    )
    for node, name in zip(model.graph, ("dilated", "plain", "other", "relu"), strict=True):
        node.name = name
    model.graph.outputs.append(model.graph.node(2).outputs[0])
    prepared = prepare(model)
    assert [(change.rewrite, change.node) for change in prepared.changes] == [
        ("lower_conv_transposes", "plain"),
        ("move_clamps_early", "relu"),
    ]
    assert [(refusal.rewrite, refusal.node) for refusal in prepared.refusals] == [("lower_conv_transposes", "dilated")]


def test_big_external_weights_pass_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from quantseg.graph import writing

    monkeypatch.setattr(writing, "SINGLE_FILE_LIMIT", 100)
    model = graph(f"c = Conv(x, w) y = {BN}", w=W, **NORM)
    graphs.save(model, tmp_path / "big.onnx")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    prepared = prepare(graphs.load(tmp_path / "big.onnx")).model
    assert op_types(prepared) == ["Conv"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    x = {"x": noise(1, 2, 6, 6)}
    assert_same(run(prepared, x), run(model, x))


def test_double_precision_is_refused_in_one_line() -> None:
    cast = f"k = Cast<to={onnx.TensorProto.DOUBLE}>(x) c = Conv(k, w) y = Cast<to=1>(c)"
    with pytest.raises(ModelError, match="'w' is double; export"):
        prepare(graph(cast, w=W.astype(np.float64)))
    with pytest.raises(ModelError, match="'x' is double; export"):
        prepare(graph("y = Relu(x)", x="double[1,2,6,6]", y="double[]"))


def test_a_function_of_another_opset_is_one_line() -> None:
    model = graphs.load(
        onnx.parser.parse_model(
            """<ir_version: 8, opset_import: ["": 18, "own": 1]>
            g (float[1,2,6,6] x) => (float[1,2,6,6] y) { y = own.F (x) }
            <domain: "own", opset_import: ["": 17]> F (p) => (r) { r = Relu (p) }"""
        ).SerializeToString()
    )
    with pytest.raises(
        ModelError, match=r"^its local functions cannot be inlined \(Opset mismatch .*; export it without"
    ):
        prepare(model)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((9, 2, 3, 3), ir.DataType.FLOAT), ((4,), ir.DataType.FLOAT), (("N", 2, 3, 3), ir.DataType.INT64)],
)
def test_what_a_file_states_of_a_constant_gives_way_to_the_constant(shape: tuple, dtype: ir.DataType) -> None:
    model = graph("a = Conv(x, w) y = Relu(a)", w=W)
    model.graph.initializers["w"].shape, model.graph.initializers["w"].dtype = ir.Shape(shape), dtype
    prepared = prepare(model).model
    assert list(next(iter(prepared.graph)).outputs[0].shape) == [1, 4, 4, 4]
    assert_same(
        run(prepared, {"x": noise(1, 2, 6, 6)}), run(graph("a = Conv(x, w) y = Relu(a)", w=W), {"x": noise(1, 2, 6, 6)})
    )
