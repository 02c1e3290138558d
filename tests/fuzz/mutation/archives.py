"""Mutations of .npy and .npz files: headers, versions, lengths, members of a zip archive."""

import io
import zipfile
from collections.abc import Mapping
from random import Random

import numpy as np

from tests.fuzz.mutation import odd, raw

_TYPES = (
    "'<f4'", "'>f4'", "'<f8'", "'<f2'", "'|u1'", "'|b1'", "'<i8'", "'<u8'", "'|O'", "'<c8'", "'<U4'", "'|S3'",
    "'|V4'", "'<M8[s]'", "'<m8[Y]'", "'f'", "'i4,f4'", "[('a', '<f4')]", "[('a', '|O')]", "[]",
    "[('a', '<f4', (2,))]", "None", "1", "'<f4' ", "('<f4', (3,))", "'<f99'", "'|S2147483647'", "'|V0'", "'\\x00'",
    "True", "{}", "'>g'", "'<f16'",
)  # fmt: skip
_SHAPES = (
    "(1, 3, 12, 12)", "(1, 3, 12, 12,)", "[1, 3, 12, 12]", "(True, 3, 12, 12)", "(1, 3, 12, True)",
    "(1.0, 3, 12, 12)", "(-1, 3, 12, 12)", "(1, -3, -12, 12)", "()", "(0,)", "(432,)", "(0, 3, 12, 12)",
    "(1, 3, 12, 0)", "432", "None", "(1, 3, 12, 12" + ", 1" * 60 + ")", "(9223372036854775807,)",
    "(4294967296, 4294967296)", "(99999999999999999999,)", "(-9223372036854775808, 1)", "('1',)", "(1, 3, 12, 12j)",
    "(1, 3, 12, 0xC)", "(1, 3, 12, 12) ", "(268435457,)", "(12, 12)", "(3, 12, 12)", "(1000000000, 0)",
)  # fmt: skip


def npy(random: Random, array: np.ndarray) -> bytes:
    """The file of an array with an odd header, or with its bytes changed."""
    if random.random() < 0.25:
        stream = io.BytesIO()
        np.lib.format.write_array(stream, array, version=random.choice(((1, 0), (1, 0), (2, 0), (3, 0))))
        return raw.mutated(random, stream.getvalue()) if random.random() < 0.8 else stream.getvalue()
    fields = {
        "descr": repr(np.lib.format.dtype_to_descr(array.dtype)), "fortran_order": "False", "shape": repr(array.shape),
    }  # fmt: skip
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        _change(random, fields)
    header = "{" + ", ".join(f"'{key}': {value}" for key, value in fields.items()) + ", }"
    if random.random() < 0.06:
        header = random.choice(_HEADERS)
    version = random.choice((1,) * 14 + (2, 2, 3, 0, 9))
    content = array.tobytes()[: random.choice((None,) * 8 + (10, 0))] + b"\0" * random.choice((0, 0, 0, 7))
    return _file(random, version, header.encode("latin1", "replace"), content)


_HEADERS = (
    "", "{}", "[]", "1", "{'descr': '<f4'}", "__import__('os')", "(" * 100, "{" * 100, "[" * 3000, "-" * 3000 + "1",
    "{'a': 'b'", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1, }", "x" * 70_000, "'\\", "{1: 2}",
    "{'descr': 1 if 1 else 2}", "9" * 4000, "{**{}}", "f'{1}'",
)  # fmt: skip


def _change(random: Random, fields: dict[str, str]) -> None:
    key = random.choice(("descr", "descr", "shape", "shape", "fortran_order", "other"))
    if key == "other":
        fields[random.choice(("extra", "descr ", ""))] = random.choice(("1", "None"))
    elif random.random() < 0.08:
        fields.pop(key, None)
    else:
        table = {"descr": _TYPES, "shape": _SHAPES, "fortran_order": ("True", "1", "None", "'a'", "[]", "0")}
        fields[key] = random.choice(table[key])


def _file(random: Random, version: int, header: bytes, content: bytes) -> bytes:
    width = 2 if version == 1 else 4
    padded = header + b" " * (-(len(header) + 9 + width) % 64) + b"\n"
    length = len(padded) if random.random() < 0.95 else odd.integer(random) & 0xFFFF
    return b"\x93NUMPY" + bytes((version, 0)) + min(length, 256**width - 1).to_bytes(width, "little") + padded + content


def archive(random: Random, members: Mapping[str, bytes]) -> bytes:
    """A zip archive of these members, up to two of them twice, renamed, left out or packed in an unusual way."""
    stream = io.BytesIO()
    disturbed = random.sample(sorted(members), min(len(members), random.choice((0, 0, 0, 1, 1, 2))))
    with zipfile.ZipFile(stream, "w") as writing:
        for name, content in members.items():
            for info in _entries(random, name) if name in disturbed else (_entry(name, zipfile.ZIP_DEFLATED),):
                writing.writestr(info, content)
        writing.comment = b"c" * random.choice((0, 0, 0, 3, 1000))
    content = bytearray(stream.getvalue())
    if random.random() < 0.2:
        _patch(random, content)
    return raw.mutated(random, bytes(content)) if random.random() < 0.2 else bytes(content)


def _entry(name: str, method: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = method
    return info


def _entries(random: Random, name: str) -> list[zipfile.ZipInfo]:
    """What an archive has in place of a member."""
    others = ("", "../secret.bin", "/etc/hostname", f"a/{name}", name.upper(), "x" * 300, "a\\b", f"{name}/", name[:-4])
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    action = random.choice(("none", "twice", "renamed", "renamed", "method", "method", "extra"))
    called = random.choice(others) if action == "renamed" else name
    method = random.choice(methods) if action == "method" else zipfile.ZIP_DEFLATED
    found = [_entry(called, method) for _ in range({"none": 0, "twice": 2}.get(action, 1))]
    if action == "extra":
        found[0].extra = random.choice((b"\xff\xff\x02\x00", b"\x01\x00\x08\x00" + b"\xff" * 8, b"\x01\x00\x00\x00"))
    return found


def _patch(random: Random, content: bytearray) -> None:
    """A field of a member's own header or of its entry in the directory: flags, method, sizes, checksum."""
    signature, fields = random.choice(
        (
            (b"PK\1\2", ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (42, 4))),
            (b"PK\3\4", ((6, 2), (8, 2), (26, 2))),
        )
    )
    place = content.find(signature, random.choice((0, 0, len(content) // 2)))
    if place >= 0:
        offset, width = random.choice(fields)
        number = random.choice((0, 1, 8, 12, 14, 93, 99, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, 1 << 28)) & (256**width - 1)
        content[place + offset : place + offset + width] = number.to_bytes(width, "little")
