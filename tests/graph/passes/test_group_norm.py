"""GroupNormalization gives the same image as an InstanceNormalization over groups; ONNX's reference is the judge."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from quantseg.graph import infer_shapes, load
from quantseg.graph.passes.group_norm import lower_group_norms
from tests.support.graphs import Array, assert_same, noise, op_types, run


def proto(opset: int, groups: int, x: Array, scale: Array, bias: Array, shape: tuple[Any, ...]) -> onnx.ModelProto:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("GroupNormalization", ["x", "scale", "bias"], ["y"], num_groups=groups, epsilon=1e-3)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, [None] * x.ndim)],
        [onnx.numpy_helper.from_array(scale, "scale"), onnx.numpy_helper.from_array(bias, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


@given(
    groups=st.integers(1, 4), each=st.integers(1, 3), sizes=st.lists(st.integers(2, 5), min_size=1, max_size=3),
    opset=st.sampled_from([18, 21]), plain=st.booleans(), is_open=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_same_image(
    groups: int, each: int, sizes: list[int], opset: int, plain: bool, is_open: bool, seed: int
) -> None:
    x = noise(2, groups * each, *sizes, seed=seed)
    count = groups if opset < 21 else groups * each
    scale, bias = (np.ones(count, np.float32), np.zeros(count, np.float32)) if plain else (
        noise(count, seed=seed + 1), noise(count, seed=seed + 2))  # fmt: skip
    given_shape = ("n", x.shape[1], *["s"] * len(sizes)) if is_open else x.shape
    whole = load(proto(opset, groups, x, scale, bias, given_shape).SerializeToString())
    infer_shapes(whole)
    outcome = lower_group_norms(whole)
    assert len(outcome.changes) == 1
    kinds = op_types(whole)
    assert kinds.count("InstanceNormalization") == 1
    assert ("Mul" in kinds, "Add" in kinds) == (not plain, not plain)
    per_channel = [np.repeat(array, each) if opset < 21 else array for array in (scale, bias)]
    expected = ReferenceEvaluator(proto(21, groups, x, *per_channel, x.shape)).run(None, {"x": x})
    assert_same(run(whole, {"x": x}), expected, tolerance=1e-4)


@pytest.mark.parametrize(("groups", "reason"), [(3, "number of channels"), (2, "one number for each channel")])
def test_what_does_not_fit_is_left_with_a_reason(groups: int, reason: str) -> None:
    numbers = np.ones(3, np.float32)
    model = ir.serde.deserialize_model(proto(21, groups, noise(1, 4, 3, 3), numbers, numbers, (1, 4, 3, 3)))
    outcome = lower_group_norms(model)
    assert op_types(model) == ["GroupNormalization"]
    assert reason in outcome.refusals[0].reason
