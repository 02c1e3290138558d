import numpy as np
import onnx
import pytest
from onnx import TensorProto

from quantseg.quantization.qtypes import QTYPES


@pytest.mark.parametrize("qtype", QTYPES.values(), ids=QTYPES)
class TestEveryType:
    def test_limits_are_those_of_the_number_type(self, qtype):
        bits = int("".join(filter(str.isdigit, qtype.name)))
        assert qtype.bits == bits
        assert qtype.qmax - qtype.qmin + 1 == 2**bits
        assert qtype.signed == (qtype.qmin < 0) == (not qtype.name.startswith("u"))

    def test_memory_holds_every_value(self, qtype):
        info = np.iinfo(qtype.dtype)
        assert info.min <= qtype.qmin < qtype.qmax <= info.max
        assert qtype.bits < 8 or (info.min, info.max) == (qtype.qmin, qtype.qmax)

    def test_onnx_accepts_it_from_the_first_opset_on(self, qtype):
        """DequantizeLinear, since its types are those of QuantizeLinear and int32, the type of biases."""
        element = f"tensor({TensorProto.DataType.Name(getattr(TensorProto, qtype.name.upper())).lower()})"

        def accepted(opset):
            schema = onnx.defs.get_schema("DequantizeLinear", opset)
            return any(element in rule.allowed_type_strs for rule in schema.type_constraints)

        assert accepted(qtype.first_opset)
        assert qtype.first_opset == 10 or not accepted(qtype.first_opset - 1)


def test_the_table_is_keyed_by_name():
    assert {name: qtype.name for name, qtype in QTYPES.items()} == {name: name for name in QTYPES}
