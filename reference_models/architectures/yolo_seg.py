"""A one-stage instance network in the manner of YOLOv8-seg: our own code, from the papers.

Boxes are distances to four sides, each a distribution over bins (Li et al., arXiv:2006.04388), of a head without anchor
boxes (Tian et al., FCOS, arXiv:1904.01355); masks are sums of prototypes (Bolya et al., YOLACT, arXiv:1904.02689). The
graph is as people export it: levels joined, split and decoded inside, so that pixels of boxes, scores in 0…1 and
coefficients end in one tensor, whose parts must not share a scale; SiLU everywhere.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
BINS = 8
"""Whole distances of a side, in strides: 0…7."""
COEFFICIENTS = 16
_PRIOR = -4.6  # logit of 0.01: at first nothing is an object (Lin et al., arXiv:1708.02002)


class Raw(NamedTuple):
    """What is learned, before it is decoded.

    sides: (N, 4, BINS, A) logits of the distances to left, top, right, bottom. classes: (N, C, A) logits.
    coefficients: (N, K, A). prototypes: (N, K, H / 2, W / 2).
    """

    sides: Tensor
    classes: Tensor
    coefficients: Tensor
    prototypes: Tensor


def conv_bn_silu(channels_in: int, channels_out: int, kernel: int = 3, *, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size (at stride 1), BatchNorm, SiLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.SiLU(),
    )


class SplitBlock(nn.Module):
    """Half of the channels go through a bottleneck, and all are joined (CSPNet, arXiv:1911.11929; YOLOv8's C2f)."""

    def __init__(self, channels_in: int, channels_out: int, *, shortcut: bool = True) -> None:
        super().__init__()
        self.half = half = channels_out // 2
        self.enter = conv_bn_silu(channels_in, channels_out, 1)
        self.bottleneck = nn.Sequential(conv_bn_silu(half, half), conv_bn_silu(half, half))
        self.leave = conv_bn_silu(3 * half, channels_out, 1)
        self.shortcut = shortcut

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, channels_out, H, W)."""
        left, right = self.enter(features).split(self.half, dim=1)
        deep = self.bottleneck(right)
        return self.leave(torch.cat((left, right, right + deep if self.shortcut else deep), dim=1))


class Pooling(nn.Module):
    """Maxima over windows of 5, 9 and 13, joined (spatial pyramid pooling, arXiv:1406.4729, as YOLOv5 does it)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = conv_bn_silu(channels, channels // 2, 1)
        self.leave = conv_bn_silu(2 * channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        levels = [self.enter(features)]
        for _ in range(3):
            levels.append(functional.max_pool2d(levels[-1], 5, stride=1, padding=2))
        return self.leave(torch.cat(levels, dim=1))


def _twice(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


def _branch(channels: int, width: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(conv_bn_silu(channels, width), conv_bn_silu(width, width), nn.Conv2d(width, channels_out, 1))


class YoloSeg(nn.Module):
    """(N, 3, H, W) to pred (N, 4 + classes + K, A) and protos (N, K, H / 2, W / 2); H and W are multiples of 32.

    pred: centre, width and height of each box in pixels, then scores 0…1 of the classes, then coefficients.
    """

    multiple = 32
    outputs = dict.fromkeys(("pred", "protos"), "batch")

    def __init__(self, classes: int, widths: tuple[int, ...] = (16, 32, 48, 80, 112)) -> None:
        super().__init__()
        self.classes = classes
        w2, w4, w8, w16, w32 = widths
        self.stem = conv_bn_silu(3, w2, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(conv_bn_silu(a, b, stride=2), SplitBlock(b, b)) for a, b in pairwise(widths)
        )
        self.pooling = Pooling(w32)
        self.up = nn.ModuleList(SplitBlock(a + b, b, shortcut=False) for a, b in ((w32, w16), (w16, w8), (w8, w4)))
        self.down = nn.ModuleList(conv_bn_silu(width, width, stride=2) for width in (w8, w16))
        self.joined = nn.ModuleList(SplitBlock(a + b, b, shortcut=False) for a, b in ((w8, w16), (w16, w32)))
        levels = (w8, w16, w32)
        self.sides = nn.ModuleList(_branch(width, 4 * BINS, 4 * BINS) for width in levels)
        self.scores = nn.ModuleList(_branch(width, w8, classes) for width in levels)
        self.coefficients = nn.ModuleList(_branch(width, 24, COEFFICIENTS) for width in levels)
        self.prototypes = nn.Sequential(
            conv_bn_silu(w4, 24),
            nn.ConvTranspose2d(24, 24, 2, stride=2),
            conv_bn_silu(24, 24),
            conv_bn_silu(24, COEFFICIENTS, 1),
        )
        for branch in self.scores:
            nn.init.constant_(branch[-1].bias, _PRIOR)
        self.register_buffer("bins", torch.arange(BINS, dtype=torch.float32).view(1, BINS, 1, 1), persistent=False)

    def raw(self, image: Tensor) -> Raw:
        """What losses are computed from."""
        features, levels = self.stem(image), []
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        top = self.pooling(levels[3])
        middle = self.up[0](torch.cat((_twice(top), levels[2]), dim=1))
        fine = self.up[1](torch.cat((_twice(middle), levels[1]), dim=1))
        finest = self.up[2](torch.cat((_twice(fine), levels[0]), dim=1))
        middle = self.joined[0](torch.cat((self.down[0](fine), middle), dim=1))
        top = self.joined[1](torch.cat((self.down[1](middle), top), dim=1))
        joined, coefficients = [], []
        for index, level in enumerate((fine, middle, top)):
            both = torch.cat((self.sides[index](level), self.scores[index](level)), dim=1)
            count = int(level.shape[2]) * int(level.shape[3])
            joined.append(both.reshape(-1, 4 * BINS + self.classes, count))
            coefficients.append(self.coefficients[index](level).reshape(-1, COEFFICIENTS, count))
        sides, scores = torch.cat(joined, dim=2).split((4 * BINS, self.classes), dim=1)
        return Raw(
            sides.reshape(-1, 4, BINS, sides.shape[2]), scores, torch.cat(coefficients, dim=2), self.prototypes(finest)
        )

    def distances(self, sides: Tensor) -> Tensor:
        """(N, 4, BINS, A) to the mean of each distribution, (N, 4, A), in strides."""
        likely = sides.transpose(1, 2).softmax(dim=1)
        return functional.conv2d(likely, self.bins)[:, 0]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Decoded: see the class."""
        raw = self.raw(image)
        points, strides = places(image.shape[2], image.shape[3])
        left_top, right_bottom = self.distances(raw.sides).split(2, dim=1)
        low, high = points - left_top, points + right_bottom
        boxes = torch.cat(((low + high) / 2, high - low), dim=1) * strides
        return torch.cat((boxes, raw.classes.sigmoid(), raw.coefficients), dim=1), raw.prototypes


def places(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Centres (2, A), x before y, in strides, and the stride (A,) of every place of every level, row by row."""
    points, strides = [], []
    for stride in STRIDES:
        rows, columns = (torch.arange(int(side) // stride, dtype=torch.float32) + 0.5 for side in (height, width))
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        points.append(torch.stack((x.flatten(), y.flatten())))
        strides.append(torch.full((points[-1].shape[1],), float(stride)))
    return torch.cat(points, dim=1), torch.cat(strides)
