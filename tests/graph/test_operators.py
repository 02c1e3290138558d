"""The table of facts, row by row, against ONNX's schemas, its reference implementation and onnxruntime.

Each operator runs on one small case; a fact has to hold for those that claim it, and to fail for those that do not.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from quantseg.graph import operators
from quantseg.graph.operators import FACTS, Family

Array = NDArray[Any]
OPSET = 21
SHAPE = (1, 4, 4, 4)
LOGICAL = ("And", "Not", "Or", "Xor")
NOTHING_DONE = ("Dropout", "Identity")
"""At inference the same function, of which nearly everything is true."""
CASES: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "Cast": ({"to": onnx.TensorProto.INT32}, ()),
    "Clip": ({}, (-0.5, 0.75)),
    "Conv": ({}, ((3, 4, 2, 2),)),
    "ConvTranspose": ({}, ((4, 3, 2, 2),)),
    "Gemm": ({}, ((4, 3),)),
    "MatMul": ({}, ((4, 3),)),
    "DepthToSpace": ({"blocksize": 2}, ()),
    "SpaceToDepth": ({"blocksize": 2}, ()),
    "Expand": ({}, ([3, 4, 4, 4],)),
    "Gather": ({"axis": 2}, ([3, 0, 3],)),
    "Tile": ({}, ([1, 2, 1, 3],)),
    "Reshape": ({}, ([4, 16],)),
    "Slice": ({}, ([1], [4], [3], [2])),
    "Split": ({"axis": 1, "num_outputs": 2}, ()),
    "Unsqueeze": ({}, ([1],)),
    "AveragePool": ({"kernel_shape": [3, 3]}, ()),
    "LpPool": ({"kernel_shape": [3, 3]}, ()),
    "MaxPool": ({"kernel_shape": [2, 2], "strides": [2, 1]}, ()),
    "BatchNormalization": ({}, ((4,), (4,), (4,), (4,))),
    "GroupNormalization": ({"num_groups": 2}, ((4,), (4,))),
    "InstanceNormalization": ({}, ((4,), (4,))),
    "LayerNormalization": ({}, ((4,),)),
    **dict.fromkeys(operators.REDUCTIONS, ({}, ([1],))),
    **dict.fromkeys(operators.BROADCAST - {"Clip", "Where"}, ({}, (SHAPE,))),
    "Where": ({}, (SHAPE, SHAPE)),
}
"""Attributes, and what is read after the data: shapes of float tensors, lists of whole numbers, single numbers."""


def noise(shape: Sequence[int], seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def read(op_type: str) -> list[Array]:
    """What the operator's case reads: float32, whole numbers and truth values."""
    data = noise(SHAPE[-2:] if op_type == "Gemm" else SHAPE, seed=0)
    rest = CASES.get(op_type, ({}, ()))[1]
    found = [data]
    for number, one in enumerate(rest, start=1):
        if isinstance(one, tuple):
            found.append(np.abs(noise(one, seed=number)) if op_type == "BatchNormalization" else noise(one, number))
        else:
            found.append(np.array(one, np.int64 if isinstance(one, list) else np.float32))
    if op_type in LOGICAL:
        return [array > 0 for array in found]
    return [data > 0, *found[1:]] if op_type == "Where" else found


def made(op_type: str, inputs: Sequence[Array]) -> Array:
    """The first output, by ONNX's reference implementation."""
    names = [f"i{number}" for number in range(len(inputs))]
    node = onnx.helper.make_node(op_type, names, ["y", *(["z"] if op_type == "Split" else [])], **attributes(op_type))
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [onnx.helper.make_tensor_value_info(n, kind(a), a.shape) for n, a in zip(names, inputs, strict=True)],
        [onnx.helper.make_tensor_value_info("y", kind(inputs[-1]), None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    with np.errstate(all="ignore"):
        return np.asarray(ReferenceEvaluator(model).run(["y"], dict(zip(names, inputs, strict=True)))[0])


def attributes(op_type: str) -> dict[str, Any]:
    return CASES.get(op_type, ({}, ()))[0]


def kind(array: Array) -> int:
    return onnx.helper.np_dtype_to_tensor_dtype(array.dtype)


def same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


@pytest.mark.parametrize("op_type", FACTS)
def test_onnx_has_the_operator(op_type: str) -> None:
    assert onnx.defs.has(op_type)


@pytest.mark.parametrize("op_type", sorted(set(FACTS) - set(LOGICAL) - set(NOTHING_DONE) - {"Where"}))
def test_only_movements_go_by_places_whatever_the_numbers_are(op_type: str) -> None:
    data, *rest = read(op_type)
    numbers = np.arange(data.size, dtype=np.float32).reshape(data.shape)
    places = made(op_type, [numbers, *rest]).astype(np.float64)
    known = bool(np.isin(places, numbers).all())
    moves = known and same(data.reshape(-1)[places.astype(np.int64)], made(op_type, [data, *rest]))
    assert moves == (op_type in operators.MOVEMENTS)
    if moves:
        assert (np.unique(places).size < places.size) == FACTS[op_type].repeats


@pytest.mark.parametrize("op_type", sorted(operators.POOLS | operators.REDUCTIONS))
def test_only_selections_give_numbers_that_they_read(op_type: str) -> None:
    data, *rest = read(op_type)
    chosen = made(op_type, [data, *rest])
    assert bool(np.isin(chosen, data).all()) == (op_type in operators.SELECTIONS)


@pytest.mark.parametrize("op_type", FACTS)
def test_only_elementwise_operators_follow_any_permutation(op_type: str) -> None:
    inputs = read(op_type)
    order = np.random.default_rng(5).permutation(inputs[0].size)

    def permuted(array: Array) -> Array:
        return array.reshape(-1)[order].reshape(array.shape) if array.shape == inputs[0].shape else array

    before, after = made(op_type, inputs), made(op_type, [permuted(array) for array in inputs])
    follows = before.shape == inputs[0].shape and same(permuted(before), after)
    assert follows == (op_type in operators.ELEMENTWISE)


@pytest.mark.parametrize("op_type", sorted(operators.BROADCAST - {"Clip"}))
def test_inputs_are_broadcast(op_type: str) -> None:
    *before, last = read(op_type)
    channels = last[:, :, :1, :1]
    spread = np.ascontiguousarray(np.broadcast_to(channels, last.shape))
    assert same(made(op_type, [*before, channels]), made(op_type, [*before, spread]))


@pytest.mark.parametrize("op_type", sorted(operators.ELEMENTWISE))
def test_unary_operators_read_one_tensor(op_type: str) -> None:
    single = onnx.defs.get_schema(op_type, OPSET).max_input == 1 or op_type == "Dropout"  # its others are settings
    assert single == (op_type in operators.UNARY)


@pytest.mark.parametrize("op_type", sorted(operators.UNARY - set(LOGICAL) - set(NOTHING_DONE) | {"Clip"}))
def test_only_clamps_cut_a_range_off(op_type: str) -> None:
    data, *rest = read(op_type)
    low, high = (made(op_type, [np.full_like(data, end), *rest]) for end in (-1e6, 1e6))
    cuts = same(np.clip(data, low, high), made(op_type, [data, *rest]))
    assert cuts == (op_type in operators.CLAMPS)


@pytest.mark.parametrize("op_type", FACTS)
def test_only_rounding_operators_make_other_numbers_in_double(op_type: str) -> None:
    inputs = read(op_type)
    wider = [array.astype(np.float64) if array.dtype == np.float32 else array for array in inputs]
    single = made(op_type, inputs)
    # The reference computes Erf in single precision alone.
    double = np.vectorize(math.erf)(wider[0]) if op_type == "Erf" else made(op_type, wider)
    assert same(single.astype(np.float64), double.astype(np.float64)) != FACTS[op_type].rounds


@pytest.mark.parametrize("op_type", sorted(operators.PRODUCTS))
def test_products_are_linear_in_either_input(op_type: str) -> None:
    random, shapes = np.random.default_rng(3), [array.shape for array in read(op_type)]
    (x, w), (x2, w2) = ([random.integers(-9, 9, shape).astype(np.float64) for shape in shapes] for _ in range(2))
    np.testing.assert_array_equal(made(op_type, [x + 3 * x2, w]), made(op_type, [x, w]) + 3 * made(op_type, [x2, w]))
    np.testing.assert_array_equal(made(op_type, [x, w + 3 * w2]), made(op_type, [x, w]) + 3 * made(op_type, [x, w2]))


@pytest.mark.parametrize("op_type", sorted(operators.PRODUCTS))
def test_biased_products_add_a_third_input_to_each_channel(op_type: str) -> None:
    assert (onnx.defs.get_schema(op_type, OPSET).max_input == 3) == (op_type in operators.BIASED_PRODUCTS)
    if op_type in operators.BIASED_PRODUCTS:
        inputs = [np.rint(4 * array) for array in read(op_type)]
        without = made(op_type, inputs)
        bias = np.array([5, -7, 11], np.float32)
        shaped = bias.reshape(-1, *(1,) * (without.ndim - 2))
        np.testing.assert_array_equal(made(op_type, [*inputs, bias]), without + shaped)


@pytest.mark.parametrize("op_type", sorted(operators.PRODUCTS))
def test_integer_products_run_in_integers_in_onnxruntime(op_type: str, tmp_path: Any) -> None:
    data, weight = read(op_type)
    constants = {"w": np.clip(np.rint(weight * 32), -127, 127).astype(np.int8), "s": np.float32(0.05)}
    constants |= {"z": np.uint8(128), "zero": np.int8(0)}
    grid, node = ["s", "z"], onnx.helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", *grid], ["q"]),
        node("DequantizeLinear", ["q", *grid], ["d"]),
        node("DequantizeLinear", ["w", "s", "zero"], ["v"]),
        node(op_type, ["d", "v"], ["p"]),
        node("QuantizeLinear", ["p", *grid], ["r"]),
        node("DequantizeLinear", ["r", *grid], ["y"]),
    ]
    given = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", data.shape), ("y", None))
    ]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], given)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ran = {one.op_type for one in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert (op_type not in ran) == (op_type in operators.INTEGER_PRODUCTS)


@pytest.mark.parametrize("op_type", sorted(operators.POOLS))
def test_pools_treat_each_channel_by_itself(op_type: str) -> None:
    (data,) = read(op_type)
    for channel in range(data.shape[1]):
        alone = made(op_type, [np.ascontiguousarray(data[:, [channel]])])
        np.testing.assert_array_equal(alone, made(op_type, [data])[:, [channel]])


@pytest.mark.parametrize("op_type", sorted(operators.REDUCTIONS))
def test_reductions_take_the_numbers_along_an_axis_in_any_order(op_type: str) -> None:
    data, axes = np.rint(8 * read(op_type)[0]), np.array([1])
    whole = made(op_type, [data, axes])
    assert whole.shape == (1, 1, 4, 4)
    np.testing.assert_array_equal(made(op_type, [np.ascontiguousarray(data[:, [2, 0, 3, 1]]), axes]), whole)


def test_no_operator_is_of_a_family_that_its_facts_deny() -> None:
    for facts in FACTS.values():
        assert not facts.selects or facts.family in (Family.POOL, Family.REDUCTION)
        assert not facts.repeats or facts.family is Family.MOVEMENT
        assert not (facts.biased or facts.integer) or facts.family is Family.PRODUCT
        assert not facts.clamps or facts.family in (Family.UNARY, Family.BROADCAST)
