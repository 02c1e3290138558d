"""Models as people bring them: each is quantised by the default call, opened by the runtime, and near its float model.

Each row is a kind of public report; the mark of success is 28 dB of SQNR at effort fast, or float with a reason.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import quantseg as qs
from quantseg.graph import to_bytes
from quantseg.refinement.output_grids import REASON
from tests.bench.fault_cases import CASES
from tests.support.strangers import HALF, SIDE, Stranger, alone, attention, between, blocked, resize, smooth, weight

ONES, ZEROS = np.ones(16, np.float32), np.zeros(16, np.float32)
PAIRS = "kernel_shape=[2,2], strides=[2,2]"
OVERLAPPING = "kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]"
TRAILING = np.array([0, 0, 1, 1, 0, 0, 1, 1])
HALFED = {"pads": TRAILING, "low": np.array(-np.inf, np.float32)}


def as_half(model: onnx.ModelProto) -> None:
    for index, tensor in enumerate(model.graph.initializer):
        half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        model.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))


def stale(name: str, *sizes: int) -> Any:
    def change(model: onnx.ModelProto) -> None:
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)
        values = model.graph.output if name == "y" else model.graph.value_info
        if name == "y":
            del values[:]
        values.append(value)

    return change


INTEGERS: dict[str, tuple[Stranger, int]] = {
    "GroupNormalization 21": (
        between(
            "m = GroupNormalization<num_groups=4>(c, scale, bias)", opset=21, weights={"scale": ONES, "bias": ZEROS}
        ),
        6,
    ),
    "GroupNormalization 18": (
        between(
            "m = GroupNormalization<num_groups=4>(c, scale, bias)",
            opset=18,
            weights={"scale": ONES[:4] + 1, "bias": ZEROS[:4] - 1},
        ),
        6,
    ),
    "Gelu of another domain": (between("m = com.microsoft.Gelu(c)", domains=("com.microsoft",)), 6),
    "mask of -inf": (attention("z = Add(s, mask)", mask=blocked(-np.inf)), 12),
    "mask of -1e9": (attention("z = Add(s, mask)", mask=blocked(-1e9)), 12),
    "mask of -3.4e38": (attention("z = Add(s, mask)", mask=blocked(-3.4e38)), 12),
    "mask by Where": (
        attention("z = Where(keep, s, low)", keep=blocked(1) == 0, low=np.array(-np.inf, np.float32)),
        12,
    ),
    "small mask": (attention("z = Add(s, mask)", mask=blocked(-50)), 14),
    "-inf around a MaxPool": (
        alone("p = Pad(c, pads, low) m = MaxPool<kernel_shape=[3,3], strides=[2,2]>(p)", weights=HALFED),
        3,
    ),
    "a quotient that is bounded": (
        alone(
            "r = Relu(c) i = Div(one, r) m = Min(i, ten)",
            weights={"one": ONES.reshape(1, 16, 1, 1), "ten": np.array([10], np.float32)},
        ),
        3,
    ),
    "-1 for an open size": (between("m = Relu(c)", shape=(-1, 3, -1, -1), output=(-1, 4, -1, -1)), 7),
    "-1 for an open batch": (between("m = Relu(c)", shape=(-1, 3, SIDE, SIDE), output=(-1, 4, SIDE, SIDE)), 7),
    "an open size": (between("m = Relu(c)", shape=("n", 3, "h", "w"), output=("n", 4, "h", "w")), 7),
    "a stale output shape": (between("m = Relu(c)", change=stale("y", 1, 4, 16, 16)), 7),
    "a stale shape inside": (between("m = Relu(c)", change=stale("c", 1, 16, 16, 16)), 7),
    "Resize of named axes": (resize('axes=[3,2], mode="nearest"', sizes=np.array([48, 40])), 3),
    "Resize, not larger": (
        resize('axes=[2,3], mode="nearest", keep_aspect_ratio_policy="not_larger"', sizes=np.array([48, 40])),
        3,
    ),
    "Resize, not smaller": (
        resize('axes=[2,3], mode="linear", keep_aspect_ratio_policy="not_smaller"', sizes=np.array([64, 40])),
        2,
    ),
    "float16": (between("m = Relu(c)", element=HALF, change=as_half), 7),
    "a volume": (
        Stranger(
            "c = Conv<pads=[1,1,1,1,1,1]>(x, w0) r = Relu(c) p = MaxPool<kernel_shape=[2,2,2], strides=[2,2,2]>(r)"
            " y = Conv(p, w1)",
            {"w0": weight(8, 1, 3, 3, 3), "w1": weight(4, 8, 1, 1, 1)},
            shape=(1, 1, 16, 16, 16),
            data=(1, 1, 16, 16, 16),
            output=(1, 4, 8, 8, 8),
        ),
        4,
    ),
}
"""Kind → (model, how many nodes compute in integers at least)."""

FLOAT: dict[str, tuple[Stranger, str]] = {
    "unpooling": (
        alone(f"p, i = MaxPool<{PAIRS}>(c) m = MaxUnpool<{PAIRS}>(p, i)"),
        "Conv: Max",
    ),
    "unpooling of overlapping windows": (
        alone(
            f"p, i = MaxPool<{OVERLAPPING}>(c) m = MaxUnpool<{OVERLAPPING}>(p, i, s)",
            weights={"s": np.array([1, 16, SIDE, SIDE])},
        ),
        "Conv: Max",
    ),
    "Cast to integers": (
        alone(
            "i = Cast<to=6>(c) k = Clip(i, low, high) m = Cast<to=1>(k)",
            weights={"low": np.array(-1, np.int32), "high": np.array(1, np.int32)},
        ),
        "Conv: Cast",
    ),
    "Round": (alone("m = Round(c)"), "Conv: Round"),
}
"""Kind → (model, how the reason begins for which what is read exactly stays float)."""


def decibels(model: onnx.ModelProto, made: qs.QuantizedModel, arrays: list[Any]) -> float:
    """SQNR around the mean, over all arrays, by onnxruntime at its default optimisation."""
    outputs = []
    for content in (model.SerializeToString(), to_bytes(made.model)):
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        outputs.append(np.stack([session.run(None, {"x": array})[0] for array in arrays]).astype(np.float64))
    real, rounded = outputs
    return float(10 * np.log10(((real - real.mean()) ** 2).sum() / max(((real - rounded) ** 2).sum(), 1e-30)))


@pytest.mark.parametrize("kind", INTEGERS)
def test_it_computes_in_integers_and_stays_near_float(kind: str) -> None:
    one, least = INTEGERS[kind]
    model, arrays = one.model(), one.arrays()
    made = qs.quantize(model, arrays, effort="fast", threads=1)
    assert len(made.plan.quantised) >= least, str(made)
    assert decibels(model, made, arrays) >= 28


@pytest.mark.parametrize("kind", FLOAT)
def test_what_is_read_exactly_stays_float_with_its_reason(kind: str) -> None:
    one, reason = FLOAT[kind]
    model, arrays = one.model(), one.arrays()
    made = qs.quantize(model, arrays, effort="fast", threads=1)
    assert any(told.startswith(reason) and "exactly" in told for told in made.plan.kept_float), str(made)
    assert decibels(model, made, arrays) >= 28


def test_speed_first_moves_pixels_in_integers() -> None:
    one, _ = FLOAT["unpooling"]
    words: dict[str, Any] = {"target": "ort-cpu", "cache": False, "threads": 1}
    made = qs.quantize(one.model(), one.arrays(), effort="fast", int8_everywhere=True, **words)
    assert {"Equal", "Where"} <= {node.op_type for node in made.plan.quantised}


def test_an_infinite_result_of_a_convolution_is_an_error() -> None:
    one = between("m = Relu(c)")
    huge = {**one.weights, "w0": np.full((16, 3, 3, 3), 1e38, np.float32)}
    arrays = [np.abs(array) + 1 for array in one.arrays()]
    with pytest.raises(qs.QuantSegError, match="infinity in this tensor"):
        qs.quantize(Stranger(one.nodes, huge).model(), arrays, effort="fast")


def test_an_infinite_input_is_an_error() -> None:
    one = between("m = Relu(c)")
    with pytest.raises(qs.QuantSegError, match="x: infinity in this tensor"):
        qs.quantize(one.model(), [np.full((1, 3, SIDE, SIDE), np.inf, np.float32)], effort="fast")


@pytest.mark.parametrize("kind", ["a stale output shape", "a stale shape inside", "float16"])
def test_what_was_changed_on_reading_is_told(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    onnx.save(INTEGERS[kind][0].model(), tmp_path / "m.onnx")
    with caplog.at_level(logging.WARNING):
        qs.load(tmp_path / "m.onnx")
    expected = {
        "a stale output shape": "m.onnx: y: declared 1x4x16x16, is 1x4x32x32; the declaration is dropped",
        "a stale shape inside": "m.onnx: c: declared 1x16x16x16, is 1x16x32x32; the declaration is dropped",
        "float16": "m.onnx: float16 or bfloat16 inside; its integers are made from float32",
    }
    assert [record.message for record in caplog.records if "m.onnx" in record.message] == [expected[kind]]


def test_an_operator_that_the_runtime_lacks_is_one_line_with_the_file(tmp_path: Path) -> None:
    one = between("m = my.ops.Post(c)", domains=("my.ops",))
    onnx.save(one.model(), tmp_path / "m.onnx")
    with pytest.raises(qs.QuantSegError, match=r"m\.onnx: onnxruntime cannot open it .*Post") as caught:
        qs.quantize(tmp_path / "m.onnx", one.arrays(), effort="fast")
    assert "\n" not in str(caught.value)


def computed_size() -> Stranger:
    nodes = """c = Conv<pads=[1,1,1,1]>(x, w0) r = Relu(c) p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
        d = Conv<pads=[1,1,1,1]>(p, w1) e = Relu(d) s = Shape(r) hw = Slice(s, two, four, zero) n = Shape(e)
        nc = Slice(n, zero, two, zero) whole = Concat<axis=0>(nc, hw)
        u = Resize<mode="linear", coordinate_transformation_mode="pytorch_half_pixel">(e, , , whole)
        k = Concat<axis=1>(u, r) y = Conv(k, w2)"""
    weights = {
        "w0": weight(16, 3, 3, 3),
        "w1": weight(16, 16, 3, 3),
        "w2": weight(4, 32, 1, 1),
        "zero": np.array([0]),
        "two": np.array([2]),
        "four": np.array([4]),
    }
    return Stranger(nodes, weights, opset=13, shape=("n", 3, "h", "w"), output=("n", 4, "h", "w"))


def test_sizes_that_the_graph_computes_are_known_once_the_size_is() -> None:
    one = computed_size()
    model, arrays = one.model(), one.arrays()
    made = qs.quantize(model, arrays, effort="fast", threads=1)
    assert {*made.plan.kept_float} <= {REASON}, str(made)
    assert decibels(model, made, arrays) >= 28
    assert made.candidate.prepared.model.graph.inputs[0].shape.is_static()


def test_a_model_of_open_sizes_that_computes_none_stays_open() -> None:
    one = INTEGERS["an open size"][0]
    made = qs.quantize(one.model(), one.arrays(), effort="fast", threads=1)
    session = onnxruntime.InferenceSession(to_bytes(made.model), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": smooth(2, 3, 48, 40)})[0].shape == (2, 4, 48, 40)


def test_masks_of_a_volume_are_its_slices_one_below_another() -> None:
    one, _ = INTEGERS["a volume"]
    model, arrays = one.model(), one.arrays()
    made = qs.quantize(model, arrays, effort="fast", threads=1)
    judged = qs.evaluate(model, made, arrays, threads=1)
    assert judged.images == len(arrays)
    assert 0.8 < judged.agreement <= 1


def test_a_half_precision_model_keeps_the_types_of_its_inputs_and_outputs() -> None:
    one, _ = INTEGERS["float16"]
    made = qs.quantize(one.model(), one.arrays(), effort="fast", threads=1)
    session = onnxruntime.InferenceSession(to_bytes(made.model), providers=["CPUExecutionProvider"])
    assert [value.type for value in (*session.get_inputs(), *session.get_outputs())] == 2 * ["tensor(float16)"]


def test_bfloat16_becomes_float32() -> None:
    one = between("m = Relu(c)", element=onnx.TensorProto.BFLOAT16)
    model = one.model()
    for tensor in model.graph.initializer:
        bits = onnx.numpy_helper.to_array(tensor).view(np.uint32) >> 16
        tensor.raw_data, tensor.data_type = bits.astype(np.uint16).tobytes(), onnx.TensorProto.BFLOAT16
    arrays = one.arrays()
    made = qs.quantize(model, arrays, effort="fast", threads=1)
    assert decibels(between("m = Relu(c)").model(), made, arrays) >= 25
    assert qs.evaluate(made.candidate.model.source, made, arrays, threads=1).agreement > 0.5


@pytest.mark.parametrize("held_by", sorted({case[2] for case in CASES}))
def test_every_case_of_the_report_on_faults_has_its_test(held_by: str) -> None:
    path, name = held_by.split("::")
    assert f"\ndef {name}(" in (Path(__file__).parents[1] / path).read_text(encoding="utf-8")
