"""The format of .npy files, read without numpy's own reader: that gives the header to Python's parser.

Which exceptions a parser of any Python text raises is not told, and it fails among threads in CPython 3.11. Here only
the three fields of a plain array are read. Source: NEP 1, and the docstring of numpy.lib.format.
"""

import math
import re
import struct
import zipfile
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from quantseg.files import limits

_CHUNK = 1 << 20
_MAGIC = b"\x93NUMPY"
_LENGTHS = {(1, 0): "<H", (2, 0): "<I"}
_FIELD = re.compile(
    r"""\s*(['"])(?P<key>descr|fortran_order|shape)\1\s*:\s*"""
    r"""(?:(['"])(?P<descr>[<>|=]?[a-zA-Z][0-9]{0,4})\3|(?P<order>True|False)|\((?P<shape>[-0-9L,\s]*)\))\s*(?:,|$)"""
)
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes; the other methods take as much memory as their data ask for."""


@dataclass(frozen=True)
class Header:
    """What an .npy file says of its array. fortran: whether the first axis varies fastest."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


def check_packing(member: zipfile.ZipInfo) -> None:
    """Raises ValueError for a file of an archive that is packed otherwise than numpy packs."""
    if member.compress_type not in _PACKED:
        raise ValueError(f"{member.filename!r} is packed by method {member.compress_type}")


def read_header(stream: IO[bytes]) -> Header:
    """Reads the header of an .npy file; the stream then stands at the array. Raises ValueError for any other content.

    Shapes are not bounded: their product may be more than memory holds.
    """
    start = stream.read(len(_MAGIC) + 2)
    form = _LENGTHS.get((start[-2], start[-1])) if len(start) == len(_MAGIC) + 2 else None
    if form is None or not start.startswith(_MAGIC):
        raise ValueError("it does not begin as an .npy file of version 1 or 2 does")
    length = int.from_bytes(stream.read(struct.calcsize(form)), "little")
    if length > limits.ARRAY_HEADER:
        raise ValueError(f"its header of {length:,} bytes is longer than {limits.ARRAY_HEADER:,}")
    text = stream.read(length)
    if len(text) < length:
        raise ValueError("it ends in its header")
    return _header(text.decode("latin-1"))


def read_elements(stream: IO[bytes], header: Header) -> NDArray[Any]:
    """The array that follows a header, in this machine's byte order. Raises ValueError where the file is cut short.

    The caller has checked that it is no larger than memory, and holds plain numbers.
    """
    content = np.empty(header.size * header.dtype.itemsize, np.uint8)
    filled = 0
    while filled < content.size:
        part = stream.read(min(content.size - filled, _CHUNK))
        if not part:
            raise ValueError(f"its array takes {content.size:,} bytes, of which {filled:,} are there")
        content[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
        filled += len(part)
    # A bool of another byte than 0 and 1 is none.
    values = content != 0 if header.dtype.kind == "b" else content.view(header.dtype)
    native = values.astype(header.dtype.newbyteorder("="), copy=False)
    return native.reshape(header.shape, order="F" if header.fortran else "C")


def _header(text: str) -> Header:
    """From "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", its fields in any order, each once."""
    inner = re.fullmatch(r"\s*\{(.*)\}\s*", text, re.DOTALL)
    place, found = 0, dict[str, str]()
    while inner is not None and (field := _FIELD.match(inner[1], place)) is not None:
        kind = {"descr": "descr", "fortran_order": "order", "shape": "shape"}[field["key"]]
        if field[kind] is not None and kind not in found:
            found[kind] = field[kind]
        place = field.end()
    if inner is None or len(found) < 3 or inner[1][place:].strip():
        raise ValueError("its header does not describe a plain array")
    try:
        dtype = np.dtype(found["descr"])
        shape = tuple(int(size.strip().removesuffix("L")) for size in found["shape"].split(",") if size.strip())
    except (TypeError, ValueError) as error:
        raise ValueError("its header does not describe a plain array") from error
    if any(size < 0 for size in shape):
        raise ValueError(f"its header states shape {shape}")
    return Header(shape, found["order"] == "True", dtype)
