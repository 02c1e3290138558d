"""Where integer products have their operands, against ONNX's schemas and onnxruntime's own description of QGemm."""

import onnx
import pytest

from quantseg.quantization.integer_operands import PRODUCTS

QGEMM = ["A", "a_scale", "a_zero_point", "B", "b_scale", "b_zero_point", "C", "y_scale", "y_zero_point"]
"""Source: onnxruntime, ContribOperators.md, com.microsoft.QGemm."""
WEIGHTS, ZERO_POINTS = {"w", "B", "b"}, {"w_zero_point", "b_zero_point"}


def inputs(op_type: str) -> list[str]:
    if op_type == "QGemm":
        return QGEMM
    schema = onnx.defs.get_schema("QLinearConv" if op_type == "QLinearConvTranspose" else op_type)
    return [one.name for one in schema.inputs]


@pytest.mark.parametrize("op_type", PRODUCTS)
def test_places_are_those_of_the_schema(op_type: str) -> None:
    names, places = inputs(op_type), PRODUCTS[op_type]
    assert names[places.weight] in WEIGHTS
    assert names[places.zero_point] in ZERO_POINTS
    bias = [index for index, name in enumerate(names) if name in ("B", "C") and index != places.weight]
    assert bias == ([] if places.bias is None else [places.bias])
