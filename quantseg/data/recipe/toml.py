"""Recipes from TOML and from command-line flags, both checked by one table of fields."""

import difflib
import re
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from quantseg.data.heads import HEADS
from quantseg.data.recipe.text import check_text
from quantseg.data.values import InputRecipe, OutputRecipe, Recipe
from quantseg.errors import RecipeError
from quantseg.files import limits, read_bytes

METADATA_KEY = "quantseg.recipe"
"""The key of an ONNX model's metadata_props that holds its recipe as TOML."""


def recipe_from_toml(text: str, *, source: str) -> Recipe:
    """Reads a recipe. source: a file name; error messages begin with it.

    Raises RecipeError for text that is not TOML, an unknown table or key, a value of the wrong type or range, and for
    text beyond `limits`.
    """
    try:
        check_text(text)
        tables = _parse(text)
        _require_known(tables, _FIELDS, what="table")
        return Recipe(
            input=InputRecipe(**_read("input", tables.get("input", {}))),
            output=OutputRecipe(**_read("output", tables.get("output", {}))),
        )
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from error


def recipe_from_file(path: Path) -> Recipe:
    """Reads a recipe from a TOML file. Raises RecipeError as `recipe_from_toml` does, and where it cannot be read."""
    try:
        text = read_bytes(path, most=limits.RECIPE_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or error) if isinstance(error, OSError) else "it is no UTF-8 text"
        raise RecipeError(f"{path}: cannot be read ({reason}); give a recipe in TOML") from error
    return recipe_from_toml(text, source=str(path))


def override(recipe: Recipe, **flags: object) -> Recipe:
    """The recipe with the values of the flags that are not None.

    A flag has the name of its field; `input` and `output` are the names of these, `output_layout` the output's layout.
    Raises RecipeError for a value of the wrong type or range, TypeError for a flag that does not exist.
    """
    given: dict[str, dict[str, Any]] = {"input": {}, "output": {}}
    for flag, value in flags.items():
        if flag not in _FLAGS:
            raise TypeError(f"override() has no flag {flag!r}")
        if value is not None:
            table, key = _FLAGS[flag]
            given[table][key] = value
    return Recipe(
        input=replace(recipe.input, **_read("input", given["input"])),
        output=replace(recipe.output, **_read("output", given["output"])),
    )


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) from "HxW", or from one number for a square. Raises RecipeError."""
    match = re.fullmatch(r"(\d{1,9})(?:[xX×](\d{1,9}))?", text.strip(), re.ASCII)
    if match is None:
        raise RecipeError(f"size: {text!r} is not a size; give HEIGHTxWIDTH, for example 256x320")
    height, width = match[1], match[2] or match[1]
    return int(height), int(width)


def parse_numbers(text: str) -> tuple[float, ...]:
    """Numbers from "0.485,0.456,0.406". Raises RecipeError."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise RecipeError(f"{text!r} is not a list of numbers; give them as 0.485,0.456,0.406") from error


def _parse(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not TOMLDecodeError alone: the text may come with a model
        raise RecipeError(f"not TOML ({error}); mend it or leave it out") from error
    return tables


def _read(table: str, values: object) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise RecipeError(f"{table}: must be a table; write [{table}] above its keys")
    kinds = _FIELDS[table]
    _require_known(values, kinds, what="key", within=f"{table}: ")
    fields = {}
    for key, value in values.items():
        try:
            fields[key] = kinds[key].read(value)
        except (TypeError, OverflowError) as error:  # overflow: an integer that no float can hold
            given = reprlib.repr(value)
            raise RecipeError(f"{table}.{key}: {given} is not allowed; give {kinds[key].called}") from error
    return fields


def _require_known(given: Iterable[str], known: Mapping[str, object], *, what: str, within: str = "") -> None:
    for name in given:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise RecipeError(f"{within}unknown {what} {reprlib.repr(name)}; {hint}allowed: {', '.join(known)}")


def _whole(value: Any) -> int:
    if type(value) is not int:  # a bool is not a number in a recipe
        raise TypeError
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _head(value: Any) -> str:
    if not isinstance(value, str) or value not in HEADS:
        raise TypeError
    return value


def _several(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def read_several(values: Any) -> tuple[Any, ...]:
        if not isinstance(values, (list, tuple)):
            raise TypeError
        return tuple(read(value) for value in values)

    return read_several


def _numbers(value: Any) -> tuple[float, ...]:
    return _several(_number)(value if isinstance(value, (list, tuple)) else [value])


class _Kind(NamedTuple):
    """How a field is read from a TOML value, and how messages describe its type."""

    read: Callable[[Any], Any]
    called: str


_TEXT = _Kind(_text, "a string")
_NUMBER = _Kind(_number, "a number")
_NUMBERS = _Kind(_numbers, "a number or a list of numbers")
_SIZE = _Kind(_several(_whole), "a list [height, width] of whole numbers")
_FIELDS = {
    "input": {
        "size": _SIZE,
        "layout": _TEXT,
        "channels": _TEXT,
        "scale": _NUMBER,
        "mean": _NUMBERS,
        "std": _NUMBERS,
        "resize": _TEXT,
        "name": _TEXT,
    },
    "output": {
        "name": _TEXT,
        "layout": _TEXT,
        "head": _Kind(_head, "one of " + ", ".join(HEADS)),
        "threshold": _NUMBER,
        "classes": _Kind(_several(_text), "a list of strings"),
        "ignore_index": _Kind(_whole, "a whole number"),
        "size": _SIZE,
        "nms_iou": _NUMBER,
    },
}
_FLAGS = {
    **{key: ("input", key) for key in _FIELDS["input"] if key != "name"},
    **{key: ("output", key) for key in ("head", "threshold", "classes", "ignore_index", "nms_iou")},
    "input": ("input", "name"),
    "output": ("output", "name"),
    "output_layout": ("output", "layout"),
}
