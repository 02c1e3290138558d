"""Files of LiteRT (.tflite): FlatBuffers by a schema. What is in them is read and written in other rooms."""

import json
from collections.abc import Mapping
from typing import Any

from quantseg.files.tflite.encoding import decode, encode

__all__ = ["METADATA", "RUNTIME_VERSION", "SUFFIX", "decode", "encode", "our_metadata"]

SUFFIX = ".tflite"
METADATA = "quantseg"
"""Name of the entry in the file's metadata that is ours: JSON with the orders of axes and the model's properties."""
RUNTIME_VERSION = "min_runtime_version"
"""Name of the entry with the first version of LiteRT's runtime that has what the file uses."""


def our_metadata(model: Mapping[str, Any]) -> dict[str, Any]:
    """Our entry in the metadata of a decoded file; empty for files of other tools.

    orders: "inputs" and "outputs" → name → which axis of the ONNX model each axis holds. properties: the metadata that
    an ONNX file of the same model has.
    """
    for entry in model.get("metadata", ()):
        if entry.get("name") == METADATA:
            try:
                found = json.loads(bytes(model["buffers"][entry["buffer"]]["data"]))
            except (KeyError, IndexError, ValueError):
                return {}
            return found if isinstance(found, dict) else {}
    return {}
