"""Mutations of bytes, for any kind of file."""

import struct
from collections.abc import Callable
from random import Random

from tests.fuzz.mutation import odd

_MOST = 1 << 22
"""Bytes that an input may have."""


def mutated(random: Random, content: bytes) -> bytes:
    """The content with one to four places changed, doubled, cut out or cut off."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        random.choice(_CHANGES)(random, changed)
    return bytes(changed[:_MOST])


def _place(random: Random, content: bytearray) -> int:
    """An index: near the head, where formats say what follows, as often as anywhere."""
    end = min(len(content), 64) if random.random() < 0.5 else len(content)
    return random.randrange(end) if end else 0


def _part(random: Random, content: bytearray) -> slice:
    start = _place(random, content)
    return slice(start, start + random.choice((1, 2, 4, 8, 16, 64, 256)))


def _flip(random: Random, content: bytearray) -> None:
    if content:
        content[_place(random, content)] ^= 1 << random.randrange(8)


def _set(random: Random, content: bytearray) -> None:
    if content:
        content[_place(random, content)] = random.choice((0, 1, 10, 0x20, 0x22, 0x2C, 0x5B, 0x7F, 0x80, 0xFE, 0xFF))


def _number(random: Random, content: bytearray) -> None:
    form = random.choice((">H", "<H", ">I", "<I", ">Q", "<Q"))
    whole = odd.integer(random) & ((1 << 8 * struct.calcsize(form)) - 1)
    start = _place(random, content)
    content[start : start + struct.calcsize(form)] = struct.pack(form, whole)


def _delete(random: Random, content: bytearray) -> None:
    del content[_part(random, content)]


def _double(random: Random, content: bytearray) -> None:
    part = bytes(content[_part(random, content)])
    start = _place(random, content)
    content[start:start] = part * random.choice((1, 1, 2, 100))


def _insert(random: Random, content: bytearray) -> None:
    start = _place(random, content)
    content[start:start] = random.randbytes(random.choice((1, 2, 8, 100)))


def _move(random: Random, content: bytearray) -> None:
    part, start = bytes(content[_part(random, content)]), _place(random, content)
    content[start : start + len(part)] = part


def _cut(random: Random, content: bytearray) -> None:
    del content[_place(random, content) :]


def _append(random: Random, content: bytearray) -> None:
    content += random.randbytes(random.choice((1, 16, 4096)))


_CHANGES: tuple[Callable[[Random, bytearray], None], ...] = (
    _flip, _flip, _set, _set, _number, _number, _delete, _double, _insert, _move, _cut, _append,
)  # fmt: skip
