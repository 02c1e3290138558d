"""Values as FlatBuffers and back, by the tables of schema.py. Equal vectors, strings and tables are written once.

A table is a mapping from field to value; absent fields have their defaults. The same values give the same bytes.
Source: FlatBuffers, "FlatBuffer Internals".
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quantseg.errors import MissingExtraError, ModelError
from quantseg.files import limits
from quantseg.files.tflite.schema import IDENTIFIER, OPTIONS, TABLES, Field

Table = Mapping[str, Any]

_SCALARS = {"bool": "?", "int8": "b", "uint8": "B", "int32": "<i", "uint32": "<I", "float32": "<f"}
_PREPEND = {
    "bool": "PrependBoolSlot",
    "int8": "PrependInt8Slot",
    "uint8": "PrependUint8Slot",
    "int32": "PrependInt32Slot",
    "uint32": "PrependUint32Slot",
    "float32": "PrependFloat32Slot",
}
_ALIGNED = 16
"""Alignment of a buffer's bytes, which kernels read in place."""
_OPTIONS_BY_NUMBER = {number: name for name, number in OPTIONS.items()}
_DEEPEST = 8
"""No table of schema.py is nested deeper."""


def encode(model: Table) -> bytes:
    """The file of a table Model. An option's table names itself: {"table": "AddOptions", …}.

    Raises MissingExtraError without the package flatbuffers, which onnxruntime brings too.
    """
    writer = _TableWriter()
    root = writer.table("Model", model)
    writer.builder.Finish(root, file_identifier=IDENTIFIER)
    return bytes(writer.builder.Output())


class _TableWriter:
    def __init__(self) -> None:
        try:
            import flatbuffers
        except ImportError as error:
            raise MissingExtraError('flatbuffers is not installed; pip install "quantseg[litert]"') from error
        self.builder = flatbuffers.Builder(1 << 16)
        self._written: dict[tuple[str, bytes], int] = {}
        self._tables: dict[tuple[str, tuple[Any, ...]], int] = {}

    def table(self, name: str, values: Table) -> int:
        """Writes a table after what it refers to; returns its offset."""
        offsets = {
            field.name: self._reference(field, values[field.name])
            for field in TABLES[name]
            if field.name in values and field.kind not in _SCALARS
        }
        fields = TABLES[name]
        key = (name, tuple(offsets.get(field.name, values.get(field.name)) for field in fields))
        if key not in self._tables:
            self._tables[key] = self._object(fields, values, offsets)
        return self._tables[key]

    def _object(self, fields: Sequence[Field], values: Table, offsets: Mapping[str, int]) -> int:
        self.builder.StartObject(1 + max((field.slot for field in fields), default=-1))
        for field in fields:
            if field.name in offsets:
                self.builder.PrependUOffsetTRelativeSlot(field.slot, offsets[field.name], 0)
            elif field.name in values:
                getattr(self.builder, _PREPEND[field.kind])(field.slot, values[field.name], field.default)
        return int(self.builder.EndObject())

    def _reference(self, field: Field, value: Any) -> int:
        if field.kind == "string":
            return int(self.builder.CreateSharedString(value))
        if field.kind == "options":
            return self.table(value["table"], value)
        if not field.kind.startswith("["):
            return self.table(field.kind, value)
        element = field.kind[1:-1]
        if element in TABLES:
            return self._offsets([self.table(element, one) for one in value])
        return self._numbers(element, np.ascontiguousarray(value, element).tobytes())

    def _offsets(self, tables: Sequence[int]) -> int:
        self.builder.StartVector(4, len(tables), 4)
        for offset in reversed(tables):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def _numbers(self, element: str, content: bytes) -> int:
        key = (element, content)
        if key not in self._written:
            size = np.dtype(element).itemsize
            aligned = _ALIGNED if element == "uint8" else size
            self.builder.StartVector(size, len(content) // size, aligned)
            head = self.builder.head = self.builder.Head() - len(content)
            self.builder.Bytes[head : head + len(content)] = content
            self._written[key] = int(self.builder.EndVector())
        return self._written[key]


def decode(content: bytes, what: str) -> dict[str, Any]:
    """The table Model of a file. what: begins messages. Raises ModelError for anything else than a .tflite file."""
    try:
        if content[4:8] != IDENTIFIER:
            raise ModelError(f"{what}: is no .tflite file; give one that LiteRT runs")
        reader = _TableReader(content)
        return reader.table(reader.unsigned(0), "Model", 0)
    except (struct.error, IndexError, OverflowError, UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"{what}: is a damaged .tflite file ({error}); write it again") from error


class _TableReader:
    """Reads tables; offsets of a hostile file may lead to one table any number of times, which is limited."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._left = limits.MODEL_MESSAGES

    def table(self, place: int, name: str, depth: int) -> dict[str, Any]:
        self._left -= 1
        if depth > _DEEPEST or place < 0 or self._left < 0:
            raise ValueError("tables within tables without end")
        vtable = place - struct.unpack_from("<i", self._content, place)[0]
        if vtable < 0:
            raise ValueError("a table before the file")
        (length,) = struct.unpack_from("<H", self._content, vtable)
        found: dict[str, Any] = {}
        for field in TABLES[name]:
            entry = 4 + 2 * field.slot
            offset = struct.unpack_from("<H", self._content, vtable + entry)[0] if entry + 2 <= length else 0
            if field.kind in _SCALARS:
                at = struct.unpack_from(_SCALARS[field.kind], self._content, place + offset)[0] if offset else None
                found[field.name] = field.default if at is None else at
            elif offset:
                target = place + offset + self.unsigned(place + offset)
                options = field.kind == "options"
                kind = _OPTIONS_BY_NUMBER.get(found["builtin_options_type"]) if options else field.kind
                if kind is not None:
                    found[field.name] = self._value(target, kind, depth)
                    if options:
                        found[field.name]["table"] = kind
        return found

    def _value(self, place: int, kind: str, depth: int) -> Any:
        if not (kind == "string" or kind.startswith("[")):
            return self.table(place, kind, depth + 1)
        count, start = self.unsigned(place), place + 4
        if kind == "string":
            if start + count > len(self._content):
                raise ValueError("a text longer than the file")
            return self._content[start : start + count].decode()
        element = kind[1:-1]
        if element not in TABLES:
            return np.frombuffer(self._content, element, count, start)
        if count > len(self._content) // 4:
            raise ValueError("a vector longer than the file")
        places = (start + 4 * index for index in range(count))
        return [self.table(one + self.unsigned(one), element, depth + 1) for one in places]

    def unsigned(self, place: int) -> int:
        """The offset or length at a place."""
        return int(struct.unpack_from("<I", self._content, place)[0])
