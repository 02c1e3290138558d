"""COCO's average precision (AP) and average recall (AR) of masks, computed by faster-coco-eval, an extra.

AP: precision at 101 recalls, averaged over mask IoU 0.50, 0.55 … 0.95 and over the classes that have a true instance.
AR: the highest recall with at most 1, 10 or 100 detections an image, averaged likewise. Small are instances below 32²
pixels, large those from 96²; the pixels are those of the masks compared. Detections in a crowd region count neither as
right nor as wrong. Source: Lin et al., arXiv:1405.0312; cocoapi, pycocotools/cocoeval.py.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import MissingExtraError
from quantseg.evaluation.metrics.instances import MOST_DETECTIONS
from quantseg.evaluation.metrics.instances.encoding import EncodedInstance
from quantseg.evaluation.metrics.overlap import Values

AREAS = ("all", "small", "medium", "large")
"""COCO's ranges of area, in its order."""
_DETECTIONS = (1, 10, MOST_DETECTIONS)
_IOUS = {"ap50": 0, "ap75": 5}
"""Figure → which of the ten IoUs it is of."""
SUMMARY = ("ap", *_IOUS, *(f"ap_{area}" for area in AREAS[1:]), *(f"ar{count}" for count in _DETECTIONS))
"""The figures over all classes."""
PER_CLASS = ("ap", "ap50", f"ar{MOST_DETECTIONS}")
"""The figures of each class."""


@dataclass(frozen=True)
class JudgedImage:
    """One image: its true instances and those that were found. size: (height, width) of all their masks."""

    size: tuple[int, int]
    truths: tuple[EncodedInstance, ...]
    found: tuple[EncodedInstance, ...]


@dataclass(frozen=True)
class AveragePrecision:
    """AP and AR, 0…1, None where there is no true instance. summary: by SUMMARY. per_class: by PER_CLASS."""

    summary: Mapping[str, float | None]
    per_class: Mapping[str, Values]


def require_coco() -> None:
    """Raises MissingExtraError where faster-coco-eval is not installed."""
    if importlib.util.find_spec("faster_coco_eval") is None:
        raise MissingExtraError('AP of instances needs faster-coco-eval; pip install "quantseg[instances]"')


def average_precision(images: Sequence[JudgedImage], classes: int) -> AveragePrecision:
    """AP and AR over a set. classes: their number. Raises MissingExtraError without the extra."""
    require_coco()
    truths = sum(len(image.truths) for image in images)
    if not images or not classes or not truths:  # COCO gives nothing where nothing is true
        return AveragePrecision(dict.fromkeys(SUMMARY), dict.fromkeys(PER_CLASS, (None,) * classes))
    precision, recall = _evaluated(images, classes)
    everything = slice(None)
    return AveragePrecision(
        {key: _figure(key, precision, recall, everything) for key in SUMMARY},
        {key: tuple(_figure(key, precision, recall, k) for k in range(classes)) for key in PER_CLASS},
    )


def _figure(key: str, precision: NDArray[Any], recall: NDArray[Any], which: slice | int) -> float | None:
    """One figure. precision: (IoUs, recalls, classes, areas, counts). recall: (IoUs, classes, areas, counts)."""
    if key.startswith("ar"):
        values = recall[:, which, 0, _DETECTIONS.index(int(key[2:]))]
    else:
        area = AREAS.index(key[3:]) if key[3:] in AREAS else 0
        ious = slice(_IOUS[key], _IOUS[key] + 1) if key in _IOUS else slice(None)
        values = precision[ious, :, which, area, -1]
    known = values[values > -1]
    return float(np.mean(known)) if known.size else None


def _evaluated(images: Sequence[JudgedImage], classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    from faster_coco_eval import COCOeval_faster

    given = _coco(images, classes, found=False), _coco(images, classes, found=True)
    judge = COCOeval_faster(*given, "segm", print_function=_silent)
    judge.rle_iou_max_workers = 1  # engines have the processors already
    judge.evaluate()
    judge.accumulate()
    return np.asarray(judge.eval["precision"]), np.asarray(judge.eval["recall"])


def _coco(images: Sequence[JudgedImage], classes: int, *, found: bool) -> Any:
    """The images and what is true, or was found, in COCO's form, in memory. Ids begin at 1: 0 means no match there."""
    from faster_coco_eval import COCO

    annotations = list[dict[str, Any]]()
    for place, image in enumerate(images, 1):
        annotations += [
            {
                "image_id": place,
                "category_id": one.number + 1,
                "segmentation": {"size": list(image.size), "counts": one.runs},
                "area": one.area,
                "iscrowd": int(one.crowd),
                "score": one.score,
            }
            for one in (image.found if found else image.truths)
        ]
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    coco = COCO()
    coco.print_function = _silent
    coco.dataset = {
        "images": [{"id": k, "height": i.size[0], "width": i.size[1]} for k, i in enumerate(images, 1)],
        "categories": [{"id": k + 1, "name": str(k)} for k in range(classes)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _silent(*_: object) -> None:
    """In place of faster-coco-eval's print."""
