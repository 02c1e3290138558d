"""Marks in written files: which command made a file, and of what, so that it overwrites nothing but its own.

Texts (HTML, Markdown, SVG, TOML) end with the mark as a comment, archives have it as theirs, JSON has it under made_by.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantseg.files import json_text, limits, open_file, read_bytes, read_json

MADE_BY = "made_by"
_MARK = re.compile(r"quantseg ([a-z]+) inputs=([0-9a-f]{64})(?: content=([0-9a-f]{64}))?")
_COMMENT = re.compile(rb"(?:<!-- (quantseg [a-z]+ inputs=[ -~]*) -->|^# (quantseg [a-z]+ inputs=[ -~]*))\s*\Z", re.M)
_LONGEST = 512
"""Bytes at the end of a file in which a comment is looked for."""


@dataclass(frozen=True)
class Origin:
    """What made a file. command: its name. inputs: SHA-256 of what it was given."""

    command: str
    inputs: str

    @staticmethod
    def of(command: str, *inputs: str) -> "Origin":
        """The origin of a file that a command makes of these inputs, each named by a text such as its digest."""
        return Origin(command, hashlib.sha256("\n".join(inputs).encode("utf-8", "surrogateescape")).hexdigest())

    def comment(self, content: str | None = None) -> str:
        """The mark as a comment. content: the text that it is put behind."""
        return f"<!-- {self._mark(content)} -->"

    def marked(self, text: str) -> str:
        """The text with the mark behind it."""
        return f"{text}{self.comment(text)}\n"

    def marked_toml(self, text: str) -> str:
        """A text in TOML, which ends its last line, with the mark behind it."""
        return f"{text}# {self._mark(text)}\n"

    def marked_json(self, value: Any) -> Any:
        """A value for JSON, an object or a list of objects, with the mark in it."""
        if isinstance(value, list):
            return [self.marked_json(one) for one in value]
        return {**value, MADE_BY: self._mark(json_text(value))}

    def _mark(self, content: str | None) -> str:
        return f"quantseg {self.command} inputs={self.inputs}" + (
            "" if content is None else f" content={_sha(content)}"
        )


@dataclass(frozen=True)
class Mark:
    """The mark of a file. changed: whether the file was changed since."""

    origin: Origin
    changed: bool


def found_in(path: Path) -> Mark | None:
    """The mark of a file; None without one, as in files of others."""
    try:
        with open_file(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            first = stream.read(1)
            stream.seek(max(0, size - _LONGEST))
            last = stream.read(_LONGEST)
        if comment := _COMMENT.search(last):
            mark = (comment[1] or comment[2]).decode()
            return _of_text(mark, path, size - len(last) + comment.start())
        return _of_json(read_json(path)) if first in (b"{", b"[") else None
    except (OSError, ValueError, RecursionError):
        return None


def _of_text(mark: str, path: Path, length: int) -> Mark | None:
    parts = _MARK.fullmatch(mark)
    if parts is None:
        return None
    kept = parts[3] is None or _sha(read_bytes(path, most=limits.JSON_BYTES)[:length]) == parts[3]
    return Mark(Origin(parts[1], parts[2]), not kept)


def _of_json(value: Any) -> Mark | None:
    """The mark of an object, or that of all objects of a list."""
    if isinstance(value, list):
        every = [_of_json(one) for one in value]
        if not every or every[0] is None or any(one is None or one.origin != every[0].origin for one in every):
            return None
        return Mark(every[0].origin, any(one is not None and one.changed for one in every))
    mark = value.get(MADE_BY) if isinstance(value, Mapping) else None
    parts = _MARK.fullmatch(mark) if isinstance(mark, str) else None
    if parts is None:
        return None
    rest = {key: one for key, one in value.items() if key != MADE_BY}
    return Mark(Origin(parts[1], parts[2]), _sha(json_text(rest)) != parts[3])


def _sha(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
