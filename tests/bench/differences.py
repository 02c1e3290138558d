"""The first difference of two files: ONNX models byte for byte, JSON by its figures.

Figures are all fields of a JSON but those that no two runs share (LEFT_OUT) and prose, which may be reworded.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import numpy_helper

RENAMED: Mapping[str, str] = {"contestants": "compared", "pictures": "images"}
"""JSON key of the older side → key of the newer side."""
ADDED = frozenset({"output"})
"""JSON keys that the newer side alone has on purpose: the output that is judged, which heads name since the rebuild."""

TIMES = ("seconds", "ms", "float_ms", "int8_ms", "median_ms", "minimum_ms", "p10_ms", "p90_ms", "ratio")
PROFILE = ("share", "convolution_share", "convolution_macs_per_second", "roofline", "peak_memory_bytes")
ORIGIN = ("provenance", "commands")
PROSE = ("note", "notes", "reason")
LEFT_OUT = frozenset((*TIMES, *PROFILE, *ORIGIN, *PROSE))


def difference(old: Path, new: Path, *, renamed: Mapping[str, str] = RENAMED) -> str | None:
    """What differs first, None where nothing does. Both files are of one kind, told by the name's end."""
    before, after = old.read_bytes(), new.read_bytes()
    if before == after:
        return None
    if old.suffix == ".json":
        left_out = {renamed.get(key, key) for key in LEFT_OUT} | ADDED
        older = figures(with_keys(json.loads(before), renamed), left_out)
        return first_of_values(older, figures(json.loads(after), left_out))
    return first_of_models(before, after) if old.suffix == ".onnx" else "bytes"


def with_keys(value: Any, renamed: Mapping[str, str]) -> Any:
    """A JSON value with other keys, at every depth."""
    if isinstance(value, dict):
        return {renamed.get(key, key): with_keys(item, renamed) for key, item in value.items()}
    return [with_keys(item, renamed) for item in value] if isinstance(value, list) else value


def figures(value: Any, left_out: Collection[str] = LEFT_OUT) -> Any:
    """A JSON value without the fields of these names, at every depth."""
    if isinstance(value, dict):
        return {key: figures(item, left_out) for key, item in value.items() if key not in left_out}
    return [figures(item, left_out) for item in value] if isinstance(value, list) else value


def first_of_values(old: Any, new: Any, place: str = "") -> str | None:
    """Path and values of the first difference of two JSON values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (*old, *(key for key in new if key not in old)):
            if key not in old or key not in new:
                return f"{place}.{key}: only on the {'old' if key in old else 'new'} side"
            if found := first_of_values(old[key], new[key], f"{place}.{key}"):
                return found
        return None
    if isinstance(old, list) and isinstance(new, list):
        for index, (before, after) in enumerate(zip(old, new, strict=False)):
            if found := first_of_values(before, after, f"{place}[{index}]"):
                return found
        return None if len(old) == len(new) else f"{place}: {len(old)} → {len(new)} entries"
    return None if type(old) is type(new) and old == new else f"{place}: {old!r} → {new!r}"


def first_of_models(old: bytes, new: bytes) -> str:
    """Field, index and name of the first difference of two ONNX models whose bytes differ."""
    found = _first_of_messages(onnx.load_model_from_string(old), onnx.load_model_from_string(new))
    return found or "bytes, though every field is equal"


def _first_of_messages(old: Message, new: Message) -> str | None:
    if isinstance(old, onnx.TensorProto) and isinstance(new, onnx.TensorProto):
        return _first_of_tensors(old, new)
    for field in old.DESCRIPTOR.fields:
        before, after = getattr(old, field.name), getattr(new, field.name)
        if not field.is_repeated:
            before, after = [before], [after]
        for index, (one, other) in enumerate(zip(before, after, strict=False)):
            place = f"{field.name}[{index}]{_named(one)}" if field.is_repeated else field.name
            if isinstance(one, Message):
                if one != other and (found := _first_of_messages(one, other)):
                    return f"{place}: {found}"
            elif one != other:
                return f"{place}: {_short(one)} → {_short(other)}"
        if len(before) != len(after):
            longer = before if len(before) > len(after) else after
            more = longer[min(len(before), len(after))]
            return f"{field.name}: {len(before)} → {len(after)}, first one more{_named(more) or f' {_short(more)}'}"
    return None


def _first_of_tensors(old: onnx.TensorProto, new: onnx.TensorProto) -> str | None:
    for name in ("name", "data_type", "dims"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            return f"{name}: {_short(before)} → {_short(after)}"
    before, after = numpy_helper.to_array(old), numpy_helper.to_array(new)
    unlike = np.flatnonzero((before != after).reshape(-1))
    if not unlike.size:
        return None if old == new else "stored in another way"
    first = int(unlike[0])
    values = f"{before.reshape(-1)[first]} → {after.reshape(-1)[first]}"
    return f"{unlike.size} of {before.size} values, first at {first}: {values}"


def _named(value: Any) -> str:
    name = getattr(value, "name", "") or getattr(value, "key", "") or getattr(value, "domain", "")
    op_type = getattr(value, "op_type", "")
    return f" {name!r}" * bool(name) + f" ({op_type})" * bool(op_type)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
