"""Weights of 4 bits: what is stored, what onnxruntime runs, and that it is what the standard says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from quantseg import graph
from quantseg.graph.preparation import Prepared, prepare
from quantseg.quantization import formats
from quantseg.quantization.affine import params_of_weights
from quantseg.quantization.formats import FORMATS
from quantseg.quantization.plan import Overrides, QuantPlan, QuantSettings, plan
from quantseg.quantization.qtypes import INT4, INT8
from tests.support import graphs, quantised
from tests.support.command_line import Command
from tests.support.quantised import Array, kernel, noise

FEEDS = [{"x": noise(1, 3, 8, 8, seed=seed)} for seed in range(4)]
BODY = """a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a) b = Conv<pads=[1,1,1,1]>(r, w2, b2) d = Conv<group=16>(b, w3)
    g = Conv<group=2>(d, w4) e = Add(g, b) y = Conv(e, w5)"""
WEIGHTS = {
    "w1": kernel(16, 3, 3, 3, seed=1),
    "b1": noise(16, seed=2) / 10,
    "w2": kernel(16, 16, 3, 3, seed=3),
    "b2": noise(16, seed=4) / 10,
    "w3": kernel(16, 1, 1, 1, seed=5),
    "w4": kernel(16, 8, 1, 1, seed=6),
    "w5": kernel(4, 16, 1, 1, seed=7),
}
MATRICES = "f = Flatten(x) a = Gemm(f, w1, b1) b = Gemm<transB=1>(a, w2, b2) c = MatMul(b, w3) y = Gemm(c, w4)"
MATRIX_WEIGHTS = {
    "w1": kernel(24, 192, seed=1).T.copy(),
    "b1": noise(24, seed=2) / 10,
    "w2": kernel(24, 24, seed=3),
    "b2": noise(24, seed=4) / 10,
    "w3": kernel(24, 24, seed=5),
    "w4": kernel(24, 24, seed=6),
}


def convolutions() -> ir.Model:
    return graphs.graph(BODY, x="float[1,3,8,8]", **WEIGHTS)


def made(model: ir.Model, **settings: Any) -> tuple[Prepared, QuantPlan]:
    prepared = prepare(model)
    return prepared, plan(prepared, quantised.extrema(prepared.model, FEEDS), QuantSettings(weight=INT4, **settings))


def written(prepared: Prepared, decided: QuantPlan, qformat: str) -> ir.Model:
    result = formats.emit(prepared.model, decided, qformat=qformat, metadata={})
    graph.check(result, full=True)
    return result


def in_eight_bits(prepared: Prepared, decided: QuantPlan) -> QuantPlan:
    """The same integers on the same grids, stored as int8."""
    return replace(decided, weights={name: replace(grid, qtype=INT8) for name, grid in decided.weights.items()})


def test_the_products_inside_have_4_bits_and_those_at_the_border_8() -> None:
    _, decided = made(convolutions())
    types = {name: grid.qtype.name for name, grid in decided.weights.items()}
    assert types == {"Conv_0": "int8", "Conv_2": "int4", "Conv_3": "int8", "Conv_4": "int4", "Conv_6": "int8"}
    assert decided.notes == ("3 of 5 weights keep 8 bits: next to the image or the output head, or depthwise",)


@pytest.mark.parametrize("reduce_range", [False, True])
def test_their_grid_is_symmetric_and_reaches_the_largest_weight(reduce_range: bool) -> None:
    _, decided = made(convolutions(), reduce_range=reduce_range)
    largest = np.abs(WEIGHTS["w2"]).max(axis=(1, 2, 3))
    np.testing.assert_allclose(decided.weights["Conv_2"].scale, largest / 7, rtol=1e-6)
    assert not decided.weights["Conv_2"].zero_point.any()


@pytest.mark.parametrize("qformat", FORMATS)
def test_the_file_holds_two_weights_in_a_byte(qformat: str) -> None:
    prepared, decided = made(convolutions())
    proto = onnx.load_from_string(graph.to_bytes(written(prepared, decided, qformat)))
    packed = {t.name: len(t.raw_data) for t in proto.graph.initializer if t.data_type == onnx.TensorProto.INT4}
    assert packed["w2_quantized"] == 16 * 16 * 9 // 2
    assert len(packed) == 2
    assert [(entry.domain, entry.version) for entry in proto.opset_import if not entry.domain] == [("", 21)]


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("model", ["convolutions", "matrices"])
def test_onnxruntime_computes_what_it_would_with_the_same_integers_in_8_bits(qformat: str, model: str) -> None:
    source = convolutions() if model == "convolutions" else graphs.graph(MATRICES, x="float[1,3,8,8]", **MATRIX_WEIGHTS)
    prepared, decided = made(source)
    small = written(prepared, decided, qformat)
    large = written(prepared, in_eight_bits(prepared, decided), qformat)
    for feed in FEEDS:
        graphs.assert_same(quantised.optimised(small, feed), quantised.optimised(large, feed), tolerance=0)
    ran, before = (quantised.executed(m, FEEDS[0]) for m in (small, large))
    assert [(node.op_type, node.kind) for node in ran] == [(node.op_type, node.kind) for node in before]
    assert not [node.name for node in ran if node.kind == "float"]


def reference(model: ir.Model, feed: dict[str, Array]) -> Array:
    result: Array = ReferenceEvaluator(onnx.load_from_string(graph.to_bytes(model))).run(None, feed)[0]
    return result


def test_qdq_is_standard_onnx() -> None:
    prepared, decided = made(convolutions())
    small = written(prepared, decided, "qdq")
    step = float(decided.tensors["y"].scale)
    for feed in FEEDS:
        (ours,) = quantised.optimised(small, feed)
        off = np.abs(ours - reference(small, feed)) / step
        assert off.max() < 2.001  # a tie rounded the other way, in a layer before and in the last
        assert (off < 0.5).mean() > 0.95


@pytest.mark.parametrize("variant", ["shifted", "dense", "grouped"])
def test_every_way_to_write_a_convolution_takes_4_bits(variant: str) -> None:
    prepared, decided = made(convolutions())
    node = "Conv_2" if variant == "shifted" else "Conv_4"
    way = replace(decided, variants={node: variant})
    plain = written(prepared, decided, "qoperator")
    for feed in FEEDS:
        ours = quantised.optimised(written(prepared, way, "channels-last"), feed)
        graphs.assert_same(ours, quantised.optimised(plain, feed), tolerance=0)


def test_a_grid_found_elsewhere_is_kept() -> None:
    """What refinement leaves in `Overrides.weights` is what the file holds, also one node in 4 bits alone."""
    prepared = prepare(convolutions())
    grid = params_of_weights(WEIGHTS["w2"] / 2, INT4, axis=0)
    overrides = Overrides(weights={"Conv_2": grid})
    decided = plan(prepared, quantised.extrema(prepared.model, FEEDS), QuantSettings(), overrides)
    assert decided.weights["Conv_2"] == grid
    assert [name for name, params in decided.weights.items() if params.qtype is INT4] == ["Conv_2"]
    stored = {value.name: value for value in written(prepared, decided, "qdq").graph.initializers.values()}
    assert stored["w2_quantized"].dtype == ir.DataType.INT4


def test_such_a_file_is_read_back(tmp_path: Path) -> None:
    prepared, decided = made(convolutions())
    path = tmp_path / "small.onnx"
    graph.save(written(prepared, decided, "qdq"), path)
    assert graph.is_quantised(graph.load(path))
    graphs.assert_same(
        quantised.optimised(graph.load(path), FEEDS[0]),
        quantised.optimised(written(prepared, decided, "qdq"), FEEDS[0]),
    )


def test_the_command_writes_them(quantseg: Command, float_model: Path, images: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.onnx"
    words = ["quantize", float_model, "--data", images / "images", "--weight-type", "int4", "-o", target]
    outcome = quantseg(*words, "--effort", "fast")
    assert outcome.code == 0
    assert "note: 2 of 13 weights keep 8 bits" in " ".join(outcome.out.split())
    kinds = {value.dtype for value in graph.load(target).graph.initializers.values()}
    assert ir.DataType.INT4 in kinds


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--weight-type int4 --per-tensor", "int4 weights per tensor: 15 steps are too few for all channels"),
        ("--weight-type int16", "int16 weights: no kernel takes them; choose int8, uint8 or int4"),
        ("--weight-type int3", "'int3' is no integer type; choose int8, uint8 or int4"),
    ],
)
def test_what_has_no_kernel_is_told_in_one_line(
    flags: str, message: str, quantseg: Command, float_model: Path, images: Path
) -> None:
    outcome = quantseg("quantize", float_model, "--data", images / "images", *flags.split())
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
