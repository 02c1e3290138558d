"""Files of LiteRT: the schema beside the package's, and damaged files."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.errors import MissingExtraError, ModelError
from quantseg.files.tflite import decode, encode, our_metadata
from quantseg.files.tflite.operators import OPERATORS
from quantseg.files.tflite.schema import IDENTIFIER, OPTIONS, TABLES, TYPES
from tests.support import litert

SMALL = {
    "version": 3,
    "operator_codes": [{"builtin_code": 3, "version": 2}],
    "subgraphs": [
        {
            "tensors": [{"shape": [1, 2], "name": "x", "quantization": {"scale": [0.5], "zero_point": [-3]}}],
            "inputs": [0],
            "outputs": [0],
            "operators": [],
        }
    ],
    "buffers": [{}, {"data": np.arange(5, dtype=np.uint8)}],
}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def test_enumerations_are_the_packages() -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason=litert.WITHOUT)
    assert {kind: getattr(schema.BuiltinOperator, kind) for kind in OPERATORS} == {
        kind: row.code for kind, row in OPERATORS.items()
    }
    assert {name: getattr(schema.BuiltinOptions, name) for name in OPTIONS} == dict(OPTIONS)
    assert {name: getattr(schema.TensorType, name.upper()) for name in TYPES} == dict(TYPES)


@pytest.mark.parametrize("table", [name for name in OPTIONS if TABLES[name]])
def test_the_package_reads_every_option_as_it_was_written(table: str) -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason=litert.WITHOUT)
    values = {field.name: field.kind == "bool" or 2 + place for place, field in enumerate(TABLES[table])}
    operator = {
        "opcode_index": 0,
        "inputs": [0],
        "outputs": [0],
        "builtin_options_type": OPTIONS[table],
        "builtin_options": {"table": table, **values},
    }
    content = encode({**SMALL, "subgraphs": [{**SMALL["subgraphs"][0], "operators": [operator]}]})  # type: ignore[index]
    read = schema.ModelT.InitFromPackedBuf(content).subgraphs[0].operators[0].builtinOptions
    assert type(read).__name__ == f"{table}T"
    assert {name: getattr(read, _camel(name)) for name in values} == values


def test_the_package_reads_the_rest_as_it_was_written() -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason=litert.WITHOUT)
    content = encode(SMALL)
    assert content[4:8] == IDENTIFIER
    read = schema.ModelT.InitFromPackedBuf(content)
    tensor = read.subgraphs[0].tensors[0]
    assert (read.version, read.operatorCodes[0].builtinCode, read.operatorCodes[0].version) == (3, 3, 2)
    assert (tensor.name, list(tensor.shape)) == (b"x", [1, 2])
    assert (list(tensor.quantization.scale), list(tensor.quantization.zeroPoint)) == ([0.5], [-3])
    assert list(read.buffers[1].data) == [0, 1, 2, 3, 4]


def test_what_is_written_is_read() -> None:
    read = decode(encode(SMALL), "it")
    assert list(read["subgraphs"][0]["tensors"][0]["shape"]) == [1, 2]
    assert list(read["buffers"][1]["data"]) == [0, 1, 2, 3, 4]
    assert our_metadata(read) == {}


def test_buffers_are_aligned_for_kernels_that_read_them_in_place() -> None:
    content = encode(
        {**SMALL, "buffers": [{}, {"data": np.full(33, 77, np.uint8)}, {"data": np.full(7, 78, np.uint8)}]}
    )
    assert content.index(bytes([77] * 33)) % 16 == 0
    assert content.index(bytes([78] * 7)) % 16 == 0


@pytest.mark.parametrize("length", range(0, len(encode(SMALL)), 7))
def test_a_file_that_is_cut_short_is_named(length: int) -> None:
    with pytest.raises(ModelError, match=r"^cut\.tflite: is (no|a damaged) \.tflite file"):
        decode(encode(SMALL)[:length], "cut.tflite")


def _complaint(content: bytes) -> str | None:
    try:
        decode(content, "odd.tflite")
    except ModelError as error:
        return str(error)
    return None


@given(st.integers(8, len(encode(SMALL)) - 1), st.integers(0, 255))
def test_a_changed_byte_never_ends_in_a_traceback(place: int, value: int) -> None:
    content = bytearray(encode(SMALL))
    content[place] = value
    said = _complaint(bytes(content))
    assert said is None or said.startswith("odd.tflite: ")


def test_without_flatbuffers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(MissingExtraError, match=r'flatbuffers is not installed; pip install "quantseg\[litert\]"'):
        encode(SMALL)


def test_equal_tables_are_written_once() -> None:
    tensors = [{"name": str(k), "quantization": {"scale": [0.5], "zero_point": [-3]}} for k in range(50)]
    few, many = (encode({**SMALL, "subgraphs": [{"tensors": tensors[:n]}]}) for n in (10, 50))
    assert len(many) - len(few) < 40 * 40
