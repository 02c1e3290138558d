"""What Mask R-CNN learns: from sampled anchors, from sampled proposals, and from masks of those that hold an object."""

import torch
from torch import Tensor
from torch.nn import functional

from reference_models.architectures.mask_rcnn import (
    MASK_POOLED,
    POOLED,
    WEIGHTS,
    MaskRCNN,
    Proposed,
    anchors,
    shifts_between,
)
from reference_models.architectures.regions import crop, iou
from reference_models.instances.objects import Objects

_ANCHORS, _REGIONS, _MASKS = 256, 64, 12
"""Anchors, proposals and masks of an image that a step learns from."""
_ANCHOR_IOU, _NO_ANCHOR_IOU, _REGION_IOU = 0.6, 0.3, 0.5


def mask_rcnn_loss(network: MaskRCNN, image: Tensor, objects: list[Objects]) -> Tensor:
    """The sum of the five losses for images (N, 3, H, W), a scalar."""
    size = image.shape[2], image.shape[3]
    levels = network.levels(image)
    proposed = network.propose(levels)
    flat = Proposed(*(torch.cat(part, dim=1) for part in zip(*proposed, strict=True)))
    every = torch.cat(anchors(*size))
    total = image.new_zeros(())
    # Cut once: a cut of its own for each image would fill a gradient of the whole batch with zeros each time.
    cut = list(zip(*(level.split(1) for level in levels), strict=True))
    pooled, labels, shifts, masks, truths, which = [], [], [], [], [], []
    for index, of_image in enumerate(objects):
        total = total + _proposal_loss(flat.scores[index], flat.shifts[index], every, of_image)
        with torch.no_grad():
            single = [Proposed(p.scores[index : index + 1], p.shifts[index : index + 1]) for p in proposed]
            found = torch.cat((network.proposals(single, size), of_image.boxes))
            boxes, owner = _sampled(found, of_image)
        true = owner >= 0
        pooled.append(network.pool(cut[index], boxes, POOLED))
        labels.append(of_image.classes[owner[true]] + 1)
        labels.append(torch.zeros(int((~true).sum()), dtype=torch.int64))
        shifts.append(shifts_between(boxes[true], of_image.boxes[owner[true]]) * WEIGHTS)
        # Positives come in random order.
        learned, owned = boxes[true][:_MASKS], owner[true][:_MASKS]
        masks.append(network.pool(cut[index], learned, MASK_POOLED))
        truths.append(crop(of_image.masks[owned, None].to(image.dtype), learned, 2 * MASK_POOLED)[:, 0])
        which.append(of_image.classes[owned])
    label, target, truth, of_class = (torch.cat(parts) for parts in (labels, shifts, truths, which))
    logits, found_shifts = network.box_head(torch.cat(pooled))
    positive = label > 0
    total = total / len(objects) + functional.cross_entropy(logits, label)
    total = total + functional.smooth_l1_loss(found_shifts[positive], target, reduction="sum") / len(label)
    if not len(truth):
        return total
    seen = network.mask_head(torch.cat(masks))[torch.arange(len(truth)), of_class]
    return total + functional.binary_cross_entropy_with_logits(seen, truth)


def _proposal_loss(scores: Tensor, shifts: Tensor, every: Tensor, objects: Objects) -> Tensor:
    """Of one image: which anchors hold an object, and how those that do have to move."""
    overlap = iou(every, objects.boxes) if len(objects.boxes) else every.new_zeros(len(every), 1)
    best, owner = overlap.max(dim=1)
    # The best anchors of an object are its own even where none fits well.
    closest = ((overlap == overlap.amax(dim=0)) & (overlap > 0.1)).any(dim=1)
    holds, empty = (best >= _ANCHOR_IOU) | closest, (best < _NO_ANCHOR_IOU) & ~closest
    positive = _some(holds, _ANCHORS // 2)
    negative = _some(empty, _ANCHORS - len(positive))
    chosen = torch.cat((positive, negative))
    truth = torch.cat((scores.new_ones(len(positive)), scores.new_zeros(len(negative))))
    loss = functional.binary_cross_entropy_with_logits(scores[chosen], truth)
    if not len(positive):
        return loss
    target = shifts_between(every[positive], objects.boxes[owner[positive]])
    moving = functional.smooth_l1_loss(shifts[positive], target, beta=1 / 9, reduction="sum")
    return loss + moving / len(chosen)


def _sampled(found: Tensor, objects: Objects) -> tuple[Tensor, Tensor]:
    """Proposals to learn from, half of them at most with an object, and those first; owner: -1 for background."""
    sides = found[:, 2:] - found[:, :2]
    found = found[(sides >= 1).all(dim=1)]
    overlap = iou(found, objects.boxes) if len(objects.boxes) else found.new_zeros(len(found), 1)
    best, owner = overlap.max(dim=1)
    positive = _some(best >= _REGION_IOU, _REGIONS // 2)
    negative = _some(best < _REGION_IOU, _REGIONS - len(positive))
    chosen = torch.cat((positive, negative))
    return found[chosen], torch.cat((owner[positive], torch.full((len(negative),), -1)))


def _some(which: Tensor, most: int) -> Tensor:
    """At most so many of the indices where `which` is true, in random order."""
    index = which.nonzero()[:, 0]
    return index[torch.randperm(len(index))[:most]]
