"""Multiply-accumulates of each operator, by hand and by the shapes in the ONNX graph, against onnxruntime's profile."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser

from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.execution import ExecutedNode, summary
from quantseg.runtimes.products import CONVOLUTIONS, Product, product_of
from tests.support import models, quantised

RUNTIME = RUNTIMES["onnxruntime"]
HEADER = '<ir_version: 8, opset_import: ["": 13, "com.microsoft": 1]>'
NUMPY = {"float": np.float32, "uint8": np.uint8, "int8": np.int8}


def executed(model: onnx.ModelProto, **shapes: tuple[int, ...]) -> tuple[ExecutedNode, ...]:
    """The nodes that run on inputs of ones, of these shapes."""
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    feeds = {name: np.ones(s, helper.tensor_dtype_to_np_dtype(types[name])) for name, s in shapes.items()}
    return RUNTIME.executed(model.SerializeToString(), feeds, threads=1, runs=1)


def stored(element: str, *shape: int) -> str:
    """A constant in ONNX's textual syntax."""
    return f"{element}[{', '.join(map(str, shape))}] w = {{{', '.join(['1'] * math.prod(shape))}}}"


def product(source: str, **shapes: tuple[int, ...]) -> Product:
    """The one product among the nodes that run."""
    found = [node.product for node in executed(parser.parse_model(f"{HEADER} {source}"), **shapes) if node.product]
    (one,) = found
    return one


QUANTISED = "<float s = {0.5}, uint8 z = {128}, float t = {0.5}, int8 o = {0}, "


@pytest.mark.parametrize(
    ("source", "shapes", "expected"),
    [
        pytest.param(
            f"g (float[1,3,8,8] x) => (float[1,5,8,8] y) <{stored('float', 5, 3, 3, 3)}> "
            "{ y = Conv <pads = [1,1,1,1]> (x, w) }",
            {"x": (1, 3, 8, 8)},
            Product(5 * 8 * 8 * 3 * 9, (3, 5), (3, 3), 1, (1, 8, 8)),
            id="Conv",
        ),
        pytest.param(
            f"g (float[2,4,9,7] x) => (float[2,6,4,3] y) <{stored('float', 6, 2, 3, 3)}> "
            "{ y = Conv <group = 2, strides = [2,2]> (x, w) }",
            {"x": (2, 4, 9, 7)},
            Product(2 * 6 * 4 * 3 * 2 * 9, (4, 6), (3, 3), 2, (2, 4, 3)),
            id="Conv grouped and strided, two images",
        ),
        pytest.param(
            f"g (float[1,16,6,6] x) => (float[1,16,6,6] y) <{stored('float', 16, 1, 5, 5)}> "
            "{ y = Conv <group = 16, pads = [2,2,2,2]> (x, w) }",
            {"x": (1, 16, 6, 6)},
            Product(16 * 6 * 6 * 25, (16, 16), (5, 5), 16, (1, 6, 6)),
            id="Conv depthwise",
        ),
        pytest.param(
            f"g (float[1,3,6,6] x) => (float[1,11,6,6] y) <{stored('float', 11, 3, 1, 1)}> "
            "{ c = Conv (x, w) y = Relu (c) }",
            {"x": (1, 3, 6, 6)},
            Product(11 * 36 * 3, (3, 11), (1, 1), 1, (1, 6, 6)),
            id="FusedConv, 11 channels that fill no block",
        ),
        pytest.param(
            "g (float[1,3,6,6] x, float[4,3,2,2] v) => (float[1,4,5,5] y) { y = Conv (x, v) }",
            {"x": (1, 3, 6, 6), "v": (4, 3, 2, 2)},
            Product(4 * 25 * 3 * 4, (3, 4), (2, 2), 1, (1, 5, 5)),
            id="Conv whose weight is computed",
        ),
        pytest.param(
            f"g (float[1,4,9] x) => (float[1,8,7] y) <{stored('float', 8, 4, 3)}> {{ y = Conv (x, w) }}",
            {"x": (1, 4, 9)},
            Product(8 * 7 * 4 * 3, (4, 8), (3,), 1, (1, 7)),
            id="Conv in one dimension",
        ),
        pytest.param(
            f"g (float[1,4,5,6] x) => (float[1,6,10,12] y) <{stored('float', 4, 3, 2, 2)}> "
            "{ y = ConvTranspose <group = 2, strides = [2,2]> (x, w) }",
            {"x": (1, 4, 5, 6)},
            Product(5 * 6 * 4 * 3 * 4, (4, 6), (2, 2), 2, (1, 5, 6)),
            id="ConvTranspose",
        ),
        pytest.param(
            f"g (uint8[1,3,8,8] x) => (uint8[1,8,6,6] y) {QUANTISED}{stored('int8', 8, 3, 3, 3)}> "
            "{ y = QLinearConv (x, s, z, w, t, o, s, z) }",
            {"x": (1, 3, 8, 8)},
            Product(8 * 36 * 3 * 9, (3, 8), (3, 3), 1, (1, 6, 6)),
            id="QLinearConv",
        ),
        pytest.param(
            f"g (uint8[1,8,10,6] x) => (uint8[1,4,5,8] y) {QUANTISED}{stored('int8', 8, 3, 3, 3)}> "
            "{ y = com.microsoft.QLinearConv <channels_last = 1, group = 2, pads = [1,1,1,1], strides = [2,2]> "
            "(x, s, z, w, t, o, s, z) }",
            {"x": (1, 8, 10, 6)},
            Product(4 * 5 * 8 * 3 * 9, (6, 8), (3, 3), 2, (1, 4, 5)),
            id="QLinearConv, channels last",
        ),
        pytest.param(
            f"g (uint8[1,3,8,8] x) => (int32[1,2,6,6] y) <uint8 z = {{128}}, {stored('uint8', 2, 3, 3, 3)}> "
            "{ y = ConvInteger (x, w, z) }",
            {"x": (1, 3, 8, 8)},
            Product(2 * 36 * 3 * 9, (3, 2), (3, 3), 1, (1, 6, 6)),
            id="ConvInteger",
        ),
        pytest.param(
            f"g (float[2,3,4,5] x) => (float[2,3,4,7] y) <{stored('float', 5, 7)}> {{ y = MatMul (x, w) }}",
            {"x": (2, 3, 4, 5)},
            Product(2 * 3 * 4 * 7 * 5, (5, 7), (), 1, (2, 3, 4)),
            id="MatMul with batches",
        ),
        pytest.param(
            "g (float[3,4,5] x, float[2,1,5,7] v) => (float[2,3,4,7] y) { y = MatMul (x, v) }",
            {"x": (3, 4, 5), "v": (2, 1, 5, 7)},
            Product(2 * 3 * 4 * 7 * 5, (5, 7), (), 1, (2, 3, 4)),
            id="MatMul of two computed tensors, batches spread",
        ),
        pytest.param(
            "g (float[5] x, float[5,7] v) => (float[7] y) { y = MatMul (x, v) }",
            {"x": (5,), "v": (5, 7)},
            Product(7 * 5, (5, 7), (), 1, (1,)),
            id="MatMul of a vector",
        ),
        pytest.param(
            "g (float[2,6,4] x, float[2,6,3] v) => (float[2,4,3] y) "
            "{ t = Transpose <perm = [0,2,1]> (x) y = MatMul (t, v) }",
            {"x": (2, 6, 4), "v": (2, 6, 3)},
            Product(2 * 4 * 3 * 6, (6, 3), (), 1, (2, 4)),
            id="FusedMatMul, transposed left",
        ),
        pytest.param(
            f"g (float[4,5] x) => (float[4,7] y) <{stored('float', 7, 5)}> {{ y = Gemm <transB = 1> (x, w) }}",
            {"x": (4, 5)},
            Product(4 * 7 * 5, (5, 7), (), 1, (4,)),
            id="Gemm transB",
        ),
        pytest.param(
            f"g (float[5,4] x) => (float[4,7] y) <{stored('float', 5, 7)}> {{ y = Gemm <transA = 1> (x, w) }}",
            {"x": (5, 4)},
            Product(4 * 7 * 5, (5, 7), (), 1, (4,)),
            id="Gemm transA",
        ),
        pytest.param(
            f"g (float[4,5] x) => (float[4,7] y) <{stored('float', 5, 7)}> {{ c = Gemm (x, w) y = Relu (c) }}",
            {"x": (4, 5)},
            Product(4 * 7 * 5, (5, 7), (), 1, (4,)),
            id="FusedGemm",
        ),
        pytest.param(
            f"g (uint8[2,4,5] x) => (uint8[2,4,7] y) {QUANTISED}{stored('int8', 5, 7)}> "
            "{ y = QLinearMatMul (x, s, z, w, t, o, s, z) }",
            {"x": (2, 4, 5)},
            Product(2 * 4 * 7 * 5, (5, 7), (), 1, (2, 4)),
            id="QLinearMatMul",
        ),
        pytest.param(
            f"g (uint8[4,5] x) => (uint8[4,7] y) {QUANTISED}{stored('int8', 7, 5)}> "
            "{ y = com.microsoft.QGemm <transB = 1> (x, s, z, w, t, o, , s, z) }",
            {"x": (4, 5)},
            Product(4 * 7 * 5, (5, 7), (), 1, (4,)),
            id="QGemm transB",
        ),
        pytest.param(
            f"g (uint8[4,5] x) => (int32[4,7] y) <{stored('int8', 5, 7)}> {{ y = MatMulInteger (x, w) }}",
            {"x": (4, 5)},
            Product(4 * 7 * 5, (5, 7), (), 1, (4,)),
            id="MatMulInteger",
        ),
        pytest.param(
            f"g (float[4,5] x) => (float[4,7] y) <float t = {{0.5}}, {stored('int8', 5, 7)}> "
            "{ y = com.microsoft.DynamicQuantizeMatMul (x, w, t) }",
            {"x": (4, 5)},
            Product(4 * 7 * 5, (5, 7), (), 1, (4,)),
            id="DynamicQuantizeMatMul",
        ),
        pytest.param(
            "g (float[3,32] x) => (float[3,4] y) "
            f"<uint8[4,1,16] w = {{{', '.join(['1'] * 64)}}}, float[4] t = {{1, 1, 1, 1}}> "
            "{ y = com.microsoft.MatMulNBits <K = 32, N = 4, bits = 4, block_size = 32> (x, w, t) }",
            {"x": (3, 32)},
            Product(3 * 4 * 32, (32, 4), (), 1, (3,)),
            id="MatMulNBits",
        ),
    ],
)
def test_products_counted_by_hand(source: str, shapes: dict[str, tuple[int, ...]], expected: Product) -> None:
    assert product(source, **shapes) == expected


def test_images_of_nhwc_fused_conv_are_channels_last() -> None:
    """Of which stock onnxruntime has no kernel for every processor: its shapes as the documentation gives them."""
    found = product_of("NhwcFusedConv", {"group": 2}, (1, 8, 9, 4), (6, 2, 3, 3), (1, 6, 7, 6))
    assert found == Product(6 * 7 * 6 * 2 * 9, (4, 6), (3, 3), 2, (1, 6, 7))


def from_the_graph(model: onnx.ModelProto) -> int:
    """Multiply-accumulates of all convolutions, from the shapes that ONNX infers."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    return sum(
        math.prod(shapes[node.output[0] if node.op_type == "Conv" else node.input[0]])
        * math.prod(shapes[node.input[1]][1:])
        for node in graph.node
        if node.op_type in ("Conv", "ConvTranspose")
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_the_profile_of_a_unet_counts_what_its_graph_asks_for(threads: int) -> None:
    unet = models.unet(base=12, depth=2, size=32, classes=11)  # 12 and 11 channels fill no block of 8 or 16
    nodes = RUNTIME.executed(
        unet.SerializeToString(), {"x": np.ones((1, 3, 32, 32), np.float32)}, threads=threads, runs=1
    )
    assert summary(nodes).convolution_macs == from_the_graph(unet)
    assert all((node.product is not None) == (node.op_type in CONVOLUTIONS) for node in nodes)


def test_the_sizes_of_a_dynamic_model_are_those_of_the_run() -> None:
    unet = models.unet(base=8, depth=1, size=16)
    for value in (*unet.graph.input, *unet.graph.output):
        for place in (0, 2, 3):
            value.type.tensor_type.shape.dim[place].dim_param = f"d{place}"
    one, other = (summary(executed(unet, x=shape)).convolution_macs for shape in ((1, 3, 16, 16), (2, 3, 32, 48)))
    assert other == one * 2 * 2 * 3
    assert one == from_the_graph(models.unet(base=8, depth=1, size=16))


@pytest.mark.parametrize("qformat", ["qdq", "qoperator"])
def test_an_int8_model_counts_what_its_float_model_does(qformat: str) -> None:
    """ConvTranspose becomes a convolution 1x1 for kernel = stride: the same number."""
    import onnx_ir as ir

    unet = models.unet(base=8, depth=1, size=16)
    feeds = {"x": quantised.noise(1, 3, 16, 16)}
    made = quantised.make(ir.from_proto(unet), [feeds], qformat=qformat)
    total = summary(quantised.executed(made.model, feeds))
    assert total.convolution_macs == from_the_graph(unet)
    assert total.kinds["float"].nodes == 0


CONVOLUTION = st.fixed_dictionaries(
    {
        "groups": st.integers(1, 3),
        "read": st.integers(1, 9),
        "written": st.integers(1, 9),
        "kernel": st.tuples(st.integers(1, 4), st.integers(1, 4)),
        "stride": st.integers(1, 3),
        "dilation": st.integers(1, 2),
        "pad": st.integers(0, 2),
        "size": st.tuples(st.integers(8, 12), st.integers(8, 12)),
        "transposed": st.booleans(),
        "batch": st.integers(1, 2),
    }
)


@settings(max_examples=40, deadline=None)
@given(CONVOLUTION)
def test_any_float_convolution_counts_what_its_graph_asks_for(c: dict[str, Any]) -> None:
    read, written = c["groups"] * c["read"], c["groups"] * c["written"]
    weight = (read, c["written"], *c["kernel"]) if c["transposed"] else (written, c["read"], *c["kernel"])
    node = helper.make_node(
        "ConvTranspose" if c["transposed"] else "Conv",
        ["x", "w"],
        ["y"],
        group=c["groups"],
        strides=[c["stride"]] * 2,
        dilations=[c["dilation"]] * 2,
        pads=[c["pad"]] * 4,
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [c["batch"], read, *c["size"]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(weight, np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (found,) = (n for n in executed(model, x=(c["batch"], read, *c["size"])) if n.is_convolution)
    assert found.product is not None
    assert found.product.macs == from_the_graph(model)
    assert found.product.channels == (read, written)
    assert found.product.kernel == c["kernel"]


def test_nodes_without_names_or_with_the_same_are_told_apart() -> None:
    model = models.text(f"""{HEADER}
    g (float[1, 2, 6, 6] x) => (float[1, 2, 2, 2] y)
    <float[2, 2, 3, 3] a = {{{", ".join(["1"] * 36)}}}, float[2, 2, 1, 1] b = {{1, 1, 1, 1}}>
    {{
      p = Conv (x, a)  q = Sigmoid (p)  r = Conv (q, b)  s = Sigmoid (r)
      t = Conv (s, b)  u = Sigmoid (t)  y = Conv (u, a)
    }}
    """)
    for names in (["", "", "", ""], ["same"] * 4, ["Conv_2", "", "Conv_4", ""]):
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        for node, name in zip(convolutions, names, strict=True):
            node.name = name
        found = [node.product.macs for node in executed(model, x=(1, 2, 6, 6)) if node.product]
        assert found == [2 * 16 * 18, 2 * 16 * 2, 2 * 16 * 2, 2 * 4 * 18]


def test_nameless_nodes_find_their_external_weights(tmp_path: Path) -> None:
    model = models.text(f"""{HEADER}
    g (float[1, 2, 6, 6] x) => (float[1, 2, 4, 4] y) <{stored("float", 2, 2, 3, 3)}> {{ y = Conv (x, w) }}
    """)
    raw = numpy_helper.from_array(numpy_helper.to_array(model.graph.initializer[0]), "w")
    model.graph.initializer[0].CopyFrom(raw)
    file = tmp_path / "m.onnx"
    onnx.save(model, file, save_as_external_data=True, location="m.bin", size_threshold=0)
    assert (tmp_path / "m.bin").exists()
    nodes = RUNTIME.executed(file, {"x": np.ones((1, 2, 6, 6), np.float32)}, threads=1, runs=1)
    assert summary(nodes).convolution_macs == 2 * 16 * 2 * 9


def test_nameless_nodes_of_a_function_are_told_apart() -> None:
    weights = f"<{stored('float', 2, 2, 1, 1)}, float[2, 2, 3, 3] v = {{{', '.join(['1'] * 36)}}}>"
    model = parser.parse_model(f"""<ir_version: 8, opset_import: ["": 17, "own": 1]>
    g (float[1, 2, 6, 6] x) => (float[1, 2, 2, 2] y) {weights} {{ a = own.two (x, w, v)  y = own.two (a, w, v) }}
    <domain: "own", opset_import: ["": 17]>
    two (x, w, v) => (y) {{ a = Conv (x, w)  b = Sigmoid (a)  y = Conv (b, v) }}
    """)
    found = [node.product.macs for node in executed(model, x=(1, 2, 6, 6)) if node.product]
    assert found == [2 * 36 * 2, 2 * 16 * 18, 2 * 16 * 2, 2 * 4 * 18]


def test_a_convolution_in_a_loop_counts_every_turn() -> None:
    model = models.text(f"""{HEADER}
    g (float[1, 2, 4, 4] x, int64 n) => (float[1, 2, 4, 4] y) <{stored("float", 2, 2, 1, 1)}, bool c = {{1}}>
    {{
      y = Loop (n, c, x) <body = b (int64 i, bool go, float[1, 2, 4, 4] h) => (bool on, float[1, 2, 4, 4] o)
        {{ on = Identity (go)  o = Conv (h, w) }}>
    }}
    """)
    feeds = {"x": np.ones((1, 2, 4, 4), np.float32), "n": np.array(3)}
    nodes = RUNTIME.executed(model.SerializeToString(), feeds, threads=1, runs=2)
    assert summary(nodes).convolution_macs == 3 * (2 * 16 * 2)


def test_other_operators_have_no_product() -> None:
    body = "{ a = Relu (x) y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (a) }"
    nodes = executed(models.text(f"{HEADER} g (float[1,4,4,4] x) => (float[1,4,2,2] y) {body}"), x=(1, 4, 4, 4))
    assert [node.product for node in nodes] == [None] * len(nodes)
    total = summary(nodes)
    assert (total.convolution_macs, total.convolution_macs_per_second) == (0, None)
