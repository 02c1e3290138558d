"""What YOLO-seg learns: an object gets the places that already do best by it (Feng et al., TOOD, arXiv:2108.07755)."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from reference_models.architectures.regions import iou
from reference_models.architectures.yolo_seg import BINS, STRIDES, YoloSeg, places
from reference_models.instances.objects import Objects

_PLACES = 10
"""The most places of an object."""
_SCORE_POWER, _IOU_POWER = 0.5, 6.0
_BOX, _SIDES, _CLASSES, _MASK = 7.5, 1.5, 0.5, 7.5
"""Weights of the losses, those of YOLOv8."""
_MASKS = 24
"""Places of an image whose masks are learned in a step."""


class Given(NamedTuple):
    """places: (P,) that are given to an object. objects: (P,) which one. scores: (P,) what the class is to score."""

    places: Tensor
    objects: Tensor
    scores: Tensor


def assign(scores: Tensor, boxes: Tensor, centres: Tensor, objects: Objects) -> Given:
    """scores (C, A) in 0…1, boxes (A, 4) and centres (A, 2) in pixels: the best places of each object, none twice.

    A place is measured by score^½ · IoU⁶; its score is to be that share of its object's best, times that one's IoU.
    """
    if not len(objects.boxes):
        empty = torch.zeros(0, dtype=torch.int64)
        return Given(empty, empty, scores.new_zeros(0))
    overlap = iou(objects.boxes, boxes)
    metric = scores[objects.classes] ** _SCORE_POWER * overlap**_IOU_POWER
    # Slivers at the rim would hold no centre: each object reaches at least over one stride.
    middle, half = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2, (objects.boxes[:, 2:] - objects.boxes[:, :2]) / 2
    near = (centres - middle[:, None]).abs() < half.clamp(min=0.75 * STRIDES[0])[:, None]
    metric = metric * near.all(dim=2)
    best, index = metric.topk(min(_PLACES, metric.shape[1]), dim=1)
    chosen = torch.zeros_like(metric, dtype=torch.bool).scatter_(1, index, best > 0)
    # A place that two objects want goes to the one that it overlaps more.
    chosen &= overlap == overlap.where(chosen, -1.0).amax(dim=0)
    taken = chosen.any(dim=0).nonzero()[:, 0]
    owner = chosen[:, taken].to(torch.uint8).argmax(dim=0)
    metric, overlap = metric.where(chosen, 0.0), overlap.where(chosen, 0.0)
    share = metric[owner, taken] / metric.amax(dim=1)[owner].clamp(min=1e-30) * overlap.amax(dim=1)[owner]
    return Given(taken, owner, share)


def yolo_loss(network: YoloSeg, image: Tensor, objects: list[Objects]) -> Tensor:
    """The sum of the four losses for images (N, 3, H, W), a scalar."""
    raw = network.raw(image)
    points, strides = places(image.shape[2], image.shape[3])
    points, distances = points.T, network.distances(raw.sides).transpose(1, 2)
    boxes = torch.cat((points - distances[..., :2], points + distances[..., 2:]), dim=2) * strides[:, None]
    wanted = torch.zeros_like(raw.classes)
    # Cut once: a cut of its own for each image would fill a gradient of the whole batch with zeros each time.
    sides, prototypes = raw.sides.unbind(), raw.prototypes.contiguous().unbind()
    parts, total = [], 0.0
    for index, of_image in enumerate(objects):
        with torch.no_grad():
            given = assign(raw.classes[index].sigmoid(), boxes[index], points * strides[:, None], of_image)
            wanted[index, of_image.classes[given.objects], given.places] = given.scores
        total += float(given.scores.sum())
        if len(given.places):
            target = of_image.boxes[given.objects]
            scaled = target / strides[given.places, None]
            parts.append(
                _BOX * (given.scores * (1 - _giou(boxes[index, given.places], target))).sum()
                + _SIDES * (given.scores * _sides_loss(sides[index], points, scaled, given.places)).sum()
                + _MASK * _mask_loss(raw.coefficients[index], prototypes[index], of_image, given)
            )
    classes = functional.binary_cross_entropy_with_logits(raw.classes, wanted, reduction="sum")
    return (_CLASSES * classes + sum(parts)) / max(total, 1.0)


def _giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of boxes (P, 4), pair by pair (Rezatofighi et al., arXiv:1902.09630)."""
    sides = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    both = sides.prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - both
    return both / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def _sides_loss(sides: Tensor, points: Tensor, target: Tensor, chosen: Tensor) -> Tensor:
    """Cross-entropy with the two bins beside each true distance (arXiv:2006.04388): (P,). target: (P, 4) in strides."""
    at = points[chosen]
    distance = torch.cat((at - target[:, :2], target[:, 2:] - at), dim=1).clamp(0, BINS - 1.01)
    low = distance.floor()
    likely = sides[:, :, chosen].log_softmax(dim=1).permute(2, 0, 1)  # (P, 4, BINS)
    below, above = (-likely.gather(2, (low.long() + step)[..., None])[..., 0] for step in (0, 1))
    return (below * (low + 1 - distance) + above * (distance - low)).mean(dim=1)


def _mask_loss(coefficients: Tensor, prototypes: Tensor, objects: Objects, given: Given) -> Tensor:
    """Cross-entropy of the pixels in each object's box, by its area, a sum with the weights of the places."""
    chosen = torch.randperm(len(given.places))[:_MASKS]
    owner = given.objects[chosen]
    logits = torch.einsum("kp,khw->phw", coefficients[:, given.places[chosen]], prototypes)
    factor = objects.masks.shape[1] // prototypes.shape[1]
    truth = functional.avg_pool2d(objects.masks[:, None].to(logits.dtype), factor)[owner, 0]
    left, top, right, bottom = (side[:, None, None] for side in (objects.boxes[owner] / factor).unbind(dim=1))
    rows, columns = (torch.arange(n, dtype=logits.dtype) + 0.5 for n in logits.shape[1:])
    within = (rows[:, None] > top) & (rows[:, None] < bottom) & (columns > left) & (columns < right)
    losses = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none") * within
    each = losses.sum(dim=(1, 2)) / within.sum(dim=(1, 2)).clamp(min=1)
    weights = given.scores[chosen]
    return (each * weights).sum() * given.scores.sum() / weights.sum().clamp(min=1e-6)
