"""A small Mask R-CNN (He et al., ICCV 2017, arXiv:1703.06870): our own code, from the papers.

A residual network with a feature pyramid (arXiv:1612.03144), proposals (Faster R-CNN, arXiv:1506.01497), and heads for
boxes and for masks. RoiAlign, NonMaxSuppression and TopK are nodes of the graph, and so is the choice of a region's
level: from there on the number of rows is known only when the model runs, and may be zero. Boxes do not depend on the
class, since ONNX's NonMaxSuppression shares them between classes.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from reference_models.architectures.blocks import BasicBlock, conv_bn_relu
from reference_models.architectures.regions import non_max_suppression, roi_align

STRIDES = (4, 8, 16)
SIDES = (14.0, 28.0, 56.0)
"""Of a square anchor of each level, in pixels of the image."""
RATIOS = (0.5, 1.0, 2.0)
"""Height over width of anchors."""
PROPOSED = (192, 192, 96)
"""The most of each level that go into non-maximum suppression."""
PROPOSALS, DETECTIONS = 96, 100
PROPOSAL_IOU, DETECTION_IOU, LOWEST_SCORE = 0.7, 0.5, 0.05
POOLED, MASK_POOLED = 7, 14
WEIGHTS = torch.tensor([10.0, 10.0, 5.0, 5.0])
"""Of the four numbers of a head's box (Girshick, arXiv:1504.08083)."""
_LARGE = 40.0 * 40.0  # pixels from which a region is read from stride 8
_MOST_GROWTH = math.log(1000 / 16)


class Proposed(NamedTuple):
    """What the proposal network says of A anchors: scores (N, A), logits; shifts (N, A, 4)."""

    scores: Tensor
    shifts: Tensor


def anchors(height: int, width: int) -> list[Tensor]:
    """Boxes (A, 4) of each level for an image of this size: row by row, the ratios of a place side by side."""
    levels = []
    for stride, side in zip(STRIDES, SIDES, strict=True):
        ratios = torch.tensor(RATIOS)
        half = torch.stack((side / ratios.sqrt(), side * ratios.sqrt()), dim=1) / 2
        rows, columns = ((torch.arange(n // stride, dtype=torch.float32) + 0.5) * stride for n in (height, width))
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        centres = torch.stack((x.flatten(), y.flatten()), dim=1)[:, None]
        levels.append(torch.cat((centres - half, centres + half), dim=2).reshape(-1, 4))
    return levels


def moved(boxes: Tensor, shifts: Tensor) -> Tensor:
    """Boxes (R, 4) moved by shares of their size and scaled by exponentials (R-CNN, arXiv:1311.2524, appendix C)."""
    low, high = boxes.split(2, dim=1)
    move, grow = shifts.split(2, dim=1)
    size = high - low
    centre = (low + high) / 2 + move * size
    half = size * grow.clamp(max=_MOST_GROWTH).exp() / 2
    return torch.cat((centre - half, centre + half), dim=1)


def shifts_between(boxes: Tensor, targets: Tensor) -> Tensor:
    """What `moved` needs to make targets (R, 4) of boxes."""
    size, wanted = boxes[:, 2:] - boxes[:, :2], targets[:, 2:] - targets[:, :2]
    move = (targets[:, :2] + targets[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2 / size
    return torch.cat((move, (wanted / size).log()), dim=1)


class MaskRCNN(nn.Module):
    """One image (1, 3, H, W) to boxes (D, 4), labels (D,) from 1, scores (D,) and masks (D, 1, 28, 28), all 0…1.

    H and W are multiples of 16. `levels`, `propose`, `box_head` and `mask_head` are what losses are computed from.
    """

    multiple = 16
    outputs = dict.fromkeys(("boxes", "labels", "scores", "masks"), "detections")

    def __init__(self, classes: int, widths: tuple[int, ...] = (24, 32, 48, 80), pyramid: int = 48) -> None:
        super().__init__()
        self.stem = conv_bn_relu(3, widths[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(BasicBlock(a, b, stride=2), BasicBlock(b, b)) for a, b in pairwise(widths)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(width, pyramid, 1) for width in widths[1:])
        self.smooth = nn.ModuleList(conv_bn_relu(pyramid, pyramid) for _ in widths[1:])
        self.rpn = nn.Sequential(nn.Conv2d(pyramid, pyramid, 3, padding=1), nn.ReLU())
        self.rpn_scores = nn.Conv2d(pyramid, len(RATIOS), 1)
        self.rpn_shifts = nn.Conv2d(pyramid, 4 * len(RATIOS), 1)
        self.regions = nn.Sequential(nn.Linear(pyramid * POOLED**2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.classes = nn.Linear(128, classes + 1)
        self.shifts = nn.Linear(128, 4)
        self.mask_head = nn.Sequential(
            *(layer for n in (pyramid, 32) for layer in (nn.Conv2d(n, 32, 3, padding=1), nn.ReLU())),
            nn.ConvTranspose2d(32, 32, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, classes, 1),
        )
        for layer in (self.rpn_scores, self.rpn_shifts, self.classes, self.shifts):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def levels(self, image: Tensor) -> list[Tensor]:
        """The pyramid, (N, C, H / stride, W / stride) for each of STRIDES."""
        features, found = self.stem(image), []
        for stage in self.stages:
            features = stage(features)
            found.append(features)
        top = self.lateral[-1](found[-1])
        levels = [top]
        for lateral, level in list(zip(self.lateral, found, strict=True))[-2::-1]:
            top = functional.interpolate(top, scale_factor=2.0, mode="nearest") + lateral(level)
            levels.insert(0, top)
        return [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]

    def propose(self, levels: Sequence[Tensor]) -> list[Proposed]:
        """For each level what the anchors are said to be."""
        found = []
        for level in map(self.rpn, levels):
            scores, shifts = self.rpn_scores(level), self.rpn_shifts(level)
            count = len(RATIOS) * int(level.shape[2]) * int(level.shape[3])
            found.append(
                Proposed(
                    scores.permute(0, 2, 3, 1).reshape(-1, count), shifts.permute(0, 2, 3, 1).reshape(-1, count, 4)
                )
            )
        return found

    def proposals(self, proposed: Sequence[Proposed], size: tuple[int, int]) -> Tensor:
        """Boxes (at most PROPOSALS, 4) of the first image, inside an image of `size`, the likeliest first."""
        boxes, scores = [], []
        for (score, shift), anchor, most in zip(proposed, anchors(*size), PROPOSED, strict=True):
            best, index = score[0].topk(min(most, len(anchor)))
            boxes.append(inside(moved(anchor.to(shift.device)[index], shift[0][index]), size))
            scores.append(best)
        candidates, likely = torch.cat(boxes), torch.cat(scores).sigmoid()
        kept = non_max_suppression(candidates, likely[None], PROPOSALS, PROPOSAL_IOU, 0.0)
        return candidates[kept[:, 2]]

    def pool(self, levels: Sequence[Tensor], boxes: Tensor, size: int) -> Tensor:
        """RoiAlign of boxes (R, 4), each on the level of its size (arXiv:1612.03144, equation 1).

        Returns (R, C, size, size).
        """
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        chosen = [which.nonzero()[:, 0] for which in (area < _LARGE, area >= _LARGE)]
        pooled = [
            roi_align(level, boxes[index], size, 1 / stride)
            for level, index, stride in zip(levels, chosen, STRIDES, strict=False)
        ]
        return torch.cat(pooled)[torch.cat(chosen).argsort()]

    def box_head(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (R, C, 7, 7) to logits (R, 1 + classes), background first, and weighted shifts (R, 4)."""
        features = self.regions(pooled.flatten(1))
        return self.classes(features), self.shifts(features)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes, labels, scores and masks: see the class."""
        size = int(image.shape[2]), int(image.shape[3])
        levels = self.levels(image)
        proposals = self.proposals(self.propose(levels), size)
        logits, shifts = self.box_head(self.pool(levels, proposals, POOLED))
        candidates = inside(moved(proposals, shifts / WEIGHTS.to(shifts.device)), size)
        likely = logits.softmax(dim=1)[:, 1:].T
        kept = non_max_suppression(candidates, likely, DETECTIONS, DETECTION_IOU, LOWEST_SCORE)
        _, label, index = kept.unbind(dim=1)
        scores, order = likely[label, index].sort(descending=True)
        scores, order = scores[:DETECTIONS], order[:DETECTIONS]
        boxes, label = candidates[index[order]], label[order]
        masks = self.mask_head(self.pool(levels, boxes, MASK_POOLED)).sigmoid()
        of_class = label[:, None, None, None].expand(-1, -1, *masks.shape[2:])
        return boxes, label + 1, scores, masks.gather(1, of_class)


def inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (R, 4) cut to an image of (height, width)."""
    left, top, right, bottom = boxes.unbind(dim=1)
    return torch.stack(
        (left.clamp(0, size[1]), top.clamp(0, size[0]), right.clamp(0, size[1]), bottom.clamp(0, size[0])), dim=1
    )
