"""FCN-8s (Long et al., CVPR 2015, arXiv:1411.4038).

A VGG-like encoder down to 1/32; class scores of three levels are added, each climbed by a ConvTranspose2d that starts
as bilinear interpolation and is trained on. The last has a kernel of 16 at stride 8: the largest of the field.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from reference_models.architectures.blocks import conv_bn_relu, two_convolutions


def bilinear_climb(channels: int, factor: int) -> nn.ConvTranspose2d:
    """A transposed convolution, kernel 2 x factor, that interpolates each channel by itself before it is trained."""
    layer = nn.ConvTranspose2d(channels, channels, 2 * factor, stride=factor, padding=factor // 2, bias=False)
    offsets = (torch.arange(2 * factor) - (factor - 0.5)) / factor
    triangle = 1 - offsets.abs()
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[range(channels), range(channels)] = torch.outer(triangle, triangle)
    return layer


class FCN8s(nn.Module):
    """(N, 3, H, W) to (N, classes, H, W) logits; H and W are multiples of 32."""

    multiple = 32

    def __init__(self, classes: int, widths: tuple[int, ...] = (24, 48, 80, 112, 128)) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            nn.Sequential(*two_convolutions(a, b), nn.MaxPool2d(2)) for a, b in pairwise((3, *widths))
        )
        self.context = nn.Sequential(*conv_bn_relu(widths[-1], 160), *conv_bn_relu(160, 160, 1))
        eighth, sixteenth = widths[2:4]
        self.score_8 = nn.Conv2d(eighth, classes, kernel_size=1)
        self.score_16 = nn.Conv2d(sixteenth, classes, kernel_size=1)
        self.score_32 = nn.Conv2d(160, classes, kernel_size=1)
        self.climb_32 = bilinear_climb(classes, 2)
        self.climb_16 = bilinear_climb(classes, 2)
        self.climb_8 = bilinear_climb(classes, 8)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        levels = []
        features = image
        for stage in self.encoder:
            features = stage(features)
            levels.append(features)
        scores = self.climb_32(self.score_32(self.context(features))) + self.score_16(levels[3])
        return self.climb_8(self.climb_16(scores) + self.score_8(levels[2]))
