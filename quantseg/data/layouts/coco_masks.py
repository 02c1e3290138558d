"""Masks from COCO's segmentations: pycocotools turns polygons into run lengths, numpy turns these into masks.

pycocotools, written in C, allocates whatever sizes it is given, so sizes are checked before.
Source of the run-length text: cocoapi, common/maskApi.c.
"""

import importlib.util
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from quantseg.data.instance_labels import of_regions
from quantseg.data.instances import Instances
from quantseg.data.layouts.coco_index import CocoImage
from quantseg.errors import DataError
from quantseg.files import limits


def check_installed() -> None:
    """Raises DataError where pycocotools is not installed."""
    if importlib.util.find_spec("pycocotools") is None:
        raise DataError("masks of coco need pycocotools; pip install 'quantseg[coco]'")


def paint(image: CocoImage, void: int, *, place: str) -> NDArray[np.int64]:
    """Class ids (H, W): background 0, crowds `void`, and over them the instances, those with fewer pixels on top.

    Of instances with equally many pixels, the first of the image's sorted annotations is on top.
    place: error messages begin with it. Raises DataError.
    """
    extent = (image.height, image.width)
    # Runs go down the columns, so the array is column-major.
    ids = np.zeros(extent, np.int64, order="F")
    crowds = np.zeros(extent, np.bool_, order="F")
    size_on_top = np.full(extent, ids.size + 1, np.int32, order="F")
    for number, crowd, shape in _annotations(image, place):
        region = _region(shape, extent, place)
        if crowd:
            crowds |= region
            continue
        size = int(np.count_nonzero(region))
        region &= size < size_on_top
        np.putmask(ids, region, number)
        np.putmask(size_on_top, region, size)
    np.putmask(ids, crowds & (size_on_top > ids.size), void)
    return np.ascontiguousarray(ids)


def objects(image: CocoImage, size: tuple[int, int], *, place: str) -> Instances:
    """The instances, resized, in the order of the image's sorted annotations; class id 1 is class 0 of instances.

    Crowds are kept as such. place: error messages begin with it. Raises DataError.
    """
    found, extent = list(_annotations(image, place)), (image.height, image.width)
    regions = (_region(shape, extent, place) for _, _, shape in found)
    classes, crowds = [number - 1 for number, _, _ in found], [bool(crowd) for _, crowd, _ in found]
    return of_regions(regions, classes, crowds, size=size, place=place)


def _annotations(image: CocoImage, place: str) -> Iterator[tuple[int, int, Any]]:
    """Class id, crowd and segmentation of each annotation."""
    for text in image.annotations:
        try:
            number, crowd, shape = json.loads(text)
        except RecursionError:
            _wrong(place, "lists within lists without end")
        yield number, crowd, shape


def _region(shape: Any, extent: tuple[int, int], place: str) -> NDArray[np.bool_]:
    """Which pixels a segmentation covers: a list of polygons, or run lengths as a list or text."""
    if shape is None:
        _wrong(place, "an annotation has a box and no segmentation; instances_*.json of COCO have both")
    if isinstance(shape, list):
        return _polygons(shape, extent, place)
    if not isinstance(shape, dict) or shape.get("size") != list(extent):
        _wrong(place, "a segmentation is neither polygons nor run lengths of the image's size")
    given: Any = shape.get("counts")
    return _runs(_run_lengths(given, place) if isinstance(given, str) else given, extent, place)


def _runs(counts: Any, extent: tuple[int, int], place: str) -> NDArray[np.bool_]:
    """The mask of uncompressed run lengths: runs of zeros and ones in turn, zeros first, down the columns."""
    whole = isinstance(counts, list) and all(type(count) is int and count >= 0 for count in counts)
    if not whole or sum(counts) != extent[0] * extent[1]:
        _wrong(place, "run lengths do not add up to the image")
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.asarray(runs.reshape(extent[1], extent[0]).T, np.bool_)


def _polygons(polygons: list[Any], extent: tuple[int, int], place: str) -> NDArray[np.bool_]:
    from pycocotools import mask as coco

    outline = 0.0
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            _wrong(place, "a polygon has not three points or more, of two numbers each")
        if not all(type(value) in (int, float) for value in polygon):
            _wrong(place, "a polygon holds more than numbers")
        if min(polygon) < -max(extent) or max(polygon) > 2 * max(extent):
            _wrong(place, "a polygon lies far outside the image")
        points = list(zip(polygon[::2], polygon[1::2], strict=True))
        outline += sum(max(abs(a[0] - b[0]), abs(a[1] - b[1])) + 1 for a, b in pairwise([*points, points[0]]))
        if outline > limits.COCO_OUTLINE:
            _wrong(place, f"an outline is longer than {limits.COCO_OUTLINE:,} pixels")
    if not polygons:
        return np.zeros(extent, np.bool_)
    merged = coco.merge(coco.frPyObjects(polygons, *extent))
    return _runs(_run_lengths(merged["counts"].decode("ascii"), place), extent, place)


def _run_lengths(text: str, place: str) -> list[int]:
    """Decodes COCO's compressed run lengths.

    Each character holds five bits of a number and a bit for "more follow"; from the fourth number on, numbers are
    differences to the last but one.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > 30:
            _wrong(place, "run lengths that are no such text")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        _wrong(place, "run lengths that end too early")
    return counts


def _wrong(place: str, fact: str) -> NoReturn:
    raise DataError(f"{place}: {fact}; correct the annotation")
