"""RoiAlign and NonMaxSuppression: in torch as ONNX defines them, and in the graph as ONNX's own operators."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

SAMPLES = 2
"""Points along each side of a cell of a region's grid."""
_TINY = np.float32(1e-9)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (N, 4) and (M, 4), left, top, right, bottom: (N, M)."""
    low, high = torch.maximum(a[:, None, :2], b[None, :, :2]), torch.minimum(a[:, None, 2:], b[None, :, 2:])
    both = (high - low).clamp(min=0).prod(dim=2)
    of_a, of_b = ((boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (a, b))
    return both / (of_a[:, None] + of_b - both).clamp(min=1e-9)


def crop(features: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Means over the cells of a grid of size² in each box (RoiAlign, He et al., arXiv:1703.06870).

    features: (1, C, H, W) for boxes (R, 4) in its pixels, or (R, C, H, W) with one for each box. Returns
    (R, C, size, size). Differentiable in the features. Equals ONNX's RoiAlign (half_pixel, avg) for boxes inside.
    """
    count, height, width = len(boxes), features.shape[2], features.shape[3]
    if not count:
        return features.new_zeros(0, features.shape[1], size, size)
    share = (torch.arange(size * SAMPLES, device=boxes.device) + 0.5) / (size * SAMPLES)
    x, y = (low[:, None] + share * (high - low)[:, None] for low, high in zip(*boxes.T.chunk(2), strict=True))
    grid = torch.stack(
        (
            (2 * x / width - 1)[:, None, :].expand(-1, len(share), -1),
            (2 * y / height - 1)[:, :, None].expand(-1, -1, len(share)),
        ),
        dim=-1,
    )
    shared = features.shape[0] == 1 and count != 1
    if shared:
        grid = grid.reshape(1, count * len(share), len(share), 2)
    found = functional.grid_sample(features, grid, padding_mode="border", align_corners=False)
    if shared:
        found = found[0].reshape(-1, count, len(share), len(share)).transpose(0, 1)
    return functional.avg_pool2d(found, SAMPLES)


def suppress(boxes: NDArray[Any], scores: NDArray[Any], *, most: int, overlap: float, lowest: float) -> NDArray[Any]:
    """ONNX's NonMaxSuppression for one image: rows (0, class, box), class by class, the highest scores first.

    boxes: (N, 4). scores: (classes, N). most: of a class. overlap: the IoU above which the lower of two scores is
    dropped. lowest: scores must be higher. Of equal scores the earlier box is kept.
    """
    rows = []
    for number, of_class in enumerate(scores):
        order = np.argsort(-of_class, kind="stable")
        order = order[of_class[order] > lowest]
        kept: list[int] = []
        while len(order) and len(kept) < most:
            first, order = order[0], order[1:]
            kept.append(int(first))
            order = order[_overlaps(boxes[first], boxes[order]) <= overlap]
        rows += [(0, number, index) for index in kept]
    return np.array(rows, np.int64).reshape(-1, 3)


def _overlaps(box: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.maximum(sides, 0).prod(axis=1)
    total = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - both
    return both / np.maximum(total, _TINY)


class _RoiAlign(torch.autograd.Function):
    """`crop` in torch; one node in ONNX, whose boxes are in pixels of the image."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, boxes: Tensor, size: int, scale: float) -> Tensor:
        return crop(features, boxes * scale, size)

    @staticmethod
    def symbolic(g: Any, features: Any, boxes: Any, size: int, scale: float) -> Any:
        count = g.op("Shape", boxes, start_i=0, end_i=1)
        images = g.op("ConstantOfShape", count, value_t=torch.zeros(1, dtype=torch.int64))
        return g.op(
            "RoiAlign",
            features,
            boxes,
            images,
            coordinate_transformation_mode_s="half_pixel",
            mode_s="avg",
            output_height_i=size,
            output_width_i=size,
            sampling_ratio_i=SAMPLES,
            spatial_scale_f=scale,
        )


class _NonMaxSuppression(torch.autograd.Function):
    """`suppress` in torch; one node in ONNX."""

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, most: int, overlap: float, lowest: float) -> Tensor:
        arrays = boxes.detach().cpu().numpy(), scores.detach().cpu().numpy()
        return torch.from_numpy(suppress(*arrays, most=most, overlap=overlap, lowest=lowest)).to(boxes.device)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, most: int, overlap: float, lowest: float) -> Any:
        axis = g.op("Constant", value_t=torch.zeros(1, dtype=torch.int64))
        values = (
            g.op("Constant", value_t=torch.tensor([value], dtype=kind))
            for value, kind in ((most, torch.int64), (overlap, torch.float32), (lowest, torch.float32))
        )
        return g.op("NonMaxSuppression", g.op("Unsqueeze", boxes, axis), g.op("Unsqueeze", scores, axis), *values)


def roi_align(features: Tensor, boxes: Tensor, size: int, scale: float) -> Tensor:
    """`crop` of features (1, C, H, W) whose pixel is 1 / scale pixels of the boxes (R, 4): (R, C, size, size)."""
    if torch.onnx.is_in_onnx_export():
        return _RoiAlign.apply(features, boxes, size, scale)
    return crop(features, boxes * scale, size)


def non_max_suppression(boxes: Tensor, scores: Tensor, most: int, overlap: float, lowest: float) -> Tensor:
    """Rows (0, class, box) of what is kept; see `suppress`."""
    return _NonMaxSuppression.apply(boxes, scores, most, overlap, lowest)
