"""DeepLabV3+ (Chen et al., ECCV 2018, arXiv:1802.02611) over a MobileNetV2 encoder (arXiv:1801.04381).

Depthwise convolutions, whose channels differ in range; ReLU6, which caps them; atrous convolutions and the average of
the whole image, brought back by bilinear interpolation and concatenated.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from reference_models.architectures.blocks import enlarge


def _conv(
    channels_in: int, channels_out: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU6(),
    )


def _separable(channels_in: int, channels_out: int, *, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        *_conv(channels_in, channels_in, 3, dilation=dilation, groups=channels_in), *_conv(channels_in, channels_out)
    )


class InvertedResidual(nn.Module):
    """Widen by 1x1, filter depthwise, narrow by 1x1 without activation; a shortcut where the shape is kept."""

    def __init__(
        self, channels_in: int, channels_out: int, *, expansion: int = 4, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.layers = nn.Sequential(
            *_conv(channels_in, wide),
            *_conv(wide, wide, 3, stride=stride, dilation=dilation, groups=wide),
            *_conv(wide, channels_out)[:2],
        )
        self.shortcut = stride == 1 and channels_in == channels_out

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, channels_out, H / stride, W / stride)."""
        return self.layers(features) + features if self.shortcut else self.layers(features)


class DeepLabV3Plus(nn.Module):
    """(N, 3, H, W) to (N, classes, H, W) logits; H and W are multiples of 16."""

    multiple = 16

    def __init__(self, classes: int, rates: tuple[int, ...] = (2, 4, 6)) -> None:
        super().__init__()
        block = InvertedResidual
        self.low = nn.Sequential(_conv(3, 24, 3, stride=2), block(24, 32, stride=2), block(32, 32))
        self.high = nn.Sequential(
            *(block(32, 48, stride=2), block(48, 48), block(48, 48)),
            *(block(48, 80, stride=2), block(80, 80), block(80, 80)),
            *(block(80, 112, dilation=2), block(112, 112, dilation=2)),
        )
        width = 96
        self.branches = nn.ModuleList([_conv(112, width), *(_separable(112, width, dilation=rate) for rate in rates)])
        self.scene = _conv(112, width)
        self.project = _conv(width * (len(rates) + 2), width)
        self.skip = _conv(32, 24)
        self.decoder = nn.Sequential(_separable(width + 24, width), _separable(width, width))
        self.head = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        low = self.low(image)
        high = self.high(low)
        scene = functional.interpolate(
            self.scene(functional.adaptive_avg_pool2d(high, 1)), size=high.shape[2:], mode="bilinear"
        )
        context = self.project(torch.cat([*(branch(high) for branch in self.branches), scene], dim=1))
        return enlarge(self.head(self.decoder(torch.cat([enlarge(context, 4), self.skip(low)], dim=1))), 4)
