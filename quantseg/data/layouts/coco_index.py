"""Reading of COCO's annotation files (JSON), untrusted: sizes are checked before memory is allocated, then contents."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from quantseg.data.place import Place
from quantseg.data.untrusted import read_text
from quantseg.errors import DataError
from quantseg.files import limits


@dataclass(frozen=True)
class CocoImage:
    """An image entry. annotations: for each annotation the JSON text [class id, crowd, segmentation], sorted.

    They are kept as text, which takes a fraction of the memory of Python lists.
    """

    file_name: str
    height: int
    width: int
    annotations: tuple[str, ...]


@dataclass(frozen=True)
class Index:
    """The contents of an annotation file.

    categories: names in the order of their ids; the first is class 1. images: image entries sorted by file name, at
    least one.
    """

    categories: tuple[str, ...]
    images: tuple[CocoImage, ...]


def read_index(path: Place, *, annotations: bool = True) -> Index:
    """The images and categories of an instances_*.json, sorted. annotations: whether to read these as well.

    Raises DataError naming the file where it is damaged, too large or inconsistent.
    """
    document = _parsed(path)
    categories = {_whole(c, "id", path): _shown(c, "name", path) for c in _objects(document, "categories", path)}
    images = {_whole(p, "id", path): p for p in _objects(document, "images", path)}
    if not images or len({_text(p, "file_name", path) for p in images.values()}) < len(document["images"]):
        raise DataError(f"{path}: has {'an image twice' if images else 'no images'}; correct it")
    if not 0 < len(categories) == len(document["categories"]) <= limits.COCO_CATEGORIES:
        most = limits.COCO_CATEGORIES
        raise DataError(f"{path}: ids of categories are double, or not 1 to {most} of them; correct it")
    number = {identifier: k for k, identifier in enumerate(sorted(categories), start=1)}
    marks: dict[int, list[str]] = {identifier: [] for identifier in images}
    for annotation in _objects(document, "annotations", path) if annotations else ():
        image, category = _whole(annotation, "image_id", path), _whole(annotation, "category_id", path)
        if image not in marks or category not in number:
            missing = f"image_id {image}" if image not in marks else f"category_id {category}"
            raise DataError(f"{path}: an annotation has {missing}, which is not in the file; correct it")
        crowd = annotation.get("iscrowd", 0)
        if crowd not in (0, 1):
            _damaged(path, "iscrowd is neither 0 nor 1")
        marks[image].append(_as_text([number[category], int(crowd), annotation.get("segmentation")], path))
    found = (_image(row, tuple(sorted(marks[identifier])), path) for identifier, row in images.items())
    names = tuple(categories[identifier] for identifier in sorted(categories))
    return Index(names, tuple(sorted(found, key=lambda image: image.file_name)))


def _image(row: Mapping[str, Any], annotations: tuple[str, ...], path: Place) -> CocoImage:
    height, width = _whole(row, "height", path), _whole(row, "width", path)
    if min(height, width) < 1 or height * width > limits.IMAGE_PIXELS:
        _damaged(path, f"an image of {height}x{width}")
    return CocoImage(row["file_name"], height, width, annotations)


def _parsed(path: Place) -> dict[str, Any]:
    text = read_text(path, most=limits.COCO_BYTES)
    if text.count("[") + text.count("{") > limits.COCO_LISTS or text.count(",") > limits.COCO_VALUES:
        raise DataError(f"{path}: holds more lists or values than memory should; split it")
    try:
        document = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        _damaged(path, str(error) if isinstance(error, ValueError) else "lists within lists without end")
    if not isinstance(document, dict):
        _damaged(path, "no object at its top")
    return document


def _as_text(value: object, path: Place) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), sort_keys=True)
    except RecursionError:
        _damaged(path, "lists within lists without end")


def _objects(document: Mapping[str, Any], key: str, path: Place) -> list[dict[str, Any]]:
    rows = document.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        _damaged(path, f"{key} is no list of objects")
    return rows


def _whole(row: Mapping[str, Any], key: str, path: Place) -> int:
    value = row.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        _damaged(path, f"{key} is no whole number")
    return value


def _text(row: Mapping[str, Any], key: str, path: Place) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        _damaged(path, f"{key} is no text")
    return value


def _shown(row: Mapping[str, Any], key: str, path: Place) -> str:
    """A text that can be printed and written to a recipe: control characters and lone surrogates are refused."""
    value = _text(row, key, path)
    if not value.isprintable():
        _damaged(path, f"{key} {value!r} is not printable")
    return value


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _damaged(path: Place, fact: str) -> NoReturn:
    raise DataError(f"{path}: no COCO index ({fact[:120]}); restore it")
